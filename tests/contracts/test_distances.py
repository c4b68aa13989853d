"""Every distance of the shelf, ours and those of installed plug-ins, keeps its promise."""

import pytest

from recommender.distance import DistanceFunction, distances
from registry.errors import UnknownName
from tests.contracts.distances import DistanceContract


class TestShelf(DistanceContract):
    @pytest.fixture(params=sorted(distances))
    def distance(self, request):
        return distances[request.param]

    def test_it_is_what_the_shelf_promises(self, distance):
        assert isinstance(distance, DistanceFunction)


def test_a_misspelt_distance_gets_a_hint():
    with pytest.raises(UnknownName) as refused:
        distances["mdm"]
    assert "mmd" in refused.value.remedy


def test_only_those_without_an_interval_or_a_p_value_leave_it_out():
    from tests.contracts.distances import two_clouds

    found = {name: distances[name](*two_clouds(), seed=0) for name in distances}
    assert {name for name, one in found.items() if one.low is not None} == {"mmd", "energy", "classifier"}
    assert {name for name, one in found.items() if one.p_same is not None} == {"mmd", "energy", "knn"}
