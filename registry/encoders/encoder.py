"""A checkpoint as an encoder: one forward pass gives every block's pooled features and the source head's classes."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from registry.cards import Task
from registry.encoders import BlockSize
from registry.encoders.layers import LINEAR, BlockReading, Layers, layers_of, read_blocks, size_of
from registry.encoders.loading import Opened, open_checkpoint, pooled_for
from registry.errors import NotFinite, TooFewRows, Unsupported
from registry.features import Encoded, Features
from registry.modalities import Network, Prepared, modalities
from registry.progress import Phase, Progress, advance, silent
from registry.threads import prepared_ahead

__all__ = ["CheckpointEncoder", "load_encoder", "positional_encoder"]

_WINDOW = 1 << 22
"""Bytes of prepared items that are sorted by size at once."""
_LARGEST_OUTPUT = 40 << 20
"""Bytes that one module of the net may hand on at once.

Fewer cost time, for a pass lays out a convolution's weights anew: ResNet-50 takes 13 items at 224 px, ViT-B/16 17.
"""


@dataclass(frozen=True, eq=False)
class CheckpointEncoder:
    """An opened checkpoint."""

    name: str
    digest: str
    opened: Opened
    network: Network
    layers: Layers
    batch: int
    """Items of one forward pass at most."""

    @property
    def modality(self) -> str:
        """What the items are."""
        return self.opened.modality

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks, input side first."""
        return self.layers.names

    @property
    def adaptable(self) -> tuple[str, ...]:
        """Names of the blocks that hold linear layers."""
        modules = self.network.model.named_modules()
        linear = [f"{path}." for path, module in modules if isinstance(module, LINEAR)]
        return tuple(block.name for block in self.layers.blocks if any(p.startswith(block.prefixes) for p in linear))

    @property
    def sizes(self) -> tuple[BlockSize, ...]:
        """How much there is to learn in each block."""
        return tuple(self._size(block.prefixes) for block in self.layers.blocks)

    def remarks(self, items: Sequence[Any]) -> tuple[str, ...]:
        """What of the items it does not see, a sentence each."""
        return self.network.remarks(items)

    def encode(self, items: Sequence[Any], *, progress: Progress = silent) -> Encoded:
        """Every block's features of the items, float32, in their order.

        Raises:
            TooFewRows: no items.
            NotFinite: an item that the net turns into NaN or infinity, by name.
            Unsupported: the net's forward pass fails.
            Cancelled: the observer wants no more.
        """
        if not items:
            raise TooFewRows(f"encoding with {self.name}", 1, 0)
        parts, places, done, seen = list[BlockReading](), list[int](), 0, 0
        advance(progress, Phase.ENCODE, 0, len(items), self.name)
        for window in self._windows(items):
            for chosen in self._batches([size_of(row) for row in window]):
                parts.append(self._read([window[at] for at in chosen]))
                of = self._items_of_rows(items, [done + at for at in chosen])
                self._refuse_overflow(parts[-1], items, of)
                places += of
                seen += len(chosen)
                advance(progress, Phase.ENCODE, seen, len(items), self.name)
            done += len(window)
        return self._joined(parts, np.argsort(places, kind="stable"))

    def _batches(self, sizes: Sequence[int]) -> Iterator[list[int]]:
        """Places of the items that one pass takes, the small ones first; no more than their largest output allows."""
        batch: list[int] = []
        for place in sorted(range(len(sizes)), key=sizes.__getitem__):
            largest = (len(batch) + 1) * sizes[place] * self.layers.swelling  # shorter ones are padded to this one
            if batch and (len(batch) == self.batch or largest > _LARGEST_OUTPUT):
                yield batch
                batch = []
            batch.append(place)
        yield batch

    def _windows(self, items: Sequence[Any]) -> Iterator[list[Prepared]]:
        """Items prepared, as many as are sorted by size before they are parted into batches.

        Where all of a batch have one size nothing is to be sorted: it is handed on at once.
        """
        window, sizes = list[Prepared](), list[int]()
        for rows in prepared_ahead(self.network.prepare, items, self.batch):
            window += rows
            sizes += map(size_of, rows)
            if min(sizes) == max(sizes) or sum(sizes) >= _WINDOW:
                yield window
                window, sizes = [], []
        if window:
            yield window

    def _items_of_rows(self, items: Sequence[Any], places: Sequence[int]) -> list[int]:
        """For each row that the network gives of these items, the item's place."""
        positions = modalities[self.modality].positions if self.network.beside else None
        if positions is None:
            return [*places]
        return [place for place in places for _ in positions.of(items[place])]

    def _read(self, rows: Sequence[Prepared]) -> BlockReading:
        batch = self.network.batch(rows)
        try:
            with torch.inference_mode():
                return read_blocks(self.network, self.layers, batch)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as cause:  # a stranger's net may raise anything
            why = f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
            raise Unsupported(self.name, f"its forward pass fails ({why})") from cause

    def _size(self, prefixes: tuple[str, ...]) -> BlockSize:
        model = self.network.model
        own = [(name, p.numel()) for name, p in model.named_parameters() if name.startswith(prefixes)]
        kinds = dict(model.named_modules())
        norms = sum(n for name, n in own if "Norm" in type(kinds[name.rpartition(".")[0]]).__name__)
        linear = [m for path, m in kinds.items() if isinstance(m, LINEAR) and path.startswith(prefixes)]
        return BlockSize(sum(n for _, n in own), norms, sum(sum(m.weight.shape) for m in linear))

    def _refuse_overflow(self, part: BlockReading, items: Sequence[Any], of: Sequence[int]) -> None:
        for block, vectors in zip(self.blocks, part.blocks, strict=True):
            bad = ~torch.isfinite(vectors).all(1)
            if bool(bad.any()):
                place = of[int(bad.int().argmax())]
                raise NotFinite(f"{self.name}, {block}, at {items[place].name}", place)

    def _joined(self, parts: list[BlockReading], order: Int[np.ndarray, " n"]) -> Encoded:
        blocks = tuple(
            Features(
                torch.cat([part.blocks[place] for part in parts]).numpy()[order], f"{self.name}@{self.digest}#{block}"
            )
            for place, block in enumerate(self.blocks)
        )
        logits = [part.logits for part in parts if part.logits is not None]
        classes = torch.cat(logits).softmax(1).numpy()[order] if logits and self.opened.id2label else None
        return Encoded(blocks, self.blocks, classes)


def load_encoder(
    folder: Path, *, name: str | None = None, cap: int | None = None, weights: str | None = None
) -> CheckpointEncoder:
    """Open the checkpoint in a folder; inputs larger than ``cap`` (in the modality's unit) are made smaller.

    Raises:
        CheckpointError: as `registry.encoders.loading.inspect`; or the weights are not those of the digest ``weights``.
    """
    opened, network = open_checkpoint(folder, cap=cap, digest=weights)
    return _around(name or folder.name, opened, network)


def positional_encoder(encoder: CheckpointEncoder) -> CheckpointEncoder:
    """The same checkpoint, one vector for each position of an item.

    Raises:
        Unsupported: the modality's items have none.
    """
    network = pooled_for(Task.TOKEN_CLASSIFICATION, encoder.network, modalities[encoder.modality])
    return _around(encoder.name, encoder.opened, network)


def _around(name: str, opened: Opened, network: Network) -> CheckpointEncoder:
    digest = hashlib.sha256(f"{opened.digest} {network.digest}".encode()).hexdigest()
    return CheckpointEncoder(name, digest, opened, network, layers_of(network), network.at_once)
