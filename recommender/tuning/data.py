"""Rows as the net wants them: pictures opened and resized once, or activations kept at the end of a frozen prefix.

Pictures are kept as bytes and normalized batch by batch; where training changes them (augmentation), what becomes of a
row follows from the seed, the epoch and the row alone, so that a resumed run sees the same.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from torch.utils.data import Dataset

from recommender.tuning.augment import augmented
from recommender.tuning.boundary import Boundary
from registry.encoders.preprocessing import Preprocessing
from registry.progress import Progress, told

__all__ = ["Batch", "Kept", "Pictures", "Rows", "keep", "open_pictures", "slices"]

Batch = dict[str, torch.Tensor]
_IN_MEMORY = 1 << 30
_READERS = min(4, os.cpu_count() or 1)
_AT_ONCE = 128


@runtime_checkable
class Rows(Protocol):
    """What a classifier learns from or is judged on."""

    targets: np.ndarray

    def __len__(self) -> int:
        """How many there are."""

    def batch(self, rows: Sequence[int]) -> Batch:
        """These rows as the classifier's arguments, and ``labels``."""


class Pictures(Dataset[Batch]):
    """Rows of 8-bit pixels with their truth."""

    def __init__(
        self, pixels: UInt8[np.ndarray, "n 3 h w"], targets: Shaped[np.ndarray, "n ..."], preprocessing: Preprocessing
    ) -> None:
        self.pixels = pixels
        self.targets = targets
        self.preprocessing = preprocessing
        self.seed: int | None = None
        """What augmentation follows; None for none."""
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, rows: list[int]) -> Batch:
        return self.batch(rows)

    def set_epoch(self, epoch: int) -> None:
        """From now on rows look as they do in this epoch."""
        self.epoch = epoch

    def input(self, pixels: UInt8[np.ndarray, "n 3 h w"]) -> torch.Tensor:
        """What the net takes of those pixels; channels lie last in memory, which convolutions like better."""
        return torch.from_numpy(self.preprocessing.normalized(pixels)).contiguous(memory_format=torch.channels_last)

    def batch(self, rows: Sequence[int]) -> Batch:
        """As `Rows.batch`."""
        chosen = np.asarray(rows)
        pixels = self.pixels[chosen] if self.seed is None else self._changed(chosen, self.seed)
        return {"pixel_values": self.input(pixels), "labels": torch.from_numpy(self.targets[chosen])}

    def _changed(self, rows: np.ndarray, seed: int) -> UInt8[np.ndarray, "n 3 h w"]:
        made = [augmented(self.pixels[row], np.random.default_rng([seed, self.epoch, int(row)])) for row in rows]
        return np.stack(made)


class Kept(Dataset[Batch]):
    """Rows of activations at a boundary with their truth. Maps lie in memory with their channels last."""

    def __init__(self, activations: Float[np.ndarray, "n ..."], targets: Shaped[np.ndarray, "n ..."]) -> None:
        self.activations = activations
        self.targets = targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitems__(self, rows: list[int]) -> Batch:
        return self.batch(rows)

    def batch(self, rows: Sequence[int]) -> Batch:
        """As `Rows.batch`."""
        chosen = np.asarray(rows)
        kept = torch.from_numpy(self.activations[chosen])
        return {"kept": _channels_second(kept), "labels": torch.from_numpy(self.targets[chosen])}


def slices(rows: Rows, most: int = _AT_ONCE) -> Iterator[Sequence[int]]:
    """All row numbers, in order, so many at once."""
    for start in range(0, len(rows), most):
        yield range(start, min(start + most, len(rows)))


def open_pictures(
    items: Sequence[Any], targets: Shaped[np.ndarray, "n ..."], preprocessing: Preprocessing, spill: Path,
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


def keep(boundary: Boundary, pictures: Pictures, file: Path, progress: Progress, stage: str) -> Kept:
    """Run the frozen prefix once over every row and keep what flows out of it in a file."""
    device = next(boundary.classifier.parameters()).device
    kept: np.ndarray | None = None
    with torch.inference_mode():
        for rows in told(list(slices(pictures)), stage, -(-len(pictures) // _AT_ONCE), progress):
            made = _channels_last(boundary.activations(pictures.batch(rows)["pixel_values"].to(device))).cpu().numpy()
            if kept is None:
                kept = np.lib.format.open_memmap(file, "w+", np.float32, (len(pictures), *made.shape[1:]))
            kept[rows.start : rows.stop] = made  # type: ignore[attr-defined]  # slices are ranges
    return Kept(np.lib.format.open_memmap(file, "r"), pictures.targets)


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor


def _channels_second(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 else tensor
