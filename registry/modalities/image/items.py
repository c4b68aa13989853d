"""Images as items: from untrusted bytes, capped before they are decoded, or from memory; upright 8-bit RGB when opened.

One pass over a file gives its digest, its verdict (readable or why not), what had to be converted, and a small luma
thumbnail by which near duplicates are found. What deep pictures look like follows once all of them were seen.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from registry.errors import ItemUnreadable, UnusableArrays, printable
from registry.forms import from_json
from registry.modalities import Reading, Undecodable
from registry.modalities.image.decoding import MAX_PIXELS, THUMBNAIL, Depth, Scale, decode, decoded, looks_like

__all__ = ["ImageItem", "decoded_item", "items_from_memory", "settled_items", "thumbnail"]

_PATIENT_PIXELS = 64
_USABLE = "Give uint8 of shape (n, height, width) or (n, height, width, 3), or a list of such images; at least one."


@dataclass(frozen=True)
class ImageItem:
    """One image: a file, the bytes of one, or an array of pixels. Equal where name and content are."""

    name: str
    """Path below the folder or archive that was read (bytes that are no text escaped), or the row's number."""
    digest: str
    """SHA-256 of the file's bytes (of shape and pixels for an array)."""
    path: Path | None = field(default=None, compare=False, repr=False)
    data: bytes | None = field(default=None, compare=False, repr=False)
    pixels: UInt8[np.ndarray, "h w *c"] | None = field(default=None, compare=False, repr=False)
    thumbnail: bytes = field(default=b"", compare=False, repr=False)
    """A 64 x 64 luma thumbnail, row by row; empty where none was taken."""
    scale: Scale = field(default=Scale(), compare=False, repr=False)
    """What is black and white where the picture has more than 8 bits: its sample's, and empty otherwise."""
    kinds: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """As `registry.modalities.Item.kinds`: gray, palette, CMYK, 16-bit, animated, EXIF-rotated ..."""
    depth: Depth | None = field(default=None, compare=False, repr=False)
    """What a scale is found from, until it is settled."""

    @property
    def identity(self) -> str:
        """As `registry.modalities.Item.identity`: pictures are the same where their bytes are."""
        return self.digest

    @property
    def shown(self) -> str:
        """What `open` gives, as a digest: that of the content, and of the scale where there is one."""
        if not self.scale:
            return self.digest
        return hashlib.sha256(f"{self.digest} {json.dumps(self.scale.to_dict())}".encode()).hexdigest()

    def open(self) -> Image.Image:
        """The image, upright, as 8-bit RGB, on white where it is transparent; the first frame of several.

        Raises:
            ItemUnreadable: the file has gone or changed, and cannot be read any more.
        """
        if self.pixels is not None:
            return Image.fromarray(self.pixels).convert("RGB")
        source = self.path if self.data is None else self.data
        if source is None:
            raise ItemUnreadable(self.name, "it has neither a file nor data")
        try:
            return decode(source).image(self.scale)
        except Exception as fault:  # decoders raise anything at all on broken bytes
            raise ItemUnreadable(self.name, _in_words(fault)) from fault


def decoded_item(name: str, content: bytes, path: Path | None) -> ImageItem | Undecodable:
    """As `registry.modalities.Modality.decode`."""
    try:
        decoding = decode(content, least_side=_PATIENT_PIXELS)  # JPEG: all bytes read, a fraction of the work
        depth = decoding.depth
        thumb = b"" if decoding.shallow is None else thumbnail(decoding.shallow)
    except Exception as fault:  # decoders raise anything at all on broken bytes
        return Undecodable(looks_like(content) or _in_words(fault))
    digest = hashlib.sha256(content).hexdigest()
    return ImageItem(
        name, digest, path, content if path is None else None, thumbnail=thumb, kinds=decoding.kinds, depth=depth
    )


def settled_items(items: Sequence[ImageItem], reading: Reading) -> tuple[tuple[ImageItem, ...], Reading]:
    """Each with the scale by which it becomes 8-bit: that of the reading, and what it lacks measured on all."""
    deep = [item.depth for item in items if item.depth is not None]
    scale = from_json(Scale, reading) | Scale.of((depth.floats, depth.span) for depth in deep)
    settled = tuple(
        item
        if item.depth is None
        else replace(item, scale=item.depth.own(scale), thumbnail=item.depth.thumbnail(scale), depth=None)
        for item in items
    )
    return settled, scale.to_dict() if scale else {}


