"""From the bytes of a picture to upright 8-bit RGB: what lies below alpha, above 8 bits or beside three bands.

Transparent pictures are laid on white, as a viewer shows them: what a file keeps below alpha 0 is what was cut away.
Pictures of more than 8 bits a channel, or of floating point, are mapped by one straight line for all pictures of a
sample (`Scale`), so that brightness stays comparable from picture to picture, from training to test, and later.
"""

import sys
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from jaxtyping import Float, Shaped, UInt8
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from registry.forms import Record

__all__ = ["MAX_PIXELS", "THUMBNAIL", "Decoded", "Depth", "Range", "Scale", "decode", "decoded", "looks_like"]

MAX_PIXELS = 50_000_000
THUMBNAIL = 64

_TIFF = TiffImagePlugin.TiffImageFile.format
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", _TIFF, WebPImagePlugin.WebPImageFile.format)
"""None whose decoder runs another program."""
_ORIENTATION = 0x0112
_PLANAR = 284
_SIXTEEN_BIT = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
_LITTLE = sys.byteorder == "little"
_LOW_BYTES = {
    f"{mode};16{order}": f"{mode};16{'B' if order == 'L' or (order == 'N' and _LITTLE) else 'L'}"
    for mode in ("RGB", "RGBA", "RGBX")
    for order in "LBN"
}
"""Pillow keeps the high byte of each 16-bit channel; read with the other byte order it keeps the low one."""
_KINDS = {
    "1": "gray",
    "L": "gray",
    "LA": "gray",
    "La": "gray",
    "P": "palette",
    "PA": "palette",
    "CMYK": "CMYK",
    "LAB": "LAB",
    "YCbCr": "YCbCr",
    "HSV": "HSV",
    "F": "float",
    "I": "16-bit",
    **dict.fromkeys(_SIXTEEN_BIT, "16-bit"),
}
_OUTLIERS = 1_000
"""One value in so many, and one at least, may lie beyond what counts as black and white."""
_SEEN_VALUES = 1 << 20
_BANDS = 3
_MAX_BANDED_BYTES = 1 << 30

Range = tuple[float, float]
"""The values that become black and white."""


@dataclass(frozen=True)
class Scale(Record):
    """Black and white of all pictures of a sample that hold whole numbers above 8 bits, and of those of floats."""

    whole: Range | None = None
    real: Range | None = None

    @classmethod
    def of(cls, ranges: Iterable[tuple[bool, Range]]) -> "Scale":
        """From whether each picture holds floats, and the robust range of its values.

        Whole numbers begin at 0 and are scaled by the bits that they use (12-bit data in 16-bit files). Floats
        within 0 and 1 keep that range, others span theirs.
        """
        known: dict[bool, Range] = {}
        for floats, (low, high) in ranges:
            lowest, highest = known.get(floats, (low, high))
            known[floats] = min(low, lowest), max(high, highest)
        whole, real = known.get(False), known.get(True)
        if whole is not None:
            low, high = min(0.0, whole[0]), whole[1]
            whole = low, low + 2.0 ** max(8, int(high - low).bit_length()) - 1
        if real is not None and real[0] >= 0 and real[1] <= 1:
            real = 0.0, 1.0
        return cls(whole, real)

    def __or__(self, other: "Scale") -> "Scale":
        """A scale with the other's ranges where it has none."""
        return Scale(self.whole or other.whole, self.real or other.real)

    def __bool__(self) -> bool:
        return self.whole is not None or self.real is not None


