"""Rows are chosen by content: the same whatever else changes, never shared between training and test."""

import numpy as np
import pytest
from PIL import Image

from tests.benchmarks.proving_ground import targets
from tests.benchmarks.proving_ground.targets import Ground

SMALL = Ground("image", {"set": "family"}, probe_rows=90, test_rows=70)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A set of 3 classes: 150 training rows, 30 test rows, no two alike."""
    folder, random = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for part, rows in (("train", 50), ("test", 10)):
        for label in "abc":
            place = folder / "set" / part / label
            place.mkdir(parents=True)
            for row in range(rows):
                Image.fromarray(random.integers(0, 255, (12, 12, 3), np.uint8)).save(place / f"{row}.png")
    return folder


def part_of(data, target, rows, seed, ground=SMALL):
    return targets.part_of(data, target, rows, seed, ground)


def test_the_test_part_is_enlarged_with_unused_training_rows(data):
    part = part_of(data, "set", 90, 0)
    assert (len(part.train), len(part.test)) == (90, 70)


def test_of_a_larger_test_part_each_class_gives_its_share(data):
    part = part_of(data, "set", 90, 0, Ground("image", {"set": "family"}, probe_rows=90, test_rows=15))
    assert part.test.counts == {"a": 5, "b": 5, "c": 5}


def test_no_row_is_on_both_sides(data):
    part = part_of(data, "set", 90, 0)
    assert not {item.digest for item in part.train.items} & {item.digest for item in part.test.items}


def test_fewer_rows_are_among_the_more_and_are_judged_alike(data):
    more, fewer = part_of(data, "set", 90, 0), part_of(data, "set", 60, 0)
    assert {item.digest for item in fewer.train.items} < {item.digest for item in more.train.items}
    assert fewer.test.order == more.test.order
    assert fewer.train.counts == {"a": 20, "b": 20, "c": 20}


def test_both_halves_have_every_class_alike(data):
    part = part_of(data, "set", 90, 0)
    halves = [part.test.take(mask).counts for mask in (part.half_a, ~part.half_a)]
    assert all(abs(halves[0][label] - halves[1][label]) <= 1 for label in "abc")


def test_the_digest_names_the_rows(data):
    assert part_of(data, "set", 90, 0).digest != part_of(data, "set", 60, 0).digest
    assert part_of(data, "set", 90, 0).digest != part_of(data, "set", 90, 1).digest


def test_copies_that_were_left_out_when_rows_were_drawn_are_left_out_still(data, monkeypatch):
    gone = part_of(data, "set", 90, 0).train.items[0].digest
    record = {(1, "set"): frozenset({gone[:16]}), (2, "set"): frozenset[str]()}
    monkeypatch.setattr(targets, "_left_out", lambda ground: record)
    ample = Ground("image", {"set": "family"}, probe_rows=200, test_rows=30)
    held = [{item.digest for item in part_of(data, "set", 200, seed, ample).train.items} for seed in (1, 2)]
    assert [len(rows) for rows in held] == [149, 150]
    assert [gone in rows for rows in held] == [False, True]
