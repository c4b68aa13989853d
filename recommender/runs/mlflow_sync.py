"""Pushing event logs to MLflow: while a run goes on, and again for what a dead, slow or refusing server missed.

Beside each event log lies how far it was pushed, for each place it was pushed to. A run that MLflow has is found by its
tag, and points that it has are not logged again, so that any of this may break off anywhere and be repeated. Only
clients are used, so that a caller's own MLflow runs are left alone.
"""

import csv
import json
import logging
import math
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

from filelock import FileLock, Timeout

from recommender.runs.event_log import Event, EventLog
from recommender.runs.folder import RunFolder, RunState, find_run, run_folders
from recommender.runs.mlflow_model import check_names, log_model, register_model
from registry.addresses import sqlite_path, sqlite_url
from registry.errors import NotFinished
from registry.files import is_disk_full, replacing, write_atomic
from registry.forms import Record
from registry.home import Home
from registry.progress import Phase, Progress, advance, silent

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Metric, Run

__all__ = [
    "PATIENCE",
    "MlflowSync",
    "Synced",
    "damage",
    "environment_settings",
    "in_words",
    "prepare",
    "public",
    "register",
    "sync_runs",
]

_MARKS, _LOCK = "carried.json", "carried.lock"
_BATCH = 500
"""Events of one request; MLflow takes 1000 metrics and a megabyte."""
_LOCKED = 60.0
"""Seconds to wait for another process that opens the same store, or pushes the same run."""
_EXPERIMENT = "transferzoo"
_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "score",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
}
"""What MLflow's pages are told of the experiment: it is about training, and judged by this."""
_LARGEST = 1.7976931348623157e308
_KNOWN_BEFORE = ("expected_", "estimated_")
_CONSTANTS = ("rows_train", "rows_test", "trainable_parameters")
"""Results that are none: they are parameters of the run, and would draw a chart of one point each."""
_CHOICES = ("checkpoint", "strategy", "tier", "expected", "low", "high", "gain", "seconds")
"""Columns of the table of choices that lies with a recommendation."""
_SHARED = ("transferzoo.sample", "mlflow.user", "mlflow.source.name", "mlflow.source.type")
"""Tags of a job that its recommendation has too."""
_ENDED = {RunState.INTERRUPTED: "KILLED", RunState.FAILED: "FAILED"}
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",
}
"""Unless the user set them so: no telemetry, nothing on stdout, no long wait for a dead or busy server."""
PATIENCE = 20.0
"""Seconds that one exchange with a server may take in all, however steadily it drips."""
_PREPARING = 600.0
"""As above, while a store is made on this machine: a slow disk needs long for MLflow's many migrations."""
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
        self.address = _address_of(home, self.event_log.opening)
        self.carried = 0
        self.patience = PATIENCE
        """Seconds without getting on after which it counts as stuck, at what it does now."""
        self.moved = time.monotonic()
        """When it last got on."""
        self._entry: _Entry | None = None

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
        with FileLock(self.run.path / _LOCK, timeout=_LOCKED):
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

    def _opened(self, mark: _Mark) -> "_Entry":
        opening = self.event_log.opening
        if not opening:
            raise ValueError("its event log does not begin with what the run is")
        if self._entry is None:
            with ExitStack() as held:
                with self._taking(_LOCKED):
                    held.enter_context(_only_one(self.address, self._home))
                with self._taking(_PREPARING):
                    prepare(self.address)
                self._entry = _Entry.of(_client(self.address), opening, self._home, mark.run_id)
        if self._entry.run_id != mark.run_id:
            mark.run_id, mark.read, mark.pending = self._entry.run_id, 0, []
            self._keep(mark)
        return self._entry

    def _log_new(self, entry: "_Entry", mark: _Mark) -> None:
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

    def _upload(self, entry: "_Entry", event: Event) -> None:
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

    def _last_change(self) -> Event:
        changes = [event for _, event in self.event_log.read() if {"status", "resumed", "opening"} & set(event)]
        return changes[-1] if changes else {}

    def _mark(self) -> _Mark:
        return _Mark.of(_read_marks(self.run.path).get(public(self.address), {}))

    def _keep(self, mark: _Mark, pushed: int = 0) -> None:
        marks = {**_read_marks(self.run.path), public(self.address): mark.to_dict()}
        write_atomic(self.run.path / _MARKS, json.dumps(marks, indent=1).encode(), durable=False)
        self.carried += pushed
        self.moved = time.monotonic()


