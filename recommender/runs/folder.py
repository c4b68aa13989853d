"""A run's folder: what was to be done, how far it came, whether someone is still at it.

`job.json` is written when a run starts and `run.json` last: a folder without it is not a finished run. The process that
carries a run out holds its lock, which the system drops when the process dies; a run that is neither over nor held was
interrupted and can be resumed.
"""

import json
import math
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from registry.errors import DiskFull, HomeUnusable, NotResumable, UnknownName
from registry.files import disk_full_named, is_locked, write_atomic
from registry.forms import Record
from registry.home import Home
from registry.progress import Progress, silent

__all__ = ["RUNS", "RunFolder", "RunState", "find_queued", "find_run", "reap", "run_folders", "share_run"]

_JOB, _RUN, _STATE = "job.json", "run.json", "state.json"
_SCAFFOLDING = ("best-*.safetensors", "pretrained.safetensors", "kept-*.npy", "rows-*.npy", "*.tmp")
_MAKING = ("trainer", "pretraining")
RUNS = "runs"
"""What shared runs are named under."""
_BEAT_SECONDS = 5.0
_PATIENCE = 1.0
"""Seconds to wait for a lock: long enough for one who only looks whether it is taken."""


class RunState(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class RunFolder(Record):
    """The folder of one run."""

    path: Path

    @property
    def id(self) -> str:
        """The run's id."""
        return self.path.name

    @property
    def job(self) -> dict[str, Any]:
        """What was to be done."""
        return _read(self.path / _JOB)

    @property
    def result(self) -> dict[str, Any]:
        """What came of it; empty unless it is finished."""
        return _read(self.path / _RUN)

    @property
    def lasting(self) -> tuple[str, ...]:
        """Its files but for what only the making needs, each as a path from its folder."""
        passing = {file for pattern in (*_SCAFFOLDING, _STATE) for file in self.path.glob(pattern)}
        files = (file.relative_to(self.path) for file in self.path.rglob("*") if file.is_file() and file not in passing)
        return tuple(sorted(file.as_posix() for file in files if file.parts[0] not in _MAKING))

    @property
    def state(self) -> RunState:
        """How it stands now."""
        if self.result:
            return RunState.FINISHED
        if is_locked(self.lock):
            return RunState.RUNNING
        failed = _read(self.path / _STATE).get("state") == RunState.FAILED
        return RunState.FAILED if failed else RunState.INTERRUPTED

    @property
    def lock(self) -> Path:
        """The file that the process at work on it holds a lock on."""
        return self.path.with_name(f".{self.path.name}.lock")

    @property
    def reason(self) -> str:
        """Why it stopped, and what to do about it; empty where nothing was said."""
        known = _read(self.path / _STATE)
        return ". ".join(str(known[name]) for name in ("reason", "remedy") if known.get(name))

    @property
    def spent(self) -> float:
        """Seconds that were worked on it, up to the last beat; none once it is finished, for `result` has them."""
        spent = _read(self.path / _STATE).get("spent")
        return float(spent) if isinstance(spent, int | float) else 0.0

    def to_form(self) -> "UnfinishedForm":
        """How a run stands that has not finished."""
        job = self.job
        plan, sample = (job[name] if isinstance(job.get(name), dict) else {} for name in ("plan", "sample"))
        reason = self.reason if job else "its job.json is damaged"
        return UnfinishedForm(
            self.id, self.state, reason, job.get("checkpoint"), plan.get("strategy"), sample.get("name")
        )

    def start(self, job: Mapping[str, object]) -> None:
        """Write down what is to be done, once; a resumed run keeps what it was started with."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not self.job:
            _write(self.path / _JOB, job)

    def finish(self, result: Mapping[str, object]) -> None:
        """Write what came of it; from now on it is finished."""
        _write(self.path / _RUN, result)
        (self.path / _STATE).unlink(missing_ok=True)

    def mark(self, state: RunState, reason: str = "", remedy: str = "", *, spent: float | None = None) -> None:
        """Write the run's state and the reason; seconds spent stay unless they are given anew."""
        _write(
            self.path / _STATE,
            {
                "state": state,
                "reason": reason,
                "remedy": remedy,
                "host": socket.gethostname(),
                "pid": os.getpid(),
                "spent": self.spent if spent is None else spent,
            },
            durable=False,
        )

    def tidy(self) -> None:
        """Take away what only the making needed."""
        for pattern in _SCAFFOLDING:
            for file in self.path.glob(pattern):
                file.unlink(missing_ok=True)
        for folder in _MAKING:
            shutil.rmtree(self.path / folder, ignore_errors=True)
        (self.path / _STATE).unlink(missing_ok=True)

    def occupied(self) -> NotResumable:
        """The error while another process holds the run: which one, where that is known."""
        known = _read(self.path / _STATE)
        process = f" (process {known['pid']} on {known['host']})" if {"pid", "host"} <= set(known) else ""
        return NotResumable(self.id, f"it is still going on{process}", "Wait for it, or stop its process.")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Carried out by this process, and by no other for as long as this lasts.

        Raises:
            NotResumable: another process is at it, or it is finished.
            HomeUnusable: nothing can be written there.
            DiskFull: there is no room.
        """
        lock = FileLock(self.lock)
        try:
            with disk_full_named(self.lock):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                lock.acquire(timeout=_PATIENCE)
        except (Timeout, DiskFull) as cause:
            raise (self.occupied() if isinstance(cause, Timeout) else cause) from None
        except OSError as cause:
            raise HomeUnusable(self.path.parent.parent, cause.strerror or str(cause)) from cause
        try:
            if self.result:
                raise NotResumable(self.id, "it is finished", "See `transferzoo runs list`.")
            if self.job:
                self.mark(RunState.RUNNING)  # so that others hear of this process, not of one that is gone
            yield
        finally:
            if self.result:
                self.lock.unlink(missing_ok=True)  # nobody will carry it out again
            lock.release()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Writes down every few seconds how long it was worked on, for as long as this lasts."""
        over, before, began = threading.Event(), self.spent, time.monotonic()
        self.mark(RunState.RUNNING)

        def beat() -> None:
            while not over.wait(_BEAT_SECONDS):
                self.mark(RunState.RUNNING, spent=before + time.monotonic() - began)

        heart = threading.Thread(target=beat, name=f"heart of {self.id}", daemon=True)
        heart.start()
        try:
            yield
        finally:
            over.set()
            heart.join()
            self.mark(RunState.RUNNING, spent=before + time.monotonic() - began)


@dataclass(frozen=True)
class UnfinishedForm:
    """A run that has not finished, as it is printed; what its job says of it is read and not believed."""

    id: str
    state: RunState
    reason: str
    checkpoint: object
    strategy: object
    sample_name: object


def run_folders(home: Home) -> tuple[RunFolder, ...]:
    """All runs that were begun, newest first."""
    folders = [RunFolder(path) for path in home.runs.iterdir() if (path / _JOB).is_file() or (path / _RUN).is_file()]
    return tuple(sorted(folders, key=lambda run: run.id, reverse=True))


def reap(home: Home) -> tuple[RunFolder, ...]:
    """Mark runs whose process is gone as interrupted; gives those that were found now."""
    reaped = []
    for file in sorted(home.runs.glob(f"*/{_STATE}")):
        run = RunFolder(file.parent)
        marked = _read(file).get("state") in {RunState.FAILED, RunState.INTERRUPTED}
        if not marked and run.state is RunState.INTERRUPTED:
            remedy = f"Go on: transferzoo runs resume {run.id}"
            run.mark(RunState.INTERRUPTED, "its process ended without a word", remedy)
            reaped.append(run)
    return tuple(reaped)


def find_run(home: Home, name: str, *, here: bool = False) -> RunFolder:
    """The run of that id, of the only id that begins so, or the newest finished one where ``name`` is ``latest``.

    One that another home has shared is fetched, and only to be read; but not where it is to be ``here``.

    Raises:
        UnknownName: there is none, or there are several.
        ObjectsError: runs are shared, it is not here, and cannot be looked up or fetched.
    """
    runs = {run.id: run for run in run_folders(home)}
    if name in runs:
        return runs[name]
    shared = None if here else home.shared
    elsewhere = set[str]() if shared is None else {*shared.objects.names(RUNS)} - {*runs}
    if name == "latest":
        matching = sorted({*(run.id for run in runs.values() if run.state is RunState.FINISHED), *elsewhere})[-1:]
    else:
        ids = (*runs, *elsewhere)
        matching = [one for one in ids if one == name] or [one for one in ids if name and one.startswith(name)]
    if len(matching) != 1:
        raise UnknownName("run", name, sorted((*runs, *elsewhere), reverse=True))
    if shared is None or matching[0] in runs:
        return runs[matching[0]]
    digest = shared.objects.named(RUNS, matching[0])
    if digest is None:
        raise UnknownName("run", name, sorted(runs, reverse=True))
    return RunFolder(shared.fetch(digest, matching[0]))


def share_run(run: RunFolder, home: Home, progress: Progress = silent) -> str:
    """Upload a finished run where objects are shared; gives its manifest's digest, empty where they are not.

    Raises:
        ObjectsError: it cannot be kept there.
        DiskFull: that is a disk, and there is no room.
        Cancelled: the observer wants no more; what was uploaded is not uploaded again.
    """
    shared = home.shared
    if shared is None or not run.result:
        return ""
    digest = shared.objects.put(run.path, run.lasting, progress)
    shared.objects.name(RUNS, run.id, digest)
    return digest


def find_queued(home: Home, job: str) -> RunFolder | None:
    """The run that a job of the queue has begun, if it finished or was interrupted; one that failed begins anew."""
    left = (RunState.FINISHED, RunState.INTERRUPTED)
    begun = (run for run in run_folders(home) if run.job.get("queue_job") == job)
    return next((run for run in begun if run.state in left), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: Mapping[str, object], *, durable: bool = True) -> None:
    write_atomic(path, json.dumps(content, indent=1, default=_plain).encode(), durable=durable)


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else str(value)
