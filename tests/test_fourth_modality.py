"""A modality that a package brings goes the whole way, with none of our files changed for it."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recommender import TuneOptions, recommend, resume, tune
from recommender.flow import _history, evaluate
from recommender.runs.folder import RunState, find_run, run_folders
from recommender.runs.tracking import trackers
from recommender.serving.predict import Predictor
from registry.cards import Metric, Origin, Outcome, Task
from registry.files import sha256_of
from registry.home import Home
from registry.progress import Cancelled, Phase
from registry.sample import Sample
from registry.zoo import Zoo
from tests.fakes import SHAPES, WAVES, save_net, series, write_catalog, write_series
from tests.observers import stopping
from tests.reliability.product import Product

KINDS = ("rising", "falling", "slow")
OPEN = """
import sys
from transferzoo_numbers.network import AutoModelForNumberClassification as Auto
model = Auto.from_pretrained(sys.argv[1])
print(type(model).__name__, sorted(model.config.id2label.values()))
"""
TUNE = """
import os, signal, sys
from recommender.observer import Observer
from recommender.requests import SampleRequest, TuneRequest
from recommender.service import perform
from registry.progress import Phase
from registry.zoo import Zoo

place, strategy, share = sys.argv[1:]

class Killing(Observer):
    def report(self, event):
        if event.phase is Phase.TUNE and event.done > float(share) * event.of:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_run(self, run):
        print(run, flush=True)

with Zoo.open() as zoo:
    sample = SampleRequest(path=place)
    request = TuneRequest(sample=sample, checkpoint="shaped", strategy=strategy, controls=False, tracker="none")
    perform(request, zoo, Killing())
