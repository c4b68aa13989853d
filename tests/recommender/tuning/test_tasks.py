"""Tunings of other tasks than classification: several labels a row, or a quantity."""

import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from recommender.runs.tracking import no_tracking
from recommender.serving.predict import Predictor
from recommender.tuning.dry_run import measure_cost
from recommender.tuning.heads import read_head
from recommender.tuning.recipe import run_local
from registry.errors import NotOffered
from registry.metrics import score
from registry.sample import Sample
from tests.recommender.tuning.jobs import checkpoint, job, plan, whole

BRIGHT = 60


def pictures(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noise, and how much brighter each color is in every row."""
    random = np.random.default_rng(seed)
    shares = random.random((rows, 3))
    images = random.normal(90, 25, (rows, 16, 16, 3)) + BRIGHT * shares[:, None, None, :]
    return np.clip(images, 0, 255).astype(np.uint8), shares


def marked(rows: int = 60, test_rows: int = 40) -> Sample:
    """Which colors are bright."""

    def labels_of(shares: np.ndarray) -> list[tuple[str, ...]]:
        return [tuple(np.array(["red", "green", "blue"])[row > 0.5]) for row in shares]

    (images, shares), (test, truth) = pictures(rows, 0), pictures(test_rows, 1)
    return Sample.from_arrays(images, labels_of(shares), name="marks", test=(test, labels_of(truth)))


def measured(rows: int = 60, test_rows: int = 40) -> Sample:
    """How bright red is, far from zero."""
    (images, shares), (test, truth) = pictures(rows, 0), pictures(test_rows, 1)
    return Sample.from_arrays(images, 5000 + 300 * shares[:, 0], name="sizes", test=(test, 5000 + 300 * truth[:, 0]))


@pytest.fixture
def card(tmp_path):
    return checkpoint(tmp_path / "net", "vit")


@pytest.mark.parametrize(("sample", "good"), [(marked, 0.7), (measured, 0.8)])
@pytest.mark.parametrize("epochs", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_is_good_and_predicts_from_its_folder_what_it_was_judged_on(sample, good, epochs, card, tmp_path):
    data = sample()
    prepared = job(tmp_path, card, plan(card, *([whole(card, epochs)] if epochs else [])), data)
    run, outcome = run_local(prepared, no_tracking)
    assert run.metrics["score"] > good
    assert (outcome.task, outcome.metric) == (data.task, data.metric)
    assert json.dumps(run.to_dict(), allow_nan=False)
    predicted = Predictor.open(prepared.folder).predict(data.test.items)
    truth = data.test.targets.values
    again = predicted.logits[:, 0] if truth.ndim == 1 else (predicted.logits > 0).astype(float)
    assert score(data.metric, truth, again) == pytest.approx(run.metrics["score"], abs=0.02)


def test_a_quantity_is_told_with_how_far_off_it_is_and_labels_with_accuracy(card, tmp_path):
    sizes, _ = run_local(job(tmp_path, card, plan(card), measured(), name="sizes"), no_tracking)
    assert 0 < sizes.metrics["mean_absolute_error"] < 100
    assert "accuracy" not in sizes.metrics
    marks, _ = run_local(job(tmp_path, card, plan(card), marked(), name="marks"), no_tracking)
    assert marks.metrics["accuracy"] > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("sample", [marked, measured])
def test_a_training_from_nothing_starts_at_the_mean_and_learns(sample, card, tmp_path):
    stage = whole(card, 6, rate=3e-3, head_rate=3e-2)
    prepared = job(tmp_path, card, plan(card, stage, from_scratch=True, head="fresh"), sample())
    run, _ = run_local(prepared, no_tracking)
    assert run.metrics["validation_best"] > run.metrics["validation_start"]
    if sample is measured:
        assert -0.5 < run.metrics["validation_start"] < 0.01
        logits = Predictor.open(prepared.folder).predict(prepared.sample.test.items).logits
        assert np.abs(logits - 5150).max() < 400


@pytest.mark.slow
@pytest.mark.parametrize("sample", [marked, pytest.param(measured, marks=pytest.mark.slow)])
def test_an_interrupted_run_goes_on_to_the_same_head(sample, card, tmp_path):
    class Stop(Exception):
        """Somebody pulls the plug."""

    @contextmanager
    def stopping(work):
        with no_tracking(work) as tracker_run:
            yield _Stopping(tracker_run, Stop)

    def prepared_in(place):
        return job(tmp_path / place, card, plan(card, whole(card, 3)), sample())

    run_local(prepared_in("whole"), no_tracking)
    with pytest.raises(Stop):
        run_local(prepared_in("cut"), stopping)
    run_local(prepared_in("cut"), no_tracking)
    one, other = (read_head(prepared_in(place).folder).tensors() for place in ("whole", "cut"))
    assert all(np.array_equal(one[name], other[name]) for name in one)


class _Stopping:
    """A tracker's run that is told of the second epoch once."""

    def __init__(self, tracker_run, stop):
        self.tracker_run, self.stop = tracker_run, stop

    def __getattr__(self, name):
        return getattr(self.tracker_run, name)

    def point(self, series, step, value):
        if step == 2:
            raise self.stop
        self.tracker_run.point(series, step, value)


@pytest.mark.parametrize("sample", [marked, measured])
@pytest.mark.parametrize("head", ["prototype", "neighbors"])
def test_a_head_that_names_a_class_is_not_offered(sample, head, card, tmp_path):
    with pytest.raises(NotOffered, match="names one class"):
        run_local(job(tmp_path, card, plan(card, head=head), sample()), no_tracking)


@pytest.mark.slow
@pytest.mark.parametrize("sample", [marked, measured])
def test_a_mixed_and_smoothed_training_is_carried_out_too(sample, card, tmp_path):
    planned = plan(card, whole(card, 1), mixup=0.2, label_smoothing=0.1, class_weights=True, augment=True)
    run, _ = run_local(job(tmp_path, card, planned, sample()), no_tracking)
    assert np.isfinite(run.metrics["score"])


@pytest.mark.slow
@pytest.mark.parametrize("sample", [marked, measured])
def test_what_a_job_will_cost_can_be_measured(sample, card, tmp_path):
    result = measure_cost(replace(job(tmp_path, card, plan(card, whole(card, 2)), sample())), lambda _: False)
    assert result.seconds > 0
