"""The group bootstrap, against scikit-learn's metrics on rows that are really drawn again."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, r2_score, recall_score

from recommender.resampling import draw_weights, resample
from registry.cards import Metric
from registry.metrics import score

REFERENCE = {
    Metric.ACCURACY: accuracy_score,
    Metric.BALANCED_ACCURACY: lambda t, p: recall_score(t, p, labels=np.unique(t), average="macro", zero_division=0),
    Metric.MACRO_F1: lambda t, p: f1_score(t, p, average="macro", zero_division=0),
    Metric.R2: r2_score,
}


def macro_f1_of_labels(truth: np.ndarray, predicted: np.ndarray) -> float:
    there = (truth + predicted).any(axis=0)
    return float(f1_score(truth[:, there], predicted[:, there], average="macro")) if there.any() else 1.0


@pytest.mark.parametrize("metric", list(REFERENCE))
def test_a_draw_scores_what_its_rows_score(metric: Metric) -> None:
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, 4, 60), random.integers(0, 4, 60)
    weights = draw_weights(np.arange(60), draws=20, seed=1)
    result = resample(metric, truth, predicted, weights)
    assert result.value == pytest.approx(REFERENCE[metric](truth, predicted))
    for draw, row in zip(result.draws, weights, strict=True):
        again = np.repeat(np.arange(60), row.astype(int))
        assert draw == pytest.approx(REFERENCE[metric](truth[again], predicted[again]))


@pytest.mark.parametrize(
    ("metric", "reference"),
    [(Metric.MACRO_F1, macro_f1_of_labels), (Metric.ACCURACY, lambda t, p: float((t == p).mean()))],
)
def test_a_draw_of_labels_scores_what_its_rows_score(metric: Metric, reference: Callable[..., float]) -> None:
    random = np.random.default_rng(0)
    shares = [0.02, 0.1, 0.5, 0.9, 0]  # the last label is never true, and the first is missing in some draws
    truth, predicted = ((random.random((60, 5)) < shares).astype(float) for _ in range(2))
    weights = draw_weights(np.arange(60), draws=40, seed=1)
    result = resample(metric, truth, predicted, weights)
    assert result.value == pytest.approx(reference(truth, predicted)) == pytest.approx(score(metric, truth, predicted))
    for draw, row in zip(result.draws, weights, strict=True):
        again = np.repeat(np.arange(60), row.astype(int))
        assert draw == pytest.approx(reference(truth[again], predicted[again]))


def test_r2_of_quantities_is_below_zero_where_the_mean_were_better_and_finite_always() -> None:
    truth, weights = np.array([0.0, 0, 0, 0, 1]) + 1e6, draw_weights(np.arange(5), draws=200, seed=0)
    result = resample(Metric.R2, truth, 1e6 + np.array([1.0, 1, 1, 1, 0]), weights)
    assert result.value == pytest.approx(-5.25)
    assert np.isfinite(result.draws).all()
    assert (resample(Metric.R2, truth, truth, weights).draws == 1).all()


def test_rows_of_a_group_are_drawn_together() -> None:
    groups = np.array([0, 0, 0, 1, 1, 2])
    weights = draw_weights(groups, draws=50, seed=0)
    for group in range(3):
        inside = weights[:, groups == group]
        assert (inside == inside[:, :1]).all()


def test_grouped_errors_widen_the_standard_error() -> None:
    groups = np.repeat(np.arange(10), 20)
    truth = np.zeros(200, dtype=int)
    predicted = np.where(groups < 5, 0, 1)
    together = resample(Metric.ACCURACY, truth, predicted, draw_weights(groups, seed=0)).standard_error
    apart = resample(Metric.ACCURACY, truth, predicted, draw_weights(np.arange(200), seed=0)).standard_error
    assert together > 3 * apart


def test_the_standard_error_is_the_binomial_one() -> None:
    random = np.random.default_rng(3)
    truth = np.zeros(400, dtype=int)
    predicted = (random.random(400) < 0.3).astype(int)
    result = resample(Metric.ACCURACY, truth, predicted, draw_weights(np.arange(400), draws=2000, seed=0))
    assert result.standard_error == pytest.approx(np.sqrt(result.value * (1 - result.value) / 400), rel=0.08)


def test_a_seed_gives_the_same_draws() -> None:
    assert np.array_equal(draw_weights(np.arange(9), seed=4), draw_weights(np.arange(9), seed=4))
