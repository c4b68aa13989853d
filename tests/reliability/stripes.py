"""A sample that an untrained net learns within seconds: three classes of stripes, some under too much noise."""

from pathlib import Path

import numpy as np
from PIL import Image

__all__ = ["draw"]


def draw(folder: Path, rows: int = 40, side: int = 24) -> Path:
    """So many images of each class, as ``<class>/<n>.png`` below ``folder``."""
    rng = np.random.default_rng(0)
    for turn, name in enumerate(("level", "upright", "slanted")):
        (folder / name).mkdir(parents=True)
        for row in range(rows):
            y, x = np.mgrid[:side, :side] + rng.integers(0, 8)
            wave = (y, x, x + y)[turn] % 8 < 4
            pixels = np.clip(wave[..., None] * 60 + rng.normal(90, 70, (side, side, 3)), 0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{row}.png")
    return folder