class _Entry:
    """One run in MLflow."""

    def __init__(self, client: "MlflowClient", run: "Run", tags: Mapping[str, str], *, new: bool) -> None:
        self._client, self.run_id, self._tags = client, str(run.info.run_id), dict(tags)
        self._there: dict[str, set[tuple[int, int, float]]] | None = None if new else {}

    @classmethod
    def of(cls, client: "MlflowClient", opening: Event, home: Home, run_id: str | None) -> "_Entry":
        """The entry of that id, else the one with the job's tag, else a new one."""
        known = _run_of(client, run_id)
        if known is not None:
            return cls(client, known, opening["tags"], new=False)
        experiment = _experiment(client, opening, home)
        mine = {"transferzoo.job": opening["job"], "transferzoo.kind": "job"}
        known = _search(client, experiment, mine)
        if known is not None:
            return cls(client, known, opening["tags"], new=False)
        tags = {"mlflow.runName": opening["name"], "mlflow.note.content": opening["note"], **opening["tags"]}
        if opening["recommendation"] is not None:
            tags["mlflow.parentRunId"] = _parent(client, experiment, opening)
        created = client.create_run(experiment, start_time=opening["began"], tags=tags)
        return cls(client, created, opening["tags"], new=True)

    def log_events(self, events: Sequence[Event]) -> None:
        """Log some events, those of files excepted."""
        metrics: list[Metric] = []
        for event in events:
            metrics += _metrics(event)
            if "opening" in event:
                self._describe(event["opening"])
            elif "resumed" in event:
                self._client.update_run(self.run_id, "RUNNING")
            elif "result" in event:
                self._judge(event["result"])
            elif "status" in event:
                self._log_metrics(metrics)
                metrics = []
                self.end(event["status"], event["at"])
        self._log_metrics(metrics)

    def end(self, status: str, at: int | None) -> None:
        """The run is over: FINISHED, FAILED or KILLED."""
        self._client.set_terminated(self.run_id, status, at)

    def upload(self, event: Event, run: RunFolder) -> None:
        """Upload the file or model of an event, or register the model."""
        if "artifact" in event:
            file = Path(event["artifact"])
            folder = None if file.parent == Path() else file.parent.as_posix()
            self._client.log_artifact(self.run_id, str(run.path / file), folder)
        elif "model" in event:
            log_model(self._client, run, self.run_id, self._tags)
        else:
            register_model(self._client, run, self.run_id, event["register"], event["alias"])

    def _describe(self, opening: Event) -> None:
        from mlflow.entities import Param  # noqa: PLC0415 - a second to import

        self._client.log_batch(self.run_id, params=[Param(*pair) for pair in opening["params"].items()])
        self._client.log_inputs(self.run_id, [_data(opening)])

    def _judge(self, result: Mapping[str, float]) -> None:
        """Say whether the score lies where it was expected, and what is one number and no curve."""
        from mlflow.entities import Param  # noqa: PLC0415 - as above

        fixed = [Param(name, f"{float(result[name]):.0f}") for name in _CONSTANTS if name in result]
        self._client.log_batch(self.run_id, params=fixed)
        if {"score", "expected_low", "expected_high"} <= set(result):
            within = float(result["expected_low"]) <= float(result["score"]) <= float(result["expected_high"])
            self._client.set_tag(self.run_id, "transferzoo.within_interval", str(within).lower())

    def _log_metrics(self, metrics: "list[Metric]") -> None:
        lacking = [metric for metric in metrics if not self._has(metric)]
        if lacking:
            self._client.log_batch(self.run_id, metrics=lacking)

    def _has(self, metric: "Metric") -> bool:
        """Whether an earlier attempt has logged it, also one that never learned that it succeeded."""
        if self._there is None:
            return False
        if metric.key not in self._there:
            history = self._client.get_metric_history(self.run_id, metric.key)
            self._there[metric.key] = {_identity(point) for point in history}
        return _identity(metric) in self._there[metric.key]


