"""Images from untrusted bytes: capped before they are decoded, turned to upright 8-bit RGB, fingerprinted.

One pass over a file gives its digest, its verdict (readable or why not), what had to be converted, and a small luma
thumbnail by which near duplicates are found. What deep pictures look like follows once all of them were seen.
"""

import hashlib
import json
import os
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError

from registry.errors import ItemUnreadable, TooManyUnreadable, printable
from registry.progress import Phase, Progress, tracked
from registry.readers.decoding import MAX_PIXELS, THUMBNAIL, Depth, Scale, decode, looks_like

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_BYTES",
    "MAX_PIXELS",
    "TOLERATED",
    "ImageItem",
    "Rows",
    "read_items",
    "thumbnail",
]

IMAGE_SUFFIXES = frozenset(
    {
        ".bmp",
        ".gif",
        ".jfif",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".pbm",
        ".pgm",
        ".png",
        ".pnm",
        ".ppm",
        ".tif",
        ".tiff",
        ".webp",
    }
)
MAX_BYTES = 256 * 2**20
TOLERATED = 0.2
"""Share of a sample's items that may be unreadable."""

_PATIENT_PIXELS = 64


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
    look: bytes = field(default=b"", compare=False, repr=False)
    """A 16 x 16 luma thumbnail, row by row; empty where none was taken."""
    scale: Scale = field(default=Scale(), compare=False, repr=False)
    """What is black and white where the picture has more than 8 bits: its sample's, and empty otherwise."""

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
    scale: Scale = field(default=Scale())
    """By which deep pictures were mapped to 8 bits."""


@dataclass(frozen=True)
class _Seen:
    """One file after the pass: an item and its conversions, or a reason."""

    item: ImageItem | None
    kinds: tuple[str, ...] = ()
    reason: str = ""
    depth: Depth | None = None


def read_items(
    place: Path,
    names: Sequence[str],
    labels: Sequence[str],
    fetch: Callable[[str], tuple[bytes, Path | None]],
    *,
    progress: Progress,
    tolerated: float = TOLERATED,
    scale: Scale | None = None,
) -> Rows:
    """Read every named file once, in a pool of threads, and keep what can be decoded.

    ``fetch`` gives a name's bytes, and its path where the bytes need not be kept. Deep pictures are mapped by
    ``scale``; what it lacks is measured on all of them together.

    Raises:
        TooManyUnreadable: more than the share ``tolerated`` cannot be read.
    """
    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # Pillow's complaints become results
        passing = pool.map(lambda name: _see(name, fetch), names)
        seen = list(tracked(passing, progress, Phase.READ, len(names), "images"))
    bad = [(printable(name), each.reason) for name, each in zip(names, seen, strict=True) if each.item is None]
    if len(bad) > tolerated * len(names):
        raise TooManyUnreadable(place, len(bad), len(names), ": ".join(bad[0]))
    measured = Scale.of((each.depth.floats, each.depth.span) for each in seen if each.depth is not None)
    used = measured if scale is None else scale | measured
    kept = [place for place, each in enumerate(seen) if each.item is not None]
    return Rows(
        tuple(item for each in seen if (item := _scaled(each, used)) is not None),
        tuple(labels[place] for place in kept),
        tuple(bad),
        dict(sorted(Counter(kind for each in seen for kind in each.kinds).items())),
        found=len(names),
        scale=used,
    )


def thumbnail(image: Image.Image) -> bytes:
    """The image's luma averaged into 16 x 16 cells, row by row."""
    return image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX).convert("L").tobytes()


def _see(name: str, fetch: Callable[[str], tuple[bytes, Path | None]]) -> _Seen:
    content = b""
    try:
        content, path = fetch(name)
        if not content:
            return _Seen(None, reason="empty file")
        decoded = decode(content, least_side=_PATIENT_PIXELS)  # JPEG: all bytes read, a fraction of the work
        depth = decoded.depth
        look = b"" if decoded.shallow is None else thumbnail(decoded.shallow)
    except Exception as fault:  # decoders raise anything at all on broken bytes
        return _Seen(None, reason=looks_like(content) or _in_words(fault))
    digest = hashlib.sha256(content).hexdigest()
    item = ImageItem(printable(name), digest, path, content if path is None else None, look=look)
    return _Seen(item, decoded.kinds, depth=depth)


def _scaled(seen: _Seen, scale: Scale) -> ImageItem | None:
    if seen.item is None or seen.depth is None:
        return seen.item
    return replace(seen.item, scale=seen.depth.own(scale), look=seen.depth.thumbnail(scale))


def _in_words(fault: Exception) -> str:
    if isinstance(fault, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS // 10**6} megapixels"
    if isinstance(fault, UnidentifiedImageError):
        return "not an image that can be decoded"
    if isinstance(fault, OSError) and fault.strerror:
        return fault.strerror
    return printable(str(fault)) or type(fault).__name__
