"""Images from untrusted bytes: capped before they are decoded, turned to upright 8-bit RGB, fingerprinted.

One pass over a file gives its digest, its verdict (readable or why not), what had to be converted, and a small luma
thumbnail by which near duplicates are found.
"""

import hashlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from registry.errors import TooManyUnreadable
from registry.progress import Progress, told

__all__ = [
    "IMAGE_SUFFIXES", "MAX_BYTES", "MAX_PIXELS", "TOLERATED", "ImageItem", "Rows", "read_items", "thumbnail",
]  # fmt: skip

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MAX_PIXELS = 50_000_000
MAX_BYTES = 256 * 2**20
THUMBNAIL = 16
TOLERATED = 0.2
"""Share of a sample's items that may be unreadable."""

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", TiffImagePlugin.TiffImageFile.format, WebPImagePlugin.WebPImageFile.format)
"""None whose decoder runs another program."""
_ORIENTATION = 0x0112
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")
_PATIENT_PIXELS = 64


@dataclass(frozen=True)
class ImageItem:
    """One image: a file, the bytes of one, or an array of pixels. Equal where name and content are."""

    name: str
    """Path below the folder or archive that was read, or the row's number."""
    digest: str
    """SHA-256 of the file's bytes (of shape and pixels for an array)."""
    path: Path | None = field(default=None, compare=False, repr=False)
    data: bytes | None = field(default=None, compare=False, repr=False)
    pixels: UInt8[np.ndarray, "h w *c"] | None = field(default=None, compare=False, repr=False)
    look: bytes = field(default=b"", compare=False, repr=False)
    """A 16 x 16 luma thumbnail, row by row; empty where none was taken."""

    def open(self) -> Image.Image:
        """The image, upright, as 8-bit RGB; the first frame of several.

        Raises:
            OSError: the file has gone or changed, and cannot be read any more.
        """
        if self.pixels is not None:
            return Image.fromarray(self.pixels).convert("RGB")
        source = self.path if self.data is None else BytesIO(self.data)
        if source is None:
            raise OSError(f"{self.name} has neither a file nor data")
        with Image.open(source, formats=_FORMATS) as image:
            _require_size(image)
            return _rgb(image)


@dataclass(frozen=True)
class Rows:
    """What a reader gives: labelled items, and what became of the rest."""

    items: tuple[ImageItem, ...]
    labels: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...] = ()
    """Name and reason of each item skipped."""
    converted: dict[str, int] = field(default_factory=dict)
    """How many items of each unusual kind were turned to RGB."""
    found: int = 0
    """Files there were, before any sampling."""
    notes: tuple[str, ...] = ()
    test: "Rows | None" = None


@dataclass(frozen=True)
class _Seen:
    """One file after the pass: an item and its conversions, or a reason."""

    item: ImageItem | None
    kinds: tuple[str, ...] = ()
    reason: str = ""


def read_items(
    place: Path,
    names: Sequence[str],
    labels: Sequence[str],
    fetch: Callable[[str], tuple[bytes, Path | None]],
    *,
    progress: Progress,
    tolerated: float = TOLERATED,
) -> Rows:
    """Read every named file once, in a pool of threads, and keep what can be decoded.

    ``fetch`` gives a name's bytes, and its path where the bytes need not be kept.

    Raises:
        TooManyUnreadable: more than the share ``tolerated`` cannot be read.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # Pillow's complaints become verdicts
        passing = pool.map(lambda name: _see(name, fetch), names)
        seen = list(told(passing, "reading images", len(names), progress))
    unreadable = tuple((name, each.reason) for name, each in zip(names, seen, strict=True) if each.item is None)
    if len(unreadable) > tolerated * len(names):
        raise TooManyUnreadable(place, len(unreadable), len(names), ": ".join(unreadable[0]))
    return Rows(
        tuple(each.item for each in seen if each.item is not None),
        tuple(label for label, each in zip(labels, seen, strict=True) if each.item is not None),
        unreadable,
        dict(sorted(Counter(kind for each in seen for kind in each.kinds).items())),
        found=len(names),
    )


def thumbnail(image: Image.Image) -> bytes:
    """The image's luma averaged into 16 x 16 cells, row by row."""
    return image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).convert("L").tobytes()


def _see(name: str, fetch: Callable[[str], tuple[bytes, Path | None]]) -> _Seen:
    try:
        content, path = fetch(name)
        if not content:
            return _Seen(None, reason="empty file")
        with Image.open(BytesIO(content), formats=_FORMATS) as image:
            _require_size(image)
            kinds = _kinds(image)
            image.draft(image.mode, (_PATIENT_PIXELS, _PATIENT_PIXELS))  # JPEG: all bytes read, a fraction of the work
            look = thumbnail(_rgb(image))
    except Exception as fault:  # decoders raise anything at all on broken bytes
        return _Seen(None, reason=_in_words(fault))
    digest = hashlib.sha256(content).hexdigest()
    return _Seen(ImageItem(name, digest, path, content if path is None else None, look=look), kinds)


def _in_words(fault: Exception) -> str:
    if isinstance(fault, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS // 10**6} megapixels"
    if isinstance(fault, UnidentifiedImageError):
        return "not an image that can be decoded"
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return str(fault) or type(fault).__name__


def _require_size(image: Image.Image) -> None:
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise OSError(f"{pixels / 1e6:.0f} megapixels, more than {MAX_PIXELS // 10**6}")


def _kinds(image: Image.Image) -> tuple[str, ...]:
    mode = image.mode
    of_mode = {"CMYK": "CMYK", "1": "gray", "L": "gray", "LA": "gray", "P": "palette", "PA": "palette", "F": "float"}
    kinds = ["16-bit"] if mode in _SIXTEEN_BIT or mode == "I" else [of_mode[mode]] if mode in of_mode else []
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        kinds.append("alpha")
    if getattr(image, "is_animated", False) and image.format != "MPO":
        kinds.append("animated")
    if _orientation(image) != 1:
        kinds.append("EXIF-rotated")
    return tuple(kinds)


def _orientation(image: Image.Image) -> int:
    try:
        told_by_camera = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken EXIF is no EXIF
        return 1
    return told_by_camera if told_by_camera in range(2, 9) else 1


def _rgb(image: Image.Image) -> Image.Image:
    image.load()
    upright = ImageOps.exif_transpose(image) if _orientation(image) != 1 else image
    if upright.mode in (*_SIXTEEN_BIT, "I", "F"):
        return _eight_bit(upright).convert("RGB")
    if upright.mode in ("P", "PA"):
        return upright.convert("RGBA").convert("RGB")
    return upright.convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Whole numbers are scaled by the bits they use (12-bit data in 16-bit files), floats by their range."""
    values = np.asarray(image).astype(np.float64)
    values = np.where(np.isfinite(values), values, 0.0)
    low = 0.0 if image.mode != "F" else float(values.min())
    low, high = min(low, float(values.min())), float(values.max())
    span = high - low if image.mode == "F" else 2.0 ** max(8, int(high - low).bit_length()) - 1
    return Image.fromarray(np.round((values - low) * (255 / span if span else 0.0)).astype(np.uint8))
