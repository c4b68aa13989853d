"""Novel rows: those of a sample that are least like what a source domain consists of.

The distance of a row to its k-th nearest row of the domain's sketch, through the lens (Ramaswamy, Rastogi and Shim
2000, "Efficient Algorithms for Mining Outliers from Large Data Sets"; on features of a net Sun et al. 2022,
"Out-of-Distribution Detection with Deep Nearest Neighbors"), beside the same distance of the domain's own rows.
"""

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist

from recommender.results import NovelRow, Novelty
from registry.features import Features
from registry.sample import Sample
from registry.sketch import Lens, Sketch

__all__ = ["MOST_NOVEL", "NEIGHBOR", "novel_rows"]

MOST_NOVEL = 24
"""Rows that are listed."""
NEIGHBOR = 5
"""Which of the nearest rows of the domain a distance is to."""


def novel_rows(sample: Sample, features: Features, sketch: Sketch, lens: Lens) -> Novelty | None:
    """The rows of a sample (one of ``features`` each) farthest from the rows of a sketch, the most novel first.

    None where the sketch has too few rows for any to have `NEIGHBOR` others.
    """
    if len(sketch.rows) <= NEIGHBOR:
        return None
    reference = lens.standardize(sketch.rows.vectors)
    far = _to_neighbor(lens.standardize(features.vectors), reference, NEIGHBOR)
    usual = np.sort(_to_neighbor(reference, reference, NEIGHBOR + 1))  # the nearest of each is itself
    farther = np.searchsorted(usual, far) / len(usual)
    order = sorted(range(len(far)), key=lambda row: (-far[row], sample.items[row].name))[:MOST_NOVEL]
    rows = (NovelRow(sample.items[row].name, sample.labels[row], float(far[row]), float(farther[row])) for row in order)
    beyond = int((far > usual[-1]).sum())
    return Novelty(sketch.domain, tuple(rows), len(far), beyond, len(reference))


def _to_neighbor(rows: Float[np.ndarray, "n d"], others: Float[np.ndarray, "m d"], k: int) -> Float[np.ndarray, " n"]:
    """Euclidean distance of each row to its k-th nearest among the others."""
    return np.asarray(np.partition(cdist(rows, others), k - 1, axis=1)[:, k - 1])
