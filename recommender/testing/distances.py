"""What every distance promises. A plug-in subclasses `DistanceContract` and gives the fixture `distance`."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from recommender.distance import DistanceFunction
from recommender.testing.odd_arrays import FLOAT_TOLERANCE, ODD_LABELS, ODD_ROWS, a_finite_number_or_a_named_error
from registry.errors import LengthMismatch, NotFinite, NotRows, NoVariation, TooFewRows, WidthMismatch


def two_clouds(n=60, m=50, d=8, shift=0.0, seed=0):
    """Normal rows; the second cloud is shifted."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n, d)), random.normal(size=(m, d)) + shift


def grouped_clouds(groups, size, d, shift=0.0, seed=0):
    """Rows of one group lie close together: half of the variance is the group's."""
    random = np.random.default_rng(seed)
    names = np.repeat(np.arange(groups), size)
    clouds = [random.normal(size=(groups, d))[names] + random.normal(size=(groups * size, d)) for _ in range(2)]
    return clouds[0], clouds[1] + shift, (names, names)


def binomial_slack(share, draws, deviations=3.0):
    """How far a share of so many draws may lie from the true one."""
    return deviations * np.sqrt(share * (1 - share) / draws)


class DistanceContract:
    """The laws; every test takes the distance under test."""

    def test_it_keeps_the_promise(self, distance):
        assert isinstance(distance, DistanceFunction)

    def test_the_result_is_frozen_and_its_value_is_the_statistic_or_zero(self, distance):
        for shift in (0.0, 0.5):
            result = distance(*two_clouds(shift=shift), seed=0)
            assert result.value == max(0.0, result.statistic)
            with pytest.raises(FrozenInstanceError):
                result.value = 1.0

    def test_the_interval_holds_the_value_and_never_falls_below_zero(self, distance):
        for shift in (0.0, 0.5):
            result = distance(*two_clouds(shift=shift), seed=0)
            assert (result.low is None) == (result.high is None)
            if result.low is not None:
                assert 0 <= result.low <= result.value <= result.high

    def test_it_is_symmetric(self, distance):
        x, y = two_clouds(shift=0.3)
        there, back = distance(x, y, seed=0), distance(y, x, seed=0)
        assert (there.value, there.p_same) == (back.value, back.p_same)

    def test_it_is_blind_to_the_order_of_the_rows(self, distance):
        x, y = two_clouds(shift=0.3)
        random = np.random.default_rng(1)
        mixed = distance(x[random.permutation(len(x))], y[random.permutation(len(y))], seed=0)
        assert mixed.value == pytest.approx(distance(x, y, seed=0).value, rel=1e-9)

    def test_the_same_seed_gives_the_same_result(self, distance):
        x, y = two_clouds(shift=0.3)
        assert distance(x, y, seed=3) == distance(x, y, seed=3)

    def test_it_leaves_its_inputs_as_they_were(self, distance):
        x, y = two_clouds(shift=0.3)
        before = x.copy(), y.copy()
        distance(x, y, seed=0)
        assert np.array_equal(x, before[0])
        assert np.array_equal(y, before[1])

    def test_it_grows_with_the_shift(self, distance):
        values = [distance(*two_clouds(200, 200, shift=shift), seed=0).value for shift in (0.0, 0.25, 0.5, 1.0)]
        assert values == sorted(values)
        assert values[0] < values[1]

    def test_two_halves_of_one_sample_are_near(self, distance):
        halves = [distance(*two_clouds(200, 200, seed=seed), seed=0).value for seed in range(5)]
        assert max(halves) < distance(*two_clouds(200, 200, shift=0.5), seed=0).value / 3

    def test_units_of_the_columns_do_not_matter(self, distance):
        x, y = two_clouds(shift=0.4)
        units = np.logspace(-4, 8, x.shape[1])
        assert distance(x * units, y * units, seed=0).value == pytest.approx(distance(x, y, seed=0).value, rel=1e-4)

    def test_single_precision_and_torch_tensors_will_do(self, distance):
        x, y = two_clouds(shift=0.4)
        expected = pytest.approx(distance(x, y, seed=0).value, rel=FLOAT_TOLERANCE)
        assert distance(x.astype(np.float32), y.astype(np.float32), seed=0).value == expected
        assert distance(torch.from_numpy(x), torch.from_numpy(y), seed=0).value == expected

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda cloud: np.hstack([cloud, np.full((len(cloud), 2), 1e8)]),
            lambda cloud: cloud * np.array([1e8, *[1.0] * (cloud.shape[1] - 1)]),
            lambda cloud: np.repeat(cloud[:10], 6, axis=0),
            lambda cloud: np.hstack([cloud] * 20),
            lambda cloud: cloud[:2],
            lambda cloud: cloud[:3],
        ],
        ids=["constant columns", "a column at 1e8", "duplicated rows", "rows fewer than columns", "2 rows", "3 rows"],
    )
    def test_hard_rows_stay_finite(self, distance, spoil):
        x, y = (spoil(cloud) for cloud in two_clouds(shift=0.3))
        result = distance(x, y, seed=0)
        numbers = [result.value, result.statistic, result.low, result.high, result.p_same, *result.details.values()]
        assert np.isfinite([number for number in numbers if number is not None]).all()

    def test_constant_columns_change_nothing(self, distance):
        x, y = two_clouds(shift=0.3)
        wide = [np.hstack([cloud, np.full((len(cloud), 2), 7.0)]) for cloud in (x, y)]
        assert distance(*wide, seed=0).value == pytest.approx(distance(x, y, seed=0).value, rel=1e-9)

    def test_a_cloud_of_one_repeated_row_has_a_distance(self, distance):
        x, y = two_clouds()
        assert distance(np.tile(x[:1], (40, 1)) + 3, y, seed=0).value > 0

    def test_groups_of_one_row_are_no_groups(self, distance):
        x, y = two_clouds(shift=0.3)
        alone = distance(x, y, seed=0, groups=(np.arange(len(x)), np.arange(len(y))))
        assert alone == distance(x, y, seed=0)

    def test_names_of_groups_do_not_matter(self, distance):
        x, y, (gx, gy) = grouped_clouds(12, 5, 4, shift=0.3)
        named = (np.array([f"patient {g}" for g in gx]), 1000 - gy)
        assert distance(x, y, seed=0, groups=named) == distance(x, y, seed=0, groups=(gx, gy))

    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_value_that_is_not_finite_is_refused_with_its_row(self, distance, value):
        x, y = two_clouds()
        y[7, 2] = value
        with pytest.raises(NotFinite, match=r"y has .* first in row 7"):
            distance(x, y, seed=0)

    @pytest.mark.parametrize("rows", [0, 1])
    def test_fewer_than_two_rows_are_refused(self, distance, rows):
        x, y = two_clouds()
        with pytest.raises(TooFewRows, match=f"need 2 rows, have {rows}"):
            distance(x[:rows], y, seed=0)

    def test_clouds_without_columns_are_refused(self, distance):
        with pytest.raises(NotRows):
            distance(np.zeros((5, 0)), np.zeros((5, 0)), seed=0)

    def test_clouds_of_different_width_are_refused(self, distance):
        x, y = two_clouds()
        with pytest.raises(WidthMismatch):
            distance(x, y[:, 1:], seed=0)

    def test_identical_rows_everywhere_are_refused(self, distance):
        with pytest.raises(NoVariation):
            distance(np.ones((5, 3)), np.ones((4, 3)), seed=0)

    @pytest.mark.parametrize("both", [False, True], ids=["one cloud", "both clouds"])
    @pytest.mark.parametrize("spoil", ODD_ROWS.values(), ids=ODD_ROWS.keys())
    def test_odd_arrays_have_a_finite_distance_or_a_named_error(self, distance, spoil, both):
        x, y = two_clouds(30, 25, 4)
        a_finite_number_or_a_named_error(lambda: distance(spoil(x), spoil(y) if both else y, seed=0).value)

    @pytest.mark.parametrize("spoil", ODD_LABELS.values(), ids=ODD_LABELS.keys())
    def test_odd_groups_have_a_finite_distance_or_a_named_error(self, distance, spoil):
        x, y = two_clouds(30, 25, 4)
        groups = spoil(np.arange(30) % 5), np.arange(25) % 5
        a_finite_number_or_a_named_error(lambda: distance(x, y, seed=0, groups=groups).value)

    def test_too_few_group_names_are_refused(self, distance):
        x, y = two_clouds()
        with pytest.raises(LengthMismatch):
            distance(x, y, seed=0, groups=(np.arange(len(x) - 1), np.arange(len(y))))

    def test_a_single_group_is_refused(self, distance):
        x, y = two_clouds()
        with pytest.raises(TooFewRows, match="groups of x"):
            distance(x, y, seed=0, groups=(np.zeros(len(x), int), np.arange(len(y))))

    @pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
    def test_under_the_null_small_p_values_are_no_commoner_than_they_say(self, distance, grouped):
        assert_super_uniform(distance, draws=200, grouped=grouped)

    @pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
    def test_under_the_null_p_values_are_super_uniform_over_many_draws(self, distance, grouped):
        assert_super_uniform(distance, draws=2000, grouped=grouped)

    @pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
    def test_the_interval_covers_about_as_stated(self, distance, grouped):
        assert_coverage(distance, draws=250, grouped=grouped, slack=binomial_slack(0.9, 250, 1.5))

    @pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
    def test_the_interval_covers_as_stated_over_many_draws(self, distance, grouped):
        assert_coverage(distance, draws=1500, grouped=grouped, slack=0.0)


