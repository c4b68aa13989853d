"""A test part of another source is seen without its labels, and what is expected of it is lowered and widened."""

from dataclasses import replace

import numpy as np
import pytest

from recommender import flow
from recommender.effort import Deadline
from recommender.flow import evaluate, recommend
from recommender.results import Expected
from recommender.shift import WEIGHTS, WORDS, contributions, draw_unlabelled, drops, lower_expectation, source_test
from registry.cards import Metric
from registry.sample import Sample
from tests.recommender.planted import Reader, planted_sample, planted_zoo

EXPECTED = Expected(Metric.ACCURACY, 0.8, 0.7, 0.9)


def cloud(rows: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (rows, 5))


def zoo_of(tmp_path):
    return planted_zoo(tmp_path, {"reader": (Reader("reader", (0, 0)), None)})


def with_test(train: Sample, test: Sample) -> Sample:
    return replace(train, test=replace(test, classes=train.classes))


@pytest.mark.slow
def test_parts_of_one_source_are_rarely_called_two():
    called = [source_test(cloud(60, seed), cloud(40, 1000 + seed)).detected for seed in range(40)]
    assert sum(called) <= 6


def test_a_part_of_another_source_is_called_another():
    shift = source_test(cloud(60, 0), cloud(40, 1, shift=1.0))
    assert shift.detected
    assert shift.auc > 0.8
    assert "not like the training part" in shift.sentence


def test_whole_groups_move_so_that_a_few_scenes_are_no_evidence():
    """Twelve scenes of ten shots each, six in either part: rows seem to tell the parts apart, scenes do not."""
    scenes = cloud(12, 3)
    shots = np.repeat(scenes, 10, axis=0) + 0.05 * cloud(120, 4)
    of = np.repeat(np.arange(12), 10)
    by_row = source_test(shots[:60], shots[60:])
    by_scene = source_test(shots[:60], shots[60:], (of[:60], of[60:]))
    assert by_row.p_same < by_scene.p_same


def test_estimates_lower_and_widen_and_never_raise():
    moved = lower_expectation(EXPECTED, {"threshold": 0.1, "confidence": 0.05, "far rows": 0.3})
    assert moved.mean < EXPECTED.mean
    assert moved.high - moved.low > EXPECTED.high - EXPECTED.low
    risen = lower_expectation(EXPECTED, {"threshold": -0.1, "confidence": -0.1, "far rows": -0.1})
    assert risen.mean == pytest.approx(EXPECTED.mean)
    blurred = lower_expectation(EXPECTED, {"threshold": -0.2, "confidence": -0.2, "far rows": 0.3})
    assert blurred.mean < EXPECTED.mean, "a head that is surer of strange rows does not make up for what is far"
    same = lower_expectation(EXPECTED, dict.fromkeys(("threshold", "confidence", "far rows"), 0.0))
    assert (same.mean, same.low, same.high) == pytest.approx((0.8, 0.7, 0.9))


def test_of_classes_the_expectation_moves_by_what_was_calibrated():
    """Estimates without a weight move nothing, and still widen."""
    calm = {"threshold": 0.0, "confidence": 0.0, "far rows": 0.0, **dict.fromkeys(WEIGHTS, 0.0)}
    still = lower_expectation(EXPECTED, calm)
    assert still.mean == pytest.approx(EXPECTED.mean)
    assert still.high - still.low > EXPECTED.high - EXPECTED.low, "what no estimate sees may have moved"
    far = lower_expectation(EXPECTED, {**calm, "far rows": 0.3})
    assert far.mean == pytest.approx(EXPECTED.mean)
    assert far.high - far.low > still.high - still.low
    moved = lower_expectation(EXPECTED, {**calm, **dict.fromkeys(WEIGHTS, 0.1)})
    assert moved.mean == pytest.approx(EXPECTED.mean - 0.1 * sum(WEIGHTS.values()))
    risen = lower_expectation(EXPECTED, {**calm, **dict.fromkeys(WEIGHTS, -0.1)})
    assert risen.mean == pytest.approx(EXPECTED.mean)


