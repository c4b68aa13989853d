import json
import multiprocessing
import time
import traceback
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa
import yaml

from registry import domain_search, open_nets
from registry.cards import Origin
from registry.catalog import write_domain
from registry.errors import AlreadyThere, BadCard, BadWeights, EncoderMismatch, NoWeights, PathMissing, UnknownName
from registry.features import Features
from registry.inspection import weights_digest
from registry.sketch import sketch_of
from registry.store import Entries, damaged_rows, schema
from registry.zoo import Zoo
from tests.observers import Recorder
from tests.registry.fakes import (
    SHADES,
    Advice,
    MeanColor,
    a_catalog,
    a_checkpoint,
    a_domain,
    a_lens,
    an_outcome,
    cloud,
    shaded,
)


@pytest.fixture
def catalog(tmp_path):
    return a_catalog(tmp_path / "catalog")


@pytest.fixture
def zoo(tmp_path, catalog):
    with Zoo.open(tmp_path / "home", catalog=catalog) as opened:
        opened._encoders["mean-color"] = MeanColor()
        yield opened


def names(near):
    return [domain.name for domain, _ in near]


def test_a_fresh_home_holds_the_catalog(zoo, catalog):
    assert [card.name for card in zoo.checkpoints()] == ["mean-color"]
    assert [card.name for card in zoo.domains("image")] == sorted(SHADES)
    assert zoo.checkpoints("text") == ()
    assert zoo.checkpoint("mean-color").folder == catalog / "seedlings/mean-color"
    assert zoo.checkpoint("mean-color").origin is Origin.SEEDLING
    assert zoo.lens("image").digest == a_lens().digest


def test_a_zoo_is_shown_in_a_line_and_is_a_mapping_of_names_to_checkpoints(zoo):
    assert repr(zoo) == f"<Zoo {str(zoo.home.root)!r}: 1 checkpoint, {len(SHADES)} domains>"
    assert (len(zoo), list(zoo), bool(zoo)) == (1, ["mean-color"], True)
    assert "mean-color" in zoo
    assert "mean-colour" not in zoo
    assert zoo["mean-color"] == zoo.checkpoint("mean-color")
    with pytest.raises(KeyError, match="mean-colour"):
        zoo["mean-colour"]


def test_opening_again_reads_the_catalog_only_when_it_changed(zoo, catalog, tmp_path):
    def opened():
        recorder = Recorder()
        Zoo.open(tmp_path / "home", catalog=catalog, progress=recorder)
        return recorder.words, recorder.counts

    assert opened() == ([], [])
    (catalog / "seedlings/mean-color/notes.txt").write_text("not read")
    assert opened() == ([], [])
    write_domain(catalog, a_domain("pale"))
    assert opened() == (["read the bundled catalog"], [(0, 1), (1, 1)])
    assert opened() == ([], [])
    assert "pale" in [card.name for card in zoo.domains()]


def test_what_left_the_catalog_leaves_the_home_and_what_the_user_did_stays(zoo, catalog, tmp_path):
    zoo.record(an_outcome())
    (catalog / "domains/image/dark.yaml").unlink()
    (catalog / "domains/image/dark.safetensors").unlink()
    again = Zoo.open(tmp_path / "home", catalog=catalog)
    assert [card.name for card in again.domains()] == ["bright", "gray"]
    assert len(again.history()) == 1
    assert names(again.near(cloud(40))) == ["gray", "bright"]


def test_a_moved_catalog_is_found_where_it_is(zoo, catalog, tmp_path):
    catalog.rename(tmp_path / "elsewhere")
    moved = Zoo.open(tmp_path / "home", catalog=tmp_path / "elsewhere")
    assert moved.checkpoint("mean-color").folder == tmp_path / "elsewhere/seedlings/mean-color"


def test_a_bad_card_leaves_the_home_as_it_was(zoo, catalog, tmp_path):
    path = catalog / "domains/image/dark.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "rows": "x"}))
    with pytest.raises(BadCard, match="rows"):
        Zoo.open(tmp_path / "home", catalog=catalog)
    assert len(zoo.domains()) == 3


