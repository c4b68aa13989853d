"""LogME against the Gaussian evidence with an explicit covariance, maximized numerically over both variances.

Any n - 1 contrasts of the rows are free of the mean; here those of Helmert, and the covariance is written out for them.
"""

import numpy as np
import pytest
from scipy.linalg import helmert
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from recommender.transfer.logme import logme
from registry.cards import Task
from registry.targets import Targets


def covariance(variances, features):
    """F F' / alpha + I / beta, nothing simplified."""
    prior, noise = np.exp(variances)
    return prior * features @ features.T + noise * np.eye(len(features))


def evidence(variances, features, target):
    """log N(target; 0, covariance)."""
    sign, log_determinant = np.linalg.slogdet(covariance(variances, features))
    assert sign > 0
    fit = target @ np.linalg.solve(covariance(variances, features), target)
    return -0.5 * (len(target) * np.log(2 * np.pi) + log_determinant + fit)


def slow_logme(features, columns):
    contrasts = helmert(len(columns))
    standard = contrasts @ (features / features.std(axis=0))
    return np.mean([most_evidence(standard, contrasts @ column) / len(column) for column in columns.T])


def most_evidence(features, target):
    """The best of searches from many starts."""
    level = np.log(np.mean(target**2))
    starts = [(level + ratio, level + noise) for ratio in (-12, -8, -5, -2) for noise in (-3, -1, 0)]
    results = [
        minimize(
            lambda at: -evidence(at, features, target),
            start,
            method="Nelder-Mead",
            options={"xatol": 1e-7, "fatol": 1e-10, "maxiter": 4000},
            bounds=[(-40, 20)] * 2,
        )
        for start in starts
    ]
    return -min(one.fun for one in results)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("rows", "columns"), [(40, 6), (30, 30), (24, 80)], ids=["n > d", "n = d", "n < d"])
def test_classes_give_the_highest_evidence(rows, columns, classes):
    random = np.random.default_rng(rows)
    labels = np.arange(rows) % classes
    features = 0.8 * random.normal(size=(classes, columns))[labels] + random.normal(size=(rows, columns)) + 3
    assert logme(features, labels) == pytest.approx(slow_logme(features, np.eye(classes)[labels]), abs=1e-6)


@pytest.mark.parametrize(("rows", "columns"), [(40, 6), (24, 80)], ids=["n > d", "n < d"])
def test_a_number_gives_the_highest_evidence(rows, columns):
    random = np.random.default_rng(rows)
    features = random.normal(size=(rows, columns))
    target = 20 + features[:, 0] + 0.3 * random.normal(size=rows)
    assert logme(features, Targets(Task.REGRESSION, target)) == pytest.approx(
        slow_logme(features, target[:, None]), abs=1e-6
    )


def test_several_labels_and_several_numbers_give_the_mean_of_theirs():
    random = np.random.default_rng(7)
    features = random.normal(size=(40, 6))
    labels = (features[:, :2] + random.normal(size=(40, 2)) > 1).astype(int)
    numbers = 5 - features[:, 2:4] + random.normal(size=(40, 2))
    for task, columns in ((Task.MULTI_LABEL, labels), (Task.REGRESSION, numbers)):
        assert logme(features, Targets(task, columns)) == pytest.approx(slow_logme(features, columns), abs=1e-6)


def test_a_label_that_all_rows_have_says_nothing_of_a_checkpoint():
    random = np.random.default_rng(7)
    features = random.normal(size=(40, 6))
    label = (features[:, :1] + random.normal(size=(40, 1)) > 0).astype(int)
    one, both = (Targets(Task.MULTI_LABEL, columns) for columns in (label, np.hstack([label, np.ones_like(label)])))
    assert logme(features, both) == pytest.approx(logme(features, one), rel=1e-12)


def test_the_contrasts_are_what_remains_of_a_mean_that_may_be_anything():
    """With ever wider prior on the mean the evidence of all rows is that of the contrasts, and a constant."""
    random = np.random.default_rng(0)
    features, target, variances = random.normal(size=(12, 3)), 2 + random.normal(size=12), (-0.5, 0.3)
    wide, contrasts = 1e7, helmert(12)
    rows = multivariate_normal(cov=covariance(variances, features) + wide).logpdf(target)
    free = evidence(variances, contrasts @ features, contrasts @ target)
    assert rows + 0.5 * np.log(2 * np.pi * wide * 12) == pytest.approx(free, abs=1e-4)


def test_noise_in_more_columns_than_rows_is_worth_no_more_than_the_labels_alone():
    """The published fixed point that forgets (d - k) log alpha gives 59.7 in such a case."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 4
    alone = -0.5 * 59 / 60 * (np.log(2 * np.pi * 60 * 3 / 16 / 59) + 1)
    assert logme(random.normal(size=(60, 768)), labels) == pytest.approx(alone, abs=0.01)


def test_two_classes_told_apart_by_one_column_leave_nothing_unexplained():
    """Without an intercept half of the energy of a 0/1 target is left, whatever the checkpoint: -0.72 at best."""
    labels = np.arange(200) % 2
    column = labels + 0.01 * np.random.default_rng(0).normal(size=200)
    assert logme(column[:, None], labels) > 2.5


def test_classes_of_very_different_size_are_each_at_their_own_optimum():
    random = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], [30, 5, 1])
    features = random.normal(size=(3, 10))[labels] + random.normal(size=(36, 10))
    assert logme(features, labels) == pytest.approx(slow_logme(features, np.eye(3)[labels]), abs=1e-6)
