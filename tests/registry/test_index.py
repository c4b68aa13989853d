import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry import index as room
from registry.errors import DiskFull, NotFinite, TooManyNeighbors, WidthMismatch
from registry.index import DomainIndex, neighbors


def nearest(vectors, query, k):
    """By brute force: squared distances and places."""
    squares = np.square(vectors.astype(np.float64) - query).sum(axis=1)
    order = np.lexsort([np.arange(len(vectors)), squares])[:k]
    return squares[order], order


def filled(vectors, first=0):
    index = DomainIndex(vectors.shape[1])
    index.add(np.arange(first, first + len(vectors)), vectors)
    return index


@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 20), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_neighbors_are_those_of_brute_force(n, m, width, seed):
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(n, width)), random.normal(size=(m, width))
    k = min(m, 5)
    distances, rows = neighbors(x, y, k)
    exact = np.linalg.norm(x[:, None] - y[None], axis=2)
    np.testing.assert_allclose(distances, np.sort(exact, axis=1)[:, :k], atol=2e-3)
    np.testing.assert_allclose(np.take_along_axis(exact, rows, 1), np.sort(exact, axis=1)[:, :k], atol=2e-3)


def test_cosine_neighbors_do_not_see_length():
    x = np.array([[1.0, 0.0]])
    y = np.array([[0.0, 1.0], [50.0, 1.0], [1.0, 1.0]])
    distances, rows = neighbors(x, y, 3, metric="cosine")
    assert rows.tolist() == [[1, 2, 0]]
    assert distances[0] == pytest.approx([1 - 50 / np.hypot(50, 1), 1 - 1 / np.sqrt(2), 1.0], abs=1e-6)


@pytest.mark.parametrize("k", [0, 4])
def test_more_neighbors_than_rows_are_refused(k):
    with pytest.raises(TooManyNeighbors, match="3 rows at hand"):
        neighbors(np.ones((2, 2)), np.ones((3, 2)), k)


def test_the_row_with_a_nan_is_named():
    bad = np.ones((3, 2))
    bad[2, 0] = np.nan
    with pytest.raises(NotFinite, match="first in row 2"):
        neighbors(np.ones((2, 2)), bad, 1)
    with pytest.raises(NotFinite, match="first in row 0"):
        neighbors(np.full((2, 2), 1e300), np.ones((3, 2)), 1)


def test_an_index_finds_the_nearest_by_number():
    vectors = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    index = filled(vectors, first=1000)
    squares, numbers = index.search(vectors[7] + 0.01, 5)
    exact, places = nearest(vectors, vectors[7] + np.float32(0.01), 5)
    assert numbers.tolist() == (places + 1000).tolist()
    np.testing.assert_allclose(squares, exact, rtol=1e-6)
    assert len(index) == 50


def test_ties_come_in_the_order_of_their_numbers():
    index = DomainIndex(4)
    index.add([30, 10, 20], np.ones((3, 4)))
    assert index.search(np.zeros(4), 3)[1].tolist() == [10, 20, 30]


def test_what_was_removed_is_not_found_again():
    vectors = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
    index = filled(vectors)
    index.remove([3, 4])
    assert 3 not in index.search(vectors[3], 18)[1]
    with pytest.raises(TooManyNeighbors):
        index.search(vectors[3], 19)
    assert len(index) == 18


def test_an_index_refuses_what_it_cannot_hold_and_stays_as_it_was():
    index = filled(np.ones((3, 4), dtype=np.float32))
    with pytest.raises(NotFinite):
        index.add([9], np.array([[1, 2, np.nan, 4.0]]))
    with pytest.raises(WidthMismatch):
        index.add([9], np.ones((1, 5)))
    with pytest.raises(WidthMismatch):
        index.search(np.ones(5), 1)
    with pytest.raises(NotFinite):
        index.search(np.array([1, 2, np.inf, 4.0]), 1)
    with pytest.raises(TooManyNeighbors):
        DomainIndex(4).search(np.ones(4), 1)
    assert len(index) == 3


@pytest.fixture
def small_flat(monkeypatch):
    """Makes an index of more than a few rows look at leading components first."""
    monkeypatch.setattr(room, "_FLAT_FLOATS", 1000)
    monkeypatch.setattr(room, "_RERANKED", 100)


@pytest.mark.parametrize("kind", ["low rank", "full rank", "all equal", "duplicates", "far from the origin"])
def test_looking_at_leading_components_first_loses_nothing(small_flat, kind):
    random = np.random.default_rng(3)
    vectors = random.normal(size=(3000, 96))
    if kind == "low rank":
        vectors = random.normal(size=(3000, 5)) @ random.normal(size=(5, 96)) + 0.01 * vectors
    elif kind == "all equal":
        vectors[:] = 1.0
    elif kind == "duplicates":
        vectors = vectors[np.arange(3000) % 40]
    elif kind == "far from the origin":
        vectors = vectors + 50
    vectors = vectors.astype(np.float32)
    index = filled(vectors)
    for place in range(0, 3000, 300):
        query = vectors[place] + random.normal(size=96).astype(np.float32) * np.float32(0.1)
        squares, numbers = index.search(query, 10)
        exact, places = nearest(vectors, query, 10)
        np.testing.assert_allclose(squares, exact, rtol=1e-9, atol=1e-12)
        if kind in ("low rank", "full rank", "far from the origin"):
            assert numbers.tolist() == places.tolist()


def test_as_many_are_measured_whole_as_the_recall_takes(small_flat):
    random = np.random.default_rng(5)
    narrow = (random.normal(size=(3000, 5)) @ random.normal(size=(5, 96))).astype(np.float32)
    wide = random.normal(size=(3000, 96)).astype(np.float32)
    for vectors, most in ((narrow, 100), (wide, 3000)):
        index = filled(vectors)
        index.search(vectors[0] / 2, 10)
        assert 100 <= index._leading._reranked <= most
    assert index._leading._reranked > 100


