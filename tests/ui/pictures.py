"""Three kinds of stripes under noise, as an image folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["write_stripes"]


def write_stripes(
    folder: Path, *, rows: int = 24, names: Sequence[str] = ("level", "upright", "slanted"), side: int = 32
) -> Path:
    rng = np.random.default_rng(0)
    place = folder / "stripes"
    for turn, name in enumerate(names):
        (place / name).mkdir(parents=True)
        for row in range(rows):
            y, x = np.mgrid[:side, :side] + rng.integers(0, 8)
            wave = (y, x, x + y)[turn % 3] % 8 < 4
            pixels = np.clip(wave[..., None] * 120 + rng.normal(60, 30, (side, side, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(place / name / f"{row}.png")
    return place
