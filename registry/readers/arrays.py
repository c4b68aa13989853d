"""Images that are already arrays of pixels."""

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from registry.errors import LengthMismatch, UnusableArrays, UnusableLabels
from registry.readers.images import ImageItem, Rows, thumbnail

__all__ = ["array_items", "plain_labels", "read_arrays"]


def read_arrays(images: np.ndarray, labels: Sequence[object] | np.ndarray) -> Rows:
    """Rows of uint8 images (n, h, w) or (n, h, w, 3), each with its label.

    Raises:
        UnusableArrays: another kind or shape.
        UnusableLabels: a label that is missing, or labels of mixed kinds.
        LengthMismatch: not one label an image.
    """
    items = array_items(images)
    if len(items) != len(labels):
        raise LengthMismatch("images and labels", len(items), len(labels))
    gray = len(items) if images.ndim == 3 or images.shape[-1] == 1 else 0
    return Rows(items, plain_labels(labels), converted={"gray": gray} if gray else {}, found=len(items))


def array_items(images: np.ndarray) -> tuple[ImageItem, ...]:
    """One item for each of the uint8 images (n, h, w) or (n, h, w, 3).

    Raises:
        UnusableArrays: another kind or shape.
    """
    _require_images(images)
    return tuple(_item(row, pixels) for row, pixels in enumerate(images))


def plain_labels(labels: Sequence[object] | np.ndarray) -> tuple[str, ...]:
    """Labels as text; whole numbers lose nothing by it.

    Raises:
        UnusableLabels: None, an empty text, a fraction, or labels of mixed kinds, with the rows.
    """
    values = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    kinds = [_kind(value) for value in values]
    bad = [row for row, kind in enumerate(kinds) if kind is None]
    if bad:
        raise UnusableLabels(f"{values[bad[0]]!r} is neither text nor a whole number", bad)
    mixed = [row for row, kind in enumerate(kinds) if kind != kinds[0]]
    if mixed:
        raise UnusableLabels(f"some are {kinds[0]}s, some {kinds[mixed[0]]}s", mixed)
    return tuple(str(int(value)) if isinstance(value, float) else str(value) for value in values)


def _kind(value: object) -> str | None:
    match value:
        case bool() | np.bool_():
            return "truth value"
        case int() | np.integer():
            return "whole number"
        case float() if value.is_integer():
            return "whole number"
        case str() if value.strip():
            return "text"
        case _:
            return None


def _require_images(images: np.ndarray) -> None:
    shaped = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3))
    if images.dtype != np.uint8 or not shaped or 0 in images.shape:
        raise UnusableArrays(str(images.dtype), images.shape)


def _item(row: int, pixels: np.ndarray) -> ImageItem:
    flat = np.ascontiguousarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels)
    digest = hashlib.sha256(f"{flat.shape}".encode() + flat.tobytes()).hexdigest()
    return ImageItem(str(row), digest, pixels=flat, look=thumbnail(Image.fromarray(flat)))
