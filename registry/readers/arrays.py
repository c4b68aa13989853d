"""Images that are already arrays of pixels."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from registry.errors import LengthMismatch, UnusableArrays, UnusableLabels, printable
from registry.readers.images import ImageItem, Rows, thumbnail

__all__ = ["Images", "array_items", "label_values", "plain_labels", "read_arrays"]

Images = np.ndarray | Sequence[Any]
"""One array of all images, or a list of arrays."""

_EXACT = 2**53
"""Up to here every whole number has its own float."""
_SHOWN = 60


def read_arrays(images: Images, labels: Sequence[object] | np.ndarray) -> Rows:
    """Rows of uint8 images (n, h, w) or (n, h, w, 3), or of a list of such images, each with its label.

    Raises:
        UnusableArrays: another kind or shape.
        UnusableLabels: a label that is missing, or labels of mixed kinds.
        LengthMismatch: not one label an image.
    """
    items = array_items(images)
    shown = plain_labels(labels)
    if len(items) != len(shown):
        raise LengthMismatch("images and labels", len(items), len(shown))
    gray = sum(item.pixels is not None and item.pixels.ndim == 2 for item in items)
    return Rows(items, shown, converted={"gray": gray} if gray else {}, found=len(items))


def array_items(images: Images) -> tuple[ImageItem, ...]:
    """One item for each of the uint8 images (n, h, w) or (n, h, w, 3), or of a list of images (h, w) or (h, w, 3).

    Raises:
        UnusableArrays: another kind or shape, or masked pixels.
    """
    if isinstance(images, np.ndarray):
        shaped = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in {1, 3})
        if images.dtype != np.uint8 or not shaped or 0 in images.shape:
            raise UnusableArrays(str(images.dtype), images.shape)
        return tuple(_item(row, pixels) for row, pixels in enumerate(_unmasked(images)))
    if not isinstance(images, Sequence) or isinstance(images, str | bytes) or not images:
        what = "an empty list" if isinstance(images, Sequence) and not len(images) else f"a {type(images).__name__}"
        raise UnusableArrays(type(images).__name__, (), f"images cannot be {what}")
    return tuple(_item(row, _picture(row, image)) for row, image in enumerate(images))


def plain_labels(labels: Sequence[object] | np.ndarray) -> tuple[str, ...]:
    """Labels as text; whole numbers lose nothing by it, and bytes that are no text are escaped.

    Raises:
        UnusableLabels: None, an empty text, a fraction, a number too large to be exact, or labels of mixed kinds, with
            the rows.
    """
    values = label_values(labels)
    kinds = [_kind(value) for value in values]
    bad = [row for row, kind in enumerate(kinds) if kind is None]
    if bad:
        raise UnusableLabels(f"{_cut(values[bad[0]])} is neither text nor a whole number", bad)
    mixed = [row for row, kind in enumerate(kinds) if kind != kinds[0]]
    if mixed:
        raise UnusableLabels(f"some are {kinds[0]}s, some {kinds[mixed[0]]}s", mixed)
    return tuple(str(int(value)) if isinstance(value, float) else printable(str(value)) for value in values)


def label_values(labels: Sequence[object] | np.ndarray) -> list[object]:
    """Labels as a list of Python's own values; what is masked is None.

    Raises:
        UnusableLabels: one value, or what cannot be counted through.
    """
    try:
        listed = labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
    except TypeError as cause:
        raise UnusableLabels(f"{_cut(labels)} is no sequence") from cause
    if not isinstance(listed, list):
        raise UnusableLabels(f"{_cut(labels)} is one value")
    return listed


def _cut(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]} ..."


def _unmasked(pixels: np.ndarray) -> np.ndarray:
    if np.ma.getmaskarray(pixels).any():
        raise UnusableArrays(str(pixels.dtype), pixels.shape, "images cannot have masked pixels")
    return np.ma.getdata(pixels)


def _picture(row: int, image: object) -> np.ndarray:
    try:
        pixels = np.asanyarray(image)
    except ValueError as cause:  # lists of different lengths
        raise UnusableArrays("object", (), f"image {row} is no array of pixels") from cause
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[-1] in {1, 3})
    if pixels.dtype != np.uint8 or not shaped or 0 in pixels.shape:
        why = f"image {row} cannot be an array of {pixels.dtype} and shape {pixels.shape}"
        raise UnusableArrays(str(pixels.dtype), pixels.shape, why)
    return _unmasked(pixels)


def _kind(value: object) -> str | None:
    match value:
        case bool() | np.bool_():
            return "truth value"
        case int() | np.integer():
            return "whole number"
        case float() if value.is_integer() and abs(value) <= _EXACT:
            return "whole number"
        case str() if value.strip():
            return "text"
        case _:
            return None


def _item(row: int, pixels: np.ndarray) -> ImageItem:
    flat = np.ascontiguousarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels)
    digest = hashlib.sha256(f"{flat.shape}".encode() + flat.tobytes()).hexdigest()
    return ImageItem(str(row), digest, pixels=flat, look=thumbnail(Image.fromarray(flat)))
