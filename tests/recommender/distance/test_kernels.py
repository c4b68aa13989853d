"""What the distances share."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recommender.distance.kernels import assigned_hands, labelings, median_distance, p_value, pool
from registry.errors import WidthMismatch


def clouds(seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(24, 3)), random.normal(size=(15, 3)) + 1


def test_a_permutation_never_reaches_a_p_value_of_zero():
    assert p_value(10.0, np.zeros(99)) == 0.01


def test_ties_count_as_reached():
    assert p_value(1.0, np.array([1.0, 1.0, 0.0])) == 0.75


def test_the_smaller_cloud_comes_first_whichever_argument_it_is():
    x, y = clouds()
    assert pool(x, y).first.sum() == pool(y, x).first.sum() == 15
    assert pool(x, y).swapped
    assert not pool(y, x).swapped


def test_an_argument_finds_its_own_rows_again():
    x, y = clouds()
    pair = pool(x, y, scale=(np.zeros(3), np.ones(3)))
    assert np.array_equal(np.sort(pair.cloud(argument=0), axis=0), np.sort(x, axis=0))
    assert np.array_equal(np.sort(pair.cloud(argument=1), axis=0), np.sort(y, axis=0))


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False))
def test_the_pool_is_the_same_in_whatever_order_rows_come(order):
    x, y = clouds()
    x[3] = y[4] = x[0]
    mixed = pool(y[order.sample(range(15), 15)], x[order.sample(range(24), 24)])
    plain = pool(x, y)
    assert np.array_equal(mixed.rows, plain.rows)
    assert np.array_equal(mixed.first, plain.first)


def test_a_labeling_moves_whole_groups_and_keeps_their_number():
    x, y = clouds()
    pair = pool(x, y, (np.arange(24) // 4, np.arange(15) // 3))
    for label in labelings(pair, 50, 0).T:
        by_group = [np.unique(label[pair.unit == unit]) for unit in range(11)]
        assert all(len(report) == 1 for report in by_group)
        assert sum(report[0] for report in by_group) == 5


def test_groups_of_one_name_in_both_clouds_are_two_groups():
    x, y = clouds()
    pair = pool(x, y, (np.arange(24) // 12, np.arange(15) // 8))
    assert len(pair.unit_sizes) == 4


def test_hands_are_even_on_both_sides_and_hold_whole_groups():
    x, y = clouds()
    pair = pool(x, y, (np.arange(24) // 2, np.arange(15) // 3))
    hand = assigned_hands(pair, 3)
    assert all(len(np.unique(hand[pair.unit == unit])) == 1 for unit in range(17))
    sides = [np.bincount(hand[side], minlength=3) for side in (pair.first, ~pair.first)]
    assert [side.tolist() for side in sides] == [[6, 6, 3], [8, 8, 8]]


def test_the_median_distance_leaves_out_rows_on_top_of_each_other():
    rows = np.array([[0.0], [0.0], [0.0], [0.0], [3.0]])
    pair = pool(rows, rows + 0.0, scale=(np.zeros(1), np.ones(1)))
    assert median_distance(pair) == 3.0


def test_a_scale_of_another_width_is_refused():
    x, y = clouds()
    with pytest.raises(WidthMismatch):
        pool(x, y, scale=(np.zeros(2), np.ones(2)))
