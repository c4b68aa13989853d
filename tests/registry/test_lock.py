"""A lock of checkpoints gives them back byte for byte, offline, or says what is missing."""

import json
import shutil
import socket
from dataclasses import replace
from hashlib import sha1

import pytest

from registry.cards import HubFile, HubState, Locator
from registry.errors import BadLock, PathMissing
from registry.lock import lock, read_lock, restore, write_lock
from registry.store import Entries
from registry.zoo import Zoo
from tests.registry.fakes import a_catalog
from tests.registry.test_zoo_add import net  # noqa: F401 - a fixture


@pytest.fixture
def opened(tmp_path):
    def at(name):
        return Zoo.open(tmp_path / name, catalog=tmp_path / "catalog")

    a_catalog(tmp_path / "catalog")
    return at


@pytest.fixture
def folder(net, tmp_path):  # noqa: F811 - the fixture
    return shutil.copytree(net, tmp_path / "nets" / "mine")


@pytest.fixture
def locked(opened, folder, tmp_path):
    """A lock of one checkpoint, whose license was stated when it came in."""
    zoo = opened("home")
    zoo.add(folder, name="mine", license="mit")
    write_lock(tmp_path / "zoo.lock", lock(zoo))
    return read_lock(tmp_path / "zoo.lock")


def states(zoo, entries, *places):
    return [(row.checkpoint, row.state) for row in restore(zoo, entries, places)]


def test_a_lock_names_every_file_and_the_license_as_at_import(locked, folder):
    (entry,) = locked
    assert {file.name for file in entry.files} == {path.name for path in folder.iterdir()}
    assert (entry.card.name, entry.card.license, entry.card.claimed["license"]) == ("mine", "MIT", "mit")
    weights = next(file for file in entry.files if file.name == "model.safetensors")
    assert weights.digest == f"sha256:{entry.card.digest}"


def test_the_same_registry_gives_the_same_lock(opened, locked, tmp_path):
    write_lock(tmp_path / "again.lock", lock(opened("home")))
    assert (tmp_path / "again.lock").read_bytes() == (tmp_path / "zoo.lock").read_bytes()


def test_what_came_with_transferzoo_needs_no_lock(opened):
    assert lock(opened("home")) == ()


def test_another_home_gets_back_exactly_what_was_locked_without_a_network(opened, locked, monkeypatch):
    def refused(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refused)
    other = opened("other")
    assert states(other, locked) == [("mine", "restored")]
    assert other.checkpoint("mine") == locked[0].card
    assert states(other, locked) == [("mine", "as locked")]


def test_a_folder_that_moved_is_found_where_one_says_and_else_told_as_missing(opened, locked, folder, tmp_path):
    moved = shutil.move(folder, tmp_path / "elsewhere")
    assert states(opened("other"), locked) == [("mine", "missing")]
    assert "mine" not in opened("other")
    assert states(opened("other"), locked, tmp_path / "elsewhere") == [("mine", "restored")]
    assert opened("other").checkpoint("mine").folder == tmp_path / "elsewhere"
    assert moved == tmp_path / "elsewhere"


def test_a_flipped_bit_is_told_and_nothing_is_taken_over(opened, locked, folder):
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(weights))
    (row,) = restore(opened("other"), locked)
    assert row.state == "changed"
    assert "model.safetensors not as locked" in row.why
    assert "mine" not in opened("other")


def test_a_license_that_was_changed_since_is_the_locked_one_again(opened, locked, folder):
    zoo = opened("home")
    zoo.add(folder, name="mine", license="apache-2.0")
    assert zoo.checkpoint("mine").license == "Apache-2.0"
    assert states(zoo, locked) == [("mine", "restored")]
    assert zoo.checkpoint("mine").license == "MIT"


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        "[]",
        '{"version": 2, "checkpoints": []}',
        '{"version": 1, "checkpoints": [{}]}',
        '{"version": 1, "checkpoints": [{"card": {}, "files": [{"name": "../x", "digest": "", "bytes": 1}]}]}',
    ],
)
def test_what_is_no_lock_is_named(tmp_path, content):
    (tmp_path / "zoo.lock").write_text(content)
    with pytest.raises(BadLock, match="is no lock"):
        read_lock(tmp_path / "zoo.lock")


