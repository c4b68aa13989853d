"""PARC: whether rows of unlike features have unlike labels (Bolya et al. 2021, eq. 3)."""

import numpy as np
from jaxtyping import Float64, Real, Shaped

from recommender.transfer.decomposition import Decomposition, decompose
from recommender.transfer.targets import group_numbers, read_targets
from registry.features import Array

__all__ = ["parc"]

_MOST_ROWS = 1000


def parc(
    features: Real[Array, "n d"] | Decomposition, labels: Shaped[Array, "m ..."], *,
    groups: Shaped[Array, " g"] | None = None,
) -> float:  # fmt: skip
    """100 times Spearman's correlation, over pairs of rows, of their distance in features and in labels.

    Distance is one minus Pearson's correlation of two rows. At most a thousand rows are compared, evenly spaced in the
    order of their content. ``groups`` change nothing.

    Raises:
        NotFinite: a NaN or infinite value.
        TooFewRows: fewer than three rows.
        SingleClass: all rows are of one class.
        NoVariation: all rows of features are identical.
        LengthMismatch: labels or groups are not as many as the rows.
        NotDefined: regression or multi-label targets.
        UnusableLabels: labels of mixed kinds, or missing ones.
    """
    thin = decompose(features)
    rows = len(thin.rows)
    group_numbers(groups, rows)
    columns = read_targets(labels, rows, "parc").columns
    some = thin.order[:: -(-rows // _MOST_ROWS)]
    pairs = np.tril_indices(len(some), -1)
    ranks = [_ranks(-_correlations(table[some])[pairs]) for table in (thin.rows, columns)]
    return 100.0 * _cosine(*(told - told.mean() for told in ranks))


def _correlations(rows: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "n n"]:
    """Pearson's, of each row with each; 0 for a row that does not vary."""
    centered = rows - rows.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(centered, axis=1, keepdims=True)
    centered /= np.where(lengths > 0, lengths, 1)
    return np.asarray((centered @ centered.T).round(12))  # what rounding told apart is a tie


def _ranks(values: Float64[np.ndarray, " p"]) -> Float64[np.ndarray, " p"]:
    """Ranks, ties sharing their mean."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(count) - (count - 1) / 2)[place])


def _cosine(a: Float64[np.ndarray, " p"], b: Float64[np.ndarray, " p"]) -> float:
    length = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / length) if length > 0 else 0.0