"""
SERVED = """
import sys
import mlflow
(model,) = mlflow.search_logged_models(
    experiment_ids=[mlflow.get_experiment_by_name("transferzoo").experiment_id],
    filter_string=f"source_run_id = '{sys.argv[1]}'",
    output_format="list",
)
loaded = mlflow.pyfunc.load_model(model.model_uri)
print(list(loaded.predict(loaded.input_example)["prediction"]))
"""


@pytest.fixture(scope="module")
def place(numbers_site, tmp_path_factory):
    """The installed package with its catalog; two checkpoints and their sources; a target that is neither."""
    root = tmp_path_factory.mktemp("fourth")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(numbers_site)
        write_catalog(numbers_site / "transferzoo_numbers" / "catalog", root / "lens-data")
        save_net(root / "shaped", forms=SHAPES, seed=1)
        save_net(root / "waved", forms=WAVES, seed=2)
    write_series(root / "forms", SHAPES, 20, 21)
    write_series(root / "target", KINDS, 30, 31, test_rows=12)
    return root


@pytest.fixture(scope="module")
def product(place, numbers_site):
    """Commands in processes that have the package on their path."""
    path = os.pathsep.join([str(numbers_site), str(Path(__file__).parents[1])])
    return Product(place / "log", {"TRANSFERZOO_HOME": str(place / "home")}, path)


@pytest.fixture(scope="module")
def command(product):
    """The command line: its JSON."""

    def run(*arguments):
        done = product.run(*map(str, arguments), "--json")
        assert done.code == 0, done.err[-3000:]
        return done.json

    return run


@pytest.fixture(scope="module")
def python(product):
    """A script in such a process: what it prints."""

    def run(script, *arguments, ends=0, **environment):
        done = product.start(*map(str, arguments), env=environment, script=script).done()
        assert done.code == ends, done.err[-3000:]
        return done.out

    return run


@pytest.fixture(scope="module")
def registered(place, command):
    """Both checkpoints are in the registry."""
    command("zoo", "add", place / "shaped", "--name", "shaped", "--source-data", place / "forms")
    command("zoo", "add", place / "waved", "--name", "waved", "--domain", "forms")
    return place


@pytest.fixture
def zoo(registered, numbers):
    """The registry, in this process."""
    with Zoo.open(registered / "home") as opened:
        yield opened


@pytest.mark.slow
def test_it_goes_the_whole_way_by_the_command_line_alone(registered, command, python):
    place = registered
    listed = command("zoo", "list", "--modality", "number")
    assert {row["name"] for row in listed} == {"numbers-lens", "shaped", "waved"}

    advice = command("recommend", place / "target")
    assert advice["sample"]["modality"] == "number"
    assert {row["checkpoint"] for row in advice["choices"]} == {"numbers-lens", "shaped", "waved"}
    assert advice["baseline"]["model"].startswith("moments")
    assert all(row["distance"] is not None for row in advice["choices"])

    probe = command("tune", place / "target", "--checkpoint", "shaped", "--strategy", "linear-probe")
    assert probe["metrics"]["score"] > advice["baseline"]["mean"]
    tuned = command("tune", place / "target", "--checkpoint", "shaped", "--strategy", "full", "--no-controls")
    assert tuned["metrics"]["best_epoch"] > 0

    predicted = command("predict", tuned["id"], place / "target" / "test")
    assert predicted["judged"]["score"] == pytest.approx(tuned["metrics"]["score"], abs=1e-6)
    exported = command("export", tuned["id"], place / "exported")
    assert exported["largest_difference"] < 1e-4
    opened = python(OPEN, place / "exported")
    assert opened.split()[0] == "NumberForNumberClassification"
    assert all(kind in opened for kind in KINDS)
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{place / 'home' / 'mlflow.db'}"}
    logged = find_run(Home.find(place / "home"), tuned["id"]).result["mlflow_run_id"]
    served = python(SERVED, logged, **store)
    assert len(json.loads(served.splitlines()[-1].replace("'", '"'))) == 2

    command("zoo", "promote", tuned["id"], "grown")
    write_series(place / "next", KINDS, 30, 77, test_rows=12)
    assert "grown" in {row["checkpoint"] for row in command("recommend", place / "next")["choices"]}


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["lp-ft", pytest.param("lora", marks=pytest.mark.long)])
def test_a_run_that_was_killed_comes_to_the_weights_that_it_would_have_come_to(strategy, registered, command, python):
    def tuned(share, ends):
        return python(TUNE, registered / "target", strategy, share, ends=ends).split()[0]

    killed, whole = tuned(0.25, -signal.SIGKILL), tuned(2, 0)
    resumed = command("runs", "resume", killed)
    assert resumed["id"] == killed
    folders = [registered / "home" / "runs" / name for name in (killed, whole)]
    for file in ("model.safetensors", "head.safetensors"):
        assert len({sha256_of(folder / file) for folder in folders}) == 1


@pytest.mark.slow
def test_it_goes_the_whole_way_by_python_alone(registered, zoo):
    sample = Sample.from_folder(registered / "target")
    advice = recommend(sample, zoo, keep=3)
    assert advice.baseline.model.startswith("moments")
    choice = next(one for one in advice.choices if one.checkpoint.name == "shaped")
    run = tune(choice, sample, zoo, TuneOptions(controls=False), track=trackers["none"])
    values = [row for kind in KINDS for row in series(kind, 12, 32)]
    predicted = Predictor.open(Path(run.folder)).predict(values)
    truth = np.repeat(KINDS, 12)
    assert (np.array(predicted.labels) == truth).mean() > 0.8


@pytest.mark.slow
def test_a_run_on_rows_in_memory_that_was_cancelled_goes_on_when_they_are_handed_over(zoo):
    labels = np.repeat(KINDS, 30).tolist()
    values, tested = ([row for kind in KINDS for row in series(kind, 30, seed)] for seed in (51, 52))
    sample = Sample.from_arrays(values, labels, modality="number", test=(tested, labels))
    choice, options = evaluate(sample, zoo, "shaped", "lora"), TuneOptions(controls=False)
    with pytest.raises(Cancelled):
        tune(choice, sample, zoo, options, track=trackers["none"], progress=stopping(Phase.TUNE, 4))
    (stopped,) = (run for run in run_folders(zoo.home) if run.state is RunState.INTERRUPTED)
    resumed = resume(stopped.id, zoo, sample=sample, track=trackers["none"])
    whole = tune(choice, sample, zoo, options, track=trackers["none"])
    assert resumed.id == stopped.id
    assert resumed.metrics["score"] == pytest.approx(whole.metrics["score"])


@pytest.mark.slow
def test_outcomes_of_images_move_no_advice_on_it(registered, zoo):
    sample = Sample.from_folder(registered / "target")
    before = [one.expected for one in recommend(sample, zoo, keep=3).choices]
    outcome = Outcome(
        "elsewhere 0",
        "shaped",
        "linear-probe",
        "f" * 64,
        "others",
        Task.CLASSIFICATION,
        Metric.ACCURACY,
        0.1,
        0.01,
        90,
        400,
        1.0,
        Origin.OURS,
        "2026-01-01T00:00:00+00:00",
        conditions={"probe": 0.9},
    )
    for place in range(5):
        zoo.record(replace(outcome, id=f"elsewhere {place}"))
        quantity = {"modality": "number", "task": Task.REGRESSION, "metric": Metric.R2}
        zoo.record(replace(outcome, id=f"a quantity {place}", **quantity))
    assert [one.expected for one in recommend(sample, zoo, keep=3).choices] == before
    known = len(_history(zoo, sample).outcomes)
    zoo.record(replace(outcome, id="here", modality="number"))
    assert {(one.modality, one.task) for one in _history(zoo, sample).outcomes} == {("number", Task.CLASSIFICATION)}
    assert len(_history(zoo, sample).outcomes) == known + 1
