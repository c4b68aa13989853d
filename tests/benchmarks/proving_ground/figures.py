"""What a ranking of checkpoints is worth on one target, and how lopsided a table of truth is.

Truth comes in two halves of the test part. Whatever a truth *chooses* (the best checkpoint, the best of three) is
chosen on one half and scored on the other, both ways round, so that the luck of the test rows is not counted as skill.
"""

import numpy as np
from jaxtyping import Float

__all__ = ["ceiling", "entropy", "regret", "relative", "standing", "weighted_tau"]


def weighted_tau(truth: Float[np.ndarray, " k"], predicted: Float[np.ndarray, " k"]) -> float:
    """Kendall's tau with additive hyperbolic weights (Vigna 2015, eq. 4): mistakes at the top cost most.

    The mean of ranking by truth and ranking by prediction. A side that is constant orders nothing: 0.
    """
    x, y = (np.sign(side[:, None] - side) for side in (truth, predicted))
    return float(np.mean([_tau(x, y, by) for by in ((truth, predicted), (predicted, truth))]))


def ceiling(halves: Float[np.ndarray, "2 k"]) -> float:
    """How well the truth of one half ranks the other: what noise in the test rows leaves for any method."""
    return weighted_tau(halves[0], halves[1])


def regret(halves: Float[np.ndarray, "2 k"], predicted: Float[np.ndarray, " k"], tries: int = 1) -> float:
    """Accuracy lost to the best checkpoint by tuning the ``tries`` first ones and keeping the better.

    May be negative: the best on one half need not be the best on the other.
    """
    tried = _first(predicted, tries)
    return float(
        np.mean([half[np.argmax(other)] - half[tried[np.argmax(other[tried])]] for half, other in _both_ways(halves)])
    )


def relative(halves: Float[np.ndarray, "2 k"], predicted: Float[np.ndarray, " k"]) -> float:
    """Rel@1: accuracy of the first choice as a share of the best checkpoint's."""
    pick = _first(predicted, 1)[0]
    return float(np.mean([half[pick] / max(half[np.argmax(other)], 1e-12) for half, other in _both_ways(halves)]))


def standing(table: Float[np.ndarray, "k t"]) -> Float[np.ndarray, " k"]:
    """The static list: each checkpoint's mean z-score over targets (columns); NaN where it has no cell."""
    known = np.isfinite(table)
    each = np.maximum(known.sum(axis=0), 1)
    off = np.where(known, table - np.where(known, table, 0.0).sum(axis=0) / each, 0.0)
    spread = np.sqrt((off**2).sum(axis=0) / each)
    z = off / np.where(spread > 1e-12, spread, np.inf)
    return np.where(known.any(axis=1), z.sum(axis=1) / np.maximum(known.sum(axis=1), 1), np.nan)


def entropy(wins: Float[np.ndarray, " k"]) -> tuple[float, float]:
    """Rank entropy in bits of how often each checkpoint is best, and the most that so many wins could give."""
    share = wins[wins > 0] / wins.sum()
    most = np.log2(min(len(wins), max(wins.sum(), 1)))
    return float(-(share * np.log2(share)).sum()) + 0.0, float(most)


def _tau(x: np.ndarray, y: np.ndarray, by: tuple[np.ndarray, np.ndarray]) -> float:
    """Weighted tau of two sign matrices; ranks are decreasing in the first of ``by``, ties by the second."""
    weight = np.empty(len(x))
    weight[np.lexsort((-by[1], -by[0]))] = 1 / np.arange(1, len(x) + 1)
    weights = weight[:, None] + weight
    norm = np.sqrt((weights * x**2).sum() * (weights * y**2).sum())
    return float((weights * x * y).sum() / norm) if norm > 0 else 0.0


def _both_ways(halves: Float[np.ndarray, "2 k"]) -> list[tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]]:
    return [(halves[0], halves[1]), (halves[1], halves[0])]


def _first(predicted: Float[np.ndarray, " k"], tries: int) -> np.ndarray:
    return np.argsort(-predicted, kind="stable")[:tries]
