"""A run's model as MLflow keeps it: no pickle, but the run's files and the name of the module that opens them.

That is `recommender.serving.pyfunc`, which needs transferzoo where the model is loaded.
"""

import json
import re
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from mlflow import MlflowClient, MlflowException
from mlflow.entities import LoggedModelOutput, Metric
from mlflow.models import Model, ModelSignature
from mlflow.pyfunc import save_model
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from recommender.runs.folder import RunFolder
from registry.cards import Task
from registry.files import copy_files
from registry.modalities import InMemory, Modality, modalities
from registry.statements import SHARD_INDEX

__all__ = ["log_model", "probability_columns", "register_model"]

_LOADER = "recommender.serving.pyfunc"

_FILES = (
    "run.json",
    "config.json",
    "model*.safetensors",
    SHARD_INDEX,
    "head.safetensors",
    "raw.skops",
)
_REQUIRED = (
    "transferzoo",
    "torch",
    "transformers",
    "numpy",
    "pandas",
    "pillow",
    "safetensors",
    "scipy",
    "scikit-learn",
    "skops",
)
_VERSIONS = "mlflow.modelVersions"
"""The tag by which MLflow's pages lead from a model to its versions."""
_FORBIDDEN_IN_NAMES = r"[/:.%\"']"


def log_model(client: MlflowClient, run: RunFolder, mlflow_run_id: str, tags: dict[str, str]) -> str:
    """Give the model of a finished run to MLflow, once, and connect it with its MLflow run; gives the model's id."""
    result, logged = run.result, client.get_run(mlflow_run_id)
    model = find_model(client, logged.info.experiment_id, run.id)
    if model is None:
        model = client.create_logged_model(
            logged.info.experiment_id,
            re.sub(_FORBIDDEN_IN_NAMES, "-", f"{result['checkpoint']} {result['strategy']}"),
            source_run_id=mlflow_run_id,
            tags=tags,
            params=logged.data.params,
            model_type=result["task"],
        )
    known = [] if logged.outputs is None else [output.model_id for output in logged.outputs.model_outputs]
    if model.model_id not in known:
        client.log_outputs(mlflow_run_id, [LoggedModelOutput(model.model_id, 0)])
    if str(model.status) != "READY":
        with TemporaryDirectory() as place:
            client.log_model_artifacts(model.model_id, str(_packed(run, Path(place), mlflow_run_id, model.model_id)))
        _connect_metrics(client, run, mlflow_run_id, model.model_id)
        client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def register_model(client: MlflowClient, run: RunFolder, mlflow_run_id: str, name: str, alias: str | None) -> str:
    """Make the logged model of a run a version of a registered one, once; gives the version's number."""
    model = find_model(client, client.get_run(mlflow_run_id).info.experiment_id, run.id)
    if model is None or str(model.status) != "READY":
        raise FileNotFoundError(f"no model of run {run.id} was logged")
    try:
        client.create_registered_model(name)
    except MlflowException as failure:
        if failure.error_code not in {"RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"}:
            raise
    known = [version for version in client.search_model_versions(f"name = '{name}'") if version.run_id == mlflow_run_id]
    if known:
        number = str(known[0].version)
    else:
        tags = {**model.tags, "transferzoo.model": model.model_id}
        created = client.create_model_version(
            name, model.artifact_location, mlflow_run_id, tags, model_id=model.model_id
        )
        number = str(created.version)
    others = [link for link in json.loads(model.tags.get(_VERSIONS, "[]")) if link["name"] != name]
    links = json.dumps([*others, {"name": name, "version": number}])
    client.set_logged_model_tags(model.model_id, {_VERSIONS: links})
    if alias is not None:
        client.set_registered_model_alias(name, alias, number)
    return number


def find_model(client: MlflowClient, experiment: str, run: str) -> Any:  # noqa: ANN401 - MLflow's LoggedModel
    """The model that was logged for a run of ours, finished or not; None where there is none."""
    models = client.search_logged_models([experiment], filter_string=f"tags.`transferzoo.job` = '{run}'")
    return max(models, key=lambda model: str(model.status) == "READY", default=None)


def _packed(run: RunFolder, place: Path, mlflow_run_id: str, model_id: str) -> Path:
    """The run as an MLflow model, in a folder of its own."""
    data, packed, nothing = place / "run", place / "model", place / "nothing"
    data.mkdir()
    nothing.mkdir()
    modality = modalities[run.result["sample"]["modality"]]
    copy_files((*_FILES, *modality.processor_files), run.path, data)
    save_model(
        str(packed),
        loader_module=_LOADER,
        data_path=str(data),
        signature=_signature(run, modality),
        input_example=in_memory_of(run.result["task"], modality).example,
        mlflow_model=Model(run_id=mlflow_run_id, model_uuid=model_id, model_id=model_id),
        pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in _REQUIRED],
        uv_project_path=str(nothing),  # else MLflow packs the uv project of whoever stands in one
    )
    return packed


def _signature(run: RunFolder, modality: Modality) -> ModelSignature:
    result, declared = run.result, in_memory_of(run.result["task"], modality)
    if result["task"] == Task.TOKEN_CLASSIFICATION:
        tagged: list[ColSpec | TensorSpec] = [ColSpec(DataType.string, n) for n in ("prediction", "words", "spans")]
        return ModelSignature(Schema([ColSpec(DataType.string)]), Schema(tagged))
    named = DataType.double if result["task"] == Task.REGRESSION else DataType.string
    columns: list[ColSpec | TensorSpec] = [ColSpec(named, "prediction")]
    columns += [ColSpec(DataType.double, label) for label in probability_columns(result["classes"])]
    item = TensorSpec(np.dtype(declared.dtype), (-1, *declared.shape)) if declared.dtype else ColSpec(DataType.string)
    return ModelSignature(Schema([item]), Schema(columns))


def in_memory_of(task: str, modality: Modality) -> InMemory:
    """How callers hand over items for a task without files."""
    positions = modality.positions if task == Task.TOKEN_CLASSIFICATION else None
    return modality.in_memory if positions is None else positions.in_memory


def probability_columns(classes: list[str]) -> list[str]:
    """What the columns of a prediction are called that hold each class's probability."""
    return [f"probability of {label}" for label in classes]


def _connect_metrics(client: MlflowClient, run: RunFolder, mlflow_run_id: str, model_id: str) -> None:
    """The run's results are the model's too; MLflow knows them by their time and keeps them once."""
    metrics = []
    for name in run.result["metrics"]:
        for point in client.get_metric_history(mlflow_run_id, name):
            metrics.append(Metric(name, point.value, point.timestamp, point.step, model_id=model_id))  # noqa: PERF401
    client.log_batch(mlflow_run_id, metrics)
