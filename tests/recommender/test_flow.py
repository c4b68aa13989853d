"""The story from sample to advice, on planted zoos whose right answer is known."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from recommender.constraints import Constraints
from recommender.flow import evaluate, recommend
from registry.cards import Metric, Origin, Outcome, Task
from registry.errors import NoCandidates, NotOffered, TooFewRows, UnknownName
from registry.sample import Sample
from registry.zoo import Zoo
from tests.recommender.planted import Reader, planted_sample, planted_zoo


def two_readers(tmp_path):
    return planted_zoo(
        tmp_path,
        {
            "near-blind": (Reader("near-blind", (7, 7)), "gray"),
            "far-sighted": (Reader("far-sighted", (0, 0)), "dark"),
        },
    )


def names(advice):
    return [choice.checkpoint.name for choice in advice.choices]


def test_the_best_checkpoint_need_not_be_the_nearest(tmp_path):
    zoo, sample = two_readers(tmp_path), planted_sample(120, (1.0,), shade=128)
    advice = recommend(sample, zoo, keep=3)
    distance = {c.checkpoint.name: c.ranked.transferability.candidate.distance for c in advice.choices}
    assert distance["near-blind"].distance.value < distance["far-sighted"].distance.value
    assert advice.best.checkpoint.name == "far-sighted"
    assert advice.verdict.transfer
    assert advice.best.ranked.gain.low > 0


@pytest.mark.slow
def test_the_curve_over_blocks_changes_the_strategy(tmp_path):
    sample = planted_sample(2000, (0.9, 0.55))
    zoo = planted_zoo(
        tmp_path,
        {
            "steady": (Reader("steady", (0, 0)), None),
            "overgrown": (Reader("overgrown", (0, 1)), None),
        },
    )
    plans = {c.checkpoint.name: c.plan for c in recommend(sample, zoo, keep=2).choices}
    assert (plans["steady"].strategy, plans["steady"].read) == ("linear-probe", "block 02")
    assert (plans["overgrown"].strategy, plans["overgrown"].read) == ("lp-ft", "block 01")


def test_where_raw_pixels_do_as_well_the_advice_says_do_not_transfer(tmp_path):
    random = np.random.default_rng(0)
    labels = np.arange(120) % 2
    images = np.clip(random.normal(80 + 90 * labels[:, None, None, None], 10, (120, 8, 8, 3)), 0, 255)
    sample = Sample.from_arrays(images.astype(np.uint8), [str(label) for label in labels], name="shades")
    advice = recommend(sample, two_readers(tmp_path), keep=3)
    assert advice.baseline.expected.mean == 1.0
    assert not advice.verdict.transfer
    assert advice.verdict.sentence.startswith("Do not transfer")
    assert len(advice.choices) > 0


def test_a_second_look_at_the_same_sample_opens_no_checkpoint(tmp_path, monkeypatch):
    zoo, sample = two_readers(tmp_path), planted_sample(60, (1.0,))
    first = recommend(sample, zoo)

    def refused(name):
        raise AssertionError(f"{name} was opened")

    monkeypatch.setattr(zoo, "encoder", refused)
    second = recommend(sample, zoo)
    assert (second.id, names(second)) == (first.id, names(first))


def test_all_are_looked_at_before_any_is_left_out_and_what_is_left_out_says_behind_whom(tmp_path):
    advice = recommend(planted_sample(60, (1.0,)), two_readers(tmp_path), keep=1)
    assert names(advice) == ["far-sighted"]
    reasons = {row.checkpoint: row.reason for row in advice.skipped}
    assert reasons.keys() == {"near-blind", "mean-color"}
    assert all("beside far-sighted" in reason for reason in reasons.values())


def test_neither_the_alphabet_nor_a_missing_sketch_decides_what_is_probed(tmp_path):
    blind = {name: (Reader(name, (7, 7)), "gray") for name in ("a", "b", "c")}
    zoo = planted_zoo(tmp_path, {**blind, "z": (Reader("z", (0, 0)), None)})
    advice = recommend(planted_sample(60, (1.0,)), zoo, keep=2)
    assert advice.best.checkpoint.name == "z"
    assert advice.best.to_dict()["distance"] is None


def test_a_checkpoint_that_raises_anything_at_its_first_look_leaves_the_others_be(tmp_path):
    zoo = two_readers(tmp_path)
    zoo._encoders["near-blind"].encode = None
    advice = recommend(planted_sample(60, (1.0,)), zoo, keep=1)
    assert names(advice) == ["far-sighted"]
    assert next(row.reason for row in advice.skipped if row.checkpoint == "near-blind")


def test_the_order_is_that_of_the_expected_score_and_gain_is_expected_minus_no_transfer(tmp_path):
    advice = recommend(planted_sample(200, (0.9, 0.7)), two_readers(tmp_path), keep=3)
    expected = [choice.expected.mean for choice in advice.choices]
    assert expected == sorted(expected, reverse=True)
    assert [c.ranked.tier for c in advice.choices] == sorted(c.ranked.tier for c in advice.choices)
    for choice in advice.choices:
        gain = choice.ranked.gain
        assert gain.mean == pytest.approx(choice.expected.mean - advice.baseline.expected.mean)
        assert gain.low <= gain.mean <= gain.high
    assert sum(choice.ranked.p_best for choice in advice.choices) == pytest.approx(1)


def test_every_score_in_words_is_in_percent(tmp_path):
    advice = recommend(planted_sample(200, (0.9, 0.7)), two_readers(tmp_path), keep=3)
    records = [advice.verdict.sentence, str(advice), *(reason for c in advice.choices for reason in c.because)]
    assert not [sentence for sentence in records if re.search(r"(?<![\d.+-])0?\.\d\d", sentence)]


def test_a_checkpoint_that_fails_becomes_a_skipped_row(tmp_path):
    zoo = two_readers(tmp_path)
    del zoo._encoders["near-blind"]
    advice = recommend(planted_sample(60, (1.0,)), zoo, keep=3)
    assert "near-blind" in [row.checkpoint for row in advice.skipped]
    assert "far-sighted" in names(advice)


def test_constraints_filter_and_say_so(tmp_path):
    zoo, sample = two_readers(tmp_path), planted_sample(60, (1.0,))
    with pytest.raises(NoCandidates, match="3 parameters, more than 2"):
        recommend(sample, zoo, constraints=Constraints(max_parameters=2))
    with pytest.raises(NoCandidates, match="license unknown, asked for MIT"):
        recommend(sample, zoo, constraints=Constraints(licenses=("MIT",)))


def test_the_same_question_gets_the_same_answer_under_the_same_id(tmp_path):
    zoo, sample = two_readers(tmp_path), planted_sample(80, (0.9,))
    first, again = (_without_times(recommend(sample, zoo, keep=3, seed=5).to_dict()) for _ in range(2))
    assert first == again
    assert recommend(sample, zoo, keep=3, seed=6).id != first["id"]


def test_an_outcome_changes_the_id_and_is_told(tmp_path):
    zoo, sample = two_readers(tmp_path), planted_sample(80, (0.9,))
    before = recommend(sample, zoo, keep=3)
    best = before.best
    zoo.record(
        Outcome(
            "o",
            best.checkpoint.name,
            best.plan.strategy,
            sample.digest,
            "told",
            Task.CLASSIFICATION,
            Metric.ACCURACY,
            0.5,
            0.02,
            60,
            20,
            1.0,
            Origin.OURS,
            "2026-01-01",
        )
    )
    after = recommend(sample, zoo, keep=3)
    assert after.id != before.id
    again = next(c for c in after.choices if c.checkpoint.name == best.checkpoint.name)
    ways = {again.plan.strategy: again.expected.mean} | {one.strategy: one.mean for one in again.passed_over}
    assert ways[best.plan.strategy] < best.expected.mean


def test_a_named_checkpoint_of_another_modality_is_refused_before_anything_is_encoded(new_home):
    with Zoo.open(new_home) as zoo:
        name = zoo.checkpoints("text")[0].name
        with pytest.raises(NoCandidates, match=f"{name} reads texts, and the sample holds images") as refused:
            evaluate(planted_sample(60, (1.0,)), zoo, name)
    assert "--modality image" in refused.value.remedy


def test_one_class_gets_distances_only(tmp_path):
    advice = recommend(planted_sample(40, (1.0,), classes=1), two_readers(tmp_path))
    assert advice.choices == ()
    assert advice.domains[0].domain == "gray"
    assert "only distances" in advice.verdict.sentence
    with pytest.raises(NoCandidates):
        _ = advice.best


def test_a_class_with_one_row_is_never_held_out(tmp_path):
    sample = planted_sample(61, (1.0,))
    odd = replace(sample, labels=("lonely", *sample.labels[1:]), classes=("class 0", "class 1", "lonely"))
    advice = recommend(odd, two_readers(tmp_path), keep=3)
    assert 0 <= advice.best.expected.low <= advice.best.expected.high <= 1


def test_the_json_has_the_promised_keys(tmp_path):
    record = json.loads(json.dumps(recommend(planted_sample(60, (1.0,)), two_readers(tmp_path), keep=3).to_dict()))
    assert {"schema", "id", "sample", "baseline", "choices", "skipped", "verdict"} <= set(record)
    assert set(record["baseline"]) == {"model", "mean", "low", "high", "plain"}
    choice = record["choices"][0]
    described = {"checkpoint", "strategy", "plan", "expected", "distance", "scores", "blocks", "cost", "because"}
    assert described <= set(choice)
    assert {"seconds", "peak_memory_bytes", "trainable_parameters", "device", "bytes_to_fetch"} == set(choice["cost"])
    assert {"domain", "metric", "value", "low", "high", "percentile", "p_same", "plugins"} == set(choice["distance"])
    assert {"name", "digest", "modality", "task", "rows", "classes", "metric", "health"} <= set(record["sample"])


def test_asking_for_one_checkpoint_and_strategy_gives_just_that(tmp_path):
    zoo, sample = two_readers(tmp_path), planted_sample(60, (1.0,))
    choice = evaluate(sample, zoo, "near-blind", "linear-probe")
    assert (choice.checkpoint.name, choice.plan.strategy) == ("near-blind", "linear-probe")
    assert choice.cost.trainable_parameters == 2 * (17 + 1)
    with pytest.raises(UnknownName):
        evaluate(sample, zoo, "near-blind", "lp_ft")
    with pytest.raises(UnknownName):
        evaluate(sample, zoo, "near-blnd")


def test_training_is_not_offered_on_a_handful_of_rows(tmp_path):
    sample = planted_sample(8, (1.0,))
    with pytest.raises(NotOffered):
        evaluate(sample, two_readers(tmp_path), "far-sighted", "lp-ft")


def test_advice_is_drawn_for_notebooks_without_trusting_names(tmp_path):
    advice = recommend(planted_sample(60, (1.0,)), two_readers(tmp_path), keep=3)
    assert "<table>" in advice._repr_html_()
    assert advice.verdict.sentence in str(advice)


def _without_times(report):
    for choice in report["choices"]:
        choice["cost"] = None
    return report


def of_another_task(rows, task):
    """The planted pictures, their second class a label or a step of a quantity."""
    planted = planted_sample(rows, (1.0,), shade=128)
    second = [label == "class 1" for label in planted.labels]
    noise = np.random.default_rng(5).normal(0, 0.1, rows)
    records = [("one", "both") if on else ("both",) * (row % 3 > 0) for row, on in enumerate(second)]
    values = 40 + np.array(second) + noise
    images = np.stack([item.pixels for item in planted.items])
    return Sample.from_arrays(images, records if task == "multi-label" else values, name="told")


@pytest.mark.parametrize("task", ["multi-label", pytest.param("regression", marks=pytest.mark.slow)])
def test_other_tasks_are_advised_too_and_twice_the_same(tmp_path, task):
    zoo, sample = two_readers(tmp_path), of_another_task(120, task)
    advice = recommend(sample, zoo, keep=3)
    assert advice.best.checkpoint.name == "far-sighted"
    assert advice.verdict.transfer
    assert advice.best.expected.metric == sample.metric
    assert advice.best.expected.low < advice.best.expected.mean <= advice.best.expected.high <= 1
    assert {"logme", "knn", "linear"} <= advice.best.ranked.transferability.scores.keys()
    report = json.dumps(advice.to_dict(), allow_nan=False)
    strip = [{**choice, "cost": None} for choice in json.loads(report)["choices"]]
    again = [{**choice, "cost": None} for choice in recommend(sample, zoo, keep=3).to_dict()["choices"]]
    assert json.dumps(strip) == json.dumps(again)


def test_a_quantity_that_nothing_tells_is_expected_about_zero_and_not_recommended(tmp_path):
    zoo = two_readers(tmp_path)
    images = np.stack([item.pixels for item in planted_sample(120, (), shade=128).items])
    sample = Sample.from_arrays(images, np.random.default_rng(0).normal(size=120), name="noise")
    advice = recommend(sample, zoo, keep=3)
    assert not advice.verdict.transfer
    assert -0.6 < advice.best.expected.mean < 0.15
    assert advice.best.expected.low >= -1


def test_one_and_the_same_quantity_leaves_nothing_to_choose_by(tmp_path):
    images = np.stack([item.pixels for item in planted_sample(20, (), shade=128).items])
    advice = recommend(Sample.from_arrays(images, [0.5] * 20, name="flat"), two_readers(tmp_path), keep=2)
    assert advice.choices == ()
    assert advice.verdict.sentence.startswith("All rows have the same target")


@pytest.mark.slow
@pytest.mark.parametrize(
    "other",
    [{"task": Task.REGRESSION, "metric": Metric.R2, "score": -3.0}, {"modality": "text", "score": 0.05}],
    ids=["task", "modality"],
)
def test_outcomes_of_another_task_or_modality_teach_nothing(other, tmp_path):
    zoo, sample = two_readers(tmp_path), planted_sample(60, (1.0,), shade=128)
    before = recommend(sample, zoo, keep=2).best.expected
    for place in range(5):
        outcome = Outcome(
            f"other {place}",
            "far-sighted",
            "linear-probe",
            "f" * 64,
            "sizes",
            sample.task,
            sample.metric,
            0.9,
            0.1,
            50,
            20,
            1.0,
            Origin.OURS,
            "2026-01-01T00:00:00+00:00",
            conditions={"probe": 0.5},
        )
        zoo.record(replace(outcome, **other))
    assert {row.modality for row in zoo.history()} == {other.get("modality", "image")}
    assert recommend(sample, zoo, keep=2).best.expected == before


def test_classes_of_one_row_each_are_refused_before_anything_is_measured(tmp_path, monkeypatch):
    zoo = two_readers(tmp_path)
    monkeypatch.setattr(zoo, "lens_features", lambda *_, **__: pytest.fail("measured"))
    pixels = np.random.default_rng(0).integers(0, 255, (6, 16, 16, 3), dtype=np.uint8)
    with pytest.raises(TooFewRows) as refused:
        recommend(Sample.from_arrays(pixels, list("abcdef"), name="singles"), zoo)
    assert "second row" in refused.value.remedy
