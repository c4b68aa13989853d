"""What transfer is worth: the arithmetic on planted curves, and the whole on tiny nets."""

import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from recommender import benefit as room
from recommender.benefit import benefit, equal_epochs, for_epochs, label_saving, nested
from recommender.flow import evaluate
from recommender.results import Benefit, BenefitPoint, EpochsToEqual, LabelSaving, Measured
from recommender.tuning.figures import benefit_curves
from registry.errors import NotOffered
from registry.progress import Cancelled, Event, Phase
from registry.sample import Sample
from registry.zoo import Zoo
from tests.observers import Recorder, stopping
from tests.recommender.tuning import jobs
from tests.recommender.tuning.test_figures import picture
from tests.registry.encoders.nets import save_net
from tests.registry.fakes import MeanColor, a_catalog

LABELS = (16, 64, 256, 1024)


def planted(plan, scratch=(0.1, 0.3, 0.5, 0.6), *, to_equal=None, epochs=5, curves=None, savings=None):
    """A benefit whose curves one writes down."""

    def measured(score):
        return Measured(score, 0.02, None)

    points = tuple(
        BenefitPoint(labels, measured(ours), measured(theirs), measured(0.2))
        for labels, ours, theirs in zip(LABELS, plan, scratch, strict=True)
    )
    saving = label_saving(LABELS, plan, scratch[-1])
    return Benefit(
        {"name": "planted", "metric": "accuracy", "modality": "image"},
        "resnet",
        "lp-ft",
        {"plan": epochs, "scratch": 20},
        100,
        (0,),
        points,
        saving,
        (saving,) if savings is None else savings,
        (to_equal or EpochsToEqual(0.6, 18, 2),),
        {"plan": {0: 0.5, 1: 0.7}, "scratch": {0: 0.1, 1: 0.6}} if curves is None else curves,
        (),
    )


def sentences(result):
    return " ".join(announce(result) for announce in (room._scores, room._where, room._saved, room._epochs))


def test_a_curve_that_crosses_is_interpolated_in_the_logarithm_of_labels():
    saving = label_saving(LABELS, (0.2, 0.5, 0.7, 0.9), 0.6)
    assert saving.reached == "between"
    assert saving.labels == pytest.approx(128)
    assert saving.share == pytest.approx(1 - 128 / 1024)


def test_a_measured_number_that_meets_the_target_exactly_is_that_number():
    assert label_saving(LABELS, (0.2, 0.5, 0.7, 0.9), 0.5).labels == pytest.approx(64)


def test_a_curve_that_never_reaches_the_target_saves_nothing():
    assert label_saving(LABELS, (0.2, 0.3, 0.4, 0.5), 0.6) == LabelSaving("never", None, None)


def test_a_curve_above_the_target_from_the_beginning_gives_a_bound():
    assert label_saving(LABELS, (0.7, 0.8, 0.9, 0.9), 0.6) == LabelSaving("before", 16.0, 1 - 16 / 1024)


def test_a_curve_that_reaches_only_at_the_end_saves_nothing_and_says_so():
    saving = label_saving(LABELS, (0.2, 0.3, 0.4, 0.6), 0.6)
    assert (saving.reached, saving.labels) == ("between", pytest.approx(1024))
    assert saving.share == pytest.approx(0)


def test_epochs_are_counted_to_the_best_of_scratch_and_to_one_as_good():
    scratch = {0: 0.1, 1: 0.3, 2: 0.6, 3: 0.5, 4: 0.6}
    assert equal_epochs({0: 0.4, 1: 0.7, 2: 0.8}, scratch) == EpochsToEqual(0.6, 2, 1)
    assert equal_epochs({0: 0.65}, scratch) == EpochsToEqual(0.6, 2, 0)
    assert equal_epochs({0: 0.4, 1: 0.59}, scratch) == EpochsToEqual(0.6, 2, None)


