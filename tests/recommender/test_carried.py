"""Kept advice is carried out as it was advised: nothing is probed, ranked or planned again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from recommender import flow
from recommender.runs.tracking import no_tracking
from registry.errors import OtherSample
from registry.sample import Sample
from registry.zoo import Zoo
from tests.recommender.tuning import jobs
from tests.registry.encoders.nets import save_net
from tests.registry.fakes import MeanColor, a_catalog


@pytest.fixture
def home(tmp_path):
    save_net(tmp_path / "net", "resnet")
    with Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog")) as zoo:
        zoo.add(tmp_path / "net", name="net", domain="dark")
        zoo._encoders["mean-color"] = MeanColor()
        zoo.keep(flow.recommend(jobs.sample(), zoo, keep=2))
    return tmp_path


def reopened(home: Path) -> Zoo:
    """The registry as another process finds it: its lens's checkpoint cannot even be opened there."""
    return Zoo.open(home / "home", catalog=home / "catalog")


def kept(zoo, sample):
    advice = zoo.advice(sample_digest=sample.digest)
    place = next(place for place, row in enumerate(advice["choices"]) if row["checkpoint"] == "net")
    return advice, place


def test_a_choice_comes_back_as_it_was_kept(home):
    sample = jobs.sample()
    with reopened(home) as zoo:
        advice, place = kept(zoo, sample)
        choice = flow.kept_choice(advice, place, sample, zoo)
    assert json.loads(json.dumps(choice.to_dict())) == advice["choices"][place]
    assert choice.recommendation == advice["id"]


def test_a_tuning_keeps_distance_expectation_and_plan_of_the_advice_with_its_outcome(home):
    sample = jobs.sample()
    with reopened(home) as zoo:
        advice, place = kept(zoo, sample)
        run = flow.tune(flow.kept_choice(advice, place, sample, zoo), sample, zoo, track=no_tracking)
        (outcome,) = zoo.history()
    report = advice["choices"][place]
    assert report["distance"] is not None
    assert outcome.conditions["distance"] == report["distance"]
    assert outcome.conditions["expected"] == report["expected"]
    assert json.loads(json.dumps(outcome.conditions["plan"])) == report["plan"]
    assert outcome.conditions["recommendation"] == advice["id"]
    written = json.loads((Path(run.folder) / "run.json").read_text())
    assert written["conditions"]["distance"] == report["distance"]
    assert written["plan"]["because"] == report["plan"]["because"]


def test_advice_about_other_rows_is_not_carried_out(home):
    with reopened(home) as zoo:
        advice, place = kept(zoo, jobs.sample())
        with pytest.raises(OtherSample):
            flow.kept_choice(advice, place, jobs.sample(24), zoo)


_ELSEWHERE = """
import sys
from pathlib import Path
from recommender import flow
from registry.sample import Sample
from registry.zoo import Zoo

home = Path(sys.argv[1])
sample = Sample.from_folder(home / "images")
with Zoo.open(home / "home", catalog=home / "catalog") as zoo:
    advice = zoo.advice(sample_digest=sample.digest)
    place = next(place for place, row in enumerate(advice["choices"]) if row["checkpoint"] == "net")
    print(flow.tune(flow.kept_choice(advice, place, sample, zoo), sample, zoo).mlflow_run_id)
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's own
def test_another_process_tells_mlflow_what_was_advised(home, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    source = jobs.sample()
    for row, (item, label) in enumerate(zip(source.items, source.labels, strict=True)):
        place = home / "images" / label
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(item.pixels).save(place / f"{row}.png")
    sample = Sample.from_folder(home / "images")
    with reopened(home) as zoo:
        zoo._encoders["mean-color"] = MeanColor()
        zoo.keep(flow.recommend(sample, zoo, keep=2))
        advice, place = kept(zoo, sample)
    done = subprocess.run(
        [sys.executable, "-c", _ELSEWHERE, str(home)], capture_output=True, text=True, check=True, cwd=Path.cwd()
    )
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{home / 'home' / 'mlflow.db'}")
    run = client.get_run(done.stdout.split()[-1])
    report = advice["choices"][place]
    assert float(run.data.params["expected_mean"]) == pytest.approx(report["expected"]["mean"])
    assert run.data.params["plan.strategy"] == report["strategy"]
    assert run.data.tags["transferzoo.recommendation"] == advice["id"]
    for reason in report["plan"]["because"]:
        assert reason in run.data.tags["mlflow.note.content"]
    assert float(run.data.params["rows_train"]) + float(run.data.params["rows_test"]) == len(sample)
    assert not {"rows_train", "rows_test", "trainable_parameters"} & set(run.data.metrics)
    parent = client.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.data.params["chosen"] == advice["choices"][0]["checkpoint"]
    assert parent.data.metrics["no_transfer"] == pytest.approx(advice["baseline"]["mean"])
    assert parent.data.tags["mlflow.note.content"] == advice["verdict"]["sentence"]
    assert parent.inputs.dataset_inputs[0].dataset.digest == sample.digest[:36]
    rows = Path(client.download_artifacts(parent.info.run_id, "choices.csv", str(home))).read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == [row["checkpoint"] for row in advice["choices"]]
