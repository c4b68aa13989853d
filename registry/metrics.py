"""Metrics: each of them once, over rows of any weight, as scikit-learn's `sklearn.metrics` has them.

Written as matrix products over many vectors of weights at once, for a bootstrap asks for hundreds of them; the tests
hold every one against scikit-learn's, which is a second of importing that an expectation need not pay.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Shaped

from registry.cards import METRICS, Metric, Task
from registry.errors import LengthMismatch, TooFewRows, UnfitMetric, UnknownName
from registry.spans import spans_of

__all__ = ["LEVEL", "NOMINAL", "Z", "metric_of", "score", "weighted_scores"]

NOMINAL = 0.9
"""Of every interval: how often it should hold the truth."""
LEVEL = f"{100 * NOMINAL:.0f} %"
"""`NOMINAL` as it stands before an interval that is read."""
Z = 1.6448536269514722
"""Standard normal quantile of a central `NOMINAL` interval."""
_LEAST = 1e-12


def metric_of(name: Metric | str) -> Metric:
    """The metric of that name.

    Raises:
        UnknownName: there is none.
    """
    try:
        return Metric(name)
    except ValueError as cause:
        raise UnknownName("metric", str(name), [str(known) for known in Metric]) from cause


def score(
    metric: Metric | str, truth: Sequence[object] | np.ndarray, predicted: Sequence[object] | np.ndarray
) -> float:
    """Accuracy, its mean over the classes of the truth (balanced accuracy), the mean F1 over all classes seen, or R².

    Rows that are arrays of tags (`registry.targets.Positions`) are judged position by position; entity F1 is that of
    their spans, over all rows at once, and 1 where there is none and none is predicted.

    Two-dimensional truth is multi-label: accuracy is the mean over its columns, balanced accuracy is not defined, and a
    label that occurs neither in truth nor in predictions has no F1 (where there is no other, all is right). R squared
    is below 0 where predictions are worse than the mean of the truth; where the truth does not vary it is 1 if it was
    met, else 0.

    Raises:
        LengthMismatch: not one prediction a row.
        TooFewRows: no row at all.
        UnknownName: no metric of that name.
        UnfitMetric: it does not judge such predictions.
    """
    judged, true, guess = metric_of(metric), np.asarray(truth), np.asarray(predicted)
    if len(true) != len(guess):
        raise LengthMismatch("truth and predictions", len(true), len(guess))
    if not len(true):
        raise TooFewRows(str(judged), 1, 0)
    return float(weighted_scores(judged, true, guess, np.ones((1, len(true))))[0])


def weighted_scores(
    metric: Metric,
    truth: Shaped[np.ndarray, "n ..."],
    predicted: Shaped[np.ndarray, "n ..."],
    weights: Float[np.ndarray, "D n"],
) -> Float[np.ndarray, " D"]:
    """The metric as `score` has it, once for each vector of weights; rows of weight 0 are as if they were not there.

    Raises:
        UnfitMetric: it does not judge such predictions.
        LengthMismatch: not one prediction a position.
    """
    if truth.dtype == object:
        return _over_positions(metric, truth, predicted, weights)
    if metric is Metric.ENTITY_F1:
        raise UnfitMetric(metric, Task.CLASSIFICATION, METRICS[Task.CLASSIFICATION])
    if metric is Metric.R2:
        return _r2(truth.astype(np.float64), predicted.astype(np.float64), weights)
    if truth.ndim > 1:
        return _over_labels(metric, truth > 0, predicted > 0, weights)
    if metric is Metric.ACCURACY:
        return _accuracy((truth == predicted).astype(np.float64), weights)
    classes = np.unique(truth) if metric is Metric.BALANCED_ACCURACY else np.union1d(truth, predicted)
    is_class = truth[:, None] == classes
    actual = weights @ is_class.astype(np.float64)
    hits = weights @ (is_class & (truth == predicted)[:, None]).astype(np.float64)
    if metric is Metric.BALANCED_ACCURACY:
        return _mean_where(hits / np.maximum(actual, _LEAST), actual > 0)
    return _mean_f1(hits, actual + weights @ (predicted[:, None] == classes).astype(np.float64))


def _over_positions(
    metric: Metric,
    truth: Shaped[np.ndarray, " n"],
    predicted: Shaped[np.ndarray, " n"],
    weights: Float[np.ndarray, "D n"],
) -> Float[np.ndarray, " D"]:
    lengths, others = (np.array([len(tags) for tags in rows], np.int64) for rows in (truth, predicted))
    if (lengths != others).any():
        row = int((lengths != others).argmax())
        raise LengthMismatch(f"positions and predictions of row {row}", int(lengths[row]), int(others[row]))
    if metric is not Metric.ENTITY_F1:
        rows = np.repeat(np.arange(len(truth)), lengths)
        return weighted_scores(metric, np.concatenate([*truth]), np.concatenate([*predicted]), weights[:, rows])
    spans = [[set(spans_of(tags)) for tags in rows] for rows in (truth, predicted)]
    both = np.array(
        [(len(true & guessed), len(true) + len(guessed)) for true, guessed in zip(*spans, strict=True)], np.float64
    )
    hits, there = weights @ both[:, 0], weights @ both[:, 1]
    return np.asarray(np.where(there > 0, 2 * hits / np.maximum(there, _LEAST), 1.0))


def _over_labels(
    metric: Metric,
    truth: Bool[np.ndarray, "n c"],
    predicted: Bool[np.ndarray, "n c"],
    weights: Float[np.ndarray, "D n"],
) -> Float[np.ndarray, " D"]:
    if metric is Metric.ACCURACY:
        return _accuracy((truth == predicted).mean(axis=1), weights)
    if metric is not Metric.MACRO_F1:
        raise UnfitMetric(metric, Task.MULTI_LABEL, METRICS[Task.MULTI_LABEL])
    hits = weights @ (truth & predicted).astype(np.float64)
    return _mean_f1(hits, weights @ (truth.astype(np.float64) + predicted))


def _accuracy(right: Float[np.ndarray, " n"], weights: Float[np.ndarray, "D n"]) -> Float[np.ndarray, " D"]:
    return np.asarray(weights @ right / np.maximum(weights.sum(1), _LEAST))


def _mean_f1(hits: Float[np.ndarray, "D c"], both: Float[np.ndarray, "D c"]) -> Float[np.ndarray, " D"]:
    """``both``: how often a class is true and how often it is predicted, added up."""
    there = both > 0
    f1 = _mean_where(2 * hits / np.maximum(both, _LEAST), there)
    return np.asarray(np.where(there.any(axis=1), f1, 1.0))


def _r2(
    truth: Float[np.ndarray, " n"], predicted: Float[np.ndarray, " n"], weights: Float[np.ndarray, "D n"]
) -> Float[np.ndarray, " D"]:
    """One minus squared errors by squared deviations from the weighted mean."""
    centered = truth - truth.mean()
    mean = weights @ centered / np.maximum(weights.sum(1), _LEAST)
    spread, error = weights @ centered**2 - weights.sum(1) * mean**2, weights @ (truth - predicted) ** 2
    varies = spread > _LEAST * max(float(np.square(centered).sum()), 1e-300)
    return np.asarray(np.where(varies, 1 - error / np.where(varies, spread, 1.0), (error == 0).astype(np.float64)))


def _mean_where(values: Float[np.ndarray, "D c"], there: Bool[np.ndarray, "D c"]) -> Float[np.ndarray, " D"]:
    return np.asarray((values * there).sum(1) / np.maximum(there.sum(1), 1))
