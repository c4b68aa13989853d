"""System metrics while a run goes on, under the names that MLflow's page of system metrics knows.

MLflow's own monitor ends at the first request that fails; these go into the run's journal. Its switches are respected:
``MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING`` and ``MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL`` (seconds).
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import psutil

__all__ = ["FIRST", "watched"]

FIRST = "system/cpu_utilization_percentage"
"""The series that every sample has."""
_SECONDS = 10.0
_MEGA = 1e6


@contextmanager
def watched(point: Callable[[str, int, float], None], first_step: int) -> Iterator[None]:
    """For as long as this lasts a thread takes samples; the last one when it ends, so that there always is one."""
    if os.environ.get("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true").lower() in {"false", "0"}:
        yield
        return
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(point, first_step, over), name="vital signs", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(1)


def _watch(point: Callable[[str, int, float], None], step: int, over: threading.Event) -> None:
    seconds = float(os.environ.get("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL") or _SECONDS)
    psutil.cpu_percent()  # counts since the last call
    library = _nvml()
    while True:
        ended = over.wait(seconds)
        for name, value in {**_sample(), **_gpus(library)}.items():
            point(f"system/{name}", step, round(value, 1))
        step += 1
        if ended:
            return


def _sample() -> Mapping[str, float]:
    memory, ours = psutil.virtual_memory(), psutil.Process().memory_info()
    return {
        "cpu_utilization_percentage": psutil.cpu_percent(),
        "system_memory_usage_megabytes": memory.used / _MEGA,
        "system_memory_usage_percentage": memory.percent,
        "process_memory_usage_megabytes": ours.rss / _MEGA,
    }


def _nvml() -> Any:  # noqa: ANN401 - a module without types
    """NVIDIA's library (nvidia-ml-py), where it is installed and finds a driver."""
    if find_spec("pynvml") is None:
        return None
    library = import_module("pynvml")
    try:
        library.nvmlInit()
    except library.NVMLError:
        return None
    return library


def _gpus(library: Any) -> Mapping[str, float]:  # noqa: ANN401 - as above
    figures: dict[str, float] = {}
    for place in range(0 if library is None else library.nvmlDeviceGetCount()):
        try:
            device = library.nvmlDeviceGetHandleByIndex(place)
            memory = library.nvmlDeviceGetMemoryInfo(device)
            figures[f"gpu_{place}_memory_usage_megabytes"] = memory.used / _MEGA
            figures[f"gpu_{place}_memory_usage_percentage"] = 100 * memory.used / memory.total
            figures[f"gpu_{place}_utilization_percentage"] = library.nvmlDeviceGetUtilizationRates(device).gpu
        except library.NVMLError:
            continue  # what this device does not tell
    return figures
