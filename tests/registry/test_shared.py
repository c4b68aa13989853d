"""Two homes, one registry, one place of objects: here a folder, and the registry's file is carried over."""

import shutil

import pytest

from registry import doctor
from registry.encodings import FEATURES
from registry.errors import BadWeights, BucketMissing, ObjectMissing
from registry.files import sha256_of
from registry.inspection import inspect_folder
from registry.lock import lock, restore
from registry.object_cache import ObjectCache
from registry.zoo import Zoo
from tests.observers import Recorder
from tests.registry.fakes import a_domain, shaded
from tests.registry.test_zoo_add import catalog, mine, net  # noqa: F401 - fixtures


@pytest.fixture
def shared(tmp_path):
    (tmp_path / "shared").mkdir()
    return str(tmp_path / "shared")


@pytest.fixture
def first(tmp_path, catalog, shared):  # noqa: F811 - as above
    with Zoo.open(tmp_path / "first", catalog=catalog, objects=shared) as opened:
        yield opened


@pytest.fixture
def open_second(tmp_path, catalog, shared):  # noqa: F811 - as above
    """Opens another home, in which nothing lies but what the first registry knows."""
    opened = []

    def open_with(objects=shared):
        shutil.rmtree(tmp_path / "second", ignore_errors=True)
        (tmp_path / "second").mkdir()
        shutil.copy(tmp_path / "first" / "registry.db", tmp_path / "second" / "registry.db")
        opened.append(Zoo.open(tmp_path / "second", catalog=catalog, objects=objects))
        return opened[-1]

    yield open_with
    for zoo in opened:
        zoo.__exit__(None, None, None)


def test_a_checkpoint_is_opened_where_it_never_lay(first, open_second, mine, tmp_path):  # noqa: F811 - as above
    card = first.add(mine)
    expected = first.encode("mine", shaded(40))
    shutil.move(mine, tmp_path / "gone")
    shutil.rmtree(tmp_path / "shared" / "names")
    second = open_second()
    placed = second.checkpoint("mine")
    assert (placed.digest, placed.objects) == (card.digest, card.objects)
    assert second.here(placed)
    assert not placed.folder.exists()
    assert second.weights_bytes(placed) == (tmp_path / "gone" / "model.safetensors").stat().st_size
    observer = Recorder()
    encoded = second.encode("mine", shaded(40), progress=observer)
    assert "fetch mine" in observer.words
    assert [block.encoder for block in encoded.blocks] == [block.encoder for block in expected.blocks]
    assert placed.folder.is_relative_to(tmp_path / "second" / "cache")
    second.use_inputs_up_to("mine", 16)
    (kept,) = second.store.checkpoints(name="mine")
    assert (kept.cap, kept.folder) == (16, mine)  # where it lies in another home is none of the registry's business


def test_features_that_another_has_made_are_not_made_again(first, open_second, mine, tmp_path, monkeypatch):  # noqa: F811
    first.add(mine)
    sample = shaded(40)
    expected = first.encode("mine", sample)
    first.encodings.keep_measurement("mine", sample, {"seconds": 1})
    shutil.rmtree(mine)
    second = open_second()
    monkeypatch.setattr(second, "encoder", None)  # no net is opened
    assert second.encodings.encoded("mine", sample)
    assert second.encodings.measurement("mine", sample) == {"seconds": 1}
    got = second.encode("mine", sample)
    assert (got.last.vectors == expected.last.vectors).all()
    assert second.notes == ()
    assert not second.checkpoint("mine").folder.exists()


def test_settings_that_were_changed_since_give_other_features(first, mine):  # noqa: F811 - as above
    card = first.add(mine)
    before = first.encodings.recipe(card)
    settings = mine / "preprocessor_config.json"
    settings.write_text(settings.read_text() + " ")
    assert first.encodings.recipe(card) != before


