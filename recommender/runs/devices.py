"""Devices: which there are, in what precision they train well, how much memory a run took of them at most."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import torch

from registry.errors import DeviceMissing

__all__ = ["Meter", "available_devices", "metered", "precision", "resolve"]

_LOOK_EVERY = 0.02


def available_devices() -> tuple[str, ...]:
    """The devices of this machine, the fastest first."""
    graphics = tuple(f"cuda:{place}" for place in range(torch.cuda.device_count())) if torch.cuda.is_available() else ()
    return (*graphics, *(("mps",) if torch.backends.mps.is_available() else ()), "cpu")


def resolve(device: str = "auto") -> str:
    """The device meant by ``auto`` (the fastest there is), ``cpu``, ``cuda`` (the first), ``cuda:N`` or ``mps``.

    Raises:
        DeviceMissing: it is not there, or torch cannot use it.
    """
    there = available_devices()
    if device == "auto":
        return there[0]
    wanted = "cuda:0" if device == "cuda" else device
    if wanted not in there:
        raise DeviceMissing(device, _why_not(wanted, there), there)
    return wanted


def precision(device: str) -> torch.dtype:
    """What to compute in: bfloat16 where the hardware multiplies it natively, else float32."""
    if device.startswith("cuda") and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.bfloat16
    return torch.float32


@dataclass
class Meter:
    """The most memory that a run held: of the process on the CPU, of the accelerator elsewhere."""

    peak_bytes: int = 0


@contextmanager
def metered(device: str) -> Iterator[Meter]:
    """Watch a device's memory for as long as this lasts; the meter is right from its end on."""
    meter = Meter()
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
        try:
            yield meter
        finally:
            meter.peak_bytes = int(torch.cuda.max_memory_allocated(device))
        return
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(meter, device, over), name="memory meter", daemon=True)
    watcher.start()
    try:
        yield meter
    finally:
        over.set()
        watcher.join()


def _watch(meter: Meter, device: str, over: threading.Event) -> None:
    """Sample the memory held until the event is set, and once more then."""
    process = psutil.Process()
    while True:
        ended = over.wait(_LOOK_EVERY)
        held = torch.mps.driver_allocated_memory() if device == "mps" else process.memory_info().rss
        meter.peak_bytes = max(meter.peak_bytes, int(held))
        if ended:
            return


def _why_not(wanted: str, there: tuple[str, ...]) -> str:
    kind, _, place = wanted.partition(":")
    if kind not in {"cuda", "mps"} or (place and not place.isdigit()):
        return "that is no device's name"
    if kind == "mps":
        return "only Macs with Apple silicon have it"
    if torch.version.cuda is None:
        return f"torch {torch.__version__} was built without CUDA"
    graphics = len([name for name in there if name.startswith("cuda")])
    return f"there is no GPU of that number, only {graphics}" if graphics else "torch finds no usable NVIDIA GPU"
