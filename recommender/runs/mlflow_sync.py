"""Pushing event logs to MLflow: while a run goes on, and again for what a dead, slow or refusing server missed.

Beside each event log lies how far it was pushed, for each place it was pushed to. A run that MLflow has is found by its
tag, and points that it has are not logged again, so that any of this may break off anywhere and be repeated. Only
clients are used, so that a caller's own MLflow runs are left alone. What MLflow keeps of a run: `mlflow_run`; where it
is, and what it refuses: `mlflow_server`.
"""

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from recommender.runs.event_log import EventLog, LogEntry
from recommender.runs.folder import RunFolder, RunState, find_run, run_folders
from recommender.runs.mlflow_server import (
    LOCKED,
    PATIENCE,
    address_of,
    check_names,
    in_words,
    only_one,
    quiet_environment,
)
from registry.addresses import public, sqlite_path
from registry.errors import NotFinished
from registry.files import write_atomic
from registry.forms import Record
from registry.home import Home
from registry.progress import Phase, Progress, advance, silent

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from recommender.runs.mlflow_run import MlflowRun

__all__ = ["MlflowSync", "Synced", "client_at", "register", "store_damage", "sync_runs", "trouble_at"]

_MARKS, _LOCK = "carried.json", "carried.lock"
_BATCH = 500
"""Events of one request; MLflow takes 1000 metrics and a megabyte."""
_ENDED = {RunState.INTERRUPTED: "KILLED", RunState.FAILED: "FAILED"}
_PREPARING = 600.0
"""Seconds without getting on while a store is made on this machine: a slow disk needs long for MLflow's many
migrations."""
_PACKING, _SLOWEST = 120.0, 50_000.0
"""As above, for a file or model: seconds to pack it, and bytes a second below which an upload counts as hung."""


@dataclass(frozen=True)
class Synced(Record):
    """What became of pushing one run."""

    run: str
    place: str
    """Where to; without what is secret in it."""
    mlflow_run_id: str | None
    carried: int
    """Entries of the event log that MLflow got now."""
    left: int
    """Entries that it still lacks."""
    trouble: str | None


@dataclass
class _Mark:
    """How far an event log has been pushed to one place."""

    run_id: str | None = None
    read: int = 0
    """Byte of the event log behind what was logged."""
    pending: list[dict[str, Any]] = field(default_factory=list)
    """Events whose files are still to be uploaded."""

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "_Mark":
        """The mark as it was stored."""
        return cls(stored.get("run_id"), stored.get("read", 0), stored.get("owed", []))

    def to_dict(self) -> dict[str, Any]:
        """The mark as it is stored."""
        return {"run_id": self.run_id, "read": self.read, "owed": self.pending}


