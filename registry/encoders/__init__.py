"""The promise Encoder, and the shelf of encoders by modality. torch and transformers live behind it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from registry.cards import Modality
from registry.features import Encoded
from registry.plugins import Shelf
from registry.progress import Progress, silent

__all__ = ["BlockSize", "Encoder", "OpenEncoder", "encoders"]


@dataclass(frozen=True)
class BlockSize:
    """How much there is to learn in a block."""

    parameters: int
    norms: int
    """Parameters of its normalization layers."""
    edges: int
    """Inputs and outputs of its linear layers, in sum: an adapter of rank r has r for each of them."""


@runtime_checkable
class Encoder(Protocol):
    """Turns items into vectors. Same items, same vectors; n in, n out; finite; batch size does not matter."""

    @property
    def name(self) -> str:
        """The checkpoint's name."""

    @property
    def digest(self) -> str:
        """SHA-256 of weights, preprocessing and cap: equal digests mean equal vectors."""

    @property
    def modality(self) -> Modality:
        """What the items are."""

    @property
    def blocks(self) -> tuple[str, ...]:
        """Names of the backbone's blocks, input side first."""

    @property
    def adaptable(self) -> tuple[str, ...]:
        """Those of them that hold linear layers, beside which adapters can learn."""

    @property
    def sizes(self) -> tuple[BlockSize, ...]:
        """The size of each block."""

    def encode(self, items: Sequence[Any], *, progress: Progress = silent) -> Encoded:
        """Every block's features of the items, in their order."""


@runtime_checkable
class OpenEncoder(Protocol):
    """Opens the checkpoint in ``folder``; inputs larger than ``cap`` (pixels, tokens, frames) are made smaller."""

    def __call__(self, folder: Path, *, name: str | None = None, cap: int = 224) -> Encoder:
        """The encoder, ready to use."""


def _image() -> OpenEncoder:
    opener: OpenEncoder = import_module("registry.encoders.image").open_image
    return opener


_OURS: dict[str, Callable[[], OpenEncoder]] = {"image": _image}

encoders: Shelf[OpenEncoder] = Shelf("encoder", "transferzoo.encoders", _OURS)
