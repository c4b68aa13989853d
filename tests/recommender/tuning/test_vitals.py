import time

import pytest

from recommender.tuning.vitals import FIRST, watched


@pytest.fixture
def points():
    return []


def watch(points, seconds, first_step=0):
    with watched(lambda *point: points.append(point), first_step):
        time.sleep(seconds)


def test_even_the_shortest_run_has_a_sample_under_mlflows_names(points):
    watch(points, 0)
    names = {name for name, _, _ in points}
    assert {FIRST, "system/system_memory_usage_megabytes", "system/system_memory_usage_percentage"} <= names
    found = {name: value for name, _, value in points}
    assert 0 < found["system/system_memory_usage_percentage"] <= 100
    assert 10 < found["system/process_memory_usage_megabytes"] < found["system/system_memory_usage_megabytes"]


def test_samples_come_as_often_as_mlflow_is_told_and_go_on_counting(points, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    watch(points, 0.45, first_step=7)
    steps = [step for name, step, _ in points if name == FIRST]
    assert steps == list(range(7, 7 + len(steps)))
    assert 3 <= len(steps) <= 6


def test_mlflows_switch_turns_it_off(points, monkeypatch):
    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    watch(points, 0)
    assert points == []
