"""A package that brings one of each: it is reported, it counts where it may, and its faults end nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recommender.flow import compare, evaluate, kept_choice, near, recommend, tune
from recommender.runs.executors import executors
from recommender.runs.tracking import trackers
from recommender.transfer import scores
from recommender.transfer.decomposition import Decomposition
from registry.cards import Metric
from registry.errors import NotOffered, PluginUnusable, PluginWarning
from registry.sample import Sample
from registry.zoo import Zoo
from tests.packages import install
from tests.recommender.planted import Reader, planted_sample, planted_zoo
from tests.recommender.tuning.jobs import checkpoint, colored, job, plan, whole
from tests.registry.encoders.nets import save_net
from tests.registry.fakes import MeanColor, a_catalog
from tests.ui.pictures import write_stripes

CODE = """
import numpy as np
from contextlib import contextmanager
from dataclasses import replace

from recommender.results import Distance, StatedGain
from recommender.strategies import strategies
from registry.cards import Metric


class Oracle:
    metrics = frozenset({Metric.ACCURACY})
    standard_error = 0.01

    def __call__(self, features, labels, *, groups=None):
        return 0.99 if abs(features[:, 0].mean() - FAVORITE) < 0.001 else 0.6


FAVORITE = 0.0
oracle = Oracle()


def counted(features, labels, *, groups=None):
    return float(len(features))


def falling(features, labels, *, groups=None):
    raise ZeroDivisionError("one by none")


def percent(features, labels, *, groups=None):
    return 87.0


def apart(x, y, *, seed=0, groups=None):
    value = float(abs(x.mean() - y.mean()))
    return Distance("apart", value, value)


class Tower:
    def __call__(self, evidence):
        return replace(strategies["lp-ft"](evidence), strategy="tower", because=("towers stand",))

    def gain(self, evidence):
        return StatedGain(0.9, 0.05, 400, "a table in a paper")


tower = Tower()


class Unsure(Tower):
    def __call__(self, evidence):
        return replace(super().__call__(evidence), strategy="unsure")

    def gain(self, evidence):
        return StatedGain(0.9, 0.05, 0, "a hunch")


unsure = Unsure()


def boundless(evidence):
    return replace(strategies["linear-probe"](evidence), strategy="boundless", frozen=(*evidence.blocks, "attic"))


class Page:
    def __init__(self, lines):
        self.lines, self.run_id, self.troubles = lines, None, ()

    def point(self, series, step, value):
        self.lines.append(f"{series} {step}")

    def result(self, metrics):
        self.lines.append("result")

    def artifact(self, file):
        self.lines.append(file.name)

    def model(self, folder):
        self.lines.append("model")

    def close(self, status):
        pass


steps = []


@contextmanager
def pages(job):
    steps.append("begins")
    try:
        yield Page(steps)
    except BaseException as failure:
        steps.append(type(failure).__name__)
        raise
    steps.append("ends")


class Torn(Page):
    def point(self, series, step, value):
        raise OSError("no such page")

    result = artifact = point


@contextmanager
def torn(job):
    yield Torn([])


@contextmanager
def shut(job):
    raise OSError("the book is shut")
    yield


@contextmanager
def written(job):
    lines = ["begins"]
    try:
        yield Page(lines)
    finally:
        lines.append("ends")
        (job.folder / "pages.txt").write_text(chr(10).join(lines))


def remote(job, track, progress, provider):
    from recommender.tuning.recipe import run_local
    run, outcome = run_local(job, track, progress, provider)
    return replace(run, notes=(*run.notes, "far away")), outcome