def items_from_memory(values: Any) -> tuple[ImageItem, ...]:  # noqa: ANN401 - arrays, lists of arrays or of pictures
    """One item for each of the uint8 images (n, h, w) or (n, h, w, 3), or of a list of such arrays or PIL's pictures.

    Raises:
        UnusableArrays: another kind or shape, or masked pixels.
    """
    if isinstance(values, np.ndarray) and values.dtype != object:
        shaped = values.ndim == 3 or (values.ndim == 4 and values.shape[-1] in {1, 3})
        if values.dtype != np.uint8 or not shaped or 0 in values.shape:
            raise _unusable(str(values.dtype), values.shape, f"an array of {values.dtype} and shape {values.shape}")
        return tuple(_of_pixels(row, pixels) for row, pixels in enumerate(_unmasked(values)))
    if not isinstance(values, Sequence) or isinstance(values, str | bytes) or not values:
        what = "an empty list" if isinstance(values, Sequence) and not len(values) else f"a {type(values).__name__}"
        raise _unusable(type(values).__name__, (), what)
    return tuple(
        _of_picture(row, value) if isinstance(value, Image.Image) else _of_pixels(row, _pixels(row, value))
        for row, value in enumerate(values)
    )


def thumbnail(image: Image.Image) -> bytes:
    """The image's luma averaged into 64 x 64 cells, row by row."""
    return image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).convert("L").tobytes()


def _unusable(dtype: str, shape: tuple[int, ...], what: str) -> UnusableArrays:
    return UnusableArrays(dtype, shape, f"images cannot be {what}", _USABLE)


def _unmasked(pixels: np.ndarray) -> np.ndarray:
    if np.ma.getmaskarray(pixels).any():
        raise _unusable(str(pixels.dtype), pixels.shape, "arrays with masked pixels")
    return np.ma.getdata(pixels)


def _pixels(row: int, image: object) -> np.ndarray:
    try:
        pixels = np.asanyarray(image)
    except ValueError as cause:  # lists of different lengths
        raise UnusableArrays("object", (), f"image {row} is no array of pixels", _USABLE) from cause
    shaped = pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[-1] in {1, 3})
    if pixels.dtype != np.uint8 or not shaped or 0 in pixels.shape:
        why = f"image {row} cannot be an array of {pixels.dtype} and shape {pixels.shape}"
        raise UnusableArrays(str(pixels.dtype), pixels.shape, why, _USABLE)
    return _unmasked(pixels)


def _of_pixels(row: int, pixels: np.ndarray, kinds: tuple[str, ...] = ()) -> ImageItem:
    flat = np.ascontiguousarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels)
    digest = hashlib.sha256(f"{flat.shape}".encode() + flat.tobytes()).hexdigest()
    gray = ("gray",) if flat.ndim == 2 and "gray" not in kinds else ()
    return ImageItem(str(row), digest, pixels=flat, thumbnail=thumbnail(Image.fromarray(flat)), kinds=(*gray, *kinds))


def _of_picture(row: int, picture: Image.Image) -> ImageItem:
    """One of PIL's; where it has more than 8 bits a channel it is kept as the file that holds the same values."""
    try:
        decoding = decoded(picture)
        if decoding.shallow is not None:
            as_it_is = decoding.shallow.convert("L") if picture.mode == "L" else decoding.shallow
            return _of_pixels(row, np.asarray(as_it_is), decoding.kinds)
        written = BytesIO()
        picture.save(written, "TIFF")
    except Exception as fault:  # pictures are read late, from bytes that may be broken
        raise UnusableArrays(picture.mode, picture.size, f"image {row} cannot be read: {_in_words(fault)}") from fault
    item = decoded_item(str(row), written.getvalue(), None)
    if isinstance(item, Undecodable):
        raise UnusableArrays(picture.mode, picture.size, f"image {row} cannot be read: {item.reason}")
    return item


def _in_words(fault: Exception) -> str:
    if isinstance(fault, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS // 10**6} megapixels"
    if isinstance(fault, UnidentifiedImageError):
        return "not an image that can be decoded"
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return printable(str(fault)) or type(fault).__name__
