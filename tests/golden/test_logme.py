"""LogME against the Gaussian evidence with the explicit n x n covariance, maximized numerically over both variances."""

import numpy as np
import pytest
from scipy.optimize import minimize

from recommender.transfer.logme import logme


def evidence(variances, features, target):
    """log N(target; 0, F F' / alpha + I / beta), nothing simplified."""
    prior, noise = np.exp(variances)
    covariance = prior * features @ features.T + noise * np.eye(len(target))
    sign, log_determinant = np.linalg.slogdet(covariance)
    assert sign > 0
    fit = target @ np.linalg.solve(covariance, target)
    return -0.5 * (len(target) * np.log(2 * np.pi) + log_determinant + fit)


def slow_logme(features, columns):
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    return np.mean([most_evidence(standard, column) / len(column) for column in columns.T])


def most_evidence(features, target):
    """The best of searches from many starts."""
    level = np.log(np.mean(target**2))
    starts = [(level + ratio, level + noise) for ratio in (-12, -8, -5, -2) for noise in (-3, -1, 0)]
    found = [
        minimize(lambda at: -evidence(at, features, target), start, method="Nelder-Mead",
                 options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000}, bounds=[(-40, 20)] * 2)
        for start in starts
    ]  # fmt: skip
    return -min(one.fun for one in found)


@pytest.mark.parametrize(("rows", "columns"), [(40, 6), (30, 30), (24, 80)], ids=["n > d", "n = d", "n < d"])
def test_classes_give_the_highest_evidence(rows, columns):
    random = np.random.default_rng(rows)
    labels = np.arange(rows) % 3
    features = 0.8 * random.normal(size=(3, columns))[labels] + random.normal(size=(rows, columns))
    assert logme(features, labels) == pytest.approx(slow_logme(features, np.eye(3)[labels]), abs=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(40, 6), (24, 80)], ids=["n > d", "n < d"])
def test_a_number_gives_the_highest_evidence(rows, columns):
    random = np.random.default_rng(rows)
    features = random.normal(size=(rows, columns))
    target = features[:, 0] + 0.3 * random.normal(size=rows)
    assert logme(features, target) == pytest.approx(slow_logme(features, target[:, None]), abs=1e-6)


def test_noise_in_more_columns_than_rows_is_worth_no_more_than_the_labels_alone():
    """The published fixed point that forgets (d - k) log alpha gives 59.7 in such a case."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 4
    alone = -0.5 * (np.log(2 * np.pi * 0.25) + 1)
    assert logme(random.normal(size=(60, 768)), labels) == pytest.approx(alone, abs=0.01)


def test_classes_of_very_different_size_are_each_at_their_own_optimum():
    random = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], [30, 5, 1])
    features = random.normal(size=(3, 10))[labels] + random.normal(size=(36, 10))
    assert logme(features, labels) == pytest.approx(slow_logme(features, np.eye(3)[labels]), abs=1e-6)
