"""MMD and energy against loops over pairs, permutations and left-out units; Fréchet against the matrix root."""

import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.covariance import LedoitWolf

from recommender.distance.energy import energy
from recommender.distance.frechet import frechet
from recommender.distance.kernels import labelings, pool
from recommender.distance.mmd import mmd

SIGMA = 2.5


def gaussians(a, b):
    gap = np.square(a - b).sum()
    return np.mean([np.exp(-gap / (2 * (SIGMA * factor) ** 2)) for factor in (0.5, 1, 2)])


def minus_gap(a, b):
    return -np.sqrt(np.square(a - b).sum())


def unbiased(kernel, x, y, groups_x, groups_y):
    """Equation 3, pairs within a group left out."""

    def within(rows, groups):
        return np.mean([kernel(a, b) for i, a in enumerate(rows) for j, b in enumerate(rows) if groups[i] != groups[j]])

    return within(x, groups_x) + within(y, groups_y) - 2 * np.mean([kernel(a, b) for a in x for b in y])


def jackknife_error(kernel, x, y, groups_x, groups_y):
    def side(groups, without):
        names = np.unique(groups)
        result = np.array([without(groups != name) for name in names])
        return (len(names) - 1) / len(names) * np.square(result - result.mean()).sum()

    return np.sqrt(
        side(groups_x, lambda kept: unbiased(kernel, x[kept], y, groups_x[kept], groups_y))
        + side(groups_y, lambda kept: unbiased(kernel, x, y[kept], groups_x, groups_y[kept]))
    )


def clouds(grouped):
    random = np.random.default_rng(5)
    x, y = random.normal(size=(14, 3)), random.normal(size=(11, 3)) + 0.6
    groups = (np.arange(14) // 3, np.arange(11) ** 2 % 5) if grouped else (np.arange(14), np.arange(11))
    return x, y, groups


def standardized(x, y):
    both = np.concatenate([x, y])
    return (x - both.mean(axis=0)) / both.std(axis=0), (y - both.mean(axis=0)) / both.std(axis=0)


@pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
def test_mmd_is_the_mean_over_pairs_with_its_jackknife_interval(grouped):
    x, y, groups = clouds(grouped)
    result = mmd(x, y, sigma=SIGMA, groups=groups)
    assert result.statistic == pytest.approx(unbiased(gaussians, x, y, *groups), abs=1e-12)
    reach = 1.6448536269514722 * jackknife_error(gaussians, x, y, *groups)
    assert result.high == pytest.approx(result.value + reach, abs=1e-9)
    assert result.low == pytest.approx(max(0, result.statistic - reach), abs=1e-9)


@pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
def test_energy_is_the_mean_over_pairs_with_its_jackknife_interval(grouped):
    x, y, groups = clouds(grouped)
    result = energy(x, y, groups=groups)
    scaled = standardized(x, y)
    assert result.statistic == pytest.approx(unbiased(minus_gap, *scaled, *groups), abs=1e-9)
    reach = 1.6448536269514722 * jackknife_error(minus_gap, *scaled, *groups)
    assert result.high == pytest.approx(result.value + reach, abs=1e-7)


def test_a_fixed_scale_is_a_standardization_beforehand():
    x, y, _ = clouds(grouped=False)
    mean, scale = np.array([0.5, -1, 2]), np.array([1, 3, 0.2])
    there = mmd(x, y, sigma=SIGMA, mean=mean, scale=scale)
    assert there.statistic == pytest.approx(mmd((x - mean) / scale, (y - mean) / scale, sigma=SIGMA).statistic)


@pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
@pytest.mark.parametrize(("shift", "seed"), [(0.0, 0), (0.3, 1), (0.6, 2)])
def test_the_p_value_is_the_loops(grouped, shift, seed):
    """So the power is the loop's too."""
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(16, 2)), random.normal(size=(12, 2)) + shift
    groups = (np.arange(16) // 2, np.arange(12) // 2) if grouped else (np.arange(16), np.arange(12))
    pair = pool(x, y, groups, (np.zeros(2), np.ones(2)))

    def statistic(label):
        return unbiased(gaussians, pair.rows[label], pair.rows[~label], pair.unit[label], pair.unit[~label])

    observed = statistic(pair.first)
    reached = sum(statistic(label) >= observed - 1e-12 for label in labelings(pair, 60, seed).T)
    result = mmd(x, y, sigma=SIGMA, groups=groups, permutations=60, seed=seed)
    assert result.p_same == (reached + 1) / 61


def test_blocks_do_not_change_the_sums(monkeypatch):
    x, y, groups = clouds(grouped=True)
    whole = mmd(x, y, groups=groups)
    monkeypatch.setattr("recommender.distance.kernels._BLOCK", 4)
    parts = mmd(x, y, groups=groups)
    assert parts.statistic == pytest.approx(whole.statistic, abs=1e-13)
    assert (parts.p_same, parts.high) == (whole.p_same, pytest.approx(whole.high, abs=1e-12))


@pytest.mark.parametrize(("rows", "columns"), [(60, 5), (12, 20)], ids=["n > d", "n < d"])
def test_frechet_is_the_formula_with_shrunk_covariances(rows, columns):
    random = np.random.default_rng(rows)
    x, y = random.normal(size=(rows, columns)), 1.5 * random.normal(size=(rows + 9, columns)) + 0.4
    a, b = standardized(x, y)
    first, second = (LedoitWolf().fit(c).covariance_ for c in (a, b))
    root = sqrtm(first @ second).real
    expected = np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + np.trace(first + second - 2 * root)
    assert frechet(x, y).value == pytest.approx(expected, rel=1e-6)