def test_a_lock_that_is_not_there_is_named(tmp_path):
    with pytest.raises(PathMissing):
        read_lock(tmp_path / "zoo.lock")


def test_what_is_known_from_a_hub_and_was_not_fetched_is_locked_as_its_hub_names_it(opened, folder, tmp_path):
    zoo = opened("home")
    card = zoo.add(folder, name="mine")
    files = (HubFile("model.safetensors", 12, "sha256:" + "0" * 64), HubFile("config.json", 2, "git:" + "1" * 40))
    locator = Locator("someone/net", "main", "ab" * 20, files)
    known = replace(card, name="far", folder=tmp_path / "nowhere", locator=locator, digest="")
    zoo.store.write(Entries((known,)))
    far = next(entry for entry in lock(zoo) if entry.card.name == "far")
    assert (far.here, far.files, far.card.locator.commit) == (False, files, "ab" * 20)
    write_lock(tmp_path / "zoo.lock", lock(zoo))
    other = opened("other")
    assert states(other, read_lock(tmp_path / "zoo.lock")) == [("far", "restored"), ("mine", "restored")]
    assert other.checkpoint("far") == known
    assert states(other, read_lock(tmp_path / "zoo.lock")) == [("far", "as locked"), ("mine", "as locked")]


def test_weights_that_are_not_fetched_are_missing_and_not_changed_beside_small_files_that_are_there(
    opened, folder, tmp_path
):
    zoo = opened("home")
    card = zoo.add(folder, name="mine")
    (entry,) = lock(zoo)
    locator = Locator("someone/net", "main", "ab" * 20, entry.files)
    (folder / "model.safetensors").rename(tmp_path / "model.safetensors")
    known = replace(entry, card=replace(card, locator=locator), here=False)
    zoo.store.renew(known.card)
    moved = replace(known.card, locator=replace(locator, state=HubState.MOVED, upstream="cd" * 20))
    for registered in (known.card, moved):  # how its repository stands is no part of a lock
        zoo.store.renew(registered)
        assert states(zoo, [known]) == [("mine", "as locked")]
        assert zoo.checkpoint("mine") == registered
    (row,) = restore(zoo, [replace(known, here=True)])
    assert (row.state, row.source) == ("missing", f"someone/net@{'ab' * 20}")
    assert row.why.endswith("bytes: model.safetensors")


def test_a_small_file_of_a_hub_is_held_to_the_digest_of_its_blob(opened, folder, tmp_path):
    zoo = opened("home")
    zoo.add(folder, name="mine")
    config = (folder / "config.json").read_bytes()
    blob = sha1(b"blob %d\0" % len(config) + config, usedforsecurity=False).hexdigest()
    (entry,) = lock(zoo)
    kept = [file for file in entry.files if file.name != "config.json"]
    for digest, state in ((blob, "as locked"), ("0" * 40, "changed")):
        files = (*kept, HubFile("config.json", len(config), f"git:{digest}"))
        assert states(zoo, [replace(entry, files=files)]) == [("mine", state)]


def test_the_same_weights_under_two_names_are_found_by_their_hash(opened, folder, tmp_path):
    zoo = opened("home")
    zoo.add(folder, name="mine")
    zoo.add(shutil.copytree(folder, tmp_path / "copy"), name="twin")
    assert zoo.same_weights(zoo.checkpoint("mine")) == ("twin",)
    assert "twin holds the same weights, byte for byte, as mine" in zoo.notes


def test_a_lock_is_json_that_others_can_read(locked, tmp_path):
    body = json.loads((tmp_path / "zoo.lock").read_text())
    assert body["version"] == 1
    assert {"name", "license", "claimed", "digest"} <= set(body["checkpoints"][0]["card"])