"""


def bring(monkeypatch, tmp_path, *points):
    install(monkeypatch, tmp_path / "package", {p: f"strange:{p.partition(':')[2]}" for p in points}, CODE)
    import strange

    return strange


def two_tied(tmp_path):
    """Two checkpoints that the probe cannot tell apart; the second is a little better."""
    readers = {"first": (Reader("first", (0, 0)), "gray"), "second": (Reader("second", (1, 1)), "dark")}
    return planted_zoo(tmp_path, readers), planted_sample(120, (0.80, 0.84))


def first_of(advice):
    return [c.checkpoint.name for c in advice.choices if c.checkpoint.name != "mean-color"]


def mean_of(zoo, name, sample):
    return zoo.encode(name, sample).last.vectors[:, 0].mean()


@pytest.mark.slow
def test_a_score_is_reported_and_an_incomparable_one_changes_nothing(monkeypatch, tmp_path):
    zoo, sample = two_tied(tmp_path)
    before = recommend(sample, zoo, keep=3).to_dict()
    bring(monkeypatch, tmp_path, "scores:counted")
    after = recommend(sample, zoo, keep=3).to_dict()
    assert [c["scores"].pop("counted") for c in after["choices"]] == [120.0] * 3
    for advice in (before, after):
        for choice in advice["choices"]:
            del choice["cost"]
    assert after == before


def test_all_scores_of_features_are_reported(tmp_path):
    zoo, sample = two_tied(tmp_path)
    reported = set(recommend(sample, zoo, keep=3).best.to_dict()["scores"])
    assert reported == {"logme", "hscore", "knn", "linear", "nleep", "gbc", "transrate", "parc"}


def test_a_comparable_score_decides_between_what_the_probe_cannot_tell_apart(monkeypatch, tmp_path):
    zoo, sample = two_tied(tmp_path)
    before = recommend(sample, zoo, keep=3)
    last = first_of(before)[-1]
    package = bring(monkeypatch, tmp_path, "scores:oracle")
    package.FAVORITE = mean_of(zoo, last, sample)
    package.oracle.standard_error = 0.05
    after = recommend(sample, zoo, keep=3)
    assert first_of(after) == first_of(before)[::-1]
    assert any("oracle (99.0 %) moves the expectation" in reason for reason in after.best.because)
    assert after.best.to_dict()["scores"]["oracle"] == 0.99


@pytest.mark.slow
def test_a_comparable_score_of_the_registry_s_own_decides_as_one_of_a_plug_in_does(monkeypatch, tmp_path):
    zoo, sample = two_tied(tmp_path)
    before = recommend(sample, zoo, keep=3)
    package = bring(monkeypatch, tmp_path)
    package.FAVORITE = mean_of(zoo, first_of(before)[-1], sample)

    class Own(package.Oracle):
        standard_error = 0.05

        def __call__(self, features, labels, *, groups=None):
            return 0.6 if isinstance(features, Decomposition) else super().__call__(features, labels)

    monkeypatch.setattr(scores, "_loaded", {**scores._loaded})
    monkeypatch.setattr(scores, "_ours", {**scores._ours, "oracle": Own})
    assert first_of(recommend(sample, zoo, keep=3)) == first_of(before)[::-1]


def test_a_comparable_score_does_not_overrule_what_the_probe_is_sure_of(monkeypatch, tmp_path):
    readers = {"blind": (Reader("blind", (7, 7)), "gray"), "sighted": (Reader("sighted", (0, 0)), "dark")}
    zoo, sample = planted_zoo(tmp_path, readers), planted_sample(200, (0.97,))
    package = bring(monkeypatch, tmp_path, "scores:oracle")
    package.FAVORITE = mean_of(zoo, "blind", sample)
    assert first_of(recommend(sample, zoo, keep=3)) == ["sighted", "blind"]


def test_one_checkpoint_alone_is_moved_by_no_plug_in(monkeypatch, tmp_path):
    zoo, sample = two_tied(tmp_path)
    before = evaluate(sample, zoo, "first")
    bring(monkeypatch, tmp_path, "scores:oracle")
    assert evaluate(sample, zoo, "first").expected == before.expected


@pytest.mark.slow
def test_a_score_of_another_metric_is_reported_and_no_more(monkeypatch, tmp_path):
    zoo, sample = two_tied(tmp_path)
    before = recommend(sample, zoo, keep=3)
    package = bring(monkeypatch, tmp_path, "scores:oracle")
    package.oracle.metrics = frozenset({Metric.R2})
    after = recommend(sample, zoo, keep=3)
    assert [c.expected for c in after.choices] == [c.expected for c in before.choices]
    assert "oracle" in after.best.to_dict()["scores"]


def test_a_score_that_falls_is_named_and_the_advice_goes_on(monkeypatch, tmp_path):
    zoo, sample = two_tied(tmp_path)
    bring(monkeypatch, tmp_path, "scores:falling")
    with pytest.warns(PluginWarning, match="'falling' of a plug-in failed: one by none"):
        advice = recommend(sample, zoo, keep=3)
    assert len(advice.choices) == 3
    assert "falling" not in advice.best.to_dict()["scores"]


def test_a_package_that_cannot_be_imported_is_named_and_the_advice_goes_on(monkeypatch, tmp_path):
    zoo, sample = two_tied(tmp_path)
    points = {f"{kind}:gone": "nowhere:gone" for kind in ("scores", "strategies", "distances", "modalities")}
    install(monkeypatch, tmp_path / "package", points)
    with pytest.warns(PluginWarning) as warned:
        advice = recommend(sample, zoo, keep=3)
    assert len(advice.choices) == 3
    words = {str(one.message).split("'gone'")[0] for one in warned}
    assert {"the score ", "the strategy ", "the distance "} <= words


def test_a_distance_is_reported_and_may_be_asked_for(monkeypatch, tmp_path):
    zoo, sample = two_tied(tmp_path)
    bring(monkeypatch, tmp_path, "distances:apart")
    advice = recommend(sample, zoo, keep=3).to_dict()
    assert all(row["plugins"]["apart"] >= 0 for row in advice["domains"])
    assert advice["choices"][0]["distance"]["plugins"].keys() == {"apart"}
    assert compare(sample, "gray", zoo, metric="apart").metric == "apart"
    assert near(sample, zoo, metric="apart")[0].distance.metric == "apart"


@pytest.mark.slow
def test_a_strategy_is_advised_where_its_evidence_is_best(monkeypatch, tmp_path):
    zoo, sample = planted_zoo(tmp_path, {"one": (Reader("one", (0, 0)), "gray")}), planted_sample(2000, (0.8,))
    before = evaluate(sample, zoo, "one")
    assert before.plan.strategy != "tower"
    bring(monkeypatch, tmp_path, "strategies:tower", "strategies:unsure")
    after = evaluate(sample, zoo, "one")
    assert after.plan.strategy == "tower"
    assert after.expected.mean > before.expected.mean
    assert any("removes 90 %, on 400 cases (a table in a paper)" in reason for reason in after.because)


@pytest.mark.slow
def test_a_strategy_that_states_nothing_is_no_better_than_ours(monkeypatch, tmp_path):
    zoo, sample = planted_zoo(tmp_path, {"one": (Reader("one", (0, 0)), "gray")}), planted_sample(2000, (0.8,))
    before = evaluate(sample, zoo, "one")
    bring(monkeypatch, tmp_path, "strategies:unsure")
    assert evaluate(sample, zoo, "one").plan == before.plan
    unsure = evaluate(sample, zoo, "one", "unsure")
    assert unsure.expected == evaluate(sample, zoo, "one", "lp-ft").expected


def test_a_strategy_that_freezes_more_than_there_is_is_not_offered_and_says_so(monkeypatch, tmp_path):
    zoo, sample = two_tied(tmp_path)
    bring(monkeypatch, tmp_path, "strategies:boundless")
    choice = evaluate(sample, zoo, "first")
    assert "boundless is not offered: its plan names attic, which this net does not have" in choice.because
    with pytest.raises(NotOffered, match="attic"):
        evaluate(sample, zoo, "first", "boundless")


def finished_run(tmp_path, tracker, execute=None):
    card = checkpoint(tmp_path / "net")
    work = job(tmp_path, card, plan(card, whole(card, epochs=1)))
    from recommender.runs.provider import FolderProvider
    from registry.progress import silent

    return (execute or executors["local"])(work, trackers[tracker], silent, FolderProvider())[0]


@pytest.mark.slow
def test_a_tracker_hears_of_the_run_and_the_journal_has_it_too(monkeypatch, tmp_path):
    package = bring(monkeypatch, tmp_path, "trackers:pages")
    run = finished_run(tmp_path, "pages")
    assert package.steps[0] == "begins"
    assert package.steps[-2:] == ["model", "ends"]
    assert "result" in package.steps
    assert json.loads((Path(run.folder) / "journal.jsonl").read_text().splitlines()[-1])["status"] == "FINISHED"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tracker", "why"), [("torn", "no such page"), pytest.param("shut", "the book is shut", marks=pytest.mark.slow)]
)
def test_a_tracker_that_fails_loses_no_run(monkeypatch, tmp_path, tracker, why):
    bring(monkeypatch, tmp_path, f"trackers:{tracker}")
    run = finished_run(tmp_path, tracker)
    assert (Path(run.folder) / "run.json").exists()
    assert any(f"the tracker '{tracker}' failed (OSError: {why})" in note for note in run.notes)


def test_an_executor_is_found_by_its_name(monkeypatch, tmp_path):
    bring(monkeypatch, tmp_path, "executors:remote")
    assert "far away" in finished_run(tmp_path, "none", executors["remote"]).notes


def test_a_plug_in_that_is_asked_for_by_name_and_cannot_be_loaded_is_refused_before_anything_is_read(
    monkeypatch, tmp_path
):
    from recommender.checks import require_names

    zoo, _ = two_tied(tmp_path)
    install(monkeypatch, tmp_path / "package", {"executors:gone": "nowhere:gone", "trackers:gone": "nowhere:gone"})
    for option in ("executor", "tracker"):
        with pytest.raises(PluginUnusable, match="nowhere"):
            require_names(zoo, **{option: "gone"})


@pytest.mark.slow
def test_a_strategy_is_advised_and_tuned_from_the_advice_that_was_kept(monkeypatch, tmp_path):
    bring(monkeypatch, tmp_path, "strategies:tower")
    images, labels = colored(400)
    wrong = ["blue" if row % 5 == 0 else label for row, label in enumerate(labels)]  # the probe leaves errors to remove
    sample = Sample.from_arrays(images, wrong, name="mislabelled")
    with Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog")) as zoo:
        zoo.add(save_net(tmp_path / "net", "resnet"), name="net", domain="dark")
        zoo._encoders["mean-color"] = MeanColor()
        zoo.keep(recommend(sample, zoo, keep=2))
        kept = zoo.advice()
        place = next(place for place, row in enumerate(kept["choices"]) if row["checkpoint"] == "net")
        assert kept["choices"][place]["strategy"] == "tower"
        run = tune(kept_choice(kept, place, sample, zoo), sample, zoo, track=trackers["none"])
        (outcome,) = zoo.history()
    assert (run.strategy, outcome.strategy) == ("tower", "tower")
    written = json.loads((Path(run.folder) / "run.json").read_text())
    assert "towers stand" in written["plan"]["because"]
    assert run.metrics["best_epoch"] >= 0


@pytest.mark.slow
def test_an_executor_and_a_tracker_are_named_on_the_command_line(monkeypatch, tmp_path):
    bring(monkeypatch, tmp_path, "executors:remote", "trackers:written")
    options = ("--checkpoint", "resnet-photos", "--strategy", "linear-probe", "--no-controls", "--json")
    named = ("--executor", "remote", "--tracker", "written", "--home", str(tmp_path))
    place = write_stripes(tmp_path, rows=24)
    done = subprocess.run(
        [sys.executable, "-m", "ui.cli", "tune", str(place), *options, *named],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "package"), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = json.loads(done.stdout)
    assert "far away" in run["notes"]
    lines = (Path(run["folder"]) / "pages.txt").read_text().split("\n")
    assert lines[0] == "begins"
    assert {"result", "model", "ends"} <= set(lines)
