"""A run as MLflow keeps it: opened or found again, its events sent once each, its files uploaded."""

import csv
import math
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path

from mlflow import MlflowClient, MlflowException
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run

from recommender.runs.event_log import LogEntry
from recommender.runs.folder import RunFolder
from recommender.runs.mlflow_model import log_model, register_model
from recommender.runs.mlflow_server import address_of, environment_experiment
from registry.addresses import sqlite_url
from registry.home import Home

__all__ = ["MlflowRun"]


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


class MlflowRun:
    """One run in MLflow."""

    def __init__(self, client: MlflowClient, run: Run, tags: Mapping[str, str], *, new: bool) -> None:
        self._client, self.run_id, self._tags = client, str(run.info.run_id), dict(tags)
        self._there: dict[str, set[tuple[int, int, float]]] | None = None if new else {}

    @classmethod
    def of(cls, client: MlflowClient, opening: LogEntry, home: Home, run_id: str | None) -> "MlflowRun":
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

    def log_events(self, events: Sequence[LogEntry]) -> None:
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

    def upload(self, event: LogEntry, run: RunFolder) -> None:
        """Upload the file or model of an event, or register the model."""
        if "artifact" in event:
            file = Path(event["artifact"])
            folder = None if file.parent == Path() else file.parent.as_posix()
            self._client.log_artifact(self.run_id, str(run.path / file), folder)
        elif "model" in event:
            log_model(self._client, run, self.run_id, self._tags)
        else:
            register_model(self._client, run, self.run_id, event["register"], event["alias"])

    def _describe(self, opening: LogEntry) -> None:
        self._client.log_batch(self.run_id, params=[Param(*pair) for pair in opening["params"].items()])
        self._client.log_inputs(self.run_id, [_data(opening)])

    def _judge(self, result: Mapping[str, float]) -> None:
        """Say whether the score lies where it was expected, and what is one number and no curve."""
        fixed = [Param(name, f"{float(result[name]):.0f}") for name in _CONSTANTS if name in result]
        self._client.log_batch(self.run_id, params=fixed)
        if {"score", "expected_low", "expected_high"} <= set(result):
            within = float(result["expected_low"]) <= float(result["score"]) <= float(result["expected_high"])
            self._client.set_tag(self.run_id, "transferzoo.within_interval", str(within).lower())

    def _log_metrics(self, metrics: list[Metric]) -> None:
        lacking = [metric for metric in metrics if not self._has(metric)]
        if lacking:
            self._client.log_batch(self.run_id, metrics=lacking)

    def _has(self, metric: Metric) -> bool:
        """Whether an earlier attempt has logged it, also one that never learned that it succeeded."""
        if self._there is None:
            return False
        if metric.key not in self._there:
            history = self._client.get_metric_history(self.run_id, metric.key)
            self._there[metric.key] = {_identity(point) for point in history}
        return _identity(metric) in self._there[metric.key]


def _experiment(client: MlflowClient, opening: LogEntry, home: Home) -> str:
    """The experiment that the environment names, else the one that the run was made under."""
    wanted = environment_experiment() or opening["experiment"] or {}
    if "id" in wanted:
        return str(wanted["id"])
    name = wanted.get("name", _EXPERIMENT)
    known = client.get_experiment_by_name(name)
    if known is not None:
        return str(known.experiment_id)
    own = address_of(home, opening) == sqlite_url(home.tracking_database)
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


def _run_of(client: MlflowClient, run_id: str | None) -> Run | None:
    """The run of that id, if MLflow still has it.

    Raises:
        ValueError: it was deleted there, which is somebody's will.
    """
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


def _search(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> Run | None:
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    runs = client.search_runs([experiment], filter_string=wanted, max_results=1, order_by=["start_time ASC"])
    return runs[0] if runs else None


def _parent(client: MlflowClient, experiment: str, opening: LogEntry) -> str:
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


def _describe_advice(client: MlflowClient, run_id: str, opening: LogEntry) -> None:
    """What was advised on which data: a sentence, figures, and the table of choices."""
    advice, table = opening["advice"], StringIO(newline="")
    csv.writer(table).writerows([_CHOICES, *advice["choices"]])
    client.log_text(run_id, table.getvalue(), "choices.csv")
    client.set_tag(run_id, "mlflow.note.content", advice["sentence"])
    client.log_inputs(run_id, [_data(opening)])
    figures = [Metric(name, float(value), opening["began"], 0) for name, value in advice["figures"].items()]
    client.log_batch(run_id, metrics=figures, params=[Param(*pair) for pair in advice["facts"].items()])


def _data(opening: LogEntry) -> DatasetInput:
    return DatasetInput(Dataset(**opening["dataset"]), [InputTag("mlflow.data.context", "training")])


def _metrics(event: LogEntry) -> list[Metric]:
    if "point" in event:
        return [Metric(event["point"], float(event["value"]), event["at"], event["step"])]
    values = {
        name: value
        for name, value in event.get("result", {}).items()
        if not name.startswith(_KNOWN_BEFORE) and name not in _CONSTANTS
    }
    return [Metric(name, float(value), event["at"], 0) for name, value in values.items()]


def _identity(metric: Metric) -> tuple[int, int, float]:
    """What makes a point the same; infinity as MLflow stores it, and NaN, of which there is but one a moment, as 0."""
    value = float(metric.value)
    return metric.step, metric.timestamp, 0.0 if math.isnan(value) else min(max(value, -_LARGEST), _LARGEST)
