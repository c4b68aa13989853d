"""Carrying journals to MLflow: while a run goes on, and again for what a dead, slow or refusing server missed.

Beside each journal lies how far it was carried, for each place it was carried to. A run that MLflow has is found by its
tag, and points that it has are not told again, so that any of this may break off anywhere and be repeated. Only clients
are used, so that a caller's own MLflow runs are left alone.
"""

import json
import logging
import math
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from filelock import FileLock, Timeout

from recommender.tuning.folder import RunFolder, RunState, find_run, run_folders
from recommender.tuning.journal import Event, Journal
from recommender.tuning.logged_model import check_names, log_model, register_model
from registry.errors import NotFinished
from registry.home import Home
from registry.progress import Progress, silent
from registry.store import sqlite_url

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

__all__ = ["Carrier", "Synced", "asked", "in_words", "public", "register", "sync"]

_MARKS, _LOCK = "carried.json", "carried.lock"
_BATCH = 500
"""Events told in one request; MLflow takes 1000 metrics and a megabyte."""
_LOCKED = 60.0
"""Seconds to wait for another process that opens the same store, or carries the same run."""
_EXPERIMENT = "transferzoo"
_EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",
    "mlflow.experiment.primaryMetric.name": "score",
    "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
}
"""What MLflow's pages are told of the experiment: it is about training, and judged by this."""
_SQLITE = "sqlite:///"
_LARGEST = 1.7976931348623157e308
_SHARED = ("transferzoo.sample", "mlflow.user", "mlflow.source.name", "mlflow.source.type")
"""Tags of a job that its recommendation has too."""
_ENDED = {RunState.INTERRUPTED: "KILLED", RunState.FAILED: "FAILED"}
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}  # fmt: skip
"""Unless the user set them so: no telemetry, nothing on stdout, no long wait for a dead server."""


@dataclass(frozen=True)
class Synced:
    """What became of carrying one run."""

    run: str
    place: str
    """Where to; without what is secret in it."""
    mlflow_run_id: str | None
    carried: int
    """Entries of the journal that MLflow got now."""
    left: int
    """Entries that it still lacks."""
    trouble: str | None

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        return asdict(self)


@dataclass
class _Mark:
    """How far a journal has been carried to one place."""

    run_id: str | None = None
    read: int = 0
    """Byte of the journal behind what was told."""
    owed: list[dict[str, Any]] = field(default_factory=list)
    """Events whose files are still to be uploaded."""