@pytest.mark.parametrize("names", [tuple(WORDS), ("weighted folds", "far rows")])
def test_what_each_estimate_adds_is_the_whole_move(names):
    falls = dict.fromkeys(names, 0.1)
    parts = contributions(falls)
    assert EXPECTED.mean - lower_expectation(EXPECTED, falls).mean == pytest.approx(sum(parts.values()))
    assert parts.keys() <= WORDS.keys()


def test_rows_that_all_land_in_one_class_are_dearer_to_deal_however_sure_the_head_is():
    sample = planted_sample(120, (1.0,))
    folds, train = sample.folds(), separated(sample, 5)
    falls = drops(train, cloud(80, 6, shift=-8.0), sample, folds)
    assert falls.keys() <= WORDS.keys()
    assert falls["transport"] > 0.2
    assert falls["transport"] > falls["confidence"] + 0.1


def test_other_shares_of_the_classes_are_no_fall():
    """The same rows, nine in ten of one class: what sets the parts apart is how many there are of each."""
    sample, other = planted_sample(200, (1.0,)), planted_sample(200, (1.0,), seed=1)
    train, test = separated(sample, 5), separated(other, 7)
    rare = np.flatnonzero(other.targets.values == 1)[10:]
    falls = drops(train, np.delete(test, rare, axis=0), sample, sample.folds())
    assert falls["transport"] < 0.1


def test_neighbors_contradict_the_head_where_rows_have_moved():
    sample = planted_sample(120, (1.0,))
    folds, train = sample.folds(), separated(sample, 5)
    strange = cloud(80, 6) + 1.25
    far, near = (drops(train, test, sample, folds)["neighbors"] for test in (strange, separated(sample, 7)))
    assert far > near


def test_an_interval_that_ends_where_the_metric_does_is_not_taken_for_a_narrow_one():
    """Of .97 the upper end is 1, which is nearer than the reach: half of both ends' distance would narrow it."""
    near_one = Expected.around(Metric.ACCURACY, 0.97, 0.1)
    moved = lower_expectation(near_one, {"threshold": 0.0, "far rows": 0.0})
    assert moved.mean - moved.low == pytest.approx(0.1)


def test_folds_count_rows_like_the_test_part_s():
    """Where a second class of rows is hard and the test part has no others, weighted folds say so."""
    random = np.random.default_rng(0)
    sample = planted_sample(200, (1.0,))
    hard = np.arange(200) // 2 % 2 == 1
    train = np.column_stack([np.where(hard, 0, 2.5 * sample.targets.values), 3.0 * hard]) + random.normal(size=(200, 2))
    test = np.column_stack([random.normal(size=100), 3 + random.normal(size=100)])
    falls = drops(train, test, sample, sample.folds())
    assert falls["weighted folds"] > 0.08
    alike = drops(train, train[::2] + 0.01, sample, sample.folds())
    assert abs(alike["weighted folds"]) < 0.1


def separated(sample: Sample, seed: int) -> np.ndarray:
    """Features in which the classes lie apart."""
    return cloud(len(sample), seed) + 2.5 * sample.targets.values[:, None]


def test_confidence_falls_where_test_rows_lie_between_the_classes():
    sample = planted_sample(120, (1.0,))
    folds, train = sample.folds(), separated(sample, 5)
    between = 0.2 * cloud(80, 6) + 1.25
    similar = separated(sample, 7)[:80]
    far, near = (drops(train, test, sample, folds) for test in (between, similar))
    assert far["confidence"] > 2 * abs(near["confidence"])
    assert far["threshold"] > near["threshold"]