def test_what_is_added_and_removed_later_is_searched_by_components_too(small_flat):
    random = np.random.default_rng(4)
    vectors = (random.normal(size=(2500, 6)) @ random.normal(size=(6, 80))).astype(np.float32)
    index = filled(vectors[:1000])
    index.search(vectors[0], 3)
    index.add(np.arange(1000, 2500), vectors[1000:])
    for place in (5, 1500, 2400):
        assert index.search(vectors[place], 5)[1].tolist() == nearest(vectors, vectors[place], 5)[1].tolist()
    index.remove([1500])
    assert index.search(vectors[1500], 1)[1].tolist() == [nearest(vectors, vectors[1500], 2)[1][1]]


def test_a_saved_index_comes_back_the_same(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    filled(vectors, first=5).save(tmp_path / "i.faiss", "stamp")
    back = DomainIndex.load(tmp_path / "i.faiss", "stamp")
    assert back is not None
    assert back.numbers.tolist() == list(range(5, 35))
    np.testing.assert_array_equal(back.vectors, vectors)
    assert back.search(vectors[3], 1)[1].tolist() == [8]
    assert [path.name for path in tmp_path.iterdir()] == ["i.faiss"]


def test_a_missing_foreign_or_damaged_file_is_no_index(tmp_path):
    path = tmp_path / "i.faiss"
    assert DomainIndex.load(path, "stamp") is None
    filled(np.ones((30, 6), dtype=np.float32)).save(path, "stamp")
    assert DomainIndex.load(path, "another stamp") is None
    whole = path.read_bytes()
    flipped = whole[:300] + b"\x00\xff" + whole[302:]
    for damaged in (b"", b"\n", b"{}\n", whole[:-7], flipped, whole + b"x", b"\xff" * 99):
        path.write_bytes(damaged)
        assert DomainIndex.load(path, "stamp") is None


def test_a_save_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "i.faiss"
    filled(np.ones((3, 4), dtype=np.float32)).save(path, "old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="no room to write"):
        filled(np.zeros((9, 4), dtype=np.float32)).save(path, "new")
    old = DomainIndex.load(path, "old")
    assert old is not None
    assert len(old) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["i.faiss"]


SAVER = """
import sys, numpy as np
from pathlib import Path
from registry.index import DomainIndex
index = DomainIndex(64)
index.add(np.arange(20000), np.random.default_rng(0).normal(size=(20000, 64)))
print("ready", flush=True)
while True:
    index.save(Path(sys.argv[1]), "stamp")
"""


@pytest.mark.slow
def test_kill_9_during_a_save_never_leaves_a_file_that_loads_wrong(tmp_path):
    path = tmp_path / "i.faiss"
    filled(np.zeros((1, 64), dtype=np.float32)).save(path, "stamp")
    for attempt in range(6):
        saver = subprocess.Popen([sys.executable, "-c", SAVER, str(path)], stdout=subprocess.PIPE)
        assert saver.stdout is not None
        saver.stdout.readline()
        time.sleep(0.01 * 1.7**attempt)
        saver.send_signal(signal.SIGKILL)
        saver.wait()
        saver.stdout.close()
        kept = DomainIndex.load(path, "stamp")
        assert kept is not None
        assert len(kept) in (1, 20000)


def test_the_file_says_what_it_was_made_of(tmp_path):
    filled(np.ones((3, 4), dtype=np.float32)).save(tmp_path / "i.faiss", "registry lens")
    head = json.loads((tmp_path / "i.faiss").read_bytes().split(b"\n")[0])
    assert head["stamp"] == "registry lens"


@pytest.mark.parametrize("share", [0.5, 0.02, 0.001])
def test_the_nearest_among_some_are_found_however_many_of_others_are_nearer(small_flat, share):
    random = np.random.default_rng(6)
    vectors = (random.normal(size=(3000, 5)) @ random.normal(size=(5, 80))).astype(np.float32)
    index, query = filled(vectors, first=100), vectors[0] / 2
    far = np.argsort(-np.square(vectors - query).sum(axis=1))[: round(share * 3000)]
    squares, numbers = index.search(query, min(3, len(far)), among=far + 100)
    exact, places = nearest(vectors[np.sort(far)], query, min(3, len(far)))
    assert numbers.tolist() == (np.sort(far)[places] + 100).tolist()
    np.testing.assert_allclose(squares, exact, rtol=1e-9)


@pytest.mark.parametrize("kind", ["low rank", "all equal"])
def test_very_many_lie_in_lists_and_as_many_as_are_asked_for_are_found(small_flat, monkeypatch, kind):
    monkeypatch.setattr(room, "_LISTED", 2000)
    monkeypatch.setattr(room, "_RERANKED", 1000)
    random = np.random.default_rng(7)
    vectors = (random.normal(size=(4000, 5)) @ random.normal(size=(5, 80))).astype(np.float32)
    if kind == "all equal":
        vectors[:] = 1
    index = filled(vectors[:3000])
    index.search(vectors[0], 1)
    index.add(np.arange(3000, 4000), vectors[3000:])
    for k in (10, 1500, 4000):
        squares, numbers = index.search(vectors[3500], k)
        exact, _ = nearest(vectors, vectors[3500], k)
        np.testing.assert_allclose(squares, exact, rtol=1e-9, atol=1e-12)
        assert len(set(numbers.tolist())) == k
    assert index._leading._lists.nlist == round(3000**0.5)
    assert index._leading._read <= index._leading._lists.nlist
