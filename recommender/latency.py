"""Latency: how long a checkpoint takes for one item, opened, prepared and seen alone, on this machine."""

import time
from statistics import median

from registry.encoders import Encoder
from registry.sample import Sample

__all__ = ["DEVICE", "latency"]

DEVICE = "cpu"
"""Where checkpoints are looked at."""
_WARM, _TRIES = 2, 9


def latency(encoder: Encoder, sample: Sample) -> float:
    """Seconds for one item at batch 1: the median of `_TRIES` passes, each with an item of its own where there are."""
    items = sample.items[: _WARM + _TRIES]
    seconds = []
    for turn in range(_WARM + _TRIES):
        began = time.perf_counter()
        encoder.encode([items[turn % len(items)]])
        seconds.append(time.perf_counter() - began)
    return median(seconds[_WARM:])
