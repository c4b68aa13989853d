"""A model that MLflow keeps is the run's: without pickle, and equal in prediction in a fresh process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recommender.runs.mlflow_server import check_names
from recommender.runs.mlflow_sync import register
from recommender.runs.tracking import mlflow_runs
from recommender.serving.predict import Predictor
from recommender.tuning.recipe import run_local
from registry.errors import UnusableName
from tests.crossed import crossed
from tests.recommender.tuning.jobs import checkpoint, colored, job, plan, whole

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # MLflow's own, of SQLAlchemy

LOAD = """
import json, sys
import mlflow, numpy as np
model = mlflow.pyfunc.load_model("models:/flowers@champion")
predicted = model.predict(np.load(sys.argv[1]))
example = model.predict(model.input_example)
print(json.dumps({
    "labels": list(predicted.pop("prediction")), "columns": list(predicted), "scores": predicted.to_numpy().tolist(),
    "outputs": model.metadata.signature.outputs.input_names(), "example": len(example),
    "loader": model.loader_module, "cloudpickle": "cloudpickle" in model.metadata.flavors["python_function"],
}))
"""


@pytest.mark.parametrize(("name", "alias"), [("flowers", None), ("flowers", "champion"), ("wild flowers.2", "a-b_1")])
def test_names_that_mlflow_takes_are_taken(name, alias):
    check_names(name, alias)


@pytest.mark.parametrize("alias", ["v3", "Latest", "with space", ""])
def test_an_alias_that_mlflow_would_refuse_is_refused(alias):
    with pytest.raises(UnusableName, match="model alias"):
        check_names("flowers", alias)


@pytest.mark.slow
@pytest.mark.parametrize(("net", "tuned"), crossed(["resnet", "vit"], [False, True], one_in=2))
def test_a_fresh_process_predicts_the_same(tmp_path, monkeypatch, net, tuned):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    card = checkpoint(tmp_path / "net", net)
    prepared = job(tmp_path, card, plan(card, *([whole(card)] if tuned else [])))
    run, _ = run_local(prepared, mlflow_runs)
    registered = register(prepared.home, prepared.id, "flowers", "champion")
    assert (registered.trouble, registered.left) == (None, 0)
    pictures, _ = colored(30, seed=7)
    np.save(tmp_path / "pictures.npy", pictures)
    expected = Predictor.open(Path(run.folder)).predict(pictures)
    finished = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "pictures.npy")],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{prepared.home.tracking_database}"},
        cwd=Path(__file__).parents[3],
    )
    record = json.loads(finished.stdout.splitlines()[-1])
    assert tuple(record["labels"]) == expected.labels
    assert np.array_equal(np.array(record["scores"]), expected.scores.astype(np.float64))
    assert record["columns"] == ["probability of blue", "probability of green", "probability of red"]
    assert record["outputs"] == ["prediction", *record["columns"]]
    assert record["example"] == 2
    assert record["loader"] == "recommender.serving.pyfunc"
    assert not record["cloudpickle"]
    kept = [file for file in prepared.home.artifacts.rglob("*") if file.is_file()]
    assert kept
    assert not [file for file in kept if file.suffix in {".pkl", ".pt", ".pth", ".bin", ".pickle"}]
