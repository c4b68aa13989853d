"""Every distance of the shelf, ours and those of installed plug-ins, keeps its promise."""

import pytest

from recommender.distance import distances
from recommender.testing.distances import DistanceContract, assert_coverage, assert_super_uniform
from registry.errors import UnknownName

IN_GROUPS = pytest.param(True, marks=pytest.mark.slow)


class TestPlugins(DistanceContract):
    @pytest.fixture(params=sorted(distances))
    def distance(self, request):
        return distances[request.param]

    @pytest.mark.parametrize("grouped", [False, IN_GROUPS], ids=["rows", "groups"])
    def test_under_the_null_small_p_values_are_no_commoner_than_they_say(self, distance, grouped):
        super().test_under_the_null_small_p_values_are_no_commoner_than_they_say(distance, grouped)

    @pytest.mark.parametrize("grouped", [False, IN_GROUPS], ids=["rows", "groups"])
    def test_the_interval_covers_about_as_stated(self, distance, grouped):
        super().test_the_interval_covers_about_as_stated(distance, grouped)

    @pytest.mark.slow
    @pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
    def test_under_the_null_p_values_are_super_uniform_over_many_draws(self, distance, grouped):
        assert_super_uniform(distance, draws=2000, grouped=grouped)

    @pytest.mark.slow
    @pytest.mark.parametrize("grouped", [False, True], ids=["rows", "groups"])
    def test_the_interval_covers_as_stated_over_many_draws(self, distance, grouped):
        assert_coverage(distance, draws=1500, grouped=grouped, slack=0.0)


def test_a_misspelt_distance_gets_a_hint():
    with pytest.raises(UnknownName) as refused:
        distances["mdm"]
    assert "mmd" in refused.value.remedy


def test_only_those_without_an_interval_or_a_p_value_leave_it_out():
    from recommender.testing.distances import two_clouds

    by_name = {name: distances[name](*two_clouds(), seed=0) for name in distances}
    assert {name for name, one in by_name.items() if one.low is not None} == {"mmd", "energy", "classifier"}
    assert {name for name, one in by_name.items() if one.p_same is not None} == {"mmd", "energy", "knn"}
