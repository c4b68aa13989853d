"""Group bootstrap of a metric: how far a score, or the difference of two, would move on other rows.

Rows that belong together are drawn together (cluster bootstrap; Cameron, Gelbach & Miller 2008). Every metric is a
function of weighted confusion counts, so that all draws are a few matrix products.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from registry.cards import Metric

__all__ = ["NOMINAL", "Draws", "Z", "draw_weights", "resample"]

NOMINAL = 0.9
Z = 1.6448536269514722
"""Standard normal quantile of a central `NOMINAL` interval."""


@dataclass(frozen=True, eq=False)
class Draws:
    """A metric on the rows as they are and on B bootstrap draws of them."""

    value: float
    draws: Float[np.ndarray, " B"]

    @property
    def standard_error(self) -> float:
        """Standard deviation over the draws."""
        return float(self.draws.std(ddof=1))


def draw_weights(groups: Int[np.ndarray, " n"], *, draws: int = 500, seed: int = 0) -> Float[np.ndarray, "B n"]:
    """How often each row is drawn, in each of ``draws`` draws of whole groups with replacement."""
    names, places = np.unique(groups, return_inverse=True)
    random = np.random.default_rng([seed, len(names)])
    counts = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return counts[:, places].astype(np.float64)


def resample(
    metric: Metric, truth: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], weights: Float[np.ndarray, "B n"]
) -> Draws:
    """The metric of predictions (class numbers) and its bootstrap draws."""
    rows = np.vstack([np.ones((1, len(truth))), weights])
    values = _of_weights(metric, truth, predicted, rows)
    return Draws(float(values[0]), values[1:])


def _of_weights(
    metric: Metric, truth: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], weights: Float[np.ndarray, "D n"]
) -> Float[np.ndarray, " D"]:
    right = (truth == predicted).astype(np.float64)
    if metric is Metric.ACCURACY:
        return np.asarray(weights @ right / np.maximum(weights.sum(1), 1e-12))
    classes = np.unique(truth)
    is_class = (truth[:, None] == classes).astype(np.float64)
    hits = weights @ (is_class * right[:, None])
    actual = weights @ is_class
    if metric is Metric.BALANCED_ACCURACY:
        return _mean_where(hits / np.maximum(actual, 1e-12), actual > 0)
    called = weights @ (predicted[:, None] == classes).astype(np.float64)
    return _mean_where(2 * hits / np.maximum(actual + called, 1e-12), actual > 0)


def _mean_where(values: Float[np.ndarray, "D c"], there: np.ndarray) -> Float[np.ndarray, " D"]:
    return np.asarray((values * there).sum(1) / np.maximum(there.sum(1), 1))
