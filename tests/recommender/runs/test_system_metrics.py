# ruff: noqa: N802 - NVIDIA's names
import time
from types import SimpleNamespace

import pytest

from recommender.runs import system_metrics
from recommender.runs.system_metrics import FIRST, watched


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
    by_name = {name: value for name, _, value in points}
    assert 0 < by_name["system/system_memory_usage_percentage"] <= 100
    assert 10 < by_name["system/process_memory_usage_megabytes"] < by_name["system/system_memory_usage_megabytes"]


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


class Library:
    """NVIDIA's library as one that sees two devices, the second of which does not tell."""

    class NVMLError(Exception):
        pass

    def nvmlDeviceGetCount(self):
        return 2

    def nvmlDeviceGetHandleByIndex(self, place):
        if place:
            raise self.NVMLError
        return place

    def nvmlDeviceGetMemoryInfo(self, device):
        return SimpleNamespace(used=20e6, total=80e6)

    def nvmlDeviceGetUtilizationRates(self, device):
        return SimpleNamespace(gpu=55)


def test_devices_tell_what_they_can():
    assert system_metrics._gpus(Library()) == {
        "gpu_0_memory_usage_megabytes": 20,
        "gpu_0_memory_usage_percentage": 25,
        "gpu_0_utilization_percentage": 55,
    }
    assert system_metrics._gpus(None) == {}