@dataclass(frozen=True, eq=False)
class Depth:
    """What has to be kept of a deep picture until the scale of its sample is known."""

    floats: bool
    span: Range
    """Its values without the outermost thousandth."""
    cells: Float[np.ndarray, "t t"]
    """Means of its values in a grid."""
    opacity: Float[np.ndarray, "t t"] | None

    def own(self, scale: Scale) -> Scale:
        """The part of a scale that this picture is mapped by."""
        return Scale(real=scale.real) if self.floats else Scale(whole=scale.whole)

    def thumbnail(self, scale: Scale) -> bytes:
        """The grid as 8-bit luma, on white."""
        luma = _mapped(self.cells, _range(scale, self.floats)).astype(np.float32)
        if self.opacity is not None:
            luma = luma * self.opacity + 255 * (1 - self.opacity)
        return np.round(luma).astype(np.uint8).tobytes()


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture: upright 8-bit RGB, or the values that a scale maps to it."""

    kinds: tuple[str, ...]
    """What was unusual about it."""
    shallow: Image.Image | None = None
    values: Shaped[np.ndarray, "h w *c"] = field(default_factory=lambda: np.zeros((1, 1)))
    alpha: UInt8[np.ndarray, "h w"] | None = None

    def image(self, scale: Scale) -> Image.Image:
        """8-bit RGB; what the scale lacks is measured on this picture alone."""
        if self.shallow is not None:
            return self.shallow
        if _range(scale, self._floats) is None:
            scale |= Scale.of([(self._floats, _span(self.values))])
        mapped = Image.fromarray(_mapped(self.values, _range(scale, self._floats))).convert("RGB")
        if self.alpha is None:
            return mapped
        mapped.putalpha(Image.fromarray(self.alpha))
        return _on_white(mapped)

    @property
    def depth(self) -> Depth | None:
        """What a scale is found from; None for 8-bit pictures."""
        if self.shallow is not None:
            return None
        flat = self.values if self.values.ndim == 2 else self.values.mean(axis=2)
        opacity = None if self.alpha is None else _cells(self.alpha) / 255
        return Depth(self._floats, _span(self.values), _cells(flat), opacity)

    @property
    def _floats(self) -> bool:
        return self.values.dtype.kind == "f"


def decode(source: bytes | Path, *, least_side: int | None = None) -> Decoded:
    """The first frame of a picture, upright; a JPEG may come smaller, as long as it has ``least_side``.

    Raises:
        Exception: decoders raise anything at all on broken bytes.
    """
    try:
        opened = Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS)
    except UnidentifiedImageError:
        content = _content(source)
        if content[:4] in {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}:
            return _banded(content)
        raise
    with opened as image:
        _require_size(image.width, image.height)
        deep = any(";16" in _rawmode(tile.args) for tile in image.tile)  # reading EXIF ends a PNG's tiles
        if isinstance(image, TiffImagePlugin.TiffImageFile) and _is_deep_and_planar(image):
            return _banded(_content(source))
        low = _low_bytes(image, source) if deep else None
        kinds = _kinds(image, deep)
        if least_side is not None:
            image.draft(image.mode, (least_side, least_side))
        image.load()
        upright = _upright(image)
        return _decoded(upright, kinds) if low is None else _sixteen_bit(upright, low, kinds)


def decoded(image: Image.Image) -> Decoded:
    """What a picture that is open already comes to.

    Raises:
        Exception: it was opened from broken bytes, and not read so far.
    """
    _require_size(image.width, image.height)
    kinds = _kinds(image, deep=False)
    return _decoded(_upright(image), kinds)


def looks_like(content: bytes) -> str:
    """What bytes are that cannot be decoded, and what to do about it; empty where nobody knows."""
    head = content[:512]
    if head.startswith(b"version https://git-lfs.github.com/"):
        return "a Git LFS pointer, not the image itself; run: git lfs pull"
    if head[4:8] == b"ftyp":
        kind = {b"avif": "AVIF", b"avis": "AVIF"}.get(head[8:12], "HEIC")
        return f"{kind}, which is not read; convert it to JPEG or PNG"
    known = {
        b"%PDF": "a PDF",
        b"PK\3\4": "a zip",
        b"\x1f\x8b": "a gzip archive",
        b"%!PS": "PostScript",
        b"8BPS": "a PSD file",
        b"\0\5\x16\7": "an AppleDouble file",
        b"\x93NUMPY": "a NumPy array",
        b"\xff\x4f\xff\x51": "JPEG 2000",
        b"\0\0\0\x0cjP  ": "JPEG 2000",
    }
    for start, name in known.items():
        if head.startswith(start):
            return f"{name}, no picture that is read"
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html")):
        return "a web page, saved in place of the image"
    return "an SVG drawing, which is not read" if b"<svg" in text else ""


def _decoded(upright: Image.Image, kinds: tuple[str, ...]) -> Decoded:
    if upright.mode in _SIXTEEN_BIT or upright.mode in {"I", "F"}:
        return Decoded(kinds, values=_finite(np.asarray(upright)))
    return Decoded(kinds, _rgb(upright))


def _require_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise OSError(f"{width * height / 1e6:.0f} megapixels, more than {MAX_PIXELS // 10**6}")


def _is_deep_and_planar(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Whether a TIFF holds one band after the other, of more than 8 bits each: Pillow mixes up their bytes."""
    bits = image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (8,))
    return image.tag_v2.get(_PLANAR, 1) != 1 and len(bits) > 1 and max(bits) > 8


def _content(source: bytes | Path) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _kinds(image: Image.Image, deep: bool) -> tuple[str, ...]:
    kinds = [_KINDS[image.mode]] if image.mode in _KINDS else []
    if deep and "16-bit" not in kinds:
        kinds.append("16-bit")
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        kinds.append("alpha")
    if getattr(image, "is_animated", False) and image.format != "MPO":
        kinds.append("animated")
    if _orientation(image) != 1:
        kinds.append("EXIF-rotated")
    return tuple(kinds)


