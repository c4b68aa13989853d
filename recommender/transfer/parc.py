"""PARC: whether rows of unlike features have unlike labels, by the angle between centered rows.

Bolya et al. 2021, "Scalable Diverse Model Selection for Accessible Transfer Learning", eq. 3, takes Pearson's
correlation of two rows, which centers each *row* over its columns as well. On standardized columns, whose origin is the
mean row already, that loses the direction in which all columns agree: classes apart along it score below chance, one
column says nothing at all, and the sign of a column matters. The cosine of the rows loses nothing.
"""

import numpy as np
from jaxtyping import Float64, Real, Shaped

from recommender.transfer.decomposition import Decomposition, decompose
from recommender.transfer.targets import group_numbers, parse_targets
from registry.features import Array
from registry.targets import Targets

__all__ = ["parc"]

_MOST_ROWS = 1000


def parc(
    features: Real[Array, "n d"] | Decomposition,
    targets: Targets | Shaped[Array, "m ..."],
    *,
    groups: Shaped[Array, " g"] | None = None,
) -> float:
    """100 times Spearman's correlation, over pairs of rows, of their distance in features and in labels.

    Distance is one minus the cosine of two rows; of two labels, whether they differ. At most a thousand rows are
    compared, evenly spaced in the order of their content; fewer than three are `TooFewRows`. ``groups`` change nothing.
    """
    thin = decompose(features)
    rows = len(thin.rows)
    group_numbers(groups, rows)
    columns = parse_targets(targets, rows, "parc").columns
    some = thin.order[:: -(-rows // _MOST_ROWS)]
    pairs = np.tril_indices(len(some), -1)
    ranks = [_ranks(-_cosines(table[some])[pairs]) for table in (thin.rows, columns)]
    return 100.0 * _correlation(*ranks)


def _cosines(rows: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "n n"]:
    """Of each row with each; 0 with a row at the origin."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units = rows / np.where(lengths > 0, lengths, 1)
    return np.asarray((units @ units.T).round(12))  # what rounding told apart is a tie


def _ranks(values: Float64[np.ndarray, " p"]) -> Float64[np.ndarray, " p"]:
    """Ranks, ties sharing their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place])


def _correlation(a: Float64[np.ndarray, " p"], b: Float64[np.ndarray, " p"]) -> float:
    a, b = a - a.mean(), b - b.mean()
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / length) if length > 0 else 0.0
