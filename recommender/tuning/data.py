"""Training rows: items prepared once, or activations kept at the end of a frozen prefix.

Items are kept in the compact form that their network prepares and made into inputs batch by batch; where training
varies them (augmentation), what becomes of a row follows from the seed, the epoch and the row alone, so that a resumed
run sees the same.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch.utils.data import Dataset

from recommender.tuning.activation_cache import ActivationCache
from recommender.tuning.classifier import Classifier
from registry.files import allocate
from registry.modalities import Network, Prepared
from registry.progress import Phase, Progress, tracked
from registry.targets import Positions
from registry.threads import prepared

__all__ = ["ActivationRows", "Batch", "ItemRows", "TrainingRows", "block_features", "keep", "prepare_rows", "slices"]

Batch = dict[str, torch.Tensor]
_IN_MEMORY = 1 << 30
_AT_ONCE = 128


@runtime_checkable
class TrainingRows(Protocol):
    """What a classifier learns from or is judged on."""

    positions: Positions
    targets: np.ndarray
    """Those of the positions, one after another."""

    def __len__(self) -> int:
        """How many there are."""

    def batch(self, rows: Sequence[int]) -> Batch:
        """These rows as the classifier's arguments, and ``labels``."""


class ItemRows(Dataset[Batch]):
    """Prepared items with their truth, or that of each of their positions."""

    def __init__(self, prepared: Sequence[Prepared], positions: Positions, network: Network) -> None:
        self.prepared = prepared
        self.positions = positions
        self.targets = positions.targets.values
        self.network = network
        self.seed: int | None = None
        """What augmentation follows; None for none."""
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.prepared)

    def __getitems__(self, rows: list[int]) -> Batch:
        return self.batch(rows)

    def set_epoch(self, epoch: int) -> None:
        """From now on rows look as they do in this epoch."""
        self.epoch = epoch

    def batch(self, rows: Sequence[int]) -> Batch:
        """As `TrainingRows.batch`."""
        chance = None
        if self.seed is not None:
            chance = [np.random.default_rng([self.seed, self.epoch, int(row)]) for row in rows]
        inputs = self.network.batch([self.prepared[row] for row in rows], chance)
        return {**inputs, "labels": self.truth(rows)}

    def truth(self, rows: Sequence[int]) -> torch.Tensor:
        """What is true of these rows, or of their positions one after another."""
        return torch.from_numpy(self.targets[self.positions.within(np.asarray(rows))])

    def context(self, rows: Sequence[int]) -> Batch:
        """What of these rows blocks in the middle of the net read too."""
        return self.network.context([self.prepared[row] for row in rows])


class ActivationRows(Dataset[Batch]):
    """Rows of activations at a boundary with their truth. Maps lie in memory with their channels last.

    Where activations have a place for each of the context's (a sequence's, that is padded), all are as long as the
    longest row, and a batch as its own longest.
    """

    def __init__(self, activations: Float[np.ndarray, "n ..."], items: ItemRows) -> None:
        self.activations = activations
        self.items = items
        self.positions, self.targets = items.positions, items.targets

    def __len__(self) -> int:
        return len(self.items)

    def __getitems__(self, rows: list[int]) -> Batch:
        return self.batch(rows)

    def batch(self, rows: Sequence[int]) -> Batch:
        """As `TrainingRows.batch`, with ``kept`` for the items."""
        kept = torch.from_numpy(self.activations[np.asarray(rows)])
        if kept.ndim == 3:
            kept = kept[:, : _places(self.items, rows) or kept.shape[1]]
        return {"kept": _channels_second(kept), **self.items.context(rows), "labels": self.items.truth(rows)}


def slices(rows: TrainingRows, most: int = _AT_ONCE) -> Iterator[Sequence[int]]:
    """All row numbers, in order, so many at once."""
    for start in range(0, len(rows), most):
        yield range(start, min(start + most, len(rows)))


