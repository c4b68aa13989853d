"""Trackers: what a run tells the world. MLflow is a diary that may fail; no trouble of its can lose a run.

Everything is written to a journal in the run's folder first. A thread carries it to MLflow, so that a slow or dead
server delays nothing; what it could not carry stays in the journal, and the run says so.
"""

import json
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from recommender.tuning.job import Job
from registry.plugins import Shelf

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["Diary", "Tracker", "mlflow_runs", "no_tracking", "trackers"]

_JOURNAL = "journal.jsonl"
_EXPERIMENT = "transferzoo"
_PATIENCE = 20.0
"""Seconds that a finished run waits for what is still on its way."""
_LONGEST = 5000


@runtime_checkable
class Diary(Protocol):
    """An open entry: points of the learning curve as they come, and what the run came to."""

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, where there is one; certain only after `close`."""

    @property
    def troubles(self) -> tuple[str, ...]:
        """What went wrong with the tracking, in words."""

    def point(self, series: str, step: int, value: float) -> None:
        """One point of a learning curve."""

    def result(self, metrics: Mapping[str, float]) -> None:
        """What the run came to."""

    def close(self, status: str) -> None:
        """The run is over: FINISHED, FAILED or KILLED. Waits a while for what is still on its way."""


Tracker = Callable[[Job], AbstractContextManager[Diary]]


@contextmanager
def no_tracking(job: Job) -> Iterator[Diary]:
    """The journal in the run's folder, and nothing else."""
    with _closing(_Journal(job.folder / _JOURNAL)) as diary:
        yield diary


@contextmanager
def mlflow_runs(job: Job) -> Iterator[Diary]:
    """The journal, carried to MLflow: ``MLFLOW_TRACKING_URI`` where that is set, else a SQLite store in the home."""
    with _closing(_Carried(job)) as diary:
        yield diary


@contextmanager
def _closing(diary: Diary) -> Iterator[Diary]:
    try:
        yield diary
    except KeyboardInterrupt:
        diary.close("KILLED")
        raise
    except BaseException:
        diary.close("FAILED")
        raise
    diary.close("FINISHED")


class _Journal:
    """One JSON line an event."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def run_id(self) -> str | None:
        return None

    @property
    def troubles(self) -> tuple[str, ...]:
        return ()

    def point(self, series: str, step: int, value: float) -> None:
        self.write({"point": series, "step": step, "value": value})

    def result(self, metrics: Mapping[str, float]) -> None:
        self.write({"result": dict(metrics)})

    def close(self, status: str) -> None:
        self.write({"status": status})

    def write(self, event: Mapping[str, object]) -> None:
        with self._file.open("a") as journal:
            journal.write(json.dumps(event) + "\n")


class _Carried(_Journal):
    """A journal whose events a thread carries to MLflow."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.folder / _JOURNAL)
        self._job = job
        self._run_id: str | None = None
        self._trouble: str | None = None
        self._events: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
        self._carrier = threading.Thread(target=self._carry, name=f"mlflow {job.id}", daemon=True)
        self._carrier.start()

    @property
    def run_id(self) -> str | None:
        return self._run_id

    @property
    def troubles(self) -> tuple[str, ...]:
        return () if self._trouble is None else (self._trouble,)

    def write(self, event: Mapping[str, object]) -> None:
        super().write(event)
        self._events.put(event)

    def close(self, status: str) -> None:
        super().close(status)
        self._carrier.join(_PATIENCE)
        if self._carrier.is_alive():
            self._trouble = f"MLflow did not answer within {_PATIENCE:.0f} s; the journal has everything"

    def _carry(self) -> None:
        try:
            entry = _Entry(self._job)
            self._run_id = entry.run_id
            while "status" not in (event := self._events.get()):
                entry.take(event)
            entry.take(event)
        except Exception as trouble:  # no trouble of the diary's may lose the run
            first = (str(trouble).splitlines() or [""])[0]
            self._trouble = f"MLflow failed ({type(trouble).__name__}: {first}); the journal has everything"


