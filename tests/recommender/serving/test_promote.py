import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from recommender.runs.folder import RunFolder
from recommender.runs.tracking import no_tracking
from recommender.serving.predict import Predictor
from recommender.serving.promote import promote
from recommender.shortlist import shortlist
from recommender.tuning.recipe import run_local
from registry.cards import Origin
from registry.doctor import FindingKind, examine, repair
from registry.encoders.encoder import load_encoder
from registry.encoders.loading import load
from registry.errors import (
    AlreadyThere,
    HomeUnusable,
    NotFinished,
    NotPromotable,
    UnknownName,
    UnusableName,
)
from registry.inspection import weights_digest
from registry.sample import Sample
from registry.zoo import Zoo
from tests.recommender.tuning.jobs import colored, job, plan, whole
from tests.registry.encoders.nets import pictures, save_net
from tests.registry.fakes import MeanColor, a_catalog


@pytest.fixture
def zoo(tmp_path):
    opened = Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog"))
    opened._encoders["mean-color"] = MeanColor()
    return opened


def data(folder):
    for part, rows, seed in (("train", 30, 0), ("test", 12, 1)):
        images, labels = colored(rows, seed)
        for place, (pixels, label) in enumerate(zip(images, labels, strict=True)):
            (folder / part / label).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / part / label / f"{place}.png")
    return folder


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """Runs that were tuned before, by what they were tuned with: the folder each was carried out in."""
    return tmp_path_factory.mktemp("tuned"), {}


@pytest.fixture
def tune(zoo, tmp_path, tuned):
    """Tunes a net that the registry knows, once for every way it is tuned, and gives the run's folder."""
    data(tmp_path / "colors")
    kept, roots = tuned

    def carry_out(net="resnet", *, stages=None, name="run", rate=1e-3, **changes):
        card = zoo.add(save_net(tmp_path / f"net-{net}", net), name=net, license="MIT", domain="gray")
        chosen = [whole(card, epochs=1, rate=rate)] if stages is None else stages
        manner = repr((net, chosen, name, changes))
        if manner not in roots:
            sample = Sample.from_folder(tmp_path / "colors")
            run_local(job(tmp_path, card, plan(card, *chosen, **changes), sample, name=name), no_tracking)
            roots[manner] = tmp_path
            shutil.copytree(tmp_path / "home" / "runs" / name, kept / str(len(roots)))
        else:
            place = list(roots).index(manner) + 1
            folder = shutil.copytree(kept / str(place), tmp_path / "home" / "runs" / name)
            for record in folder.rglob("*.json*"):
                record.write_text(record.read_text().replace(str(roots[manner]), str(tmp_path)))
        return RunFolder(tmp_path / "home" / "runs" / name)

    return carry_out


def scored(run, **metrics):
    """The run, having told other figures."""
    run.finish({**run.result, "metrics": {**run.result["metrics"], **metrics}})
    return run


@pytest.mark.slow
def test_a_run_becomes_a_checkpoint_with_all_that_is_known_of_it(zoo, tune):
    run = scored(tune(), best_epoch=1.0)
    card = promote(run, "colors-net", zoo).checkpoint
    assert card == zoo.checkpoint("colors-net")
    assert (card.folder, card.digest) == (zoo.home.checkpoints / "colors-net", weights_digest(card.folder))
    assert (card.license, card.origin, card.domain) == ("MIT", Origin.OURS, "colors")
    assert card.lineage == ("gray", "colors")
    assert card.source == "colors (run run: resnet, by hand)"
    result = run.result["metrics"]
    assert card.measured["score"] == result["score"]
    assert (card.measured["held_out_rows"], card.measured["rows"], card.measured["run"]) == (12, 30, "run")


