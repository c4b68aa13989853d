"""One worker a lane: jobs one after the other, ended within five seconds, found when their process or worker died."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from recommender.requests import DiskRequest, PredictRequest, RecommendRequest, SampleRequest, TuneRequest, request_of
from registry.errors import DeviceMissing, UnknownName
from registry.home import Home
from registry.zoo import Zoo
from tests.ui.pictures import write_stripes
from tests.ui.test_cli import transferzoo
from tests.ui.workers import as_their_paths_say
from ui import job_queue
from ui.program import app

Detached = list[str]


@pytest.fixture(scope="module")
def catalog_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def zoo(catalog_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Zoo]:
    monkeypatch.setattr(job_queue, "_command", as_their_paths_say)
    with Zoo.open(catalog_home) as opened:
        yield opened
        for job in opened.jobs.list():
            opened.jobs.cancel(job.id)
    for leftover in [*(catalog_home / "jobs").glob("*"), catalog_home / "diary"]:
        leftover.unlink(missing_ok=True)


@pytest.fixture
def detached(monkeypatch: pytest.MonkeyPatch) -> Detached:
    """Lanes for which a worker would have been started."""
    lanes: Detached = []
    monkeypatch.setattr(job_queue, "_detach", lambda _home, lane: lanes.append(lane))
    return lanes


def tuning(manner: str, run: str = "", device: str = "cpu") -> TuneRequest:
    """A tuning that behaves as its path says; each is another."""
    return TuneRequest(sample=SampleRequest(path=f"/{manner}"), strategy=run or str(time.time_ns()), device=device)


def queue_job(zoo: Zoo, manner: str, **options: str) -> str:
    return job_queue.enqueue(zoo, tuning(manner, **options)).id


def worker(zoo: Zoo, linger: float = 0.3) -> threading.Thread:
    done = threading.Thread(
        target=job_queue.work,
        args=(zoo, "cpu"),
        kwargs={"until_empty": True, "announce": lambda _line: None, "linger": linger},
    )
    done.start()
    return done


def wait_for(true: Callable[[], Any], seconds: float = 20) -> float:
    """The seconds that it took to become true."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds
        time.sleep(0.02)
    return time.monotonic() - began


def at_work(zoo: Zoo, job: str) -> tuple[int, int]:
    """The processes of a job that sleeps: its own and its child's."""
    report = zoo.home.root / f"child-{job}"
    wait_for(lambda: report.exists() and report.read_text())
    return zoo.jobs.get(job).pid, int(report.read_text())


def gone(*processes: int) -> bool:
    return not any(psutil.pid_exists(one) and psutil.Process(one).status() != "zombie" for one in processes)


def test_the_same_asked_twice_is_one_job_and_again_when_it_is_over(zoo: Zoo, detached: Detached) -> None:
    twice = RecommendRequest(sample=SampleRequest(path="/twice"))
    first = job_queue.enqueue(zoo, twice)
    assert zoo.jobs.claim(first.id)
    assert job_queue.enqueue(zoo, RecommendRequest(sample=SampleRequest(path="/twice"), keep=5)).id == first.id
    zoo.jobs.finish(first.id, {})
    assert job_queue.enqueue(zoo, twice).id != first.id
    assert set(detached) == {"advice"}


def test_a_list_without_what_is_over_names_where_that_is(zoo: Zoo, detached: Detached) -> None:
    over = sum(job.state in job_queue.OVER for job in zoo.jobs.list())
    for number in range(2):
        job = queue_job(zoo, f"over-{number}")
        assert zoo.jobs.claim(job)
        zoo.jobs.finish(job, {})
    ask = ("queue", "list", "--home", str(zoo.home.root))
    listed = CliRunner().invoke(app, ask)
    assert f"{over + 2} are over and not listed" in listed.stdout
    assert "queue list --all" in listed.stdout
    everything = CliRunner().invoke(app, [*ask, "--all"])
    assert job in everything.stdout
    assert "not listed" not in everything.stdout
    assert json.loads(CliRunner().invoke(app, [*ask, "--json"]).stdout) == []