def sync_runs(home: Home, run: str | None = None, *, progress: Progress = silent) -> tuple[Synced, ...]:
    """Push to MLflow what it lacks of a run, or of all runs that were made under it.

    Nothing is logged twice, so it can be repeated at any time. A run that was killed is marked so.

    Raises:
        UnknownName: there is no run of that id, or there are several that begin so.
    """
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
    """
    check_names(name, alias)
    finished = find_run(home, run)
    if not finished.result:
        raise NotFinished(finished.id, str(finished.state), finished.reason)
    event_log = EventLog(finished.path)
    if not any("model" in event for _, event in event_log.read()):
        event_log.write({"model": "."})
    event_log.write({"register": name, "alias": alias})
    return sync_runs(home, finished.id)[0]


def environment_settings() -> dict[str, object]:
    """Where the environment wants runs to be tracked: address and experiment, None where it does not say."""
    address = _environment_address()
    return {"address": None if address is None else public(address), "experiment": _environment_experiment()}


def public(address: str) -> str:
    """An address without user name and password."""
    parts = urlsplit(address)
    return address if "@" not in parts.netloc else parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def in_words(failure: Exception, address: str) -> str:
    """What went wrong, in one line that ends with what to do; without secrets."""
    where = f"MLflow at {public(address)}"
    if isinstance(failure, Timeout):
        return f"{where}: another process is writing there. Try again when it is done"
    if is_disk_full(failure):
        return f"{where}: the disk is full. Free some room there"
    if isinstance(failure, TimeoutError):
        return f"{where} did not answer in time ({failure}). Try again later, or set MLFLOW_TRACKING_URI"
    first = (str(failure).splitlines() or [""])[0].replace(address, public(address))
    status = re.search(r"(?:too many|error code|Error:?|^)\s(\d{3})\b|\b(40[13])\b", str(failure))
    if status is not None:
        return _refusal(where, int(status[1] or status[2]), address)
    if re.search("Max retries exceeded|Connection (refused|aborted|reset)|Failed to connect", str(failure)):
        return f"{where} did not answer. Start it, or set MLFLOW_TRACKING_URI"
    remedy = ". If it stays so: transferzoo doctor --repair" if sqlite_path(address) else ""
    return f"{where} failed ({type(failure).__name__}: {first[:300]}){remedy}"


def _refusal(where: str, status: int, address: str) -> str:
    """What a server's status says, and what to do about it."""
    if status == 401:
        credentials = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        return f"{where} refused (401). Set {credentials}"
    if status == 403:
        return f"{where} forbids it (403). Ask who runs it for the right to write, or use other credentials"
    if status == 429:
        wait = _retry_after(address)
        return f"{where} is asked too often (429). Try again {f'after {wait}' if wait else 'later'}"
    if status >= 500:
        return f"{where} has a fault of its own ({status}). Look into its log, then try again"
    return f"{where} answered with {status}. Look whether MLFLOW_TRACKING_URI is MLflow's address"


def _retry_after(address: str) -> str:
    """For how long a server wants to be left alone, where it says so."""
    page = public(address).rstrip("/") + "/api/2.0/mlflow/experiments/search?max_results=1"
    try:
        with urlopen(page, timeout=5):  # noqa: S310 - the address that the user named
            return ""
    except HTTPError as refusal:
        wait = (refusal.headers.get("Retry-After") or "").strip()
        return f"{wait} s" if wait.isdigit() else re.sub(r"[^\w :,+-]", "", wait)[:40]
    except (OSError, ValueError):
        return ""


def prepare(address: str) -> None:
    """Make the store at a SQLite address, where there is none yet: whole, or not at all.

    MLflow makes it by some sixty migrations; a process that is killed among them leaves a file that no MLflow opens.
    So they run on a file beside it, which takes its place when it is complete. The caller holds the store's lock.

    Raises:
        DiskFull: there is no room for it.
    """
    file = sqlite_path(address)
    if file is None or (file.is_file() and file.stat().st_size):
        return
    _quiet()
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore  # noqa: PLC0415 - a second to import

    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial:
        artifacts = str(file.with_name("mlartifacts"))
        store = SqlAlchemyStore(sqlite_url(partial), artifacts)  # type: ignore[no-untyped-call]  # MLflow has no type
        store.engine.dispose()