def assert_super_uniform(distance, draws, grouped):
    """P(p <= a) <= a, up to three binomial deviations, one-sided: ties make p-values larger."""
    if null_p_value(distance, 0, grouped) is None:
        pytest.skip("this distance has no p-value")
    values = [null_p_value(distance, seed, grouped) for seed in range(draws)]
    assert min(values) > 0
    for level in (0.02, 0.05, 0.1, 0.2, 0.5):
        assert np.mean(np.array(values) <= level) <= level + binomial_slack(level, draws)


def null_p_value(distance, seed, grouped):
    """The p-value of two clouds from one source."""
    if grouped:
        x, y, groups = grouped_clouds(8, 4, 3, seed=seed)
        return distance(x, y, seed=seed, groups=groups).p_same
    return distance(*two_clouds(20, 16, 3, seed=seed), seed=seed).p_same


def assert_coverage(distance, draws, grouped, slack):
    """At a shift of .5 in 8 columns, 90 rows a cloud: the interval holds the mean of the statistic as often as stated.

    The statistic is unbiased, so its mean over the draws stands for the truth.
    """
    if shifted(distance, 0, grouped).low is None:
        pytest.skip("this distance has no interval")
    intervals = [shifted(distance, seed, grouped) for seed in range(draws)]
    truth = np.mean([one.statistic for one in intervals])
    covered = np.mean([one.low <= truth <= one.high for one in intervals])
    assert 0.85 - slack <= covered <= 0.97 + slack


def shifted(distance, seed, grouped):
    """The distance of two clouds that are a shift of .5 apart."""
    if grouped:
        x, y, groups = grouped_clouds(30, 3, 8, shift=0.5, seed=seed)
        return distance(x, y, seed=seed, groups=groups)
    return distance(*two_clouds(90, 90, 8, shift=0.5, seed=seed), seed=seed)
