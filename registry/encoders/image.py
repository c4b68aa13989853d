"""Image checkpoints as encoders: one forward pass gives every block's pooled features and the source head's classes."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from transformers import PreTrainedModel

from registry.cards import Modality
from registry.encoders import BlockSize
from registry.encoders.anatomy import Anatomy, Reading, anatomy_of, read_blocks
from registry.encoders.opening import Opened, inspect, load
from registry.encoders.preprocessing import DEFAULT_CAP, Preprocessing, read_preprocessing
from registry.errors import NotFinite, TooFewRows, Unsupported
from registry.features import Encoded, Features
from registry.progress import Progress, silent

__all__ = ["ImageEncoder", "Openable", "open_image"]

_BATCH_PIXELS = 1 << 20
_MOST_IN_BATCH = 128
_READERS = min(4, os.cpu_count() or 1)


@runtime_checkable
class Openable(Protocol):
    """An item that can be opened as a picture."""

    @property
    def name(self) -> str:
        """What a message calls it."""

    def open(self) -> Image.Image:
        """The picture in RGB."""


@dataclass(frozen=True, eq=False)
class ImageEncoder:
    """An opened image checkpoint. ``block_prefixes`` tells which parameters belong to which block."""

    name: str
    digest: str
    opened: Opened
    preprocessing: Preprocessing
    anatomy: Anatomy
    model: PreTrainedModel
    batch: int
    modality: Modality = Modality.IMAGE

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the blocks, input side first."""
        return self.anatomy.names

    @property
    def adaptable(self) -> tuple[str, ...]:
        """Names of the blocks that hold linear layers."""
        linear = [f"{path}." for path, module in self.model.named_modules() if isinstance(module, torch.nn.Linear)]
        return tuple(block.name for block in self.anatomy.blocks if any(p.startswith(block.prefixes) for p in linear))

    @property
    def sizes(self) -> tuple[BlockSize, ...]:
        """How much there is to learn in each block."""
        return tuple(self._size(prefixes) for prefixes in self.block_prefixes)

    def _size(self, prefixes: tuple[str, ...]) -> BlockSize:
        own = [(name, p.numel()) for name, p in self.model.named_parameters() if name.startswith(prefixes)]
        kinds = dict(self.model.named_modules())
        norms = sum(n for name, n in own if "Norm" in type(kinds[name.rpartition(".")[0]]).__name__)
        linear = [m for path, m in kinds.items() if isinstance(m, torch.nn.Linear) and path.startswith(prefixes)]
        return BlockSize(sum(n for _, n in own), norms, sum(m.in_features + m.out_features for m in linear))

    @property
    def block_prefixes(self) -> tuple[tuple[str, ...], ...]:
        """For each block what the names of its parameters begin with."""
        return tuple(block.prefixes for block in self.anatomy.blocks)

    def encode(self, items: Sequence[Any], *, progress: Progress = silent) -> Encoded:
        """Every block's features of the pictures, float32, in their order.

        Raises:
            TooFewRows: no items.
            NotFinite: a picture that the net turns into NaN or infinity, by name.
            Unsupported: the net's forward pass fails.
        """
        if not items:
            raise TooFewRows(f"encoding with {self.name}", 1, 0)
        stage, parts = f"encode with {self.name}", list[Reading]()
        progress(stage, 0, len(items))
        done = 0
        for pixels in self._batches(items):
            parts.append(self._read(pixels))
            self._refuse_overflow(parts[-1], items, done)
            done += len(pixels)
            progress(stage, done, len(items))
        return self._joined(parts)

    def _batches(self, items: Sequence[Openable]) -> Iterator[UInt8[np.ndarray, "n 3 h w"]]:
        """Pictures are opened and resized in threads, one batch ahead of the net."""
        with ThreadPoolExecutor(_READERS) as pool:
            ahead: list[Future[UInt8[np.ndarray, "3 h w"]]] = []
            for start in range(0, len(items), self.batch):
                following = [pool.submit(self._pixels, item) for item in items[start : start + self.batch]]
                if ahead:
                    yield np.stack([one.result() for one in ahead])
                ahead = following
            yield np.stack([one.result() for one in ahead])

    def _pixels(self, item: Openable) -> UInt8[np.ndarray, "3 h w"]:
        return self.preprocessing.pixels(item.open())

    def _read(self, pixels: UInt8[np.ndarray, "n 3 h w"]) -> Reading:
        batch = torch.from_numpy(self.preprocessing.normalized(pixels)).to(memory_format=torch.channels_last)
        try:
            with torch.inference_mode():
                return read_blocks(self.model, self.anatomy, batch)
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as cause:  # a stranger's net may raise anything
            why = f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
            raise Unsupported(self.name, f"its forward pass fails ({why})") from cause

    def _refuse_overflow(self, part: Reading, items: Sequence[Openable], first: int) -> None:
        for block, vectors in zip(self.blocks, part.blocks, strict=True):
            bad = ~torch.isfinite(vectors).all(1)
            if bool(bad.any()):
                row = first + int(bad.int().argmax())
                raise NotFinite(f"{self.name}, {block}, at {items[row].name}", row)

    def _joined(self, parts: list[Reading]) -> Encoded:
        blocks = tuple(
            Features(torch.cat([part.blocks[place] for part in parts]).numpy(), f"{self.name}@{self.digest}#{block}")
            for place, block in enumerate(self.blocks)
        )
        logits = [part.logits for part in parts if part.logits is not None]
        classes = torch.cat(logits).softmax(1).numpy() if logits and self.opened.id2label else None
        return Encoded(blocks, self.blocks, classes)


def open_image(folder: Path, *, name: str | None = None, cap: int = DEFAULT_CAP) -> ImageEncoder:
    """Open the checkpoint in a folder; inputs larger than ``cap`` pixels are made that small.

    Raises:
        CheckpointError: as `registry.encoders.opening.inspect`.
    """
    opened = inspect(folder)
    preprocessing = read_preprocessing(folder, cap=cap)
    model = load(folder)
    torch.nn.Module.to(model, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    digest = hashlib.sha256(f"{opened.digest} {preprocessing.digest}".encode()).hexdigest()
    batch = max(1, min(_MOST_IN_BATCH, _BATCH_PIXELS // (preprocessing.height * preprocessing.width)))
    return ImageEncoder(name or folder.name, digest, opened, preprocessing, anatomy_of(model), model, batch)
