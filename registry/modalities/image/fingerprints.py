"""Fingerprints of images: a perceptual hash kept real-valued, compared by cosine.

The usual hash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010) keeps the signs of
a thumbnail's low cosine frequencies and counts differing bits. On drawings and digits, where little but the ground is
seen, that calls thousands of different images the same. Here the sizes are kept, each weighted by its frequency (so
that brightness steps count, not broad shading).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

__all__ = ["fingerprints_of"]

_FAINT = 2.0
_FREQUENCIES = 10


def fingerprints_of(thumbnails: Sequence[bytes]) -> Float[np.ndarray, "n d"]:
    """Unit vectors from square luma thumbnails of one size; zero where one is next to flat or empty."""
    side = int(len(max(thumbnails, key=len, default=b"")) ** 0.5) or 1
    cells = np.zeros((len(thumbnails), side, side), np.float32)
    for row, thumbnail in enumerate(thumbnails):
        if thumbnail:
            cells[row] = np.frombuffer(thumbnail, np.uint8).reshape(side, side)
    waves, weights = _cosines(side)
    frequencies = ((waves @ cells @ waves.T) * weights).reshape(len(thumbnails), weights.size)
    length = np.linalg.norm(frequencies, axis=1, keepdims=True)
    textured = (length > 1e-6) & (cells.std(axis=(1, 2))[:, None] >= _FAINT)
    return np.where(textured, frequencies / np.maximum(length, 1e-6), 0.0).astype(np.float32)


def _cosines(side: int) -> tuple[Float[np.ndarray, "k side"], Float[np.ndarray, "k k"]]:
    """The orthonormal DCT-II of a line of cells, lowest frequencies first, and the gain of a step at each pair."""
    waves = np.arange(side)
    basis = np.cos(np.pi * waves[:, None] * (waves + 0.5) / side)
    basis /= np.linalg.norm(basis, axis=1, keepdims=True)
    gain = 2 * np.sin(np.pi * waves[:_FREQUENCIES] / (2 * side))
    return basis[:_FREQUENCIES].astype(np.float32), np.hypot(gain[:, None], gain).astype(np.float32)