def test_advice_does_not_wait_for_tunings(zoo: Zoo, detached: Detached) -> None:
    queue_job(zoo, "tuning")
    assert job_queue.enqueue(zoo, RecommendRequest(sample=SampleRequest(path="/sample"))).lane == "advice"
    assert set(detached) == {"cpu", "advice"}


def test_a_device_that_is_not_there_is_told_before_anything_is_queued(zoo: Zoo, detached: Detached) -> None:
    before = zoo.jobs.list()
    with pytest.raises(DeviceMissing, match="cuda:99"):
        job_queue.enqueue(zoo, tuning("sample", device="cuda:99"))
    assert zoo.jobs.list() == before
    assert detached == []


@pytest.mark.slow
def test_jobs_are_done_one_after_the_other_the_oldest_first(zoo: Zoo, detached: Detached) -> None:
    names = [queue_job(zoo, "quick") for _ in range(3)]
    worker(zoo).join(60)
    assert (zoo.home.root / "diary").read_text().split() == [
        word for name in names for word in ("begin", name, "end", name)
    ]
    assert [zoo.jobs.get(name).result for name in names] == [{"came": "well"}] * 3


@pytest.mark.slow
@pytest.mark.parametrize("manner", ["patient", pytest.param("stubborn", marks=pytest.mark.slow)])
def test_a_cancelled_job_is_gone_within_five_seconds_with_all_its_processes(
    zoo: Zoo, detached: Detached, manner: str
) -> None:
    cancelled, after = queue_job(zoo, manner), queue_job(zoo, "quick")
    working = worker(zoo)
    processes = at_work(zoo, cancelled)
    job_queue.stop(zoo, cancelled)
    took = wait_for(lambda: gone(*processes))
    assert took < 5, f"took {took:.1f} s"
    working.join(60)
    assert [zoo.jobs.get(one).state for one in (cancelled, after)] == ["cancelled", "finished"]


def test_a_job_that_is_cancelled_while_it_waits_never_begins(zoo: Zoo, detached: Detached) -> None:
    job = queue_job(zoo, "quick")
    job_queue.stop(zoo, job)
    worker(zoo).join(60)
    assert not (zoo.home.root / "diary").exists()


@pytest.mark.slow
def test_a_killed_job_is_begun_again_by_the_worker_of_its_lane(zoo: Zoo, detached: Detached) -> None:
    job = queue_job(zoo, "fatal-once")
    worker(zoo).join(60)
    assert (zoo.jobs.get(job).state, zoo.jobs.get(job).tries) == ("finished", 2)
    assert (zoo.home.root / "diary").read_text().split() == ["begin", job, "begin", job, "end", job]


@pytest.mark.slow
def test_a_job_that_dies_each_time_is_lost_and_can_be_queued_anew(zoo: Zoo, detached: Detached) -> None:
    job, after = queue_job(zoo, "fatal", run="killed"), queue_job(zoo, "quick")
    worker(zoo).join(60)
    assert (zoo.jobs.get(job).state, zoo.jobs.get(job).tries) == ("lost", 3)
    assert zoo.jobs.get(after).state == "finished"
    again = job_queue.enqueue(zoo, tuning("fatal", run="killed"))
    assert (again.id, again.state, again.tries) == (job, "queued", 0)


@pytest.mark.slow
def test_a_job_whose_process_cannot_begin_has_failed_with_its_last_words(zoo: Zoo, detached: Detached) -> None:
    job, after = queue_job(zoo, "mute"), queue_job(zoo, "quick")
    worker(zoo).join(60)
    assert zoo.jobs.get(job).state == "failed"
    assert zoo.jobs.get(job).error == job_queue.last_words(zoo.home, job) == "the disk is made of cheese"
    assert zoo.jobs.get(after).state == "finished"