def damage(address: str) -> str:
    """What MLflow finds wrong with the store at a SQLite address; nothing where it is well, or not there yet."""
    file = sqlite_path(address)
    if file is None or not file.is_file():
        return ""
    try:
        _client(address).search_experiments(max_results=1)
    except Exception as failure:  # whatever it is, MLflow cannot use it
        return (str(failure).splitlines() or [type(failure).__name__])[0][:200]
    return ""


def _client(address: str) -> "MlflowClient":
    """A client that does not touch MLflow's global state."""
    _quiet()
    from mlflow import MlflowClient  # noqa: PLC0415 - a second to import, and only where it is used

    return MlflowClient(tracking_uri=address)


def _quiet() -> None:
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    import mlflow  # noqa: F401, PLC0415 - it sets its loggers up when it is imported

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _chosen(home: Home, name: str | None) -> list[RunFolder]:
    """The run of that name, else all that were to be told, oldest first."""
    if name is not None:
        return [find_run(home, name)]
    return [run for run in run_folders(home)[::-1] if EventLog(run.path).opening.get("tracker") == "mlflow"]


def _synced(pushing: MlflowSync, reached: dict[str, str | None]) -> Synced:
    """Push one run, unless its place is known not to answer."""
    run, trouble, state = pushing.run, None, pushing.run.state
    if state is RunState.RUNNING:
        trouble = "it is still going on, and pushes its event log itself"
    else:
        if pushing.address not in reached:
            reached[pushing.address] = _trouble_at(pushing.address)
        trouble = reached[pushing.address]
    if trouble is None:
        try:
            pushing.push_in_time()
            if run.state in _ENDED:
                pushing.end(_ENDED[run.state])
            _remember(run, pushing.run_id)
        except Exception as failure:  # any trouble with one run leaves the others to be pushed
            trouble = in_words(failure, pushing.address)
    return Synced(run.id, public(pushing.address), pushing.run_id, pushing.carried, pushing.left, trouble)


