"""What a row takes is told by the batches of an encoding, and one that the machine was busy in tells nothing."""

import numpy as np
import pytest

from recommender import probe
from recommender.probe import TIMED_BATCHES, _Clock, rows_probed
from registry.progress import Event, Phase
from registry.sample import Sample
from tests.observers import Recorder


def timed(monkeypatch, seconds):
    """The clock after batches of ten rows that took so long."""
    at = iter([0.0, *(sum(seconds[: place + 1]) for place in range(len(seconds)))])
    monkeypatch.setattr(probe.time, "perf_counter", lambda: next(at))
    recorder = Recorder()
    clock = _Clock(recorder)
    for done in range(len(seconds) + 1):
        clock.report(Event(Phase.ENCODE, "", 10 * done, 10 * len(seconds)))
    assert len(recorder.events) == len(seconds) + 1
    return clock.seconds_a_row


def test_neither_the_first_batch_nor_a_slow_one_moves_the_seconds_of_a_row(monkeypatch):
    assert timed(monkeypatch, [3.0, 1.0, 1.0, 50.0, 1.0, 1.0]) == pytest.approx(0.1)


def test_few_batches_tell_nothing(monkeypatch):
    assert timed(monkeypatch, [1.0] * TIMED_BATCHES) is None


def noise(classes: int, rows: int) -> Sample:
    pixels = np.random.default_rng(0).integers(0, 256, (classes * rows, 6, 6), dtype=np.uint8)
    return Sample.from_arrays(pixels, [f"class {row % classes}" for row in range(len(pixels))], name="noise")


@pytest.mark.parametrize(("classes", "rows", "probed"), [(3, 400, 800), (410, 3, 820)])
def test_of_very_many_classes_two_rows_each_are_probed_so_that_folds_hold_one_of_each_out(classes, rows, probed):
    sample = noise(classes, rows)
    drawn = sample.subsample(rows_probed(sample))
    assert len(drawn) == probed
    assert (drawn.folds(2) >= 0).all()


def test_rows_of_classes_without_end_are_not_probed_without_end(monkeypatch):
    monkeypatch.setattr(probe, "_MOST_OF_CLASSES", 810)
    assert rows_probed(noise(410, 2)) == 810
