"""Whether an encoder is a function of its item: the same vector again, alone and in company, and not one for all."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from registry.encoders import Encoder
from registry.encoders.encoder import open_encoder
from registry.errors import EstimatorError, NotAFunction, TransferZooError, Unsupported
from registry.features import Encoded

__all__ = ["TOLERANCE", "examine", "require_function"]

TOLERANCE = 1e-3
"""How far two vectors of one item may lie apart, relative to the largest value of any: batches are summed otherwise."""


def examine(folder: Path, name: str) -> None:
    """Open the checkpoint in a folder as `Zoo.encoder` does, and encode examples with it.

    Raises:
        CheckpointError: it cannot be opened, fails on an example, is no function of its item, or a constant one.
    """
    try:
        encoder = open_encoder(folder, name=name)
        vectors = require_function(encoder, encoder.network.examples()).last.vectors
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


def require_function(encoder: Encoder, items: Sequence[Any]) -> Encoded:
    """Encode items twice, in another order and alone; the same item must have the same vector in every block.

    Raises:
        NotAFunction: it has not.
    """
    first, again = encoder.encode(items), encoder.encode(items)
    _require_equal(encoder.name, first, again, "the same items give other vectors the second time")
    places = np.arange(len(items))[::-1]
    turned = encoder.encode([items[place] for place in places]).take(places)
    company = "an item's vector depends on what else is encoded with it"
    _require_equal(encoder.name, first, turned, company)
    _require_equal(encoder.name, first.take(np.array([0])), encoder.encode(items[:1]), company)
    return first


def _require_equal(name: str, one: Encoded, other: Encoded, why: str) -> None:
    for left, right in zip(one.blocks, other.blocks, strict=True):
        apart = float(np.abs(left.vectors - right.vectors).max())
        scale = max(float(np.abs(left.vectors).max()), float(np.finfo(np.float32).tiny))
        if apart > TOLERANCE * scale:
            raise NotAFunction(name, f"{why} (by {100 * apart / scale:.0f} % of the largest value)")