def _trouble_at(address: str) -> str | None:
    """Why a server cannot be used; one that drips is given up after a while."""
    if sqlite_path(address) is not None:
        return None
    troubles: list[str | None] = []

    def ask() -> None:
        try:
            _client(address).search_experiments(max_results=1)
            troubles.append(None)
        except Exception as failure:
            troubles.append(in_words(failure, address))

    thread = threading.Thread(target=ask, name="is MLflow there", daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return troubles[0] if troubles else in_words(TimeoutError(f"{PATIENCE:.0f} s"), address)


def _remember(run: RunFolder, mlflow_run_id: str | None) -> None:
    """A finished run knows its MLflow run, also one that was pushed later."""
    result = run.result
    if result and result.get("mlflow_run_id") != mlflow_run_id:
        run.finish({**result, "mlflow_run_id": mlflow_run_id})


@contextmanager
def _only_one(address: str, home: Home) -> Iterator[None]:
    """One process at a time opens a store: two that migrate a fresh SQLite file break it, or make a parent each."""
    own = sqlite_path(address)
    lock = home.root / ".mlflow.lock" if own is None else own.with_name(f".{own.name}.lock")
    with FileLock(lock, timeout=_LOCKED):
        yield


def _experiment(client: "MlflowClient", opening: Event, home: Home) -> str:
    """The experiment that the environment names, else the one that the run was made under."""
    wanted = _environment_experiment() or opening["experiment"] or {}
    if "id" in wanted:
        return str(wanted["id"])
    name = wanted.get("name", _EXPERIMENT)
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    own = _address_of(home, opening) == sqlite_url(home.tracking_database)
    place = _artifact_place(home) if own else None
    return str(client.create_experiment(name, artifact_location=place, tags=_EXPERIMENT_TAGS))


def _artifact_place(home: Home) -> str:
    """The home's artifact folder as MLflow reads it.

    Raises:
        ValueError: MLflow would take it for another folder, which other homes may share.
    """
    try:
        str(home.artifacts).encode()
    except UnicodeEncodeError as cause:
        raise ValueError("it keeps no files in a folder whose name is no UTF-8: set MLFLOW_TRACKING_URI") from cause
    return home.artifacts.as_uri()


def _address_of(home: Home, opening: Event) -> str:
    """Where a run is tracked: where the environment says, else as at first, else in the home's own store."""
    return str(_environment_address() or opening.get("address") or sqlite_url(home.tracking_database))


def _environment_address() -> str | None:
    address = os.environ.get("MLFLOW_TRACKING_URI") or None
    file = None if address is None else sqlite_path(address)
    return address if file is None else sqlite_url(file.absolute())


def _environment_experiment() -> dict[str, str] | None:
    """As MLflow reads its environment: the name goes before the id."""
    for kind in ("name", "id"):
        if value := os.environ.get(f"MLFLOW_EXPERIMENT_{kind.upper()}"):
            return {kind: value}
    return None


def _run_of(client: "MlflowClient", run_id: str | None) -> "Run | None":
    """The run of that id, if MLflow still has it.

    Raises:
        ValueError: it was deleted there, which is somebody's will.
    """
    from mlflow import MlflowException  # noqa: PLC0415 - as above

    if run_id is None:
        return None
    try:
        known = client.get_run(run_id)
    except MlflowException as failure:
        if failure.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    if known.info.lifecycle_stage == "deleted":
        raise ValueError(f"run {run_id} was deleted there; restore it to go on with it")
    return known


def _search(client: "MlflowClient", experiment: str, tags: Mapping[str, str]) -> "Run | None":
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    runs = client.search_runs([experiment], filter_string=wanted, max_results=1, order_by=["start_time ASC"])
    return runs[0] if runs else None


def _parent(client: "MlflowClient", experiment: str, opening: Event) -> str:
    """The run of the recommendation, made at its first job."""
    mine = {"transferzoo.recommendation": opening["recommendation"], "transferzoo.kind": "recommendation"}
    known = _search(client, experiment, mine)
    if known is None:
        tags = {"mlflow.runName": f"recommendation {opening['recommendation']}", **mine}
        tags |= {key: value for key, value in opening["tags"].items() if key in _SHARED}
        known = client.create_run(experiment, start_time=opening["began"], tags=tags)
        client.set_terminated(str(known.info.run_id), end_time=opening["began"])
    if opening.get("advice") and not known.data.params:
        _describe_advice(client, str(known.info.run_id), opening)
    return str(known.info.run_id)


def _describe_advice(client: "MlflowClient", run_id: str, opening: Event) -> None:
    """What was advised on which data: a sentence, figures, and the table of choices."""
    from mlflow.entities import Metric, Param  # noqa: PLC0415 - as above

    advice, table = opening["advice"], StringIO(newline="")
    csv.writer(table).writerows([_CHOICES, *advice["choices"]])
    client.log_text(run_id, table.getvalue(), "choices.csv")
    client.set_tag(run_id, "mlflow.note.content", advice["sentence"])
    client.log_inputs(run_id, [_data(opening)])
    figures = [Metric(name, float(value), opening["began"], 0) for name, value in advice["figures"].items()]
    client.log_batch(run_id, metrics=figures, params=[Param(*pair) for pair in advice["facts"].items()])


def _data(opening: Event) -> "DatasetInput":
    from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415 - as above

    return DatasetInput(Dataset(**opening["dataset"]), [InputTag("mlflow.data.context", "training")])


def _metrics(event: Event) -> "list[Metric]":
    from mlflow.entities import Metric  # noqa: PLC0415 - as above

    if "point" in event:
        return [Metric(event["point"], float(event["value"]), event["at"], event["step"])]
    values = {
        name: value
        for name, value in event.get("result", {}).items()
        if not name.startswith(_KNOWN_BEFORE) and name not in _CONSTANTS
    }
    return [Metric(name, float(value), event["at"], 0) for name, value in values.items()]


def _identity(metric: "Metric") -> tuple[int, int, float]:
    """What makes a point the same; infinity as MLflow stores it, and NaN, of which there is but one a moment, as 0."""
    value = float(metric.value)
    return metric.step, metric.timestamp, 0.0 if math.isnan(value) else min(max(value, -_LARGEST), _LARGEST)


def _read_marks(folder: Path) -> dict[str, Any]:
    try:
        marks = json.loads((folder / _MARKS).read_text())
    except (OSError, ValueError):
        return {}
    return marks if isinstance(marks, dict) else {}
