"""Trials of the finalists: what a short training added moves what is expected; time, few rows and kept trials."""

import pytest

from recommender.effort import Deadline
from recommender.flow import evaluate
from recommender.history import History
from recommender.plan import choose_plan
from recommender.results import Trial
from recommender.testing.evidence import evidence
from recommender.trials import trial_outcomes, try_out
from registry.sample import Sample
from registry.zoo import Zoo
from tests.recommender.tuning import jobs
from tests.registry.encoders.nets import save_net
from tests.registry.fakes import MeanColor, a_catalog

ROWS = 90


@pytest.fixture(scope="module")
def sample():
    pictures, labels = jobs.colored(ROWS)
    return Sample.from_arrays(pictures, labels, name="colors", keep_duplicates=True)


def planned(sample, outcomes=(), strategy="lp-ft"):
    known = evidence()
    return choose_plan(known.ranked, sample, known.baseline, History(outcomes), strategy=strategy)


def tried(choice, head, score):
    return Trial(choice.checkpoint.name, choice.plan.strategy, 300, 100, 3, head, score, 0.02, (head, score), 1.0)


def test_what_a_trial_added_moves_what_is_expected_and_is_no_result(sample):
    before = planned(sample)
    head = before.ranked.expected.mean
    better, worse = (
        planned(sample, trial_outcomes([tried(before, head, head + by)], [before], sample)) for by in (0.1, -0.1)
    )
    assert worse.expected.mean < before.expected.mean < better.expected.mean
    assert better.expected.mean - head < 0.1
    (unmoved,) = trial_outcomes([tried(before, 0.9, 0.9)], [before], sample)
    assert unmoved.score == pytest.approx(head)
    assert any("a trial of the same tuning" in reason for reason in better.because)
    assert better.realized == ()


def test_another_strategy_of_the_same_checkpoint_moves_less(sample):
    choice = planned(sample)
    head = choice.ranked.expected.mean
    outcomes = trial_outcomes([tried(choice, head, head + 0.1)], [choice], sample)
    moved = {
        name: planned(sample, outcomes, name).expected.mean - planned(sample, (), name).expected.mean
        for name in ("lp-ft", "linear-probe")
    }
    assert 0 < moved["linear-probe"] < moved["lp-ft"]
    assert any("a trial of its lp-ft" in reason for reason in planned(sample, outcomes, "linear-probe").because)


def test_where_no_time_is_left_every_trial_is_left_undone(sample, tmp_path):
    zoo = Zoo.open(tmp_path, catalog=a_catalog(tmp_path / "catalog"))
    trials, undone = try_out([planned(sample)], sample, zoo, deadline=Deadline(0.0))
    assert trials == ()
    assert [row.reason for row in undone] == [f"lp-ft on {ROWS} rows was not tried"]


def test_too_few_rows_are_not_tried_on(sample, tmp_path):
    zoo = Zoo.open(tmp_path, catalog=a_catalog(tmp_path / "catalog"))
    few = sample.subsample(40, 0)
    assert try_out([planned(few)], few, zoo, deadline=Deadline(0.0)) == ((), ())


@pytest.mark.slow
def test_a_trial_trains_a_net_keeps_no_run_and_is_taken_up_where_it_is_kept(sample, tmp_path):
    zoo = Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog"))
    save_net(tmp_path / "net", "resnet")
    zoo.add(tmp_path / "net", name="net")
    zoo._encoders["mean-color"] = MeanColor()
    choice = evaluate(sample, zoo, "net", "lp-ft")
    (trial,), undone = try_out([choice], sample, zoo, deadline=Deadline())
    assert undone == ()
    assert trial.rows_train + trial.rows_test == ROWS
    assert 2 <= len(trial.curve) <= trial.epochs + 1
    assert trial.score == trial.head_score == 1.0
    assert not any(zoo.home.runs.glob("*"))
    assert zoo.history() == ()
    again, _ = try_out([choice], sample, zoo, deadline=Deadline())
    assert again == (trial,)
    (kept,) = zoo.home.features.glob("trial-*.json")
    kept.write_text(kept.read_text()[:-9])
    (anew,), undone = try_out([choice], sample, zoo, deadline=Deadline())
    assert (anew.score, undone) == (trial.score, ())
