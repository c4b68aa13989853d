"""The executors' laws, held by each; on Ray, two workers of a cluster that is started for it and stopped after."""

import pytest

from recommender.runs.executors import executors
from recommender.testing.executors import ExecutorContract
from tests.clusters import cluster, why_no_ray


@pytest.fixture(scope="module")
def address():
    with cluster() as head:
        yield head.address


@pytest.mark.slow
class TestLocal(ExecutorContract):
    @pytest.fixture
    def execute(self):
        return executors["local"]


@pytest.mark.slow
@pytest.mark.skipif(bool(why_no_ray()), reason=why_no_ray())
class TestRay(ExecutorContract):
    @pytest.fixture
    def execute(self, address, monkeypatch):
        monkeypatch.setenv("RAY_ADDRESS", address)
        return executors["ray"]

    @pytest.mark.long
    def test_the_same_seed_gives_the_same_run(self, execute, tmp_path):
        super().test_the_same_seed_gives_the_same_run(execute, tmp_path)

    @pytest.mark.long
    def test_without_a_test_part_rows_are_held_out_and_groups_stay_whole(self, execute, tmp_path):
        super().test_without_a_test_part_rows_are_held_out_and_groups_stay_whole(execute, tmp_path)