@pytest.mark.slow
def test_its_domain_is_the_sample_with_a_sketch_and_is_found_again(zoo, tune, tmp_path):
    promote(scored(tune(), best_epoch=1.0), "colors-net", zoo)
    sample, domain = Sample.from_folder(tmp_path / "colors"), zoo.domain("colors")
    assert (domain.digest, domain.data, domain.rows) == (sample.digest, str(tmp_path / "colors"), 30)
    assert zoo.near(zoo.lens_features(sample), 1)[0][0] == domain


def test_what_is_planted_is_what_was_tuned_with_the_samples_classes(zoo, tune):
    run = scored(tune(), best_epoch=1.0)
    card = promote(run, "colors-net", zoo).checkpoint
    items = pictures(4)
    encoded = zoo.encode("colors-net", replace(Sample.from_arrays(*colored(4), name="x"), items=tuple(items)))
    predicted = Predictor.open(run.path).predict(items)
    np.testing.assert_allclose(encoded.head, predicted.scores, atol=1e-4)
    assert dict(load_encoder(card.folder).opened.id2label) == {0: "blue", 1: "green", 2: "red"}
    stored, tuned = load(card.folder).state_dict(), load(run.path).state_dict()
    assert all(torch.equal(stored[name], tuned[name]) for name in tuned if "classifier" not in name)


@pytest.mark.slow
def test_a_net_that_no_classifier_expresses_is_planted_without_the_names_of_classes(zoo, tune):
    blocks = ("block 01", "block 02")
    run = scored(tune("vit", stages=None, read="block 02", frozen=("block 03",)), best_epoch=1.0)
    done = promote(run, "half", zoo)
    assert "without the run's head" in done.notes[0]
    opened = load_encoder(done.checkpoint.folder)
    assert opened.opened.id2label == {}
    assert opened.blocks[:2] == blocks
    np.testing.assert_array_equal(
        opened.encode(pictures(3)).blocks[1].vectors, load_encoder(run.path).encode(pictures(3)).blocks[1].vectors
    )


@pytest.mark.slow
def test_where_the_data_are_gone_the_domain_has_no_sketch_and_that_is_said(zoo, tune, tmp_path):
    run = scored(tune(), best_epoch=1.0)
    shutil.rmtree(tmp_path / "colors" / "train" / "red")
    done = promote(run, "colors-net", zoo)
    assert zoo.sketch("colors") is None
    assert "no sketch" in done.notes[0]
    assert zoo.checkpoint("colors-net").domain == "colors"


@pytest.mark.slow
def test_a_second_run_on_the_sample_shares_its_domain(zoo, tune, tmp_path):
    promote(scored(tune(), best_epoch=1.0), "one", zoo)
    second = scored(tune(name="again", rate=2e-3), best_epoch=1.0)
    shutil.rmtree(tmp_path / "colors")
    assert promote(second, "two", zoo).notes == ()
    assert zoo.checkpoint("two").domain == zoo.checkpoint("one").domain == "colors"


@pytest.mark.slow
def test_a_domain_of_that_name_but_other_content_keeps_it(zoo, tune, tmp_path):
    other = Sample.from_arrays(*colored(12, seed=5), name="colors")
    zoo.add(save_net(tmp_path / "other", seed=3, net="resnet"), source=other)
    run = scored(tune(), best_epoch=1.0)
    card = promote(run, "colors-net", zoo).checkpoint
    assert card.domain == f"colors-{run.result['sample']['digest'][:8]}"
    assert zoo.domain("colors").digest == other.digest


def test_a_probe_is_not_planted(zoo, tune):
    with pytest.raises(NotPromotable, match="its backbone is that of resnet still"):
        promote(tune(stages=[]), "same", zoo)


def test_training_that_never_helped_is_not_planted(zoo, tune):
    with pytest.raises(NotPromotable, match="never improved"):
        promote(scored(tune(), best_epoch=0.0), "same", zoo)