@pytest.mark.slow
def test_a_second_worker_of_a_lane_ends_at_once(zoo: Zoo, detached: Detached) -> None:
    first = worker(zoo, linger=8)
    wait_for(lambda: job_queue.has_worker(zoo.home, "cpu"))
    began = time.monotonic()
    assert not job_queue.work(zoo, "cpu", until_empty=True, announce=print)
    assert time.monotonic() - began < 6
    assert job_queue.work(zoo, "cuda:0", until_empty=True, announce=print, linger=0.1)
    first.join(60)
    assert not job_queue.has_worker(zoo.home, "cpu")


def test_only_a_lane_without_a_worker_gets_one(zoo: Zoo, detached: Detached) -> None:
    queue_job(zoo, "quick")
    assert detached == ["cpu"]
    with job_queue._lock(zoo.home, "cpu"):
        job_queue.ensure_worker(zoo)
        assert detached == ["cpu"]
    job_queue.ensure_worker(zoo)
    assert detached == ["cpu", "cpu"]


def test_what_is_asked_for_while_the_worker_leaves_is_not_forgotten(
    zoo: Zoo, detached: Detached, monkeypatch: pytest.MonkeyPatch
) -> None:
    work_off, requests = job_queue._Worker.work_off, []

    def leave(self: job_queue._Worker, linger: float) -> None:
        work_off(self, linger)
        if not requests:
            requests.append(queue_job(zoo, "quick"))
            assert detached == []

    monkeypatch.setattr(job_queue._Worker, "work_off", leave)
    worker(zoo, linger=0.1).join(60)
    assert zoo.jobs.get(requests[0]).state == "finished"


@pytest.mark.slow
def test_a_job_outlives_its_killed_worker_and_the_next_worker_waits_for_it(zoo: Zoo, detached: Detached) -> None:
    cancelled, after = queue_job(zoo, "patient"), queue_job(zoo, "quick")
    command = [sys.executable, "-m", "tests.ui.workers", str(zoo.home.root)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    processes = at_work(zoo, cancelled)
    first.kill()
    first.wait()
    assert not gone(*processes)
    job_queue.ensure_worker(zoo)
    assert zoo.jobs.get(cancelled).state == "running"
    assert detached[-1] == "cpu"
    working = worker(zoo)
    time.sleep(1)
    assert zoo.jobs.get(after).state == "queued"
    job_queue.stop(zoo, cancelled)
    assert wait_for(lambda: gone(*processes)) < 5
    working.join(60)
    assert zoo.jobs.get(after).state == "finished"


@pytest.mark.slow
def test_without_a_worker_a_cancelled_process_is_ended_all_the_same(zoo: Zoo, detached: Detached) -> None:
    job = queue_job(zoo, "patient")
    command = [sys.executable, "-m", "tests.ui.workers", str(zoo.home.root)]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    processes = at_work(zoo, job)
    first.kill()
    first.wait()
    began = time.monotonic()
    assert job_queue.stop(zoo, job).state == "cancelled"
    wait_for(lambda: gone(*processes))
    assert time.monotonic() - began < 5


def test_a_child_that_ends_as_the_wait_for_it_does_is_buried_and_its_exit_code_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child = psutil.Popen([sys.executable, "-c", "raise SystemExit(3)"])
    wait_for(lambda: child.status() == psutil.STATUS_ZOMBIE)
    waits = iter([psutil.TimeoutExpired(0.25)])

    def wait(seconds: float) -> int:
        for expired in waits:
            raise expired
        return int(psutil.Popen.wait(child, seconds))

    monkeypatch.setattr(child, "wait", wait)
    assert job_queue._over(child, 0.25)
    assert child.returncode == 3


def test_a_worker_that_has_ended_is_buried_when_the_next_one_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_queue, "_detached", [])
    monkeypatch.setattr(job_queue, "_worker_file", lambda *_: tmp_path / "worker.txt")
    monkeypatch.setattr(sys, "executable", "/bin/true")
    for _ in range(2):
        job_queue._detach(Home(tmp_path), "cpu")
        os.waitid(os.P_PID, job_queue._detached[0].pid, os.WEXITED | os.WNOWAIT)
    assert len(job_queue._detached) == 1
    assert job_queue._detached[0].wait() == 0


