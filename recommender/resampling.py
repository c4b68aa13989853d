"""Group bootstrap of a metric: how far a score, or the difference of two, would move on other rows.

Rows that belong together are drawn together (cluster bootstrap; Cameron, Gelbach & Miller 2008). Every metric is a
function of weighted confusion counts, or of weighted squares, so that all draws are a few matrix products.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

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

    def error_beside(self, other: "Draws") -> float:
        """Standard error of the difference from another that was judged on the same draws."""
        return float((self.draws - other.draws).std(ddof=1))


def draw_weights(groups: Int[np.ndarray, " n"], *, draws: int = 500, seed: int = 0) -> Float[np.ndarray, "B n"]:
    """How often each row is drawn, in each of ``draws`` draws of whole groups with replacement."""
    names, places = np.unique(groups, return_inverse=True)
    random = np.random.default_rng([seed, len(names)])
    counts = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return counts[:, places].astype(np.float64)


def resample(
    metric: Metric,
    truth: Shaped[np.ndarray, "n ..."],
    predicted: Shaped[np.ndarray, "n ..."],
    weights: Float[np.ndarray, "B n"],
) -> Draws:
    """The metric of predictions (class numbers, 0 or 1 for each label, or quantities) and its bootstrap draws."""
    rows = np.vstack([np.ones((1, len(truth))), weights])
    values = _of_weights(metric, truth, predicted, rows)
    return Draws(float(values[0]), values[1:])


def _of_weights(
    metric: Metric,
    truth: Shaped[np.ndarray, "n ..."],
    predicted: Shaped[np.ndarray, "n ..."],
    weights: Float[np.ndarray, "D n"],
) -> Float[np.ndarray, " D"]:
    if metric is Metric.R2:
        return _r2(truth.astype(np.float64), predicted.astype(np.float64), weights)
    if truth.ndim > 1:
        return _over_labels(metric, truth > 0, predicted > 0, weights)
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


def _over_labels(
    metric: Metric,
    truth: Bool[np.ndarray, "n c"],
    predicted: Bool[np.ndarray, "n c"],
    weights: Float[np.ndarray, "D n"],
) -> Float[np.ndarray, " D"]:
    """As `registry.sample.score` has it: a label that a draw neither holds nor predicts has no F1 in it."""
    if metric is Metric.ACCURACY:
        return np.asarray(weights @ (truth == predicted).mean(axis=1) / np.maximum(weights.sum(1), 1e-12))
    hits, both = weights @ (truth & predicted), weights @ (truth.astype(np.float64) + predicted)
    there = both > 0
    f1 = _mean_where(2 * hits / np.maximum(both, 1e-12), there)
    return np.asarray(np.where(there.any(axis=1), f1, 1.0))


def _r2(
    truth: Float[np.ndarray, " n"], predicted: Float[np.ndarray, " n"], weights: Float[np.ndarray, "D n"]
) -> Float[np.ndarray, " D"]:
    """One minus squared errors by squared deviations from the draw's own mean; 1 or 0 where the truth does not vary."""
    centered = truth - truth.mean()
    mean = weights @ centered / np.maximum(weights.sum(1), 1e-12)
    spread, error = weights @ centered**2 - weights.sum(1) * mean**2, weights @ (truth - predicted) ** 2
    varies = spread > 1e-12 * max(float(np.square(centered).sum()), 1e-300)
    return np.asarray(np.where(varies, 1 - error / np.where(varies, spread, 1.0), (error == 0).astype(np.float64)))


def _mean_where(values: Float[np.ndarray, "D c"], there: np.ndarray) -> Float[np.ndarray, " D"]:
    return np.asarray((values * there).sum(1) / np.maximum(there.sum(1), 1))