class Carrier:
    """Carries the journal in a run's folder; `carry` may be called again and again, also after it failed."""

    def __init__(self, run: RunFolder, home: Home) -> None:
        self.run, self.journal, self._home = run, Journal(run.path), home
        self.address = _address_of(home, self.journal.opening)
        self.carried = 0
        self.uploading = False
        self.moved = time.monotonic()
        """When it last got on."""
        self._entry: _Entry | None = None

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, once it has one there."""
        return self._mark().run_id

    @property
    def left(self) -> int:
        """Entries of the journal that MLflow lacks."""
        mark = self._mark()
        return len(self.journal.read(mark.read)) + len(mark.owed)

    def carry(self) -> None:
        """Tell MLflow what it lacks, then upload files; raises whatever MLflow raises, and remembers how far it came.

        Raises:
            ValueError: the journal does not say what the run is.
            Timeout: another process is at it.
        """
        with FileLock(self.run.path / _LOCK, timeout=_LOCKED):
            mark = self._mark()
            try:
                self._tell(self._opened(mark), mark)
            except BaseException:
                self._entry = None
                raise

    def end(self, status: str) -> None:
        """Say how the run ended where its journal cannot, because the process was killed."""
        if self._entry is not None and "status" not in self._last_change():
            self._entry.end(status, None)

    def _opened(self, mark: _Mark) -> "_Entry":
        opening = self.journal.opening
        if not opening:
            raise ValueError("its journal does not begin with what the run is")
        if self._entry is None:
            with _only_one(self.address, self._home):
                self._entry = _Entry.of(_client(self.address), opening, self._home, mark.run_id)
        if self._entry.run_id != mark.run_id:
            mark.run_id, mark.read, mark.owed = self._entry.run_id, 0, []
            self._keep(mark)
        return self._entry

    def _tell(self, entry: "_Entry", mark: _Mark) -> None:
        found = self.journal.read(mark.read)
        for start in range(0, len(found), _BATCH):
            part = found[start : start + _BATCH]
            entry.tell([event for _, event in part])
            mark.read = part[-1][0]
            mark.owed += [dict(event) for _, event in part if {"artifact", "model", "register"} & set(event)]
            self._keep(mark, len(part))
        for event in list(mark.owed):
            if "artifact" in event or self.run.told:  # a run has a model when it is finished
                self._upload(entry, event)
                mark.owed.remove(event)
                self._keep(mark)

    def _upload(self, entry: "_Entry", event: Event) -> None:
        self.uploading = True
        try:
            entry.upload(event, self.run)
        finally:
            self.uploading = False
            self.moved = time.monotonic()

    def _last_change(self) -> Event:
        changes = [event for _, event in self.journal.read() if {"status", "resumed", "opening"} & set(event)]
        return changes[-1] if changes else {}

    def _mark(self) -> _Mark:
        marks = _read_marks(self.run.path)
        return _Mark(**marks.get(public(self.address), {}))

    def _keep(self, mark: _Mark, carried: int = 0) -> None:
        marks = {**_read_marks(self.run.path), public(self.address): asdict(mark)}
        partial = self.run.path / f"{_MARKS}.{os.getpid()}.tmp"
        partial.write_text(json.dumps(marks, indent=1))
        partial.replace(self.run.path / _MARKS)
        self.carried += carried
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
        made = client.create_run(experiment, start_time=opening["began"], tags=tags)
        return cls(client, made, opening["tags"], new=True)

    def tell(self, events: Sequence[Event]) -> None:
        """Tell some events of the journal, those of files excepted."""
        metrics: list[Metric] = []
        for event in events:
            metrics += _metrics(event)
            if "opening" in event:
                self._describe(event["opening"])
            elif "resumed" in event:
                self._client.update_run(self.run_id, "RUNNING")
            elif "status" in event:
                self._log(metrics)
                metrics = []
                self.end(event["status"], event["at"])
        self._log(metrics)

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
        from mlflow.entities import Dataset, DatasetInput, InputTag, Param  # noqa: PLC0415 - a second to import

        self._client.log_batch(self.run_id, params=[Param(*pair) for pair in opening["params"].items()])
        data = Dataset(**opening["dataset"])
        self._client.log_inputs(self.run_id, [DatasetInput(data, [InputTag("mlflow.data.context", "training")])])

    def _log(self, metrics: "list[Metric]") -> None:
        lacking = [metric for metric in metrics if not self._has(metric)]
        if lacking:
            self._client.log_batch(self.run_id, metrics=lacking)

    def _has(self, metric: "Metric") -> bool:
        """Whether an earlier attempt has told it, also one that never heard that it succeeded."""
        if self._there is None:
            return False
        if metric.key not in self._there:
            found = self._client.get_metric_history(self.run_id, metric.key)
            self._there[metric.key] = {_identity(point) for point in found}
        return _identity(metric) in self._there[metric.key]


def sync(home: Home, run: str | None = None, *, progress: Progress = silent) -> tuple[Synced, ...]:
    """Carry to MLflow what it lacks of a run, or of all runs that were made under it.

    Nothing is told twice, so it can be repeated at any time. A run that was killed is marked so.

    Raises:
        UnknownName: there is no run of that id, or there are several that begin so.
    """
    reached: dict[str, str | None] = {}
    done: list[Synced] = []
    chosen = _chosen(home, run)
    for place, folder in enumerate(chosen):
        progress("carry to MLflow", place, len(chosen))
        done.append(_synced(Carrier(folder, home), reached))
    progress("carry to MLflow", len(chosen), len(chosen))
    return tuple(done)


def register(home: Home, run: str, name: str, alias: str | None = None) -> Synced:
    """Make the model of a finished run a version of a registered one; what cannot be done now `sync` does later.

    Raises:
        UnknownName: there is no run of that id.
        UnusableName: a name or alias that MLflow's registry would refuse.
        NotFinished: the run has no model yet.
    """
    check_names(name, alias)
    found = find_run(home, run)
    if not found.told:
        raise NotFinished(found.id, str(found.state), found.reason)
    journal = Journal(found.path)
    if not any("model" in event for _, event in journal.read()):
        journal.write({"model": "."})
    journal.write({"register": name, "alias": alias})
    return sync(home, found.id)[0]


def asked() -> dict[str, object]:
    """Where the environment wants runs to be told: address and experiment, None where it does not say."""
    address = _asked_address()
    return {"address": None if address is None else public(address), "experiment": _asked_experiment()}


def public(address: str) -> str:
    """An address without user name and password."""
    parts = urlsplit(address)
    return address if "@" not in parts.netloc else parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def in_words(failure: Exception, address: str) -> str:
    """What went wrong, in one line that ends with what to do; without secrets."""
    where = f"MLflow at {public(address)}"
    if isinstance(failure, Timeout):
        return f"{where}: another process is writing there. Try again when it is done"
    first = (str(failure).splitlines() or [""])[0].replace(address, public(address))
    if re.search(r"\b40[13]\b", first):
        return f"{where} refused. Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    if re.search("Max retries exceeded|Connection (refused|aborted|reset)|Failed to connect", str(failure)):
        return f"{where} did not answer. Start it, or set MLFLOW_TRACKING_URI"
    return f"{where} failed ({type(failure).__name__}: {first[:300]})"


def _client(address: str) -> "MlflowClient":
    """A client that does not touch MLflow's global state."""
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient  # noqa: PLC0415 - a second to import, and only where it is used

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=address)


