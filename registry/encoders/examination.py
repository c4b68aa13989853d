"""Whether an encoder is a function of its item: the same vector alone and in company, and not one for all."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from registry.encoders import Encoder
from registry.encoders.encoder import CheckpointEncoder, load_encoder
from registry.encoders.loading import Opened
from registry.errors import EstimatorError, NotAFunction, TransferZooError, Unsupported
from registry.features import Encoded
from registry.modalities import modalities

__all__ = ["REPEATED_WITHIN", "examine_checkpoint", "require_function"]

_LARGE = 30_000_000
"""Parameters from which on a net is shown two examples, and smaller ones than it is used with."""
_SMALLER = 4
"""By what the usual size of inputs is divided for these."""
REPEATED_WITHIN = 1e-3
"""How far two vectors of one item may lie apart, relative to the largest value of any: batches are summed otherwise."""


def examine_checkpoint(folder: Path, name: str, cap: int | None = None) -> Opened:
    """Open the checkpoint in a folder as `Zoo.encoder` does, and encode examples with it; what the folder says.

    Its weights are read once: hashed, held to be finite and loaded from the same memory.

    Raises:
        CheckpointError: it cannot be opened, fails on an example, is no function of its item, or a constant one.
    """
    try:
        encoder = load_encoder(folder, name=name, cap=cap)
        large = sum(parameter.numel() for parameter in encoder.network.model.parameters()) > _LARGE
        examples = encoder.network.examples()
        if large:
            vectors = require_function(_at_small_inputs(encoder, folder), (examples[0], examples[-1])).last.vectors
        else:
            vectors = require_function(encoder, examples).last.vectors
    except EstimatorError as cause:
        raise Unsupported(folder, f"it cannot encode an example ({cause})") from cause
    except (TransferZooError, MemoryError):
        raise
    except Exception as cause:  # a stranger's net may raise anything
        why = f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}"
        raise Unsupported(folder, f"it cannot encode an example ({why})") from cause
    if np.array_equal(vectors, np.broadcast_to(vectors[:1], vectors.shape)):
        raise Unsupported(
            folder,
            "every example gives the same vector",
            "Its weights are untrained or damaged, or its preprocessing makes all items alike.",
        )
    return encoder.opened


def require_function(encoder: Encoder, items: Sequence[Any]) -> Encoded:
    """Encode items together, and the last of them alone; the same item must have the same vector in every block.

    Where it has not, they are encoded once more, to say why.

    Raises:
        NotAFunction: it has not.
    """
    together = encoder.encode(items)
    last = np.array([len(items) - 1])
    alone = encoder.encode(items[-1:])
    try:
        _require_equal(encoder.name, together.take(last), alone, "an item's vector depends on what is encoded with it")
    except NotAFunction:
        again = encoder.encode(items)
        _require_equal(encoder.name, together, again, "the same items give other vectors the second time")
        raise
    return together


def _at_small_inputs(encoder: CheckpointEncoder, folder: Path) -> CheckpointEncoder:
    """The same net with small inputs, where it takes them: that it takes those of its size is seen without values."""
    modality = modalities[encoder.modality]
    return replace(encoder, network=modality.open(folder, encoder.network.model, modality.defaults.cap // _SMALLER))


def _require_equal(name: str, one: Encoded, other: Encoded, why: str) -> None:
    for left, right in zip(one.blocks, other.blocks, strict=True):
        apart = float(np.abs(left.vectors - right.vectors).max())
        scale = max(float(np.abs(left.vectors).max()), float(np.finfo(np.float32).tiny))
        if apart > REPEATED_WITHIN * scale:
            raise NotAFunction(name, f"{why} (by {100 * apart / scale:.0f} % of the largest value)")
