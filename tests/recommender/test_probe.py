"""What a row takes is told by the batches of an encoding, and one that the machine was busy in tells nothing."""

import pytest

from recommender import probe
from recommender.probe import TIMED_BATCHES, _Clock
from registry.progress import Event, Phase
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
