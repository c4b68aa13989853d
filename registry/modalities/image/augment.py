"""Augmentation by PIL: a picture as another camera might have taken it, and never what it shows changed.

Crop, tilt, light and contrast vary (Shorten & Khoshgoftaar 2019). Nothing is mirrored, for letters,
digits and signs would become others, and colors keep their hue.
"""

from math import cos, radians, sin

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageEnhance

__all__ = ["augmented"]

_SMALLEST = 0.8
"""Side of the part that is seen, as a share of the whole."""
_TILT = 10.0
"""Degrees."""
_LIGHT = 0.2


def augmented(pixels: UInt8[np.ndarray, "c h w"], chance: np.random.Generator) -> UInt8[np.ndarray, "c h w"]:
    """The same picture seen a little otherwise; what lies beyond its edge has its mean color."""
    gray = len(pixels) == 1
    picture = Image.fromarray(pixels[0] if gray else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    colors = tuple(int(value) for value in pixels.mean((1, 2)))
    moved = picture.transform(
        picture.size,
        Image.Transform.AFFINE,
        _window(picture.size, chance),
        Image.Resampling.BILINEAR,
        fillcolor=colors[0] if gray else colors,
    )
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast):
        moved = enhance(moved).enhance(chance.uniform(1 - _LIGHT, 1 + _LIGHT))
    varied = np.asarray(moved, np.uint8)
    return varied[None] if gray else varied.transpose(2, 0, 1)


def _window(size: tuple[int, int], chance: np.random.Generator) -> tuple[float, ...]:
    """Where each pixel of the new picture is looked up in the old one: PIL's six numbers of an affine map."""
    side, angle = chance.uniform(_SMALLEST, 1), radians(chance.uniform(-_TILT, _TILT))
    a, b = side * cos(angle), side * sin(angle)
    middle = [length / 2 for length in size]
    center = [half + chance.uniform(-1, 1) * (1 - side) * half for half in middle]
    return (
        a,
        b,
        center[0] - a * middle[0] - b * middle[1],
        -b,
        a,
        center[1] + b * middle[0] - a * middle[1],
    )
