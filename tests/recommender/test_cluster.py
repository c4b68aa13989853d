"""A Ray cluster: the same advice as here, and every failure of it by its name."""

import re
import sys
from dataclasses import replace

import pytest

from recommender import flow
from recommender.effort import Deadline
from recommender.runs.folder import RunFolder
from recommender.runs.training_checkpoints import newest
from recommender.trials import try_out
from recommender.workers import longest_first, open_workers
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
from tests.clusters import cluster, lasting, why_no_ray
from tests.recommender.tuning.jobs import colored
from tests.servers import free_port
from tests.ui.pictures import write_stripes
from tests.ui.test_cli import forking

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


def test_the_longest_pieces_are_begun_first_and_as_they_come_where_nothing_is_known():
    assert longest_first([1.0, 5.0, 2.0, 5.0], 4) == [1, 3, 2, 0]
    assert longest_first((), 3) == [0, 1, 2]
    assert longest_first([], 0) == []


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


@pytest.fixture(scope="module")
def two_workers():
    """The address of a cluster that leaves no process."""
    with cluster() as head:
        yield head.address
    assert head.processes() == []


@pytest.mark.slow
@on_ray
def test_two_workers_advise_what_this_process_does_to_the_bit(pictures, two_workers, tmp_path, monkeypatch):
    sample = Sample.from_folder(pictures)
    with Zoo.open(tmp_path / "here") as zoo, open_workers("local") as hands:
        here = flow.recommend(sample, zoo, keep=2, workers=hands).to_dict()
    monkeypatch.setenv("RAY_ADDRESS", two_workers)
    with Zoo.open(tmp_path / "there") as zoo, open_workers("ray") as hands:
        there = flow.recommend(sample, zoo, keep=2, workers=hands).to_dict()
        for amount, kind in {"many": UnusableRequest, "64": ClusterUnusable}.items():
            monkeypatch.setenv("TRANSFERZOO_RAY_CPUS", amount)
            with pytest.raises(kind, match=amount):
                flow.recommend(sample, zoo, workers=hands)
    assert lasting(here) == lasting(there)
    assert len(there["choices"]) == 2
    assert any("look" in row["reason"] for row in there["skipped"])


@pytest.mark.slow
@on_ray
def test_the_trials_of_the_finalists_are_tasks_too_and_come_to_the_same(two_workers, tmp_path, monkeypatch):
    sample = Sample.from_arrays(*colored(90), name="colors", keep_duplicates=True)
    trials = {}
    monkeypatch.setenv("RAY_ADDRESS", two_workers)
    for name in ("local", "ray"):
        with Zoo.open(tmp_path / name) as zoo, open_workers(name) as hands:
            finalists = [flow.evaluate(sample, zoo, net, "lp-ft") for net in _small(zoo)]
            tried, undone = try_out(finalists, sample, zoo, deadline=Deadline(), workers=hands)
            assert undone == ()
            trials[name] = [replace(trial, seconds=0.0) for trial in tried]
    assert len(trials["ray"]) == 2
    assert trials["ray"] == trials["local"]


def _small(zoo):
    """Two bundled nets that learn in seconds."""
    cards = sorted((card for card in zoo.checkpoints("image") if card.folder), key=lambda card: card.parameters)
    return [card.name for card in cards[:2]]


def begin(head, home, *words, **environment):
    """A command on a cluster, in a process of its own."""
    return forking().start(*map(str, words), "--home", str(home), env={"RAY_ADDRESS": head.address, **environment})


def words_of(running, code):
    """What it printed when it ended with that exit code, on one line."""
    done = running.done()
    printed = done.out + done.err
    assert done.code == code, printed
    assert "Traceback" not in printed
    return " ".join(printed.split())


@pytest.mark.slow
@pytest.mark.long
@on_ray
def test_a_head_that_is_killed_meanwhile_leaves_advice_to_be_gone_on_with(pictures, tmp_path):
    home = tmp_path / "home"
    with cluster(1) as head:
        command = begin(head, home, "recommend", pictures, "--keep", 2, "--executor", "ray")
        command.wait_until(lambda: [*(home / "features").glob("*.safetensors")][1:])
        head.kill()
        words = words_of(command, 2)
        assert "was lost" in words
        (name,) = re.findall(r"--continue (\w{16})", words)
        words_of(begin(head, home, "recommend", pictures, "--keep", 2, "--continue", name), 0)
    with Zoo.open(home) as zoo:
        assert zoo.advice(name)["undone"]
        ((_, advice),) = zoo.kept(1)
        assert advice["undone"] == []
        assert all(choice["blocks"] for choice in advice["choices"])


@pytest.mark.slow
@on_ray
def test_a_head_that_is_killed_while_a_net_learns_leaves_a_run_to_be_resumed(pictures, tmp_path):
    home = tmp_path / "home"
    plan = ("--checkpoint", "regnet-cifar10", "--strategy", "lp-ft", "--epochs", 40, "--no-controls")
    with cluster(1) as head:
        command = begin(head, home, "tune", pictures, *plan, "--executor", "ray")
        command.wait_until(lambda: [folder for folder in (home / "runs").glob("*") if newest(folder)])
        head.kill()
        words = words_of(command, 2)
        assert "was lost" in words
        (name,) = set(re.findall(r"runs resume ([\w-]+)", words))
        words_of(begin(head, home, "runs", "resume", name), 0)
    run = RunFolder(home / "runs" / name)
    assert run.result["metrics"]["score"] > 0.5


@pytest.mark.slow
@on_ray
def test_another_token_is_refused_by_name(pictures, tmp_path):
    ours, other = ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": letter * 64} for letter in "ab")
    with cluster(1, **ours) as head:
        command = begin(head, tmp_path / "home", "recommend", pictures, "--executor", "ray", **other)
        words = words_of(command, 2)
    assert "refuses the token" in words
    assert "b" * 64 not in words
