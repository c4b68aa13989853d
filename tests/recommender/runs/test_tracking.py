import threading
import time
from dataclasses import replace
from functools import partial

import pytest

from recommender.runs import tracking
from recommender.runs.mlflow_sync import MlflowSync
from recommender.runs.tracking import mlflow_runs, no_tracking
from recommender.tuning.recipe import run_local
from registry.errors import UnusableName
from tests.recommender.tuning.jobs import checkpoint, job, plan, whole

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    card = checkpoint(tmp_path / "net")
    return job(tmp_path, card, plan(card))


@pytest.mark.slow
def test_a_dead_server_costs_the_run_nothing_but_a_note(prepared, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run, outcome = run_local(prepared, mlflow_runs)
    plain, _ = run_local(job(prepared.home.root.parent, prepared.checkpoint, prepared.plan, name="plain"), no_tracking)
    assert run.metrics["score"] == plain.metrics["score"]
    assert run.mlflow_run_id is outcome.mlflow_run_id is None
    [note] = run.notes
    assert "MLflow at http://127.0.0.1:9 did not answer" in note
    assert f"transferzoo runs sync {prepared.id}" in note


def test_a_server_that_hangs_is_not_waited_for(prepared, monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(MlflowSync, "push", lambda self: over.wait(20))
    monkeypatch.setattr(tracking, "_PATIENCE", 0.1)
    prepared.folder.mkdir()
    began = time.monotonic()
    with mlflow_runs(prepared) as tracker_run:
        tracker_run.point("validation loss", 0, 1.0)
    assert time.monotonic() - began < 5
    assert "did not answer in time" in tracker_run.troubles[0]
    over.set()


def test_a_server_that_comes_back_while_the_run_goes_on_leaves_no_trouble(prepared, monkeypatch):
    tried = []

    def push(self):
        tried.append(len(self.event_log.read()))
        if len(tried) == 1:
            raise ConnectionError("gone")

    monkeypatch.setattr(MlflowSync, "push", push)
    monkeypatch.setattr(MlflowSync, "left", 0)
    monkeypatch.setattr(tracking, "_FIRST_PAUSE", 0.01)
    prepared.folder.mkdir()
    with mlflow_runs(prepared) as tracker_run:
        while len(tried) < 2:
            time.sleep(0.01)
        tracker_run.point("validation loss", 0, 1.0)
    assert tracker_run.troubles == ()


@pytest.mark.parametrize(
    ("name", "alias"), [("a/b", None), ("", None), ("flowers", "v1"), ("flowers", "latest"), (None, "champion")]
)
def test_names_that_mlflow_would_refuse_are_refused_before_training(prepared, name, alias):
    with pytest.raises(UnusableName), mlflow_runs(prepared, register=name, alias=alias):
        pass
    assert not prepared.folder.exists()


@pytest.mark.slow
def test_mlflow_gets_plan_curve_data_and_result(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    card = checkpoint(tmp_path / "net")
    advised = replace(job(tmp_path, card, plan(card, whole(card))), recommendation="advice-1")
    first, _ = run_local(advised, mlflow_runs)
    second, _ = run_local(replace(advised, id="second"), mlflow_runs)
    assert "MLflow" not in " ".join(first.notes + second.notes)
    client = MlflowClient(f"sqlite:///{advised.home.tracking_database}")
    run = client.get_run(first.mlflow_run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["plan.strategy"] == "by hand"
    assert run.data.params["seed"] == "0"
    assert run.data.metrics["score"] == first.metrics["score"]
    assert run.data.metrics["system/system_memory_usage_percentage"] > 0
    assert len(client.get_metric_history(first.mlflow_run_id, "validation loss")) == 3
    assert run.inputs.dataset_inputs[0].dataset.digest == advised.sample.digest[:36]
    assert run.data.tags["transferzoo.checkpoint_digest"] == card.digest
    parents = {client.get_run(r.mlflow_run_id).data.tags["mlflow.parentRunId"] for r in (first, second)}
    assert len(parents) == 1
    assert client.get_run(parents.pop()).data.tags["transferzoo.recommendation"] == "advice-1"


@pytest.mark.slow
def test_a_failed_run_is_marked_failed_in_mlflow_and_finished_once_it_went_on(prepared):
    from mlflow import MlflowClient

    prepared.folder.mkdir()
    with pytest.raises(RuntimeError, match="broken"), mlflow_runs(prepared) as tracker_run:
        raise RuntimeError("broken")
    client = MlflowClient(f"sqlite:///{prepared.home.tracking_database}")
    assert client.get_run(tracker_run.run_id).info.status == "FAILED"
    with mlflow_runs(prepared) as again:
        again.point("validation loss", 0, 1.0)
    assert again.run_id == tracker_run.run_id
    assert client.get_run(tracker_run.run_id).info.status == "FINISHED"


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"])
def test_the_environment_names_the_experiment(prepared, monkeypatch, variable):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{prepared.home.tracking_database}")
    number = client.create_experiment("mine")
    monkeypatch.setenv(variable, "mine" if variable.endswith("NAME") else number)
    prepared.folder.mkdir()
    with mlflow_runs(prepared) as tracker_run:
        pass
    assert client.get_run(tracker_run.run_id).info.experiment_id == number


@pytest.mark.slow
def test_the_callers_own_mlflow_state_is_left_alone(prepared):
    import mlflow

    before = mlflow.get_tracking_uri(), mlflow.get_registry_uri(), mlflow.active_run()
    run_local(prepared, partial(mlflow_runs, register="flowers"))
    assert (mlflow.get_tracking_uri(), mlflow.get_registry_uri(), mlflow.active_run()) == before
