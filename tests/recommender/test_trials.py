"""Trials of the finalists: what a short training added moves what is expected; time, few rows and kept trials."""

import pytest

from recommender.effort import Deadline
from recommender.flow import evaluate
from recommender.fusion import AFRESH
from recommender.history import History
from recommender.plan import MAY_WIN, chance_of_more, choose_plan
from recommender.results import Expected, Trial
from recommender.testing.evidence import evidence
from recommender.trials import trial_outcomes, try_out
from registry.metrics import Metric
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


@pytest.fixture
def zoo(tmp_path):
    """One with a net that can be trained."""
    zoo = Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog"))
    save_net(tmp_path / "net", "resnet")
    zoo.add(tmp_path / "net", name="net")
    zoo._encoders["mean-color"] = MeanColor()
    return zoo


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


@pytest.mark.parametrize("strategy", sorted(AFRESH))
def test_all_of_a_net_below_a_fresh_head_tells_little_of_tunings_and_does_not_widen_them(sample, strategy):
    choice = planned(sample, strategy=strategy)
    far = trial_outcomes([tried(choice, 0.5, 0.97)], [choice], sample)
    before, after = ({name: planned(sample, of, name).expected for name in (strategy, "lp-ft")} for of in ((), far))
    moved = {name: after[name].mean - before[name].mean for name in before}
    assert 0 <= moved["lp-ft"] < moved[strategy] / 3
    assert after["lp-ft"].high - after["lp-ft"].low <= 1.01 * (before["lp-ft"].high - before["lp-ft"].low)
    assert any("a trial of the same tuning" in reason for reason in planned(sample, far, strategy).because)


def test_the_chance_to_score_more_is_half_of_equals_and_grows_with_the_mean():
    ours = Expected(Metric.ACCURACY, 0.8, 0.7, 0.9)
    assert chance_of_more(ours, ours) == 0.5
    less, more = (Expected(Metric.ACCURACY, mean, mean - 0.1, mean + 0.1) for mean in (0.7, 0.9))
    assert 0 < chance_of_more(less, ours) < MAY_WIN < 0.5 < chance_of_more(more, ours) < 1


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
def test_a_trial_trains_a_net_keeps_no_run_and_is_taken_up_where_it_is_kept(sample, zoo):
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


@pytest.mark.slow
def test_from_random_weights_is_tried_with_all_its_epochs(sample, zoo):
    choice = evaluate(sample, zoo, "net", "scratch")
    (trial,), undone = try_out([], sample, zoo, in_full=[choice], deadline=Deadline())
    assert undone == ()
    assert (trial.strategy, trial.epochs) == ("scratch", sum(stage.epochs for stage in choice.plan.stages))
    assert trial.head_score == 1.0
    assert 0 <= trial.score <= 1
