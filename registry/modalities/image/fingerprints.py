"""Fingerprints of images: structure at 64 x 64 with local contrast made equal, compared by cosine.

The usual hash (Zauner, "Implementation and benchmarking of perceptual image hash functions", 2010) keeps signs of a
thumbnail's low cosine frequencies. On charts, forms and pages, where little but a common layout is seen, that calls
thousands of different images the same, and a copy cut by some percent at its edges is another image to it. Here each
place is divided by the contrast around it (Jarrett et al., "What is the best multi-stage architecture for object
recognition?", 2009), so that a strong outline counts no more than what is drawn within it; and the same is computed
of what is left when the edges are cut.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

__all__ = ["altered_fingerprints", "fingerprints_of"]

_SIDE = 32
_SMOOTH = 1.5
"""Width of the smoothing, in cells of a thumbnail of 64."""
_WIDE = 3.0
"""Width of the surroundings of a place, in places of the fingerprint."""
_FAINT = 4.0
"""Contrast that is next to none, in gray levels."""
_FLAT = 2.0
_BLOCK = 2_048

_Cut = tuple[float, float, float, float]
"""Share that is cut at the top, bottom, left and right."""
_CUTS: tuple[_Cut, ...] = (
    *((share, share, share, share) for share in (0.015, 0.03, 0.045)),
    *((0.05 * top, 0.05 * (1 - top), 0.05 * left, 0.05 * (1 - left)) for top in (0, 1) for left in (0, 1)),
)


def fingerprints_of(thumbnails: Sequence[bytes]) -> Float[np.ndarray, "n d"]:
    """Unit vectors from square luma thumbnails of one size; zero where one is next to flat or empty."""
    return _structure(thumbnails, ((0.0, 0.0, 0.0, 0.0),))[:, 0]


def altered_fingerprints(thumbnails: Sequence[bytes]) -> Float[np.ndarray, "n v d"]:
    """Fingerprints of what is left when up to 5 % are cut at the edges, all around or at two of them."""
    return _structure(thumbnails, _CUTS)


def _structure(thumbnails: Sequence[bytes], cuts: Sequence[_Cut]) -> Float[np.ndarray, "n v d"]:
    vectors = np.zeros((len(thumbnails), len(cuts), _SIDE * _SIDE), np.float32)
    side = int(len(max(thumbnails, key=len, default=b"")) ** 0.5) or 1
    around = _smoothing(_SIDE, _SIDE, 0.0, 0.0, _WIDE)
    lines = [
        (_smoothing(_SIDE, side, top, bottom), _smoothing(_SIDE, side, left, right))
        for top, bottom, left, right in cuts
    ]
    for start in range(0, len(thumbnails), _BLOCK):
        part = thumbnails[start : start + _BLOCK]
        cells = np.zeros((len(part), side, side), np.float32)
        for row, thumbnail in enumerate(part):
            if thumbnail:
                cells[row] = np.frombuffer(thumbnail, np.uint8).reshape(side, side)
        textured = cells.std(axis=(1, 2))[:, None] >= _FLAT
        for cut, (down, across) in enumerate(lines):
            seen = down @ cells @ across.T
            edges = seen - around @ seen @ around.T
            contrast = np.sqrt(np.maximum(around @ np.square(edges) @ around.T, 0))
            even = edges / (contrast + _FAINT)
            even = (even - even.mean(axis=(1, 2), keepdims=True)).reshape(len(part), -1)
            length = np.linalg.norm(even, axis=1, keepdims=True)
            kept = textured & (length > 1e-6)
            vectors[start : start + _BLOCK, cut] = np.where(kept, even / np.maximum(length, 1e-6), 0.0)
    return vectors


def _smoothing(
    places: int, cells: int, before: float, after: float, width: float | None = None
) -> Float[np.ndarray, "places cells"]:
    """Gaussian weights of a line's cells at places spread evenly over what is left of it."""
    first, left = before * cells, (1 - before - after) * cells
    centers = first + (np.arange(places) + 0.5) * left / places - 0.5
    wide = _SMOOTH * left / 64 if width is None else width
    weights: Float[np.ndarray, "places cells"] = np.exp(-0.5 * ((centers[:, None] - np.arange(cells)) / wide) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)
