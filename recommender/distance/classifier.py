"""Classifier two-sample test: how well a linear classifier tells the clouds apart (Lopez-Paz & Oquab 2017).

The discriminant is Fisher's with a Ledoit-Wolf covariance: nothing to tune, sound where rows are fewer than columns.
2 AUC - 1 plays the part of the proxy A-distance of Ben-David et al. 2007.
"""

import numpy as np
from jaxtyping import Bool, Float64, Real
from scipy.special import stdtrit

from recommender.distance.covariance import shrunk_covariance
from recommender.distance.kernels import Groups, assigned_hands, pool
from recommender.results import Distance
from registry.features import Array
from registry.metrics import Z

__all__ = ["classifier"]

_FOLDS = 5


def classifier(
    x: Real[Array, "n d"], y: Real[Array, "m e"], *, seed: int = 0, groups: Groups | None = None
) -> Distance:
    """2 AUC - 1 of a cross-validated linear classifier: the one distance comparable between feature spaces.

    The interval is Student's over the folds, widened for the rows that their training parts share (Nadeau & Bengio
    2003). Folds follow the rows' content, so ``seed`` changes nothing, and keep groups whole. No p-value. A linear
    classifier is blind to what moves no mean.

    ``details``: ``auc``, and the 90 % band of the statistic if both were one source (Mann-Whitney).
    """
    del seed
    pair = pool(x, y, groups)
    units = min(int(pair.unit_first.sum()), int((~pair.unit_first).sum()))
    fold = assigned_hands(pair, min(_FOLDS, units))
    aucs = np.array([_auc(pair.rows, pair.first, fold == which) for which in np.unique(fold)])
    auc = float(aucs.mean())
    overlap = 1 / len(aucs) + 1 / (len(aucs) - 1)
    reach = float(stdtrit(len(aucs) - 1, 0.95) * aucs.std(ddof=1) * np.sqrt(overlap))
    low, high = (min(max(0.0, 2 * end - 1), 1.0) for end in (auc - reach, auc + reach))
    first = int(pair.first.sum())
    null = 2 * Z * np.sqrt((len(fold) + 1) / (12 * first * (len(fold) - first)))
    details = {"auc": auc, "null_low": float(-null), "null_high": float(null)}
    return Distance("classifier", max(0.0, 2 * auc - 1), 2 * auc - 1, low, high, None, details)


def _auc(rows: Float64[np.ndarray, "N d"], first: Bool[np.ndarray, " N"], test: Bool[np.ndarray, " N"]) -> float:
    """Area under the curve on the test rows, of a discriminant fitted on the others."""
    ours, theirs = rows[first & ~test], rows[~first & ~test]
    means = ours.mean(axis=0), theirs.mean(axis=0)
    spread = shrunk_covariance(np.concatenate([ours - means[0], theirs - means[1]]))
    scores = rows[test] @ np.linalg.lstsq(spread, means[0] - means[1], rcond=None)[0]
    return _rank_auc(scores[first[test]], scores[~first[test]])


def _rank_auc(high: Float64[np.ndarray, " a"], low: Float64[np.ndarray, " b"]) -> float:
    """Probability that one of ``high`` exceeds one of ``low``, a tie counting half."""
    ranked = np.sort(low)
    below, upto = np.searchsorted(ranked, high, "left"), np.searchsorted(ranked, high, "right")
    return float((below + upto).sum() / (2 * len(high) * len(low)))
