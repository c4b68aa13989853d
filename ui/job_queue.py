"""The job queue: requests, and the processes that perform them, one worker a lane.

Every device is a lane and carries out one tuning at a time. Advice has a lane of its own, ``advice``: seconds of it
need not wait behind an hour of tuning; what is done with runs and with the registry another, ``uses``; and searches of
a hub a third, ``searches``. A worker
gives each job a process; where the worker is killed that process goes on, and the next worker of the lane waits for it.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from filelock import FileLock, Timeout

from recommender.requests import RecommendRequest, Request, SearchRequest, TuneRequest, place_of
from registry.addresses import public
from registry.errors import UnknownName
from registry.home import Home

if TYPE_CHECKING:
    from registry.cards import JobRecord
    from registry.zoo import Zoo

__all__ = [
    "ADVICE",
    "OVER",
    "QUEUED",
    "SEARCHES",
    "USES",
    "enqueue",
    "ensure_worker",
    "has_worker",
    "lane_of",
    "last_words",
    "stop",
    "wait_until_gone",
    "work",
]

ADVICE = "advice"
"""The lane of recommendations."""
USES = "uses"
"""The lane of what is done with runs and with the registry: predictions, exports, fetching."""
SEARCHES = "searches"
"""The lane of searches of a hub: nobody waits for them behind what is fetched."""
QUEUED = (
    "recommend",
    "tune",
    "predict",
    "export",
    "zoo promote",
    "zoo add",
    "zoo fetch",
    "zoo search",
    "zoo remove",
    "data fetch",
    "domains add",
)
"""Kinds of requests that are queued."""
OVER = frozenset({"finished", "failed", "cancelled", "lost"})

_LOOK_EVERY = 0.25
_MIND_EVERY = 30.0
_LINGER = 10.0
"""Seconds for which a worker that ends with its work waits for more."""
_PATIENCE = 2.0
"""Seconds to wait for a lane: long enough for one who only looks whether it is taken."""
_SIGNALS = ((signal.SIGINT, 2.0), (signal.SIGTERM, 1.0), (signal.SIGKILL, 1.0))
"""How a job's process is ended: what it is told, and the seconds that it is given to obey."""
_SECRETS = ("PASSWORD", "TOKEN")
_ADDRESS = "_URI"
_detached: list[subprocess.Popen[bytes]] = []
"""Workers that this process has started and not buried yet."""


def enqueue(zoo: "Zoo", request: Request, *, owner: str = "") -> "JobRecord":
    """Queue a request, and see that somebody works; asked twice, as by a double click, it is one job.

    ``owner`` is the key of the service that asks, whose job it is. What was finished before may be asked for again: the
    job's key counts how often this came to its end.

    Raises:
        UnknownName: the queue does not take requests of this kind.
        DeviceMissing: the device asked for is not there.
    """
    if request.kind not in QUEUED:
        raise UnknownName("request to queue", request.kind, QUEUED)
    spec = request.to_json()
    before = [job for job in zoo.jobs.list(owner=owner) if job.kind == request.kind and dict(job.spec) == spec]
    finished = sum(job.state == "finished" for job in before)
    identity = [request.kind, spec, *([owner] if owner else [])]
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    lane = _lane(request)
    job = zoo.jobs.start(request.kind, spec, f"{request.kind}:{digest}:{finished}", lane=lane, owner=owner)
    if job.state == "queued":
        _keep_surroundings(zoo.home, job.id)
    ensure_worker(zoo)
    return job


def _lane(request: Request) -> str:
    if isinstance(request, TuneRequest):
        return lane_of(request.device)
    return ADVICE if isinstance(request, RecommendRequest) else SEARCHES if isinstance(request, SearchRequest) else USES


def lane_of(device: str) -> str:
    """The lane of a device, or one of `ADVICE`, `USES` and `SEARCHES`.

    Raises:
        DeviceMissing: there is no such device.
    """
    if device in {ADVICE, USES, SEARCHES, "cpu"}:
        return device
    from recommender.runs.devices import resolve  # noqa: PLC0415 - loads torch

    return resolve(device)


def ensure_worker(zoo: "Zoo") -> None:
    """See that every lane with work has a worker, and that what died is queued again."""
    zoo.jobs.reap()
    for lane in zoo.jobs.lanes():
        if not has_worker(zoo.home, lane):
            zoo.jobs.heartbeat(lane)
            _detach(zoo.home, lane)


def stop(zoo: "Zoo", job: str) -> "JobRecord":
    """Cancel a job. The lane's worker ends its process within 5 s; where there is no worker, that is done here."""
    was = zoo.jobs.get(job)
    now = zoo.jobs.cancel(job)
    if was.state == "running" and now.state == "cancelled" and not has_worker(zoo.home, was.lane):
        process = _process(was)
        if process is not None:
            _end(process)
    return now


def wait_until_gone(job: "JobRecord") -> float:
    """The seconds that it takes until the process of a job has ended; six at most."""
    began, process = time.monotonic(), _process(job)
    if process is not None:
        _over(process, 6.0)
    return time.monotonic() - began


def has_worker(home: Home, lane: str) -> bool:
    """Whether a lane has a worker."""
    try:
        with _lock(home, lane).acquire(timeout=0):
            return False
    except Timeout:
        return True


def work(zoo: "Zoo", lane: str, *, until_empty: bool, announce: Callable[[str], None], linger: float = _LINGER) -> bool:
    """Carry out what is queued in a lane, one job after the other; False where another worker has the lane.

    With ``until_empty`` this ends when there was nothing to do for ``linger`` seconds.
    """
    lock, worked = _lock(zoo.home, lane), False
    while not worked or zoo.jobs.next(lane) is not None:  # what was asked for while the lock was still held
        try:
            with lock.acquire(timeout=_PATIENCE):
                _Worker(zoo, lane, announce).work_off(linger if until_empty else float("inf"))
        except Timeout:
            return worked
        worked = True
    return True