def _chosen(home: Home, name: str | None) -> list[RunFolder]:
    """The run of that name, else all that were to be told, oldest first."""
    if name is not None:
        return [find_run(home, name)]
    return [run for run in run_folders(home)[::-1] if Journal(run.path).opening.get("tracker") == "mlflow"]


def _synced(carrier: Carrier, reached: dict[str, str | None]) -> Synced:
    """Carry one run, unless its place is known not to answer."""
    run, trouble, state = carrier.run, None, carrier.run.state
    if state is RunState.RUNNING:
        trouble = "it is still going on, and carries its journal itself"
    else:
        if carrier.address not in reached:
            reached[carrier.address] = _trouble_at(carrier.address)
        trouble = reached[carrier.address]
    if trouble is None:
        try:
            carrier.carry()
            if state in _ENDED:
                carrier.end(_ENDED[state])
            _remember(run, carrier.run_id)
        except Exception as failure:  # any trouble with one run leaves the others to be carried
            trouble = in_words(failure, carrier.address)
    return Synced(run.id, public(carrier.address), carrier.run_id, carrier.carried, carrier.left, trouble)


def _trouble_at(address: str) -> str | None:
    try:
        if not address.startswith("sqlite"):
            _client(address).search_experiments(max_results=1)
    except Exception as failure:
        return in_words(failure, address)
    return None


def _remember(run: RunFolder, mlflow_run_id: str | None) -> None:
    """A finished run knows its MLflow run, also one that was told later."""
    told = run.told
    if told and told.get("mlflow_run_id") != mlflow_run_id:
        run.finish({**told, "mlflow_run_id": mlflow_run_id})


@contextmanager
def _only_one(address: str, home: Home) -> Iterator[None]:
    """One process at a time opens a store: two that migrate a fresh SQLite file break it, or make a parent each."""
    ours = address == sqlite_url(home.tracking_database)
    own = str(home.tracking_database) if ours else address.removeprefix(_SQLITE)
    lock = Path(own).with_name(f".{Path(own).name}.lock") if own != address else home.root / ".mlflow.lock"
    with FileLock(lock, timeout=_LOCKED):
        yield


def _experiment(client: "MlflowClient", opening: Event, home: Home) -> str:
    """The experiment that the environment names, else the one that the run was made under."""
    wanted = _asked_experiment() or opening["experiment"] or {}
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
    """Where a run is told: where the environment says, else where it was first told, else the home's own store."""
    return str(_asked_address() or opening.get("address") or sqlite_url(home.tracking_database))


def _asked_address() -> str | None:
    address = os.environ.get("MLFLOW_TRACKING_URI") or None
    if address is None or not address.startswith(_SQLITE):
        return address
    return f"{_SQLITE}{Path(address.removeprefix(_SQLITE)).absolute()}"


def _asked_experiment() -> dict[str, str] | None:
    """As MLflow reads its environment: the name goes before the id."""
    for kind in ("name", "id"):
        if found := os.environ.get(f"MLFLOW_EXPERIMENT_{kind.upper()}"):
            return {kind: found}
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
        found = client.get_run(run_id)
    except MlflowException as failure:
        if failure.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    if found.info.lifecycle_stage == "deleted":
        raise ValueError(f"run {run_id} was deleted there; restore it to go on with it")
    return found


def _search(client: "MlflowClient", experiment: str, tags: Mapping[str, str]) -> "Run | None":
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    found = client.search_runs([experiment], filter_string=wanted, max_results=1, order_by=["start_time ASC"])
    return found[0] if found else None


def _parent(client: "MlflowClient", experiment: str, opening: Event) -> str:
    """The run of the recommendation, made at its first job."""
    mine = {"transferzoo.recommendation": opening["recommendation"], "transferzoo.kind": "recommendation"}
    found = _search(client, experiment, mine)
    if found is not None:
        return str(found.info.run_id)
    tags = {"mlflow.runName": f"recommendation {opening['recommendation']}", **mine}
    tags |= {key: value for key, value in opening["tags"].items() if key in _SHARED}
    made = str(client.create_run(experiment, start_time=opening["began"], tags=tags).info.run_id)
    client.set_terminated(made, end_time=opening["began"])
    return made


def _metrics(event: Event) -> "list[Metric]":
    from mlflow.entities import Metric  # noqa: PLC0415 - as above

    if "point" in event:
        return [Metric(event["point"], float(event["value"]), event["at"], event["step"])]
    return [Metric(name, float(value), event["at"], 0) for name, value in event.get("result", {}).items()]


def _identity(metric: "Metric") -> tuple[int, int, float]:
    """What makes a point the same; infinity as MLflow stores it, and NaN, of which there is but one a moment, as 0."""
    value = float(metric.value)
    return metric.step, metric.timestamp, 0.0 if math.isnan(value) else min(max(value, -_LARGEST), _LARGEST)


def _read_marks(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / _MARKS).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
