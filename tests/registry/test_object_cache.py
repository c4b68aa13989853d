import os
import subprocess
import sys

import pytest

from registry.errors import ObjectDamaged, UnusableObjects
from registry.home import Home
from registry.object_cache import ObjectCache, cache_bound
from registry.objects import Objects

MEGABYTE = 1 << 20


@pytest.fixture
def objects(tmp_path):
    (tmp_path / "shared").mkdir()
    return Objects.at(str(tmp_path / "shared"))


def put(objects, tmp_path, name, size=MEGABYTE):
    folder = tmp_path / "made" / name
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(name.encode() * size)
    return objects.put(folder)


def cache(objects, tmp_path, bound=10 * MEGABYTE):
    return ObjectCache(objects, tmp_path / "cache", bound)


def names(cache):
    return [folder.name for folder in cache.folders()]


def test_a_folder_is_fetched_once(objects, tmp_path):
    digest = put(objects, tmp_path, "a")
    mine = cache(objects, tmp_path)
    place = mine.fetch(digest, "run-1")
    assert place == mine.place(digest, "run-1")
    assert (place.name, (place / "weights").read_bytes()) == ("run-1", b"a" * MEGABYTE)
    for blob in (tmp_path / "shared").rglob("*"):
        if blob.is_file():
            blob.unlink()
    assert cache(objects, tmp_path).fetch(digest, "run-1") == place
    assert cache(objects, tmp_path).manifest(digest).size == MEGABYTE


def test_the_bound_holds_and_the_least_recently_used_goes_first(objects, tmp_path):
    digests = {name: put(objects, tmp_path, name) for name in "abcd"}
    mine = cache(objects, tmp_path, 3 * MEGABYTE)
    for when, name in enumerate("abc"):
        os.utime(mine.fetch(digests[name], name).parent, (when, when))
    mine.release()
    mine.fetch(digests["a"], "a")  # and so it is the most recently used
    mine.release()
    mine.fetch(digests["d"], "d")
    assert set(names(mine)) == {"a", "c", "d"}
    assert sum(folder.bytes for folder in mine.folders()) <= mine.bound


def test_what_somebody_holds_stays(objects, tmp_path):
    digests = {name: put(objects, tmp_path, name) for name in "abc"}
    mine, other = (cache(objects, tmp_path, MEGABYTE) for _ in range(2))
    for name in "ab":
        mine.fetch(digests[name], name)
    other.fetch(digests["c"], "c")
    assert set(names(other)) == {"a", "b", "c"}
    mine.release()
    assert other.make_room() == 2 * MEGABYTE
    assert names(other) == ["c"]


def test_what_another_process_holds_stays_until_it_dies(objects, tmp_path):
    digest = put(objects, tmp_path, "a")
    script = (
        "import sys; from pathlib import Path\n"
        "from registry.object_cache import ObjectCache; from registry.objects import Objects\n"
        "ObjectCache(Objects.at(sys.argv[1]), Path(sys.argv[2]), 0).fetch(sys.argv[3], 'a')\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    words = [sys.executable, "-c", script, objects.url, str(tmp_path / "cache"), digest]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        mine = cache(objects, tmp_path, 0)
        assert mine.make_room() == 0
        assert names(mine) == ["a"]
        process.kill()
    assert mine.make_room() == MEGABYTE
    assert names(mine) == []


def test_what_is_open_is_held_for_as_long_as_it_lives(objects, tmp_path, monkeypatch):
    class Net:
        pass

    digests = {name: put(objects, tmp_path, name) for name in "ab"}
    mine, net = cache(objects, tmp_path, 0), Net()
    monkeypatch.setattr("registry.object_cache._HELD_SECONDS", -1.0)
    mine.fetch(digests["a"], "a", net)
    mine.fetch(digests["b"], "b")
    mine.make_room()
    assert names(mine) == ["a", "b"]
    del net
    mine.fetch(digests["b"], "b")
    assert mine.make_room() == MEGABYTE
    assert names(mine) == ["b"]


def test_a_damaged_blob_is_not_placed_and_what_was_sound_is_not_fetched_again(objects, tmp_path):
    folder = tmp_path / "made" / "two"
    folder.mkdir(parents=True)
    (folder / "a").write_text("sound")
    (folder / "b").write_text("whole")
    digest = objects.put(folder)
    place = next(
        place
        for place in (tmp_path / "shared" / "blobs").rglob("*")
        if place.is_file() and place.read_text() == "whole"
    )
    place.write_text("maimed"[:5])
    mine = cache(objects, tmp_path)
    with pytest.raises(ObjectDamaged, match=place.name):
        mine.fetch(digest, "two")
    assert not mine.place(digest, "two").exists()
    place.write_text("whole")
    kept = mine.place(digest, "two").with_name(".two.partial") / "a"
    os.utime(kept, (1, 1))
    assert (mine.fetch(digest, "two") / "a").stat().st_mtime == 1


def test_what_was_changed_or_left_half_in_the_cache_is_named(objects, tmp_path):
    mine = cache(objects, tmp_path)
    place = mine.fetch(put(objects, tmp_path, "a"), "a")
    assert [mine.damage(one) for one in mine.folders()] == [""]
    (place / "weights").write_bytes(b"b" * MEGABYTE)
    assert [mine.damage(one) for one in mine.folders()] == ["weights is not what was fetched"]
    place.with_name(".digest").unlink()
    assert [mine.damage(one) for one in mine.folders()] == ["nothing says what it is to be"]
    place.rename(place.with_name(".a.partial"))
    (half,) = mine.folders()
    assert mine.damage(half) == ""  # somebody is at it
    assert not mine.remove(half)
    mine.release()
    assert "half fetched" in mine.damage(half)
    assert mine.remove(half)
    assert mine.folders() == ()


def test_one_file_comes_under_its_own_name_and_no_other(objects, tmp_path):
    mine, source, here = cache(objects, tmp_path), tmp_path / "made", tmp_path / "here"
    source.mkdir()
    here.mkdir()
    (source / "one.json").write_text("{}")
    assert not mine.fetch_file("features", here / "one.json")
    mine.share_file("features", source / "one.json")
    assert mine.fetch_file("features", here / "one.json")
    assert (here / "one.json").read_text() == "{}"
    with pytest.raises(ObjectDamaged):
        mine.fetch_file("features", here / "one.safetensors")


def test_a_home_shares_nothing_unless_it_is_told_to(tmp_path, monkeypatch):
    assert Home.find(tmp_path / "home").shared is None
    assert (
        "fsspec"
        not in subprocess.run(
            [sys.executable, "-c", "import sys, registry.home; print(*sys.modules)"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
    )
    monkeypatch.setenv("TRANSFERZOO_OBJECTS", str(tmp_path))
    monkeypatch.setenv("TRANSFERZOO_CACHE_GB", "0.5")
    shared = Home.find(tmp_path / "home").shared
    assert shared is not None
    assert (shared.bound, shared.objects.url) == (500_000_000, f"file://{tmp_path}")
    assert Home.find(tmp_path / "home").shared is shared


@pytest.mark.parametrize("setting", ["many", "-1", "nan", "inf", "1e99"])
def test_a_bound_that_is_none_is_refused(setting):
    with pytest.raises(UnusableObjects, match="bound of the cache"):
        cache_bound(setting)


def test_a_place_that_is_none_is_refused_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("TRANSFERZOO_OBJECTS", "http://host/secret-path")
    with pytest.raises(UnusableObjects):
        Home.find(tmp_path / "home")
    assert not (tmp_path / "home").exists()
