from dataclasses import replace

import numpy as np
import pytest

from recommender.tuning import loop
from recommender.tuning.executors import here
from recommender.tuning.tracking import no_tracking
from recommender.tuning.trial import _Heard, _stages, measure
from registry.errors import Diverged
from tests.recommender.tuning.jobs import checkpoint, job, plan, sample, whole


def nothing(_sample):
    return False


@pytest.fixture
def card(tmp_path):
    return checkpoint(tmp_path / "net")


def test_a_stage_is_timed_by_its_steps_its_judgments_and_what_lies_between():
    told = {
        "judged": [(1.0, 0), (8.0, 1), (8.1, 1), (12.0, 2)],
        "run the frozen blocks (training)": [(2.0, 0), (3.0, 1)],
        "tune by hand": [(at, 0) for at in (5.0, 5.5, 6.0, 9.5, 10.0, 10.5)],
    }
    heard = sorted((_Heard(at, what, done, 0) for what, row in told.items() for at, done in row), key=lambda h: h.at)
    (timed,) = _stages(heard)
    assert (timed.step, timed.judging, timed.between, timed.keeping) == (0.5, 1.5, 1.0, 1.0)


def test_a_trial_leaves_nothing_behind(tmp_path, card):
    work = job(tmp_path, card, plan(card, whole(card)), sample(120, 0))
    cost = measure(work, nothing)
    assert not work.folder.exists()
    assert list(work.home.root.rglob("*.safetensors")) == []
    assert cost.seconds > 0
    assert cost.trainable_parameters == here(work, no_tracking)[0].metrics["trainable_parameters"]


@pytest.mark.parametrize("test_rows", [0, 60])
def test_more_rows_and_more_epochs_are_estimated_to_take_longer(tmp_path, card, test_rows):
    def cost(rows, epochs):
        return measure(job(tmp_path, card, plan(card, whole(card, epochs)), sample(rows, test_rows)), nothing)

    few, many, long = cost(150, 4), cost(1500, 4), cost(1500, 40)
    assert 3 * few.seconds < many.seconds
    assert 4 * many.seconds < long.seconds
    assert few.peak_memory_bytes < many.peak_memory_bytes + (200 << 20)


def test_features_that_are_kept_already_cost_nothing(tmp_path, card):
    work = job(tmp_path, card, plan(card), sample(6000, 0))
    assert measure(work, lambda _sample: True).seconds < measure(work, nothing).seconds


@pytest.mark.parametrize("head", ["prototype", "neighbors"])
def test_a_head_that_is_not_fitted_can_be_priced_too(tmp_path, card, head):
    assert measure(job(tmp_path, card, plan(card, head=head)), nothing).seconds > 0


def test_two_stages_are_timed_apart(tmp_path, card):
    names = whole(card).train
    stages = (whole(card, 3, train=names[-1:]), whole(card, 3))
    assert measure(job(tmp_path, card, plan(card, *stages), sample(150, 0)), nothing).seconds > 0


def test_a_training_that_breaks_at_once_breaks_in_the_trial(tmp_path, card):
    stage = replace(whole(card), backbone_rate=1e30, head_rate=1e30)
    with pytest.raises(Diverged):
        measure(job(tmp_path, card, plan(card, stage), sample(150, 0)), nothing)


@pytest.mark.slow
def test_the_estimate_of_a_real_training_is_not_far_off(tmp_path, card, monkeypatch):
    monkeypatch.setattr(loop, "_PATIENCE", 10**6)
    work = job(tmp_path, card, plan(card, whole(card, 12)), sample(1200, 100))
    ratios = []
    for name in ("one", "two", "three"):
        estimate = measure(work, nothing)
        run, _ = here(replace(work, id=name), no_tracking)
        ratios.append(estimate.seconds / run.metrics["seconds"])
    assert 0.7 < np.median(ratios) < 1.3, ratios
