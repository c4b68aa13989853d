"""A run's folder: what was to be done, how far it came, whether someone is still at it.

`job.json` is written when a run starts and `run.json` last: a folder without it is not a finished run. While a run
goes on its process beats; a run that is neither over nor beating was interrupted and can be resumed.
"""

import json
import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from registry.errors import UnknownName
from registry.home import Home

__all__ = ["RunFolder", "RunState", "find_run", "reap", "run_folders"]

_JOB, _RUN, _STATE = "job.json", "run.json", "state.json"
_BEAT_SECONDS = 5.0
_SILENT_SECONDS = 60.0
"""Without a beat for so long a run on another machine counts as dead."""


class RunState(StrEnum):
    """How a run stands."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class RunFolder:
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
    def told(self) -> dict[str, Any]:
        """What came of it; empty unless it is finished."""
        return _read(self.path / _RUN)

    @property
    def state(self) -> RunState:
        """How it stands now."""
        if (self.path / _RUN).is_file():
            return RunState.FINISHED
        known = _read(self.path / _STATE)
        state = RunState(known.get("state", RunState.INTERRUPTED))
        return RunState.INTERRUPTED if state is RunState.RUNNING and not _alive(known) else state

    @property
    def reason(self) -> str:
        """Why it stopped, and what to do about it; empty where nothing was said."""
        known = _read(self.path / _STATE)
        return ". ".join(part for part in (known.get("reason", ""), known.get("remedy", "")) if part)

    @property
    def spent(self) -> float:
        """Seconds that were worked on it, up to the last beat; none once it is finished, for `told` has them."""
        return float(_read(self.path / _STATE).get("spent", 0.0))

    def to_dict(self) -> dict[str, object]:
        """How a run stands that has not finished: the JSON form."""
        job = self.job
        return {
            "id": self.id, "state": str(self.state), "reason": self.reason, "checkpoint": job.get("checkpoint"),
            "strategy": job.get("plan", {}).get("strategy"), "sample_name": job.get("sample", {}).get("name"),
        }  # fmt: skip

    def start(self, told: Mapping[str, object]) -> None:
        """Write down what is to be done, once; a resumed run keeps what it was started with."""
        self.path.mkdir(parents=True, exist_ok=True)
        if not (self.path / _JOB).is_file():
            _write(self.path / _JOB, told)

    def finish(self, told: Mapping[str, object]) -> None:
        """Write what came of it; from now on it is finished."""
        _write(self.path / _RUN, told)
        (self.path / _STATE).unlink(missing_ok=True)

    def mark(self, state: RunState, reason: str = "", remedy: str = "", *, spent: float | None = None) -> None:
        """Say how it stands, and why; what was spent stays unless it is told anew."""
        process = psutil.Process()
        _write(self.path / _STATE, {
            "state": state, "reason": reason, "remedy": remedy, "host": socket.gethostname(), "pid": process.pid,
            "started": process.create_time(), "beat": time.time(), "spent": self.spent if spent is None else spent,
        })  # fmt: skip

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Running, for as long as this lasts and this process lives."""
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


def run_folders(home: Home) -> tuple[RunFolder, ...]:
    """All runs that were begun, newest first."""
    found = [RunFolder(path) for path in home.runs.iterdir() if (path / _JOB).is_file() or (path / _RUN).is_file()]
    return tuple(sorted(found, key=lambda run: run.id, reverse=True))


def reap(home: Home) -> tuple[RunFolder, ...]:
    """Mark the runs whose process is gone without having said so as interrupted; gives those found now."""
    found = []
    for file in sorted(home.runs.glob(f"*/{_STATE}")):
        run = RunFolder(file.parent)
        if _read(file).get("state") == RunState.RUNNING and run.state is RunState.INTERRUPTED:
            remedy = f"Go on: transferzoo runs resume {run.id}"
            run.mark(RunState.INTERRUPTED, "its process ended without a word", remedy)
            found.append(run)
    return tuple(found)


def find_run(home: Home, name: str) -> RunFolder:
    """The run of that id, of the only id that begins so, or the newest finished one where ``name`` is ``latest``.

    Raises:
        UnknownName: there is none, or there are several.
    """
    runs = run_folders(home)
    if name == "latest":
        found = [run for run in runs if run.state is RunState.FINISHED][:1]
    else:
        found = [run for run in runs if run.id == name] or [run for run in runs if name and run.id.startswith(name)]
    if len(found) != 1:
        raise UnknownName("run", name, [run.id for run in runs])
    return found[0]


def _alive(known: Mapping[str, Any]) -> bool:
    if known.get("host") != socket.gethostname():
        return time.time() - float(known.get("beat", 0)) < _SILENT_SECONDS
    if known["pid"] == os.getpid():
        return True
    try:
        process = psutil.Process(known["pid"])
        return process.status() != psutil.STATUS_ZOMBIE and bool(abs(process.create_time() - known["started"]) < 1)
    except psutil.NoSuchProcess:
        return False


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, told: Mapping[str, object]) -> None:
    partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    partial.write_text(json.dumps(told, indent=1, default=_plain))
    partial.replace(path)


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else str(value)