def test_a_quantity_is_judged_without_any_confidence():
    random = np.random.default_rng(0)
    values = random.normal(size=80)
    images = random.integers(0, 256, (80, 6, 6, 3), dtype=np.uint8)
    sample = Sample.from_arrays(images, values.tolist(), name="sizes")
    train = np.column_stack([values, random.normal(size=80)])
    assert {"far rows"} <= set(drops(train, train + 3, sample, sample.folds())) <= {"far rows", "weighted folds"}


def test_labels_of_the_test_part_are_never_looked_at():
    test = planted_sample(900, (1.0,), seed=3)
    lied = replace(test, labels=tuple("class 0" for _ in test.labels))
    assert draw_unlabelled(test).order == draw_unlabelled(lied).order
    assert len(draw_unlabelled(test)) == 800


def test_advice_on_one_source_tells_so_and_moves_nothing(tmp_path):
    train, test = planted_sample(120, (0.9,), seed=1), planted_sample(60, (0.9,), seed=2)
    zoo = zoo_of(tmp_path)
    alone, advice = recommend(train, zoo, keep=2), recommend(with_test(train, test), zoo, keep=2)
    assert alone.shift is None
    assert alone.to_dict()["shift"] is None
    assert not advice.shift.detected
    assert advice.to_dict()["shift"]["drops"] == {}


@pytest.mark.slow
def test_advice_on_a_shifted_test_part_lowers_and_widens_and_says_why(tmp_path):
    train = planted_sample(120, (0.9,), seed=1)
    similar, other = (planted_sample(60, (0.9,), shade=shade, seed=2) for shade in (128, 60))
    zoo = zoo_of(tmp_path)
    same, moved = (recommend(with_test(train, test), zoo, keep=2) for test in (similar, other))
    assert moved.shift.detected
    assert "not like the training part" in str(moved)
    assert set(moved.shift.drops) == {c.checkpoint.name for c in moved.choices} | {"no transfer"}
    before, after = (
        next(c for c in one.choices if c.checkpoint.name == "reader").ranked.expected for one in (same, moved)
    )
    assert after.mean <= before.mean
    assert after.high - after.low > before.high - before.low or after.high == 1
    reasons = [reason for c in moved.choices for reason in c.because if "of another source" in reason]
    assert reasons


class Clock:
    """Time passes while a fall is estimated."""

    def __init__(self, seconds: float, ended_by: type[BaseException] | None = None) -> None:
        self.now, self.seconds, self.ended_by = 0.0, seconds, ended_by

    def __call__(self) -> float:
        return self.now

    def drops(self, *_of) -> dict[str, float]:
        self.now += self.seconds
        if self.ended_by is not None:
            raise self.ended_by
        return {"transport": 0.1, "neighbors": 0.04}


@pytest.fixture
def shifted() -> Sample:
    return with_test(planted_sample(120, (0.9,), seed=1), planted_sample(60, (0.9,), shade=60, seed=2))


def test_where_time_does_for_no_transfer_alone_the_choices_fall_as_it_does_and_are_left_undone(
    tmp_path, monkeypatch, shifted
):
    clock, zoo = Clock(50), zoo_of(tmp_path)
    alone = recommend(replace(shifted, test=None), zoo, keep=2)
    monkeypatch.setattr(flow, "drops", clock.drops)
    advice = recommend(shifted, zoo, keep=2, deadline=Deadline(100, clock))
    assert clock.now == 50
    assert set(advice.shift.drops) == {"no transfer"}
    assert [row.checkpoint for row in advice.undone] == ["the test part"]
    assert all(choice.checkpoint.name in advice.undone[0].reason for choice in advice.choices)
    fall = 0.1 + WEIGHTS["neighbors"] * 0.04
    before = {one.checkpoint.name: one.ranked.expected.mean for one in alone.choices}
    for choice in advice.choices:
        assert choice.ranked.expected.mean == pytest.approx(before[choice.checkpoint.name] - fall)
        assert any("unlabelled rows tell of the others" in reason for reason in choice.ranked.because)
    assert advice.baseline.expected.mean == pytest.approx(alone.baseline.expected.mean - fall)


