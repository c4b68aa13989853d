"""Ridge left out in closed form against n refits, groups against one refit for each; logistic against scikit-learn."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from recommender.transfer.decomposition import decompose
from recommender.transfer.linear import PENALTIES, fit_head, fit_ridge, left_out, linear, out_of_fold


def data(rows, columns, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    return random.normal(size=(3, columns))[labels] + 1.5 * random.normal(size=(rows, columns)), labels


def refits(standard, columns, penalty, units):
    report = np.empty_like(columns)
    for unit in np.unique(units):
        rest = units != unit
        report[~rest] = Ridge(penalty, solver="svd").fit(standard[rest], columns[rest]).predict(standard[~rest])
    return report


@pytest.mark.parametrize(("rows", "columns"), [(40, 8), (24, 70)], ids=["n > d", "n < d"])
@pytest.mark.parametrize(
    "units",
    [
        np.arange,
        lambda rows: np.arange(rows) // 4,
        lambda rows: np.arange(rows) ** 2 % 7,
    ],
    ids=["rows", "equal groups", "unequal groups"],
)
def test_what_is_left_out_is_what_refits_say(rows, columns, units):
    features, labels = data(rows, columns)
    thin, indicator, units = decompose(features), np.eye(3)[labels], units(rows)
    for penalty, report in zip(PENALTIES * thin.squares.mean(), left_out(thin, indicator, units), strict=True):
        assert report == pytest.approx(refits(thin.rows, indicator, penalty, units), abs=1e-6)


def test_the_score_is_the_accuracy_at_the_penalty_with_the_least_squared_error():
    features, labels = data(45, 20)
    thin, indicator = decompose(features), np.eye(3)[labels]
    records = [refits(thin.rows, indicator, p, np.arange(45)) for p in PENALTIES * thin.squares.mean()]
    best = min(records, key=lambda one: np.square(one - indicator).sum())
    assert linear(features, labels) == np.mean(best.argmax(axis=1) == labels)


def test_every_fold_is_predicted_by_a_ridge_of_the_others():
    features, labels = data(60, 15)
    folds = np.arange(60) // 3 % 5
    held_out = out_of_fold(features, labels, folds)
    for fold in range(5):
        train, test = folds != fold, folds == fold
        thin, indicator = decompose(features[train]), np.eye(3)[labels[train]]
        records = [refits(thin.rows, indicator, p, np.arange(train.sum())) for p in PENALTIES * thin.squares.mean()]
        errors = [np.square(one - indicator).sum() for one in records]
        model = Ridge(PENALTIES[np.argmin(errors)] * thin.squares.mean()).fit(thin.rows, indicator)
        values = model.predict((features[test] - thin.mean) / thin.scale)
        assert np.array_equal(held_out.predicted[test], values.argmax(axis=1))


@pytest.mark.parametrize(("rows", "columns"), [(90, 6), (45, 120)], ids=["n > d", "n < d"])
def test_the_head_is_the_mean_of_a_ridge_and_the_logistic_optimum_at_one_of_its_penalties(rows, columns):
    features, labels = data(rows, columns)
    head, ridge = fit_head(features, labels, 3), fit_ridge(features, labels, 3)
    standard = (features - head.mean) / head.scale
    weight, bias = 2 * head.weight - ridge.weight, 2 * head.bias - ridge.bias
    decay = penalty_of(weight, bias, standard, labels)
    model = LogisticRegression(C=1 / (decay * rows), tol=1e-8, max_iter=5000).fit(standard, labels)
    assert weight == pytest.approx(model.coef_, abs=2e-3 * max(np.linalg.norm(weight), 1))


def penalty_of(weight, bias, standard, labels):
    """At the optimum the gradient of the likelihood is the penalty times the weight."""
    values = standard @ weight.T + bias
    report = np.exp(values - values.max(axis=1, keepdims=True))
    slope = (np.eye(3)[labels] - report / report.sum(axis=1, keepdims=True)).T @ standard / len(labels)
    return float((slope * weight).sum() / np.square(weight).sum())