def test_shared_features_that_are_damaged_are_made_anew_and_said(first, open_second, mine, tmp_path):  # noqa: F811
    first.add(mine)
    expected = first.encode("mine", shaded(40))
    shared = first.home.shared
    (name,) = [name for name in shared.objects.names(FEATURES) if shared.objects.named(FEATURES, name)]
    (file,) = shared.objects.manifest(shared.objects.named(FEATURES, name)).files
    blob = tmp_path / "shared" / "blobs" / file.digest[:2] / file.digest
    blob.write_bytes(b"x" * file.size)
    second = open_second()
    assert (second.encode("mine", shaded(40)).last.vectors == expected.last.vectors).all()
    assert file.digest in second.notes[0]


def test_weights_that_are_gone_from_the_objects_are_named(first, open_second, mine, tmp_path):  # noqa: F811
    first.add(mine)
    shutil.rmtree(mine)
    shutil.rmtree(tmp_path / "shared" / "blobs")
    with pytest.raises(ObjectMissing):
        open_second().encoder("mine")


def test_weights_that_were_replaced_in_the_cache_are_refused(first, open_second, mine, tmp_path):  # noqa: F811
    first.add(mine)
    shutil.rmtree(mine)
    second = open_second()
    folder = second.at_hand(second.checkpoint("mine")).folder
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BadWeights):
        second.encoder("mine")


def test_nothing_is_registered_that_could_not_be_uploaded(catalog, mine, tmp_path):  # noqa: F811 - as above
    with Zoo.open(tmp_path / "home", catalog=catalog, objects=str(tmp_path / "missing")) as zoo:
        with pytest.raises(BucketMissing):
            zoo.add(mine)
        assert "mine" not in zoo
        assert zoo.encode("lens-net", shaded(40))
        assert "features are not shared" in zoo.notes[0]


def test_a_lock_is_the_same_wherever_it_is_written_and_gives_back_what_is_shared(
    first,
    open_second,
    mine,  # noqa: F811 - as above
    tmp_path,
):
    first.add(mine)
    locked = lock(first)
    shutil.rmtree(mine)
    second = open_second()
    assert [(entry.card.name, entry.files) for entry in lock(second)] == [(one.card.name, one.files) for one in locked]
    assert [(row.checkpoint, row.sound) for row in restore(second, locked)] == [("mine", True)]
    (tmp_path / "shared").rename(tmp_path / "away")
    assert [row.state for row in restore(open_second(), locked)] == ["missing"]


def findings(zoo, mend=False):
    look = doctor.repair if mend else doctor.examine
    return [(one.subject, one.what, one.done) for one in look(zoo).findings if one.kind == "object"]


def test_the_doctor_names_what_is_missing_of_a_checkpoint_and_uploads_it_where_it_lies(
    first,
    open_second,
    mine,  # noqa: F811 - as above
    tmp_path,
):
    card = first.add(mine)
    assert findings(first) == []
    shutil.rmtree(tmp_path / "shared" / "blobs")
    second = open_second()
    (tmp_path / "away").mkdir()
    mine.rename(tmp_path / "away" / "mine")
    ((subject, what, done),) = findings(second, mend=True)
    assert (subject, done) == ("mine", "")
    assert "config.json" in what
    assert "is missing" in what
    (tmp_path / "away" / "mine").rename(mine)
    assert [done for *_, done in findings(first, mend=True)] == ["uploaded"]
    assert findings(second) == []
    assert first.home.shared.objects.faults(card.objects) == ()


def test_the_doctor_shares_what_was_added_before_objects_were(catalog, mine, shared, tmp_path):  # noqa: F811
    with Zoo.open(tmp_path / "home", catalog=catalog) as zoo:
        zoo.add(mine)
        assert findings(zoo) == []
    with Zoo.open(tmp_path / "home", catalog=catalog, objects=shared) as zoo:
        assert [(subject, done) for subject, _, done in findings(zoo, mend=True)] == [("mine", "uploaded")]
        assert zoo.checkpoint("mine").objects
        assert findings(zoo) == []


