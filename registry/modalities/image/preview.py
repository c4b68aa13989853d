"""An image as a page shows it: the middle of it as a small PNG."""

from io import BytesIO

from PIL import Image

from registry.modalities import Preview

__all__ = ["PREVIEW_SIDE", "preview_of"]

PREVIEW_SIDE = 84
_MARGIN = 3


def preview_of(image: Image.Image) -> Preview:
    """A square of `PREVIEW_SIDE` pixels, clear at its edge."""
    way = Image.Resampling.NEAREST if max(image.size) < PREVIEW_SIDE else Image.Resampling.LANCZOS
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    inner = PREVIEW_SIDE - 2 * _MARGIN
    framed = Image.new("RGBA", (PREVIEW_SIDE, PREVIEW_SIDE))
    framed.paste(image.crop((left, top, left + short, top + short)).resize((inner, inner), way), (_MARGIN, _MARGIN))
    written = BytesIO()
    framed.save(written, "PNG")
    return Preview("image/png", written.getvalue())