class MlflowSync:
    """Pushes the event log in a run's folder; `push` may be called again and again, also after it failed."""

    def __init__(self, run: RunFolder, home: Home) -> None:
        self.run, self.event_log, self._home = run, EventLog(run.path), home
        self.address = address_of(home, self.event_log.opening)
        self.pushed = 0
        self.patience = PATIENCE
        """Seconds without getting on after which it counts as stuck, at what it does now."""
        self.moved = time.monotonic()
        """When it last got on."""
        self._entry: MlflowRun | None = None

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, once it has one there."""
        return self._mark().run_id

    @property
    def left(self) -> int:
        """Entries of the event log that MLflow lacks."""
        mark = self._mark()
        return len(self.event_log.read(mark.read)) + len(mark.pending)

    def push(self) -> None:
        """Tell MLflow what it lacks, then upload files; raises whatever MLflow raises, and remembers how far it came.

        Raises:
            ValueError: the event log does not say what the run is.
            Timeout: another process is at it.
        """
        with FileLock(self.run.path / _LOCK, timeout=LOCKED):
            mark = self._mark()
            try:
                self._log_new(self._opened(mark), mark)
            except BaseException:
                self._entry = None
                raise

    def end(self, status: str) -> None:
        """Say how the run ended where its event log cannot, because the process was killed."""
        if self._entry is not None and "status" not in self._last_change():
            self._entry.end(status, None)

    def _opened(self, mark: _Mark) -> "MlflowRun":
        opening = self.event_log.opening
        if not opening:
            raise ValueError("its event log does not begin with what the run is")
        if self._entry is None:
            with ExitStack() as held:
                with self._taking(LOCKED):
                    held.enter_context(only_one(self.address, self._home))
                with self._taking(_PREPARING):
                    store, run = _mlflow_rooms()
                    store.prepare(self.address)
                opened: MlflowRun = run.MlflowRun.of(store.open_client(self.address), opening, self._home, mark.run_id)
                self._entry = opened
        if self._entry.run_id != mark.run_id:
            mark.run_id, mark.read, mark.pending = self._entry.run_id, 0, []
            self._keep(mark)
        return self._entry

    def _log_new(self, entry: "MlflowRun", mark: _Mark) -> None:
        events = self.event_log.read(mark.read)
        for start in range(0, len(events), _BATCH):
            part = events[start : start + _BATCH]
            entry.log_events([event for _, event in part])
            mark.read = part[-1][0]
            mark.pending += [dict(event) for _, event in part if {"artifact", "model", "register"} & set(event)]
            self._keep(mark, len(part))
        for event in list(mark.pending):
            if "artifact" in event or self.run.result:  # a run has a model when it is finished
                self._upload(entry, event)
                mark.pending.remove(event)
                self._keep(mark)

    def push_in_time(self) -> None:
        """`push`, given up where it does not get on: a server may answer a byte a second.

        Raises:
            TimeoutError: it did not get on; what was logged is remembered.
        """
        failures: list[BaseException] = []

        def work() -> None:
            try:
                self.push()
            except BaseException as failure:
                failures.append(failure)

        self.moved = time.monotonic()
        thread = threading.Thread(target=work, name=f"mlflow {self.run.id}", daemon=True)
        thread.start()
        while thread.is_alive() and time.monotonic() - self.moved < self.patience:
            thread.join(0.05)
        if failures:
            raise failures[0]
        if thread.is_alive():
            raise TimeoutError(f"nothing came of it for {self.patience:.0f} s")

    def _upload(self, entry: "MlflowRun", event: LogEntry) -> None:
        files = [self.run.path / event["artifact"]] if "artifact" in event else list(self.run.path.glob("*"))
        size = sum(file.stat().st_size for file in files if file.is_file())
        with self._taking(_PACKING + size / _SLOWEST):
            entry.upload(event, self.run)

    @contextmanager
    def _taking(self, patience: float) -> Iterator[None]:
        """Something that may take longer without a sign of getting on."""
        self.moved, self.patience = time.monotonic(), patience
        try:
            yield
        finally:
            self.moved, self.patience = time.monotonic(), PATIENCE

    def _last_change(self) -> LogEntry:
        changes = [event for _, event in self.event_log.read() if {"status", "resumed", "opening"} & set(event)]
        return changes[-1] if changes else {}

    def _mark(self) -> _Mark:
        return _Mark.of(_read_marks(self.run.path).get(public(self.address), {}))

    def _keep(self, mark: _Mark, pushed: int = 0) -> None:
        marks = {**_read_marks(self.run.path), public(self.address): mark.to_dict()}
        write_atomic(self.run.path / _MARKS, json.dumps(marks, indent=1).encode(), durable=False)
        self.pushed += pushed
        self.moved = time.monotonic()


def sync_runs(home: Home, run: str | None = None, *, progress: Progress = silent) -> tuple[Synced, ...]:
    """Push to MLflow what it lacks of a run, or of all runs that were made under it.

    Nothing is logged twice, so it can be repeated at any time. A run that was killed is marked so.

    Raises:
        UnknownName: there is no run of that id, or there are several that begin so.
        HomeUnusable: it is read-only, and what was carried could not be noted.
    """
    home.require_writable()
    reached: dict[str, str | None] = {}
    done: list[Synced] = []
    chosen = _chosen(home, run)
    for place, folder in enumerate(chosen):
        advance(progress, Phase.SYNC, place, len(chosen))
        done.append(_synced(MlflowSync(folder, home), reached))
    advance(progress, Phase.SYNC, len(chosen), len(chosen))
    return tuple(done)


def register(home: Home, run: str, name: str, alias: str | None = None) -> Synced:
    """Make the model of a finished run a version of a registered one; what cannot be done now `sync_runs` does later.

    Raises:
        UnknownName: there is no run of that id.
        UnusableName: a name or alias that MLflow's registry would refuse.
        NotFinished: the run has no model yet.
        HomeUnusable: it is read-only.
    """
    home.require_writable()
    check_names(name, alias)
    finished = find_run(home, run, here=True)
    if not finished.result:
        raise NotFinished(finished.id, str(finished.state), finished.reason)
    event_log = EventLog(finished.path)
    if not any("model" in event for _, event in event_log.read()):
        event_log.write({"model": "."})
    event_log.write({"register": name, "alias": alias})
    return sync_runs(home, finished.id)[0]


def store_damage(address: str) -> str:
    """What MLflow finds wrong with the store at a SQLite address; nothing where it is well, or not there yet."""
    file = sqlite_path(address)
    if file is None or not file.is_file():
        return ""
    try:
        client_at(address).search_experiments(max_results=1)
    except Exception as failure:  # whatever it is, MLflow cannot use it
        return (str(failure).splitlines() or [type(failure).__name__])[0][:200]
    return ""


def _chosen(home: Home, name: str | None) -> list[RunFolder]:
    """The run of that name, else all that MLflow tracks, oldest first."""
    if name is not None:
        return [find_run(home, name, here=True)]
    return [run for run in run_folders(home)[::-1] if EventLog(run.path).opening.get("tracker") == "mlflow"]


def _synced(pushing: MlflowSync, reached: dict[str, str | None]) -> Synced:
    """Push one run, unless its place is known not to answer."""
    run, trouble, state = pushing.run, None, pushing.run.state
    if state is RunState.RUNNING:
        trouble = "it is still going on, and pushes its event log itself"
    else:
        if pushing.address not in reached:
            reached[pushing.address] = trouble_at(pushing.address)
        trouble = reached[pushing.address]
    if trouble is None:
        try:
            pushing.push_in_time()
            if run.state in _ENDED:
                pushing.end(_ENDED[run.state])
            _remember(run, pushing.run_id)
        except Exception as failure:  # any trouble with one run leaves the others to be pushed
            trouble = in_words(failure, pushing.address)
    return Synced(run.id, public(pushing.address), pushing.run_id, pushing.pushed, pushing.left, trouble)


def _remember(run: RunFolder, mlflow_run_id: str | None) -> None:
    """A finished run knows its MLflow run, also one that was pushed later."""
    result = run.result
    if result and result.get("mlflow_run_id") != mlflow_run_id:
        run.finish({**result, "mlflow_run_id": mlflow_run_id})


def _read_marks(folder: Path) -> dict[str, Any]:
    try:
        marks = json.loads((folder / _MARKS).read_text())
    except (OSError, ValueError):
        return {}
    return marks if isinstance(marks, dict) else {}


def trouble_at(address: str) -> str | None:
    """Why a server cannot be used; one that drips is given up after a while."""
    if sqlite_path(address) is not None:
        return None
    troubles: list[str | None] = []

    def connect() -> None:
        try:
            client_at(address).search_experiments(max_results=1)
            troubles.append(None)
        except Exception as failure:
            troubles.append(in_words(failure, address))

    thread = threading.Thread(target=connect, name="is MLflow there", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return troubles[0] if troubles else in_words(TimeoutError(f"{PATIENCE:.0f} s"), address)


def client_at(address: str) -> "MlflowClient":
    """A client of MLflow at an address, which is loaded for it."""
    client: MlflowClient = _mlflow_rooms()[0].open_client(address)
    return client


def _mlflow_rooms() -> tuple[ModuleType, ModuleType]:
    """`mlflow_store` and `mlflow_run`."""
    quiet_environment()
    from recommender.runs import mlflow_run, mlflow_store  # noqa: PLC0415 - MLflow, a second to import, by one door

    return mlflow_store, mlflow_run