def test_the_doctor_finds_what_was_changed_in_the_cache_and_removes_it(first, open_second, mine):  # noqa: F811
    first.add(mine)
    shutil.rmtree(mine)
    second = open_second()
    folder = second.at_hand(second.checkpoint("mine")).folder
    (folder / "config.json").write_text("{}")
    assert [done for *_, done in findings(second, mend=True)] == [""]  # it is held
    second.home.shared.release()
    ((subject, what, done),) = findings(second, mend=True)
    assert (subject, what, done) == (str(folder), "config.json is not what was fetched", "removed")
    assert findings(second) == []
    assert second.encoder("mine").name == "mine"


def test_the_doctor_says_that_the_cache_is_over_its_bound_and_frees_what_nobody_holds(
    first,
    open_second,
    mine,  # noqa: F811 - as above
    monkeypatch,
):
    first.add(mine)
    shutil.rmtree(mine)
    monkeypatch.setenv("TRANSFERZOO_CACHE_GB", "0.00001")
    second = open_second()
    second.at_hand(second.checkpoint("mine"))
    second.home.shared.release()
    ((subject, what, done),) = findings(second, mend=True)
    assert (subject, "more than the bound" in what) == (str(second.home.root / "cache"), True)
    assert "were removed" in done
    assert findings(second) == []


def test_a_shared_file_of_another_content_and_the_same_size_is_found_where_all_is_read(
    first,
    mine,  # noqa: F811 - as above
    tmp_path,
):
    card = first.add(mine)
    config = next(file for file in first.home.shared.manifest(card.objects).files if file.path == "config.json")
    blob = tmp_path / "shared" / "blobs" / config.digest[:2] / config.digest
    blob.write_bytes(b" " * config.size)
    assert findings(first) == []
    (finding,) = doctor.examine(first, deep=True).findings
    assert (finding.subject, finding.kind) == (config.digest, "object")
    assert blob.exists()
    assert [row.done for row in doctor.repair(first, deep=True).findings] == ["removed", "uploaded"]
    assert sha256_of(blob) == config.digest
    assert doctor.examine(first, deep=True).findings == ()


def test_the_doctor_names_a_place_of_objects_that_is_gone_once(first, mine, tmp_path):  # noqa: F811
    first.add(mine)
    (tmp_path / "shared").rename(tmp_path / "away")
    ((subject, what, _),) = findings(first)
    assert subject == str(tmp_path / "shared")
    assert "nothing to keep objects in" in what


def test_what_is_promoted_is_shared(first, open_second, mine, tmp_path):  # noqa: F811
    folder = first.home.checkpoints / "tuned.1.tmp"
    shutil.move(mine, folder)
    card = inspect_folder(folder, "tuned")
    promoted = first.promote(card, a_domain("stripes", digest="ab"))
    shutil.rmtree(promoted.folder)
    assert open_second().encoder("tuned").name == promoted.name


def test_a_place_that_fails_is_left_alone_for_a_while_and_used_again(first, tmp_path, monkeypatch):
    fetched, fetch_file = [], ObjectCache.fetch_file

    def counted(cache, kind, place):
        fetched.append(place)
        return fetch_file(cache, kind, place)

    monkeypatch.setattr(ObjectCache, "fetch_file", counted)
    (tmp_path / "shared").rename(tmp_path / "away")
    first.encode("lens-net", shaded(40))
    first.encode("lens-net", shaded(41))
    assert len(fetched) == 1
    (tmp_path / "away").rename(tmp_path / "shared")
    monkeypatch.setattr(first.encodings, "_retry_at", 0.0)
    first.encode("lens-net", shaded(42))
    assert len(first.home.shared.objects.names(FEATURES)) == 1


def test_what_is_added_again_where_objects_are_shared_is_uploaded(catalog, mine, shared, tmp_path):  # noqa: F811
    with Zoo.open(tmp_path / "home", catalog=catalog) as zoo:
        assert zoo.add(mine).objects == ""
    with Zoo.open(tmp_path / "home", catalog=catalog, objects=shared) as zoo:
        assert zoo.home.shared.objects.faults(zoo.add(mine).objects) == ()