def test_opening_an_existing_home_is_quick(zoo, catalog, tmp_path):
    began = time.process_time()
    Zoo.open(tmp_path / "home", catalog=catalog)
    assert time.process_time() - began < 0.6


def test_a_misspelt_name_gets_a_hint(zoo):
    with pytest.raises(UnknownName) as caught:
        zoo.checkpoint("mean-colour")
    assert caught.value.remedy == "Did you mean 'mean-color'?"
    with pytest.raises(UnknownName, match="no domain named 'drak'"):
        zoo.domain("drak")
    with pytest.raises(UnknownName, match="no lens named 'text'"):
        zoo.lens("text")


def test_of_many_names_the_closest_few_are_told():
    many = [f"net-{number:02}" for number in range(30)] + ["ConvNeXt-small", "convnext-tiny", "vit-base"]
    assert UnknownName("checkpoint", "ConvNext", many).remedy.startswith(
        "Of 33 the closest are ConvNeXt-small, convnext-tiny, "
    )
    nearest = UnknownName("checkpoint", "UNKNOWN", many).remedy
    assert nearest.startswith("Of 33 the closest are ")
    assert nearest.count(",") == 4
    assert UnknownName("checkpoint", "UNKNOWN", many[:30]).remedy.count("net-") == 30


def test_a_sample_seen_through_the_lens_is_kept_for_the_next_time(zoo):
    sample = shaded(40)
    seen = zoo.lens_features(sample)
    assert seen.encoder == zoo.lens("image").space
    np.testing.assert_allclose(seen.vectors, [np.asarray(i.open()).mean(axis=(0, 1)) for i in sample.items], rtol=1e-6)
    np.testing.assert_array_equal(zoo.lens_features(sample).vectors, seen.vectors)
    assert zoo._encoders["mean-color"].paths_of == 1
    assert len(zoo.encode("mean-color", sample).blocks) == 2
    assert zoo._encoders["mean-color"].paths_of == 1


def test_rows_in_another_order_or_number_are_encoded_anew(zoo):
    sample = shaded(40)
    zoo.lens_features(sample)
    backwards = sample.take(np.arange(len(sample.items))[::-1])
    np.testing.assert_allclose(zoo.lens_features(backwards).vectors, zoo.lens_features(sample).vectors[::-1])
    assert len(zoo.lens_features(sample.take(np.arange(5)))) == 5


def test_changed_settings_of_a_checkpoint_are_not_answered_from_what_was_kept(zoo, catalog):
    zoo.lens_features(shaded(40))
    (catalog / "seedlings/mean-color/preprocessor_config.json").write_text(json.dumps({"size": 16}))
    zoo.lens_features(shaded(40))
    assert zoo._encoders["mean-color"].paths_of == 2


def test_a_lens_checkpoint_that_is_not_the_fitted_one_is_refused(zoo):
    zoo._encoders["mean-color"] = MeanColor(digest="4567")
    with pytest.raises(EncoderMismatch):
        zoo.lens_features(shaded(40))


def test_weights_that_changed_since_they_were_registered_are_refused(zoo, catalog):
    zoo._encoders.clear()
    a_checkpoint(catalog / "seedlings/mean-color")
    weights = catalog / "seedlings/mean-color/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(BadWeights, match="not those that were registered"):
        zoo.encoder("mean-color")
    weights.unlink()
    with pytest.raises(NoWeights):
        zoo.encoder("mean-color")


@pytest.mark.parametrize(("shade", "order"), [(40, ["dark", "gray", "bright"]), (215, ["bright", "gray", "dark"])])
def test_the_nearest_domains_come_first_with_their_squared_distance(zoo, shade, order):
    near = zoo.near(zoo.lens_features(shaded(shade)))
    assert names(near) == order
    ours = sketch_of("mine", zoo.lens_features(shaded(shade)), a_lens())
    for domain, square in near:
        assert square == pytest.approx(ours.squared_distance(zoo.sketch(domain.name)), abs=1e-6)
    assert names(zoo.near(zoo.lens_features(shaded(shade)), 1)) == order[:1]
    assert len(zoo.near(zoo.lens_features(shaded(shade)), 99)) == 3