@pytest.mark.parametrize(
    ("result", "predicted"),
    [
        (planted((0.5, 0.7, 0.8, 0.9)), "Beyond chance the plan is above scratch with 16, 64, 256 and 1,024 labels."),
        (planted((0.5, 0.7, 0.5, 0.4)), "scratch with 16 and 64 labels, scratch above the plan with 1,024."),
        (planted((0.1, 0.3, 0.5, 0.6)), "the plan and scratch differ with no number of labels."),
        (planted((0.5, 0.7, 0.8, 0.9)), "about 32 of 1,024 labels: it saves 97 %"),
        (planted((0.7, 0.8, 0.9, 0.9)), "already with the fewest labels that were tried, 16 of 1,024: it saves more"),
        (planted((0.1, 0.2, 0.3, 0.4)), "even with all 1,024 labels: it saves no label"),
        (planted((0.1, 0.2, 0.3, 0.4)), "scratch is best."),
        (planted((0.1, 0.2, 0.3, 0.61)), "the plan is best, but not above scratch beyond chance"),
        (planted((0.5, 0.7, 0.8, 0.9)), "Scratch needs 18 epochs to its best validation score, 60.0 %, the plan 2"),
        (planted((0.5, 0.7, 0.8, 0.9)), "9.0 times fewer"),
        (planted((0.5, 0.7, 0.8, 0.9), to_equal=EpochsToEqual(0.6, 2, 4)), "2.0 times more"),
        (planted((0.5, 0.7, 0.8, 0.9), to_equal=EpochsToEqual(0.6, 18, 0)), "before any epoch: 0 epochs"),
        (planted((0.5, 0.7, 0.8, 0.9), to_equal=EpochsToEqual(0.6, 18, None)), "does not reach that in 5 epochs"),
        (planted((0.5, 0.7, 0.8, 0.9), to_equal=EpochsToEqual(0.1, 0, 0)), "Scratch never rose above where it began"),
        (planted((0.5, 0.7, 0.8, 0.9), to_equal=EpochsToEqual(0.6, 18, 0), epochs=0), "trains no backbone: 0 epochs"),
    ],
)
def test_the_sentences_say_what_was_measured(result, predicted):
    assert predicted in sentences(result)


def test_several_repeats_are_told_one_by_one():
    savings = (LabelSaving("between", 64.0, 0.9375), LabelSaving("never", None, None), LabelSaving("before", 16.0, 0.9))
    assert "Repeat by repeat: 94 %, none, more than 90.0 %." in sentences(
        planted((0.5, 0.7, 0.8, 0.9), savings=savings)
    )