def _rawmode(args: object) -> str:
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _orientation(image: Image.Image) -> int:
    try:
        stated = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # broken EXIF is no EXIF
        return 1
    return stated if stated in range(2, 9) else 1


def _upright(image: Image.Image) -> Image.Image:
    return ImageOps.exif_transpose(image) if _orientation(image) != 1 else image


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode in {"RGBA", "LA", "La", "RGBa", "P", "PA"} or "transparency" in image.info:
        return _on_white(image.convert("RGBA"))
    return image.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", image.size, (255, 255, 255, 255))
    return Image.alpha_composite(ground, image).convert("RGB")


def _low_bytes(image: Image.Image, source: bytes | Path) -> Image.Image | None:
    """The low byte of each 16-bit channel of a color picture, from a second pass over its file."""
    tiles = image.tile  # type: ignore[attr-defined]
    if not tiles or image.mode not in {"RGB", "RGBA"} or any(_rawmode(t.args) not in _LOW_BYTES for t in tiles):
        return None
    with Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=_FORMATS) as again:
        again.tile = [tile._replace(args=_swapped(tile.args)) for tile in again.tile]
        again.load()
        return _upright(again).copy()


def _swapped(args: str | tuple[Any, ...] | None) -> str | tuple[Any, ...]:
    return (_LOW_BYTES[_rawmode(args)], *args[1:]) if isinstance(args, tuple) else _LOW_BYTES[_rawmode(args)]


def _sixteen_bit(high: Image.Image, low: Image.Image, kinds: tuple[str, ...]) -> Decoded:
    values = np.asarray(high).astype(np.uint16) * 256 + np.asarray(low)
    alpha = np.asarray(high)[..., 3] if values.shape[-1] == 4 else None
    return Decoded(kinds, values=values[..., :3], alpha=alpha)


def _banded(content: bytes) -> Decoded:
    """A TIFF that Pillow does not know: more bands than colors have, or numbers of another width."""
    with tifffile.TiffFile(BytesIO(content)) as file:
        page = file.pages.first
        _require_size(page.imagewidth, page.imagelength)
        if page.nbytes > _MAX_BANDED_BYTES:
            raise OSError(f"{page.nbytes >> 20} MiB of pixels, more than {_MAX_BANDED_BYTES >> 20}")
        values, axes = page.asarray(), page.axes
    if axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    elif axes not in {"YX", "YXS"}:
        raise OSError(f"a TIFF of axes {axes}, not rows by columns by bands")
    bands = values.shape[2] if values.ndim == 3 else 1
    values = values[..., :_BANDS] if bands >= _BANDS else values.reshape(*values.shape[:2], -1)[..., 0]
    kinds = (f"{bands} bands",) if bands not in {1, _BANDS} else ()
    if values.dtype == np.uint8:
        return Decoded(kinds or ("gray",), Image.fromarray(np.ascontiguousarray(values)).convert("RGB"))
    if values.dtype.kind == "f":
        return Decoded((*kinds, "float"), values=_finite(values.astype(np.float32)))
    if values.dtype.kind not in "ui":
        raise OSError(f"a TIFF of {values.dtype} numbers")
    return Decoded((*kinds, "16-bit"), values=values)


def _finite(values: np.ndarray) -> np.ndarray:
    """Whatever is no number becomes 0."""
    return values if values.dtype.kind != "f" else np.where(np.isfinite(values), values, values.dtype.type(0))


def _span(values: np.ndarray) -> Range:
    """Lowest and highest value once the outermost thousandth at each end, and one value at least, is left out."""
    flat = values.reshape(-1)
    flat = np.sort(flat[:: -(-flat.size // _SEEN_VALUES)])
    out = min(-(-flat.size // _OUTLIERS), (flat.size - 1) // 2)
    return float(flat[out]), float(flat[-1 - out])


def _range(scale: Scale, floats: bool) -> Range | None:
    return scale.real if floats else scale.whole


def _mapped(values: np.ndarray, span: Range | None) -> np.ndarray:
    low, high = span or (0.0, 0.0)
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # floats at the edge of their range
        shares = (np.clip(values.astype(np.float64), low, high) - low) / (high - low)
    return np.asarray(np.round(255 * shares).astype(np.uint8))


def _cells(values: np.ndarray) -> Float[np.ndarray, "t t"]:
    grid = Image.fromarray(values.astype(np.float32)).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(grid)
