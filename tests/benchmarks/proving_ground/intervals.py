"""How good a predicted interval is: its Winkler score, and its coverage with an interval that knows the families."""

import numpy as np
from jaxtyping import Bool, Float
from scipy.stats import t as student

__all__ = ["Coverage", "coverage", "static_intervals", "winkler"]

NOMINAL = 0.9

Coverage = tuple[float, float, float]
"""Share covered, and the low and high end of its 90 % interval."""


def winkler(
    low: Float[np.ndarray, " n"], high: Float[np.ndarray, " n"], truth: Float[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Interval score (Winkler 1972): the width, plus 2/alpha times the distance by which the truth lies outside."""
    alpha = 1 - NOMINAL
    return high - low + 2 / alpha * (np.maximum(low - truth, 0) + np.maximum(truth - high, 0))


def coverage(inside: Bool[np.ndarray, " n"], families: tuple[str, ...]) -> Coverage:
    """Share of rows inside, with a cluster-robust t interval: rows of one family are not independent."""
    names = np.array(families)
    share = float(inside.mean())
    off = np.array([(inside[names == family] - share).sum() for family in sorted(set(families))])
    clusters = len(off)
    if clusters < 2:
        return share, 0.0, 1.0
    error = float(np.sqrt((off**2).sum() * clusters / (clusters - 1))) / len(inside)
    reach = float(student.ppf(1 - (1 - NOMINAL) / 2, clusters - 1)) * error
    return share, max(0.0, share - reach), min(1.0, share + reach)


def static_intervals(table: Float[np.ndarray, "k t"], families: tuple[str, ...]) -> Float[np.ndarray, "3 k t"]:
    """Static with residuals: mean, low and high of every cell from the other families alone.

    The mean is the checkpoint's own over those; the reach is the quantiles of what the same rule missed by among them.
    """
    names = np.array(families)
    result = np.full((3, *table.shape), np.nan)
    for family in set(families):
        own, others = np.flatnonzero(names == family), names != family
        missed = _missed(table[:, others], names[others])
        if len(missed) == 0:
            continue
        low, high = np.quantile(missed, [(1 - NOMINAL) / 2, 1 - (1 - NOMINAL) / 2])
        mean = _row_means(table[:, others])[:, None]
        result[:, :, own] = np.stack([mean, np.clip(mean + low, 0, 1), np.clip(mean + high, 0, 1)])
    result[:, ~np.isfinite(table)] = np.nan
    return result


def _missed(table: Float[np.ndarray, "k t"], names: np.ndarray) -> Float[np.ndarray, " n"]:
    off = [table[:, names == family] - _row_means(table[:, names != family])[:, None] for family in set(names)]
    every = np.concatenate([part.ravel() for part in off]) if off else np.zeros(0)
    return every[np.isfinite(every)]


def _row_means(table: Float[np.ndarray, "k t"]) -> Float[np.ndarray, " k"]:
    known = np.isfinite(table)
    return np.where(known.any(axis=1), np.where(known, table, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.nan)
