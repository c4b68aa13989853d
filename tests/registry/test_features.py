"""Kept features are believed only as they were written."""

import json
import struct

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from registry.doctor import FindingKind, examine, repair
from registry.errors import CacheDamaged
from registry.features import Encoded, Features, cached
from registry.zoo import Zoo
from tests.registry.fakes import MeanColor, a_catalog, shaded


def encoded(shift=0.0):
    vectors = np.arange(24, dtype=np.float32).reshape(6, 4) + np.float32(shift)
    return Encoded((Features(vectors[:, :2], "n@d#a"), Features(vectors, "n@d#b")), ("a", "b"), np.full((6, 2), 0.5))


def rewritten(path, change, notes=None):
    """The same file with other tensors or notes, as a safetensors writer leaves it: sound in form."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    record = json.loads(content[8 : 8 + length])["__metadata__"]
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata=record if notes is None else notes(record))


def permute(tensors):
    tensors["block.001"] = np.random.default_rng(0).permutation(tensors["block.001"])


def swap_blocks(tensors):
    tensors["block.000"], tensors["block.001"] = tensors["block.001"], tensors["block.000"]


def put_nan(tensors):
    tensors["block.001"][2, 1] = np.nan


def drop_head(tensors):
    del tensors["head"]


def nothing(tensors):
    pass


DAMAGES = {
    "permuted rows": lambda path: rewritten(path, permute),
    "swapped blocks": lambda path: rewritten(path, swap_blocks),
    "a NaN": lambda path: rewritten(path, put_nan),
    "a lost head": lambda path: rewritten(path, drop_head),
    "no metadata": lambda path: rewritten(path, nothing, lambda header: None),
    "no digest": lambda path: rewritten(
        path, nothing, lambda header: {k: v for k, v in header.items() if k != "digest"}
    ),
    "another name": lambda path: rewritten(path, nothing, lambda header: {**header, "name.000": "z"}),
    "another's file": lambda path: encoded().save(path, "another"),
    "a truncation": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "an empty file": lambda path: path.write_bytes(b""),
    "no safetensors": lambda path: path.write_bytes(b"\xff" * 100),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=[name.replace(" ", "-") for name in DAMAGES])
def test_damaged_features_are_made_anew_and_that_is_said(tmp_path, damage):
    path = tmp_path / "key.safetensors"
    cached(path, encoded)
    damage(path)
    with pytest.raises(CacheDamaged, match=r"key\.safetensors is damaged"):
        Encoded.load(path, "key")
    notes = []
    again = cached(path, encoded, note=notes.append)
    np.testing.assert_array_equal(again.last.vectors, encoded().last.vectors)
    assert len(notes) == 1
    assert "made anew" in notes[0]
    np.testing.assert_array_equal(cached(path, lambda: pytest.fail("made again")).last.vectors, encoded().last.vectors)


def test_features_come_back_as_they_were(tmp_path):
    encoded().save(tmp_path / "f.safetensors", "k")
    again = Encoded.load(tmp_path / "f.safetensors", "k")
    assert again.names == ("a", "b")
    assert [block.encoder for block in again.blocks] == ["n@d#a", "n@d#b"]
    np.testing.assert_array_equal(again.head, encoded().head)


def test_every_flipped_bit_of_a_file_is_noticed(tmp_path):
    path = tmp_path / "key.safetensors"
    encoded().save(path, "key")
    sound = path.read_bytes()
    for place in range(0, len(sound), 7):
        spoiled = bytearray(sound)
        spoiled[place] ^= 1 << place % 8
        path.write_bytes(spoiled)
        try:
            read = Encoded.load(path, "key")
        except CacheDamaged:
            continue
        np.testing.assert_array_equal(read.last.vectors, encoded().last.vectors)  # blanks of the header mean nothing
        assert read.names == ("a", "b")


def test_the_registry_tells_of_damaged_features_and_doctor_finds_them(tmp_path):
    zoo = Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog"))
    zoo._encoders["mean-color"] = MeanColor()
    before = zoo.encode("mean-color", shaded(40))
    (path,) = zoo.home.features.iterdir()
    rewritten(path, permute)
    (finding,) = examine(zoo).findings
    assert (finding.kind, "does not match its digest" in finding.what) == (FindingKind.FEATURES, True)
    np.testing.assert_array_equal(zoo.encode("mean-color", shaded(40)).last.vectors, before.last.vectors)
    assert "made anew" in zoo.notes[0]
    rewritten(path, put_nan)
    assert repair(zoo).healthy
    assert not path.exists()


def test_half_written_files_are_found_wherever_a_home_writes_any(tmp_path):
    zoo = Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog"))
    places = [zoo.home.runs / "r1", zoo.home.root / "jobs", zoo.home.damaged, zoo.home.root / "uploads/d"]
    for place in places:
        place.mkdir(parents=True)
        (place / "x.json.1.999999999.tmp").write_bytes(b"half")
    assert [finding.kind for finding in examine(zoo).findings] == [FindingKind.LEFTOVER] * 4
    assert repair(zoo).healthy
    assert not list(zoo.home.root.rglob("*.tmp"))
