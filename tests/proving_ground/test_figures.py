"""The figures of a ranking, each against a case that can be read off."""

import numpy as np
import pytest
from scipy.stats import weightedtau

from tests.benchmarks.proving_ground.figures import entropy, regret, relative, standing, weighted_tau


def test_a_perfect_order_has_tau_one_and_its_reverse_minus_one():
    truth = np.array([0.1, 0.2, 0.3, 0.4])
    assert weighted_tau(truth, truth**3) == pytest.approx(1)
    assert weighted_tau(truth, -truth) == pytest.approx(-1)


def test_a_mistake_at_the_top_costs_more_than_one_at_the_bottom():
    truth = np.arange(6.0)
    top, bottom = truth.copy(), truth.copy()
    top[[5, 4]], bottom[[0, 1]] = [4, 5], [1, 0]
    assert weighted_tau(truth, top) < weighted_tau(truth, bottom)


@pytest.mark.parametrize("seed", range(10))
def test_tau_is_scipys_with_and_without_ties(seed):
    for truth, predicted in (
        np.random.default_rng(seed).random((2, 9)),
        np.random.default_rng(seed).integers(0, 4, (2, 9)),
    ):
        assert weighted_tau(truth, predicted) == pytest.approx(weightedtau(truth, predicted, rank=True).statistic)


def test_a_constant_opinion_orders_nothing():
    assert weighted_tau(np.arange(4.0), np.ones(4)) == 0


def test_regret_is_what_the_choice_lost_on_the_other_half():
    halves = np.array([[0.9, 0.5, 0.6], [0.8, 0.5, 0.6]])
    assert regret(halves, np.array([0.0, 1.0, 2.0])) == pytest.approx((0.9 - 0.6 + 0.8 - 0.6) / 2)
    assert regret(halves, np.array([0.0, 1.0, 2.0]), tries=3) == 0


def test_the_best_is_chosen_on_one_half_and_scored_on_the_other():
    halves = np.array([[0.9, 0.5], [0.5, 0.9]])
    assert regret(halves, np.array([1.0, 0.0])) == pytest.approx((0.5 - 0.9 + 0.5 - 0.5) / 2)


def test_rel_at_one_is_a_share_of_the_best():
    halves = np.array([[0.8, 0.4], [0.8, 0.4]])
    assert relative(halves, np.array([0.0, 1.0])) == pytest.approx(0.5)


def test_the_static_list_skips_what_is_not_there_and_never_imputes_it():
    table = np.array([[1.0, np.nan], [2.0, 1.0], [3.0, 2.0], [np.nan, np.nan]])
    result = standing(table)
    assert result[0] == pytest.approx(-np.sqrt(1.5))
    assert result[1] == pytest.approx(-0.5)
    assert np.isnan(result[3])


def test_entropy_is_zero_when_one_always_wins_and_full_when_all_win_alike():
    assert entropy(np.array([8.0, 0, 0, 0])) == (0, 2)
    assert entropy(np.array([2.0, 2, 2, 2])) == (2, 2)
