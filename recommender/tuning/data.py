"""Pictures as the net wants them: opened and resized once, kept as bytes, normalized batch by batch."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch.utils.data import Dataset

from registry.encoders.preprocessing import Preprocessing
from registry.progress import Progress, told

__all__ = ["Pictures", "Row", "open_pictures"]

Row = tuple[UInt8[np.ndarray, "3 h w"], int]
_IN_MEMORY = 1 << 30
_READERS = min(4, os.cpu_count() or 1)


class Pictures(Dataset[Row]):
    """Rows of 8-bit pixels and class numbers."""

    def __init__(
        self, pixels: UInt8[np.ndarray, "n 3 h w"], targets: Int[np.ndarray, " n"], preprocessing: Preprocessing
    ) -> None:
        self.pixels = pixels
        self.targets = targets
        self.preprocessing = preprocessing

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> Row:
        return self.pixels[row], int(self.targets[row])

    def input(self, pixels: UInt8[np.ndarray, "n 3 h w"]) -> torch.Tensor:
        """What the net takes of those pixels; channels lie last in memory, which convolutions like better."""
        return torch.from_numpy(self.preprocessing.normalized(pixels)).contiguous(memory_format=torch.channels_last)

    def batch(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """What the loop feeds the net."""
        stacked = np.stack([pixels for pixels, _ in rows])
        return {
            "pixel_values": self.input(stacked),
            "labels": torch.tensor([target for _, target in rows]),
        }


def open_pictures(
    items: Sequence[Any], targets: Int[np.ndarray, " n"], preprocessing: Preprocessing, spill: Path,
    progress: Progress, stage: str,
) -> Pictures:  # fmt: skip
    """Open and resize every item in threads; beyond 1 GiB the bytes lie in the file ``spill``."""
    shape = (len(items), 3, preprocessing.height, preprocessing.width)
    if np.prod(shape, dtype=np.int64) > _IN_MEMORY:
        pixels: np.ndarray = np.lib.format.open_memmap(spill, "w+", np.uint8, shape)
    else:
        pixels = np.empty(shape, np.uint8)

    def place(row: int) -> None:
        pixels[row] = preprocessing.pixels(items[row].open())

    with ThreadPoolExecutor(_READERS) as pool:
        for _ in told(pool.map(place, range(len(items))), stage, len(items), progress):
            pass
    return Pictures(pixels, targets, preprocessing)