def last_words(home: Home, job: str) -> str:
    """The end of what a job's process wrote."""
    log = _file(home, f"{job}.log")
    return log.read_text(errors="replace")[-2000:].strip() if log.exists() else ""


class _Worker:
    """Who holds a lane."""

    def __init__(self, zoo: "Zoo", lane: str, announce: Callable[[str], None]) -> None:
        self._zoo, self._lane, self._announce = zoo, lane, announce
        self._heartbeat()

    def work_off(self, linger: float) -> None:
        """One job after the other, until there was none for so many seconds."""
        ended = time.monotonic()
        while time.monotonic() - ended < linger:
            self._zoo.jobs.reap()
            job = self._zoo.jobs.next(self._lane)
            if job is None:
                time.sleep(_LOOK_EVERY)
            else:
                self._supervise(job)
                ended = time.monotonic()

    def _supervise(self, job: "JobRecord") -> None:
        """Begin a queued job, or wait for one whose worker has died; end it where it is cancelled."""
        begun = job.state == "queued"
        process = _begin(self._zoo.home, job) if begun else _process(job)
        if process is None:
            return
        self._announce(f"{job.id} {'begins' if begun else 'goes on'}: {job.kind} {place_of(job.spec)}")
        while not _over(process, _LOOK_EVERY):
            if time.monotonic() > self._minded + _MIND_EVERY:
                self._heartbeat()
            if self._zoo.jobs.get(job.id).state == "cancelled":
                _end(process)
        if begun:
            self._account_for(job.id, process.returncode)
        self._announce(f"{job.id} {self._zoo.jobs.get(job.id).state}")

    def _account_for(self, job: str, code: int | None) -> None:
        """What became of a job whose process has ended without telling."""
        if self._zoo.jobs.get(job).state == "queued":
            if code is not None and code > 0:
                lines = last_words(self._zoo.home, job).splitlines()
                self._zoo.jobs.fail(job, lines[-1] if lines else f"its process ended with exit code {code}")
            else:
                self._zoo.jobs.lose(job)
        self._zoo.jobs.reap()

    def _heartbeat(self) -> None:
        self._zoo.jobs.heartbeat(self._lane)
        self._minded = time.monotonic()


def _begin(home: Home, job: "JobRecord") -> Any:  # noqa: ANN401 - psutil has no types
    """Start a job's process, in a session of its own."""
    with _file(home, f"{job.id}.log").open("ab") as out:
        return psutil.Popen(
            _command(home, job),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=_surroundings(home, job.id),
        )


def _command(home: Home, job: "JobRecord") -> list[str]:
    return [sys.executable, "-m", "ui.cli", "queue", "perform", job.id, "--home", str(home.root)]


def _detach(home: Home, lane: str) -> None:
    """Start a worker that outlives this process, which buries those that have ended before it."""
    _detached[:] = [worker for worker in _detached if worker.poll() is None]
    command = [sys.executable, "-m", "ui.cli", "queue", "work", "--device", lane, "--until-empty"]
    with _worker_file(home, lane, "txt").open("ab") as out:
        started = subprocess.Popen(  # noqa: S603 - ourselves
            [*command, "--home", str(home.root)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    _detached.append(started)


def _process(job: "JobRecord") -> Any:  # noqa: ANN401 - as above
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(job.pid)


def _over(process: Any, seconds: float) -> bool:  # noqa: ANN401 - as above
    """Whether a process has ended, after waiting for it a while. A child of ours is buried then."""
    with suppress(psutil.NoSuchProcess):
        try:
            process.wait(seconds)
        except psutil.TimeoutExpired:
            if process.status() != psutil.STATUS_ZOMBIE:
                return False
            with suppress(psutil.TimeoutExpired):
                process.wait(0)
    return True


def _end(process: Any) -> None:  # noqa: ANN401 - as above
    """Ask a process and those of its group to end, ever more firmly."""
    alone = os.getpgid(process.pid) != process.pid
    for signal_sent, patience in _SIGNALS:
        with suppress(OSError, psutil.NoSuchProcess):
            process.send_signal(signal_sent) if alone else os.killpg(process.pid, signal_sent)
        if _over(process, patience):
            break
    if not alone:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


def _keep_surroundings(home: Home, job: str) -> None:
    """Write down where this process tells MLflow, for the worker may be somebody else's; passwords are not written."""
    settings = {k: v for k, v in os.environ.items() if k.startswith("MLFLOW_") and not k.endswith(_SECRETS)}
    variables = {k: public(v) if k.endswith(_ADDRESS) else v for k, v in settings.items()}
    file = _file(home, f"{job}.json")
    file.touch(0o600)
    file.write_text(json.dumps(variables))


def _surroundings(home: Home, job: str) -> dict[str, str]:
    """The environment of a job: the one here, with the MLflow of who asked; the password of its address is ours."""
    file = _file(home, f"{job}.json")
    if not file.exists():
        return dict(os.environ)
    rest = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_") or k.endswith(_SECRETS)}
    kept: dict[str, str] = json.loads(file.read_text())
    addresses = {k: v for k, v in os.environ.items() if k.endswith(_ADDRESS) and k in kept}
    return {**rest, **kept, **{k: v for k, v in addresses.items() if public(v) == kept[k]}}


def _lock(home: Home, lane: str) -> FileLock:
    return FileLock(_worker_file(home, lane, "lock"))


def _worker_file(home: Home, lane: str, kind: str) -> Path:
    return _file(home, f"worker-{lane.replace(':', '-')}.{kind}")


def _file(home: Home, name: str) -> Path:
    folder = home.root / "jobs"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
