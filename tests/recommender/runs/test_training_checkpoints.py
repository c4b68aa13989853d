"""Saves that other hands or a bad disk have damaged: named and set aside, and the sound ones are gone on from."""

import json

import pytest

from recommender.runs.folder import RunFolder
from recommender.runs.recovery import findings
from recommender.runs.tracking import no_tracking
from recommender.runs.training_checkpoints import damaged, mark_complete, newest, quarantine_damaged
from recommender.tuning.recipe import run_local
from registry.progress import Cancelled, Phase
from registry.zoo import Zoo
from tests.observers import stopping
from tests.recommender.tuning.jobs import checkpoint, job, plan, whole
from tests.registry.fakes import a_catalog


def save(run, epoch, stage=0):
    folder = run / "trainer" / f"stage-{stage:02d}" / f"checkpoint-{epoch}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights %d" % epoch)
    mark_complete(folder, {"epoch": epoch})
    return folder


DAMAGE = {
    "an empty marker": lambda save: (save / "COMPLETE.json").write_text("{}"),
    "a marker that is no JSON": lambda save: (save / "COMPLETE.json").write_text("{"),
    "a marker that is a list": lambda save: (save / "COMPLETE.json").write_text("[]"),
    "other weights": lambda save: (save / "model.safetensors").write_bytes(b"weights x"),
    "weights that are gone": lambda save: (save / "model.safetensors").unlink(),
}


@pytest.mark.parametrize("harm", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_save_is_set_aside_by_name_and_the_one_before_it_is_gone_on_from(tmp_path, harm):
    sound, bad = save(tmp_path, 7), save(tmp_path, 14)
    harm(bad)
    assert damaged(tmp_path) == (bad,)
    [note] = quarantine_damaged(tmp_path)
    assert "stage-00/checkpoint-14" in note
    assert (tmp_path / "damaged-saves" / "stage-00-checkpoint-14").is_dir()
    assert newest(tmp_path) == (sound, {"epoch": 7})
    assert quarantine_damaged(tmp_path) == ()


def test_half_a_save_is_what_a_kill_leaves_and_no_damage(tmp_path):
    half = save(tmp_path, 7)
    (half / "COMPLETE.json").unlink()
    (tmp_path / "trainer" / "stage-00" / "checkpoint-odd").mkdir()
    assert damaged(tmp_path) == ()
    assert newest(tmp_path) is None


def test_doctor_names_the_damaged_saves_of_an_unfinished_run_and_the_repair_sets_them_aside(tmp_path):
    with Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog")) as zoo:
        run = RunFolder(zoo.home.runs / "run")
        run.start({"id": "run"})
        DAMAGE["an empty marker"](save(run.path, 7))
        [(finding, mend)] = findings(zoo)
        assert "stage-00/checkpoint-7" in finding.what
        assert "set aside as damaged-saves" in mend()
        assert not list(findings(zoo))


@pytest.mark.slow
def test_a_run_whose_saves_are_all_damaged_trains_anew_and_says_so(tmp_path):
    card = checkpoint(tmp_path / "net")
    prepared = job(tmp_path, card, plan(card, whole(card, epochs=1)))
    RunFolder(prepared.folder).start(prepared.to_dict())
    DAMAGE["an empty marker"](save(prepared.folder, 7))
    run, _ = run_local(prepared, no_tracking)
    assert any("stage-00/checkpoint-7 of an earlier attempt was damaged" in note for note in run.notes)
    assert json.loads((prepared.folder / "run.json").read_text())["metrics"]["score"] == run.metrics["score"]


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["model.safetensors", "head.safetensors"])
def test_a_finished_run_whose_model_is_gone_is_named_and_set_aside_while_its_outcome_stays(tmp_path, gone):
    with Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog")) as zoo:
        card = checkpoint(tmp_path / "net")
        prepared = job(tmp_path, card, plan(card))
        _, outcome = run_local(prepared, no_tracking)
        zoo.record(outcome)
        assert not list(findings(zoo))
        (prepared.folder / gone).unlink()
        [(finding, mend)] = findings(zoo)
        assert (finding.subject, gone in finding.what) == ("run", True)
        assert "set aside" in mend()
        assert not list(findings(zoo))
        assert [one.id for one in zoo.history() if one.id == "run"] == ["run"]


@pytest.mark.slow
def test_a_run_whose_best_weights_are_gone_trains_anew_and_says_so(tmp_path):
    card = checkpoint(tmp_path / "net")
    learned = plan(card, whole(card, epochs=2))
    plain, _ = run_local(job(tmp_path, card, learned, name="plain"), no_tracking)
    prepared = job(tmp_path, card, learned)
    with pytest.raises(Cancelled):
        run_local(prepared, no_tracking, stopping(Phase.TUNE, 4))
    [best] = prepared.folder.glob("best-*.safetensors")
    best.unlink()
    run, _ = run_local(prepared, no_tracking)
    assert "the best weights of an earlier attempt were missing: trained anew" in run.notes
    assert run.metrics["score"] == plain.metrics["score"]