def test_where_no_time_is_left_the_test_part_is_named_as_left_undone(tmp_path, monkeypatch, shifted):
    clock = Clock(0)
    baseline = flow.baseline

    def slow(*rows, **options):
        clock.now += 90
        return baseline(*rows, **options)

    monkeypatch.setattr(flow, "baseline", slow)
    advice = recommend(shifted, zoo_of(tmp_path), keep=2, deadline=Deadline(100, clock))
    assert advice.shift is None
    assert "the test part" in {row.checkpoint for row in advice.undone}


def test_ctrl_c_while_a_fall_is_estimated_leaves_the_advice_and_ends_what_is_of_no_use_in_part(
    tmp_path, monkeypatch, shifted
):
    zoo = zoo_of(tmp_path)
    monkeypatch.setattr(flow, "drops", Clock(0, KeyboardInterrupt).drops)
    advice = recommend(shifted, zoo, keep=2)
    assert advice.shift.detected
    assert advice.shift.drops == {}
    assert [row.checkpoint for row in advice.undone] == ["the test part"]
    assert all(name in advice.undone[0].reason for name in ("no transfer", "reader"))
    with pytest.raises(KeyboardInterrupt):
        evaluate(shifted, zoo, "reader", "linear-probe")
    with pytest.raises(KeyboardInterrupt):
        flow.no_transfer_model(shifted, zoo)


def test_who_cannot_be_weighed_falls_as_the_others_do(tmp_path, monkeypatch, shifted):
    zoo = zoo_of(tmp_path)
    encode = zoo.encode

    def broken(name, part, **options):
        if name == "reader" and len(part) == 60:
            raise OSError
        return encode(name, part, **options)

    monkeypatch.setattr(zoo, "encode", broken)
    advice = recommend(shifted, zoo, keep=2)
    assert "reader" not in advice.shift.drops
    reader = next(choice for choice in advice.choices if choice.checkpoint.name == "reader")
    assert any("unlabelled rows tell of the others" in reason for reason in reader.ranked.because)
    assert reader.ranked.draws.mean() == pytest.approx(reader.ranked.expected.mean, abs=0.02)


def test_on_average_others_fall_where_they_fall_and_their_difference_is_doubt():
    weighed = [{"transport": -0.3, "neighbors": 0.0}, {"transport": 0.3, "neighbors": 0.0, "far rows": 0.2}]
    mean, differing = flow._mean_drops(weighed)
    assert mean == pytest.approx({"far rows": 0.2, "transport": 0.15, "neighbors": 0.0})
    assert differing == pytest.approx(0.15)
    sure, unsure = (lower_expectation(EXPECTED, mean, doubt) for doubt in (0.0, differing))
    assert unsure.mean == sure.mean
    assert unsure.low < sure.low


@pytest.mark.slow
def test_a_choice_that_the_user_names_is_expected_alike(tmp_path):
    sample = with_test(planted_sample(120, (0.9,), seed=1), planted_sample(60, (0.9,), shade=60, seed=2))
    zoo = zoo_of(tmp_path)
    advised = next(c for c in recommend(sample, zoo, keep=2).choices if c.checkpoint.name == "reader")
    named = evaluate(sample, zoo, "reader", advised.plan.strategy)
    assert named.expected == advised.expected


@pytest.mark.slow
def test_folds_say_nothing_of_a_test_part_that_no_row_here_is_like():
    train = cloud(200, 0)
    labels = ["up" if value > 0 else "down" for value in train[:, 0]]
    sample = Sample.from_arrays([f"a text of {row} words" for row in range(200)], labels, keep_duplicates=True)
    near, far = (set(drops(train, cloud(150, 1, shift), sample, sample.folds())) for shift in (0.3, 9.0))
    assert "weighted folds" in near
    assert "weighted folds" not in far
    assert "far rows" in far
