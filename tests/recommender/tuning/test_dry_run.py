from dataclasses import replace

import pytest

from recommender.runs.tracking import no_tracking
from recommender.tuning.dry_run import _DryRun, _Encoding, _Instant, _stages, measure_cost
from recommender.tuning.recipe import run_local
from registry.encoders import open_encoder
from registry.errors import Diverged
from registry.progress import Phase
from tests.recommender.tuning.jobs import checkpoint, job, plan, sample, whole


def nothing(_sample):
    return False


@pytest.fixture
def card(tmp_path):
    return checkpoint(tmp_path / "net")


def test_a_stage_is_timed_by_its_steps_its_judgments_and_what_lies_between():
    record = {
        None: [(1.0, 0), (8.0, 1), (8.1, 1), (12.0, 2)],
        Phase.CACHE: [(2.0, 0), (3.0, 1)],
        Phase.TUNE: [(at, step) for step, at in enumerate((5.0, 5.5, 6.0, 9.5, 10.0, 10.5), start=1)],
    }
    events = [_Instant(at, phase, "training", done, 6) for phase, row in record.items() for at, done in row]
    events.sort(key=lambda one: one.at)
    (timed,) = _stages(events, 1)
    assert (timed.step, timed.judging, timed.between, timed.keeping) == (0.5, 1.5, 1.0, 1.0)


def test_a_stage_that_ended_after_its_first_epoch_is_timed_by_that_and_one_that_never_began_as_the_one_before():
    before = [(1.0, None, 0), (2.0, Phase.TUNE, 1), (3.0, Phase.TUNE, 2), (5.0, None, 1)]
    after = [(6.0, Phase.TUNE, 5), (6.5, Phase.TUNE, 6), (7.0, None, 2)]
    events = [_Instant(at, phase, "", done, 12) for at, phase, done in (*before, *after)]
    first, second, third = _stages(events, 3)
    assert (first.step, first.judging, first.between) == (1.0, 2.0, 0.0)
    assert (second.step, second.judging, second.between) == (0.5, 0.5, 0.0)
    assert third == second


@pytest.mark.slow
def test_a_trial_leaves_nothing_behind(tmp_path, card):
    work = job(tmp_path, card, plan(card, whole(card)), sample(120, 0))
    cost = measure_cost(work, nothing)
    assert not work.folder.exists()
    assert list(work.home.root.rglob("*.safetensors")) == []
    assert cost.seconds > 0
    assert cost.trainable_parameters == run_local(work, no_tracking)[0].metrics["trainable_parameters"]


class Steady(_Encoding):
    """Needs 10 ms a row, and has encoded the trial's rows."""

    def steady(self, sample):
        return 0.01


def recorded_trial(few, whole_epochs):
    """A trial of so many rows: a step every half second, judgments of a second, pauses of a quarter."""
    learn, choose, test = (round(share * few) for share in (0.6, 0.2, 0.2))
    at, records = 0.0, []
    for part, rows in (("training", learn), ("validation", choose), ("test", test)):
        records += [
            _Instant(at, Phase.PREPARE, part, 0, rows),
            _Instant(at + 0.02 * rows, Phase.PREPARE, part, rows, rows),
        ]
        at += 0.02 * rows
    records.append(_Instant(at, None, "", 0, 0))
    for epoch in (1, 2):
        at += 0.25
        for step in range(6):
            at += 0.5
            records.append(_Instant(at, Phase.TUNE, "by hand", 6 * (epoch - 1) + step + 1, 12))
        at += 1.0
        records.append(_Instant(at, None, "", epoch, 0))
    return records, at


def test_what_grows_with_rows_and_epochs_is_multiplied_and_the_rest_taken_as_it_was(tmp_path, card):
    few, whole_sample = sample(160, 0), sample(1600, 0)
    report, took = recorded_trial(160, 8)
    work = job(tmp_path, card, plan(card, whole(card, 8)), whole_sample)
    encoding = Steady(open_encoder(card.folder), took={few.order: 1.6})
    trial = _DryRun(work, few, report, encoding, {"seconds": took + 1.6})
    steps = 0.5 * (6 * 60 - 2 * 6)  # of 8 epochs 4 to 8 are run, for that is how long an improvement is waited for
    judging = 1.0 * (6 * 10 - 2) + 1.0 / 32 * (320 - 32)
    opening, between = 0.02 * (1600 - 160), 0.25 * (6 - 2)
    more = steps + judging + opening + between
    assert trial.seconds(lambda _sample: False) == pytest.approx(took + 1.6 + more + 16 - 1.6)
    assert trial.seconds(lambda _sample: True) == pytest.approx(took + 1.6 + more - 1.6)


@pytest.mark.slow
@pytest.mark.parametrize("test_rows", [0, pytest.param(60, marks=pytest.mark.slow)])
def test_more_rows_and_more_epochs_are_estimated_to_take_longer(tmp_path, card, test_rows):
    def cost(rows, epochs):
        return measure_cost(job(tmp_path, card, plan(card, whole(card, epochs)), sample(rows, test_rows)), nothing)

    few, long = cost(150, 4), cost(3000, 80)
    assert 2 * few.seconds < long.seconds
    assert few.peak_memory_bytes < long.peak_memory_bytes + (200 << 20)


@pytest.mark.parametrize("head", ["prototype", "neighbors"])
def test_a_head_that_is_not_fitted_can_be_priced_too(tmp_path, card, head):
    assert measure_cost(job(tmp_path, card, plan(card, head=head)), nothing).seconds > 0


@pytest.mark.slow
def test_two_stages_are_timed_apart(tmp_path, card):
    names = whole(card).train
    stages = (whole(card, 3, train=names[-1:]), whole(card, 3))
    assert measure_cost(job(tmp_path, card, plan(card, *stages), sample(150, 0)), nothing).seconds > 0


def test_a_training_that_breaks_at_once_breaks_in_the_trial(tmp_path, card):
    stage = replace(whole(card), backbone_rate=1e30, head_rate=1e30)
    with pytest.raises(Diverged):
        measure_cost(job(tmp_path, card, plan(card, stage), sample(150, 0)), nothing)