class _Entry:
    """One run in MLflow. Made without touching MLflow's global state, so that a caller's own runs are left alone."""

    def __init__(self, job: Job) -> None:
        self._client = _client(_address(job))
        experiment = self._experiment(job)
        tags = {"mlflow.runName": f"{job.checkpoint.name} {job.plan.strategy}", **_tags(job)}
        if job.recommendation is not None:
            tags["mlflow.parentRunId"] = self._parent(experiment, job.recommendation)
        self.run_id = str(self._client.create_run(experiment, tags=tags).info.run_id)
        for key, value in _parameters(job).items():
            self._client.log_param(self.run_id, key, value)
        self._log_input(job)

    def take(self, event: Mapping[str, Any]) -> None:
        """Write one event of the journal."""
        if "point" in event:
            self._client.log_metric(self.run_id, event["point"], event["value"], step=event["step"])
        elif "result" in event:
            for name, value in event["result"].items():
                self._client.log_metric(self.run_id, name, value)
        else:
            self._client.set_terminated(self.run_id, event["status"])

    def _experiment(self, job: Job) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _EXPERIMENT)
        known = self._client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        place = None if "MLFLOW_TRACKING_URI" in os.environ else job.home.artifacts.as_uri()
        return str(self._client.create_experiment(name, artifact_location=place))

    def _parent(self, experiment: str, recommendation: str) -> str:
        """The run of the recommendation, made at its first job."""
        mine = {"transferzoo.recommendation": recommendation, "transferzoo.kind": "recommendation"}
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in mine.items())
        found = self._client.search_runs([experiment], filter_string=wanted, max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {"mlflow.runName": f"recommendation {recommendation}", **mine}
        made = str(self._client.create_run(experiment, tags=tags).info.run_id)
        self._client.set_terminated(made)
        return made

    def _log_input(self, job: Job) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag  # noqa: PLC0415 - as above

        sample = job.sample
        shape = {"rows": len(sample), "classes": len(sample.classes)}
        dataset = Dataset(
            sample.name, sample.digest[:36], "local", json.dumps({"uri": sample.origin}), profile=json.dumps(shape)
        )
        self._client.log_inputs(self.run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


def _address(job: Job) -> str:
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{job.home.tracking_database}"


def _client(address: str) -> "MlflowClient":
    """A client without telemetry, talk of migrations or long waits for a dead server, unless the user set them so."""
    for key, value in (
        ("MLFLOW_DISABLE_TELEMETRY", "true"), ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"),
        ("MLFLOW_HTTP_REQUEST_TIMEOUT", "5"),
    ):  # fmt: skip
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient  # noqa: PLC0415 - a second to import, and only where it is used

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=address)


def _tags(job: Job) -> dict[str, str]:
    tags = {
        "transferzoo.kind": "job", "transferzoo.job": job.id, "transferzoo.version": version("transferzoo"),
        "transferzoo.sample": job.sample.digest, "transferzoo.checkpoint_digest": job.checkpoint.digest,
    }  # fmt: skip
    if job.recommendation is not None:
        tags["transferzoo.recommendation"] = job.recommendation
    return tags


def _parameters(job: Job) -> dict[str, str]:
    """The plan and its conditions, flat."""
    told: dict[str, object] = {
        "checkpoint": job.checkpoint.name, "sample": job.sample.name, "metric": str(job.sample.metric),
        "seed": job.seed, "device": job.device,
    }  # fmt: skip
    for key, value in job.plan.to_dict().items():
        told[f"plan.{key}"] = json.dumps(value) if isinstance(value, list | dict) else value
    return {key: str(value)[:_LONGEST] for key, value in told.items()}


trackers: Shelf[Tracker] = Shelf(
    "tracker", "transferzoo.trackers", {"mlflow": lambda: mlflow_runs, "none": lambda: no_tracking}
)