def test_features_of_no_lens_are_refused(zoo):
    with pytest.raises(EncoderMismatch):
        zoo.near(Features(np.ones((3, 3), dtype=np.float32), "net@beef#last"))


def test_the_index_follows_what_other_processes_write(zoo, catalog, tmp_path):
    assert len(zoo.near(cloud(40))) == 3
    other = Zoo.open(tmp_path / "home", catalog=catalog)
    other.store.write(Entries(domains=(a_domain("night"),), sketches=(sketch_of("night", cloud(10), a_lens()),)))
    assert names(zoo.near(cloud(10), 1)) == ["night"]
    other.store.write(Entries(sketches=(sketch_of("night", cloud(250), a_lens()),)))
    assert names(zoo.near(cloud(250), 1)) == ["night"]
    night = sa.delete(schema.domains).where(schema.domains.c.name == "night")
    other.store.database.write(lambda connection: connection.execute(night))
    assert "night" not in names(zoo.near(cloud(250)))


def test_the_nearest_of_a_family_are_found_behind_any_number_of_nearer_ones(zoo):
    night = (replace(a_domain("night"), family="nights"), replace(a_domain("later"), family="nights"))
    near, others = [cloud(10), cloud(250)], [f"day {number}" for number in range(60)]
    sketches = [sketch_of(one.name, cloud_of, a_lens()) for one, cloud_of in zip(night, near, strict=True)]
    sketches += [sketch_of(name, cloud(100), a_lens()) for name in others]
    domains = (*night, *(replace(a_domain(name), family="days") for name in others))
    zoo.store.write(Entries(domains=domains, sketches=tuple(sketches)))
    assert "night" not in names(zoo.near(cloud(100), 50))
    assert sorted(names(zoo.near(cloud(100), 50, family="nights"))) == ["later", "night"]
    assert names(zoo.near(cloud(250), 1, family="nights")) == ["later"]
    assert zoo.near(cloud(100), 5, family="nobody's") == []


def test_a_family_is_read_once_and_again_when_there_are_other_sketches(zoo, monkeypatch):
    read, ours = [], zoo.store.sketch_numbers

    def numbers(lens, *, after=0, family=None):
        read.append(family)
        return ours(lens, after=after, family=family)

    monkeypatch.setattr(zoo.store, "sketch_numbers", numbers)
    for _ in range(3):
        assert names(zoo.near(cloud(100), 9, family="shades")) == ["gray", "dark", "bright"]
    assert read.count("shades") == 1
    lens = zoo.lens("image")
    zoo.store.write(Entries(domains=(a_domain("dusk"),), sketches=(sketch_of("dusk", cloud(90), lens),)))
    assert sorted(names(zoo.near(cloud(100), 9, family="shades"))) == ["bright", "dark", "dusk", "gray"]
    for number in range(12):
        zoo.near(cloud(100), 1, family=f"family {number}")
    assert len(zoo._domains._families) == 8


def test_what_was_removed_is_no_neighbor_though_sketches_are_not_counted_at_each_search(zoo, monkeypatch):
    monkeypatch.setattr(domain_search, "_COUNTED_AFTER", 10**9)
    assert names(zoo.near(cloud(40), 1)) == ["dark"]
    counted = []
    count = zoo.store.sketch_count
    monkeypatch.setattr(zoo.store, "sketch_count", lambda lens: counted.append(lens) or count(lens))
    assert names(zoo.near(cloud(40), 1)) == ["dark"]
    assert counted == []
    dark = sa.delete(schema.domains).where(schema.domains.c.name == "dark")
    zoo.store.database.write(lambda connection: connection.execute(dark))
    assert names(zoo.near(cloud(40))) == ["gray", "bright"]
    assert len(counted) == 1


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_index_file_is_made_anew_from_the_database(zoo, catalog, tmp_path, damage):
    expected = zoo.near(cloud(100))
    path = zoo.index_path(a_lens())
    good = path.read_bytes()
    path.write_bytes(good[:-5] if damage is None else damage)
    again = Zoo.open(tmp_path / "home", catalog=catalog)
    assert again.near(cloud(100)) == expected
    assert path.read_bytes() == good