def block_features(classifier: Classifier, rows: TrainingRows, chosen: Int[np.ndarray, " n"]) -> list[np.ndarray]:
    """Each block's features of some rows, or of their positions. Leaves the classifier in the mode in which it was."""
    was = classifier.training
    classifier.eval()
    device = classifier.head.weight.device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(chosen), _AT_ONCE):
            batch = rows.batch(chosen[start : start + _AT_ONCE].tolist())
            inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
            parts.append([block.float().cpu().numpy() for block in classifier.blocks(**inputs)])
    classifier.train(was)
    return [np.concatenate(blocks) for blocks in zip(*parts, strict=True)]


def prepare_rows(
    items: Sequence[Any],
    positions: Positions,
    network: Network,
    spill: Path,
    progress: Progress,
    part: str,
) -> ItemRows:
    """Prepare every item in threads; beyond 1 GiB what is prepared lies in the file ``spill``."""
    passing = tracked(prepared(network.prepare, items), progress, Phase.PREPARE, len(items), part)
    return ItemRows(_stored(passing, len(items), spill), positions, network)


def _stored(passing: Iterator[Prepared], count: int, spill: Path) -> list[Prepared]:
    """The rows as they come; where so many of the size of the first are too large for memory, in a file."""
    rows: list[Prepared] = []
    files: dict[str, np.ndarray] = {}
    for row in passing:
        if not rows and count * sum(part.nbytes for part in row.values()) > _IN_MEMORY:
            files = {
                name: _mapped(spill.with_name(f"{spill.name}.{name}.npy"), part.dtype, (count, *part.shape))
                for name, part in row.items()
            }
        for name, file in files.items():
            file[len(rows)] = row[name]
        rows.append({name: file[len(rows)] for name, file in files.items()} if files else row)
    return rows


def keep(cache: ActivationCache, items: ItemRows, file: Path, progress: Progress, part: str) -> ActivationRows:
    """Run the frozen prefix once over every row and keep what flows out of it in a file."""
    device = next(cache.classifier.parameters()).device
    kept: np.ndarray | None = None
    with torch.inference_mode():
        batches = -(-len(items) // _AT_ONCE)
        for rows in tracked(list(slices(items)), progress, Phase.CACHE, batches, part):
            batch = {name: tensor.to(device) for name, tensor in items.batch(rows).items() if name != "labels"}
            activations = _channels_last(cache.activations(batch)).cpu().numpy()
            if kept is None:
                shape = (
                    (_longest(items, activations), *activations.shape[2:])
                    if activations.ndim == 3
                    else activations.shape[1:]
                )
                kept = _mapped(file, activations.dtype, (len(items), *shape))
            if activations.ndim == 3:
                kept[rows.start : rows.stop, : activations.shape[1]] = activations  # type: ignore[attr-defined]  # as below
            else:
                kept[rows.start : rows.stop] = activations  # type: ignore[attr-defined]  # slices are ranges
    return ActivationRows(np.lib.format.open_memmap(file, "r"), items)


def _longest(items: ItemRows, activations: Float[np.ndarray, "n l d"]) -> int:
    """Places of the longest row's activations, given those of the first rows."""
    first, every = (_places(items, range(rows)) for rows in (len(activations), len(items)))
    return every if first == activations.shape[1] and every is not None else activations.shape[1]


def _places(items: ItemRows, rows: Sequence[int]) -> int | None:
    """How many places the context of rows has a value for in each; None where it has none."""
    context = {name: tensor for name, tensor in items.context(rows).items() if name not in items.network.beside}
    return next((tensor.shape[1] for tensor in context.values() if tensor.ndim == 2), None)


def _mapped(file: Path, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    """A new array in a file that has all its room on the disk."""
    array: np.ndarray = np.lib.format.open_memmap(file, "w+", dtype, shape)
    allocate(file)
    return array


def _channels_last(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.permute(0, 2, 3, 1) if tensor.ndim == 4 else tensor


def _channels_second(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.permute(0, 3, 1, 2) if tensor.ndim == 4 else tensor