def test_a_net_that_went_on_with_items_without_labels_is_planted_though_no_label_helped_it(zoo, tune):
    run = scored(tune(), best_epoch=0.0, weight_change=0.1)
    first = {"pretext": "items", "epochs": 1, "rate": 1e-3, "rows": 30}
    run.finish({**run.result, "plan": {**run.result["plan"], "pretraining": first}})
    assert promote(run, "adapted", zoo).checkpoint.name == "adapted"


@pytest.mark.slow
def test_from_scratch_inherits_neither_license_nor_lineage(zoo, tune):
    card = promote(scored(tune(from_scratch=True, head="fresh"), best_epoch=1.0), "own", zoo).checkpoint
    assert (card.license, card.lineage) == ("unknown", ("colors",))


def test_a_name_that_is_taken_is_refused_and_nothing_is_left(zoo, tune):
    run = scored(tune(), best_epoch=1.0)
    promote(run, "mine", zoo)
    with pytest.raises(AlreadyThere, match="'mine'"):
        promote(run, "mine", zoo)
    assert [path.name for path in zoo.home.checkpoints.iterdir()] == ["mine"]


def test_a_name_that_no_folder_should_have_is_refused(zoo, tune):
    run = scored(tune(), best_epoch=1.0)
    for name in ("../out", "", ".", "..", "a/b", ".hidden", "a b", "-x"):
        with pytest.raises(UnusableName):
            promote(run, name, zoo)


def test_an_unfinished_run_and_one_whose_start_is_unknown_or_changed_are_refused(zoo, tune, tmp_path):
    half = RunFolder(zoo.home.runs / "half")
    half.start({"id": "half"})
    with pytest.raises(NotFinished):
        promote(half, "x", zoo)
    run = scored(tune(), best_epoch=1.0)
    result = run.result
    run.finish({**result, "conditions": {**result["conditions"], "checkpoint_digest": "0" * 64}})
    with pytest.raises(NotPromotable, match="other weights now"):
        promote(run, "x", zoo)
    run.finish({**result, "checkpoint": "gone"})
    with pytest.raises(UnknownName, match="gone"):
        promote(run, "x", zoo)
    assert list(zoo.home.checkpoints.iterdir()) == []


def test_a_failure_while_registering_takes_the_folder_away(zoo, tune, monkeypatch):
    def full(_):
        raise HomeUnusable(zoo.home.root, "the disk is full")

    run = scored(tune(), best_epoch=1.0)
    monkeypatch.setattr(zoo.store, "write", full)
    with pytest.raises(HomeUnusable):
        promote(run, "mine", zoo)
    assert list(zoo.home.checkpoints.iterdir()) == []


@pytest.mark.slow
def test_what_was_tuned_on_a_sample_is_marked_there_and_not_for_others(zoo, tune, tmp_path):
    promote(scored(tune(), best_epoch=1.0), "colors-net", zoo)

    def exposure(sample):
        listed = shortlist(sample, zoo.lens_features(sample), zoo, keep=9)
        return next(c.exposure for c in listed.candidates if c.checkpoint.name == "colors-net")

    same = Sample.from_folder(tmp_path / "colors")
    assert exposure(same).seen == {item.digest for item in same.items}
    assert exposure(Sample.from_arrays(*colored(24, seed=7), name="others")) is None


@pytest.mark.slow
def test_the_doctor_finds_folders_that_were_never_registered(zoo, tune):
    promote(scored(tune(), best_epoch=1.0), "mine", zoo)
    (zoo.home.checkpoints / "half").mkdir()
    (zoo.home.checkpoints / "dead.abc.999999999.tmp").mkdir()
    (zoo.home.checkpoints / f"alive.abc.{os.getpid()}.tmp").mkdir()
    results = [finding for finding in examine(zoo).findings if finding.kind is FindingKind.LEFTOVER]
    assert [Path(finding.subject).name for finding in results] == ["dead.abc.999999999.tmp", "half"]
    repair(zoo)
    assert sorted(path.name for path in zoo.home.checkpoints.iterdir()) == [f"alive.abc.{os.getpid()}.tmp", "mine"]