def test_a_job_tells_the_mlflow_of_who_asked_but_passwords_are_not_written(
    zoo: Zoo, detached: Detached, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("URI", "http://me:secret@asked"), ("PASSWORD", "secret"), ("USERNAME", "me")):
        monkeypatch.setenv(f"MLFLOW_TRACKING_{name}", value)
    job = queue_job(zoo, "quick")
    written = zoo.home.root / "jobs" / f"{job}.json"
    assert "secret" not in written.read_text()
    assert written.stat().st_mode & 0o077 == 0
    assert job_queue._surroundings(zoo.home, job)["MLFLOW_TRACKING_URI"] == "http://me:secret@asked"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://worker")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "of the worker")
    seen = job_queue._surroundings(zoo.home, job)
    record = {name: value for name, value in seen.items() if name.startswith("MLFLOW_TRACKING_")}
    assert sorted(record.values()) == ["http://asked", "me", "secret"]
    assert "MLFLOW_EXPERIMENT_NAME" not in seen


def test_a_queued_request_comes_back_as_it_was_and_another_kind_is_not_queued(zoo: Zoo, detached: Detached) -> None:
    request = RecommendRequest(sample=SampleRequest(path="/a b", seed=3), licenses=("mit", "apache"))
    job = job_queue.enqueue(zoo, request)
    assert request_of(job.kind, job.spec) == request
    prediction = job_queue.enqueue(zoo, PredictRequest(run="latest", path="/a b"))
    assert {*detached} == {job_queue.ADVICE, job_queue.USES}
    assert prediction.lane == job_queue.USES
    with pytest.raises(UnknownName, match="zoo disk"):
        job_queue.enqueue(zoo, DiskRequest())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "report"),
    [
        (("tunes", "."), "Did you mean 'tune'?"),
        (("tune", ".", "--sed", "1"), "No such option"),
        (("recommend", ".", "--metric", "acuracy"), "balanced-accuracy"),
        (("recommend", "/nowhere"), "/nowhere does not exist"),
    ],
)
def test_what_cannot_be_carried_out_is_not_queued(tmp_path: Path, words: tuple[str, ...], report: str) -> None:
    done = transferzoo("queue", "add", *words, home=tmp_path)
    assert done.returncode == 2
    assert report in done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads(transferzoo("queue", "list", "--json", home=tmp_path).stdout) == []


@pytest.mark.slow
def test_a_queued_recommendation_and_a_cancelled_tuning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    home, place = tmp_path / "home", write_stripes(tmp_path, rows=40)
    words = ("recommend", place.name, "--keep", "1", "--exclude", "resnet-fer2013", "--exclude", "resnet-omniglot")
    record = json.loads(transferzoo("queue", "add", *words, "--json", home=home).stdout)
    assert record["spec"] == {"path": str(place), "keep": "1", "exclude": ["resnet-fer2013", "resnet-omniglot"]}
    tune = ("tune", str(place), "--checkpoint", "resnet-photos", "--strategy", "lp-ft", "--json")
    tuning = json.loads(transferzoo("queue", "add", *tune, home=home).stdout)["id"]
    with Zoo.open(home) as zoo:
        wait_for(lambda: zoo.jobs.get(tuning).state == "running", 60)
        report = json.loads(transferzoo("queue", "cancel", tuning[:6], "--json", home=home).stdout)
        assert report["state"] == "cancelled"
        assert gone(report["pid"])
        wait_for(lambda: zoo.jobs.get(record["id"]).state == "finished", 120)
        shown = json.loads(transferzoo("queue", "show", record["id"], "--json", home=home).stdout)
        assert zoo.advice(shown["result"]["recommendation"]) is not None
        assert "Next" in shown["said"]
        assert not transferzoo("queue", "work", "--device", "advice", "--until-empty", home=home).returncode