def test_subsets_are_nested_stratified_and_keep_groups_whole():
    groups = [f"g{row // 3}" for row in range(120)]
    images, labels = jobs.colored(120)
    labels = [labels[row // 3] for row in range(120)]
    sample = Sample.from_arrays(images, labels, name="grouped", groups=groups)
    parts = nested(sample, 4)
    assert len(parts) == 4
    assert [len(part) for part in parts] == sorted(len(part) for part in parts)
    assert parts[-1] is sample
    for smaller, larger in pairwise(parts):
        assert set(smaller.items) < set(larger.items)
        assert set(smaller.groups or ()).isdisjoint(set(sample.groups or ()) - set(smaller.groups or ()))
    for part in parts:
        counts = part.counts.values()
        assert max(counts) - min(counts) <= 3
        assert all(list(part.groups or ()).count(group) == 3 for group in set(part.groups or ()))


def test_another_seed_draws_another_subset_and_the_same_seed_the_same():
    sample = jobs.sample(90, 0)
    first, again, other = (nested(sample, 3, seed)[0] for seed in (0, 0, 1))
    assert first.digest == again.digest != other.digest


def test_a_sample_too_small_to_part_is_one_number_of_labels():
    assert [len(part) for part in nested(jobs.sample(12, 0), 4)] == [12]


@pytest.fixture
def zoo(tmp_path):
    save_net(tmp_path / "net", "resnet")
    with Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog")) as opened:
        opened.add(tmp_path / "net", name="net")
        opened._encoders["mean-color"] = MeanColor()
        yield opened


def measured(zoo, sample, strategy, **settings):
    choice = evaluate(sample, zoo, "net", strategy)
    scratch = evaluate(sample, zoo, "net", "scratch").plan
    short = replace(choice, plan=for_epochs(choice.plan, 1))
    return benefit(short, for_epochs(scratch, 2), sample, zoo, budgets=2, **settings)


@pytest.mark.slow
def test_a_benefit_is_measured_on_one_test_part_and_leaves_no_history(zoo):
    recorder, sample = Recorder(), jobs.sample()
    result = measured(zoo, sample, "lp-ft", repeats=2, progress=recorder)
    fewest, every = (point.labels for point in result.points)
    assert (14 <= fewest <= 18, every) == (True, 48)
    assert result.test_rows == 24
    assert result.seeds == (0, 1)
    assert result.epochs == {"plan": 1, "scratch": 2}
    assert all(point.plan.spread is not None for point in result.points)
    assert set(result.curves["scratch"]) == {0, 1, 2}
    assert Event(Phase.BENEFIT, "", 8, 8) in recorder.events
    assert zoo.history() == ()
    assert list(zoo.home.runs.iterdir()) == []
    assert json.loads(json.dumps(result.to_dict()))["sentences"] == list(result.sentences)


@pytest.mark.slow
@pytest.mark.long
def test_the_same_seed_gives_the_same_benefit(zoo):
    sample = jobs.sample()
    one, two = (measured(zoo, sample, "linear-probe").to_dict() for _ in range(2))
    assert one == two


@pytest.mark.slow
def test_the_plan_is_scored_as_a_tuning_with_all_labels_would_be(zoo, tmp_path):
    sample = jobs.sample()
    choice = evaluate(sample, zoo, "net", "linear-probe")
    result = measured(zoo, sample, "linear-probe")
    job = jobs.job(tmp_path, choice.checkpoint, choice.plan, sample)
    run, _ = room.run_local(job, room.no_tracking)
    assert result.points[-1].plan.mean == run.metrics["score"]
    assert result.epochs == {"plan": 0, "scratch": 2}
    assert result.curves["plan"] == {}


def test_what_trains_nothing_is_no_scratch(zoo):
    choice = evaluate(jobs.sample(), zoo, "net", "linear-probe")
    with pytest.raises(NotOffered, match="from scratch"):
        benefit(choice, choice.plan, jobs.sample(), zoo)


@pytest.mark.slow
def test_without_a_test_part_one_is_held_out(zoo):
    result = measured(zoo, jobs.sample(64, 0), "linear-probe")
    assert result.points[-1].labels + result.test_rows == 64


@pytest.mark.slow
def test_where_pixels_tell_all_no_transfer_is_as_good_as_they_are(zoo):
    images, labels = jobs.colored(48, noise=3.0)
    test = jobs.colored(24, seed=1, noise=3.0)
    result = measured(zoo, Sample.from_arrays(images, labels, name="plain", test=test), "linear-probe")
    assert result.points[-1].no_transfer.mean == 1.0


def test_a_run_that_is_interrupted_leaves_nothing_behind(zoo, tmp_path, monkeypatch):
    places = []

    def stopped(job, track, progress, provider):
        places.append(job.home.root)
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "run_local", stopped)
    with pytest.raises(KeyboardInterrupt):
        measured(zoo, jobs.sample(), "linear-probe")
    assert places
    assert not places[0].exists()


def test_a_benefit_that_is_cancelled_ends_between_two_batches_and_leaves_nothing_but_features(zoo, tmp_path):
    recorder = stopping(Phase.TUNE)
    with pytest.raises(Cancelled):
        measured(zoo, jobs.sample(), "lp-ft", progress=recorder)
    assert recorder.events[-1].phase is Phase.TUNE
    assert list(zoo.home.runs.iterdir()) == []
    assert zoo.history() == ()


@pytest.mark.parametrize("scores", [(0.5, 0.7, 0.8, 0.9), (0.1, 0.2, 0.3, 0.4)])
def test_a_benefit_can_be_drawn(tmp_path, scores):
    drawn = picture(benefit_curves(planted(scores), tmp_path / "one.png"))
    probed = planted(scores, epochs=0, curves={"plan": {}, "scratch": {0: 0.1, 1: 0.6}})
    other = picture(benefit_curves(probed, tmp_path / "two.png"))
    assert drawn.shape == other.shape
    assert (drawn != other).any()


def test_the_arms_of_a_picture_are_told_apart_by_color(tmp_path):
    drawn = picture(benefit_curves(planted((0.5, 0.7, 0.8, 0.9)), tmp_path / "one.png"))
    for color in ((31, 119, 180), (255, 127, 14), (127, 127, 127)):
        assert (np.abs(drawn.astype(int) - color).sum(2) == 0).any()
