"""The promise Encoder. torch and transformers live behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from registry.features import Encoded
from registry.progress import Progress, silent

__all__ = ["BlockSize", "Encoder", "at_positions", "open_encoder"]


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
    def modality(self) -> str:
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

    def remarks(self, items: Sequence[Any]) -> tuple[str, ...]:
        """What of the items it does not see, a sentence each: texts that are cut."""

    def encode(self, items: Sequence[Any], *, progress: Progress = silent) -> Encoded:
        """Every block's features of the items, in their order."""


def open_encoder(
    folder: Path, *, name: str | None = None, cap: int | None = None, weights: str | None = None
) -> Encoder:
    """Open the checkpoint in ``folder``; torch is loaded now, and not before. Its weights are read once.

    Raises:
        CheckpointError: as `registry.encoders.loading.inspect`; or the weights are not those of the digest ``weights``.
    """
    opened: Encoder = import_module("registry.encoders.encoder").load_encoder(
        folder, name=name, cap=cap, weights=weights
    )
    return opened


def at_positions(encoder: Encoder) -> Encoder:
    """The same checkpoint, one vector for each position of an item, item after item.

    Raises:
        Unsupported: the modality's items have none.
    """
    positional: Encoder = import_module("registry.encoders.encoder").positional_encoder(encoder)
    return positional