def test_an_index_file_of_another_registry_is_not_believed(zoo, catalog, tmp_path):
    zoo.near(cloud(40))
    foreign = Zoo.open(tmp_path / "other home", catalog=catalog)
    foreign.store.write(Entries(domains=(a_domain("night"),), sketches=(sketch_of("night", cloud(10), a_lens()),)))
    foreign.near(cloud(10))
    zoo.index_path(a_lens()).write_bytes(foreign.index_path(a_lens()).read_bytes())
    assert sorted(names(Zoo.open(tmp_path / "home", catalog=catalog).near(cloud(10)))) == sorted(SHADES)


def test_a_home_without_domains_has_nothing_near(tmp_path, catalog):
    for path in (catalog / "domains").rglob("*.safetensors"):
        path.unlink()
    assert Zoo.open(tmp_path / "home", catalog=catalog).near(cloud(40)) == []


def test_a_domain_without_a_sketch_has_none(zoo):
    zoo.store.write(Entries(domains=(a_domain("bare"), replace(a_domain("prose"), modality="text"))))
    assert zoo.sketch("bare") is None
    assert zoo.sketch("prose") is None
    assert zoo.sketch("dark").seen == 60


def test_advice_and_outcomes_are_remembered_once(zoo, catalog, tmp_path):
    for _ in range(2):
        zoo.keep(Advice())
        zoo.record(an_outcome())
    again = Zoo.open(tmp_path / "home", catalog=catalog)
    assert again.advice() == again.advice("advice-1") == Advice().to_dict()
    assert again.history() == (an_outcome(),)
    assert again.history(checkpoint="mean-color", sample_digest="abc") == (an_outcome(),)
    with pytest.raises(AlreadyThere):
        zoo.record(an_outcome(score=0.8))


def _open(home, catalog):
    opened = Zoo.open(home, catalog=catalog)
    opened.near(cloud(40))
    opened.record(an_outcome())


@pytest.mark.slow
def test_several_processes_may_open_a_fresh_home_at_once(tmp_path, catalog):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_open, args=(tmp_path / "home", catalog)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    opened = Zoo.open(tmp_path / "home", catalog=catalog)
    assert len(opened.domains()) == 3
    assert len(opened.history()) == 1
    assert damaged_rows(opened.store.database) == ()


def test_the_digest_of_sharded_weights_covers_every_shard(tmp_path):
    index = {"weight_map": {"a": "1.safetensors", "b": "2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    for name in ("1.safetensors", "2.safetensors"):
        (tmp_path / name).write_bytes(b"a")
    before = weights_digest(tmp_path)
    (tmp_path / "2.safetensors").write_bytes(b"b")
    assert weights_digest(tmp_path) != before
    (tmp_path / "2.safetensors").unlink()
    with pytest.raises(PathMissing):
        weights_digest(tmp_path)


def test_a_zoo_lets_go_of_the_net_asked_for_longest_ago_before_it_holds_more_than_it_may(zoo, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(open_nets, "_opened", lambda card: opened.append(card.name) or MeanColor())
    monkeypatch.setattr(open_nets, "OPEN_BYTES", 24)  # two nets of three parameters
    zoo._encoders.clear()
    zoo.store.write(Entries(tuple(a_checkpoint(tmp_path / name, name) for name in ("a", "b", "c"))))
    for name in ("a", "b", "a", "c", "a", "b"):
        zoo.encoder(name)
    assert opened == ["a", "b", "c", "b"]
    assert [*zoo._encoders] == ["a", "b"]


def test_a_traceback_of_an_unknown_name_says_what_was_meant(zoo):
    with pytest.raises(UnknownName) as caught:
        zoo["mean-colour"]
    assert "Did you mean 'mean-color'?" in "".join(traceback.format_exception(caught.value))
