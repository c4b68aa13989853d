"""A Ray cluster: the same advice as here, and every failure of it by its name."""

import sys

import pytest

from recommender import flow
from recommender.effort import Deadline
from recommender.workers import open_workers
from registry.errors import (
    ClusterAway,
    ClusterLost,
    ClusterOutOfRoom,
    ClusterRefused,
    ClusterUnusable,
    ExtraMissing,
    UnknownName,
    UnusableRequest,
)
from registry.sample import Sample
from registry.zoo import Zoo
from tests.clusters import cluster, free_port, why_no_ray
from tests.ui.pictures import write_stripes

on_ray = pytest.mark.skipif(bool(why_no_ray()), reason=why_no_ray())


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "recommender.cluster", raising=False)
    with pytest.raises(ExtraMissing, match="ray is not installed") as caught:
        open_workers("ray")
    assert "transferzoo[ray]" in caught.value.remedy


def test_workers_that_there_are_not_are_refused_by_name():
    with pytest.raises(UnknownName, match="rya"):
        open_workers("rya")


def test_a_deadline_goes_on_in_another_process():
    deadline = Deadline.going_on(100.0, 5.0)
    assert 4 < deadline.left <= 5
    assert deadline.share(0.5) == 50.0
    assert not Deadline.going_on(None, 0.0).over()
    assert Deadline.going_on(100.0, -1.0).over()


@on_ray
def test_where_no_cluster_answers_its_address_is_named(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    with pytest.raises(ClusterAway, match=r"127\.0\.0\.1") as caught, open_workers("ray"):
        pass
    assert "ray start --head" in caught.value.remedy


@on_ray
def test_the_address_of_rays_client_is_refused(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:10001")
    with pytest.raises(ClusterUnusable, match="client"), open_workers("ray"):
        pass


@on_ray
def test_every_failure_of_ray_has_a_name_and_a_remedy():
    from ray import exceptions

    from recommender.cluster import _named

    table = {
        exceptions.ObjectStoreFullError("full"): ClusterOutOfRoom,
        exceptions.OutOfMemoryError("memory"): ClusterOutOfRoom,
        exceptions.AuthenticationError("token"): ClusterRefused,
        exceptions.WorkerCrashedError(): ClusterUnusable,
        exceptions.LocalRayletDiedError(): ClusterLost,
        exceptions.RayTaskError("work", "", ModuleNotFoundError("No module named 'recommender'")): ClusterUnusable,
        exceptions.RayTaskError("work", "", UnknownName("checkpoint", "a", ["b"])): UnknownName,
    }
    for failure, kind in table.items():
        named = _named(failure, "here:6379")
        assert type(named) is kind
        assert named.remedy


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of stripes."""
    return write_stripes(tmp_path_factory.mktemp("cluster"))


def lasting(record):
    """A record without what a clock says, and what follows from that."""
    if isinstance(record, dict):
        return {
            key: lasting(value) for key, value in record.items() if not key.endswith(("seconds", "cost", "because"))
        }
    return [lasting(value) for value in record] if isinstance(record, list) else record


@pytest.mark.slow
@on_ray
def test_two_workers_advise_what_this_process_does_to_the_bit(pictures, tmp_path, monkeypatch):
    sample = Sample.from_folder(pictures)
    with Zoo.open(tmp_path / "here") as zoo, open_workers("local") as hands:
        here = flow.recommend(sample, zoo, keep=2, workers=hands).to_dict()
    with cluster() as head, Zoo.open(tmp_path / "there") as zoo:
        monkeypatch.setenv("RAY_ADDRESS", head.address)
        with open_workers("ray") as hands:
            there = flow.recommend(sample, zoo, keep=2, workers=hands).to_dict()
            for amount, kind in {"many": UnusableRequest, "64": ClusterUnusable}.items():
                monkeypatch.setenv("TRANSFERZOO_RAY_CPUS", amount)
                with pytest.raises(kind, match=amount):
                    flow.recommend(sample, zoo, workers=hands)
    assert lasting(here) == lasting(there)
    assert len(there["choices"]) == 2
    assert any("look" in row["reason"] for row in there["skipped"])
    assert head.processes() == []
