"""Where to start beyond chance, the better bet where it is too close to call, and a refusal that says why."""

import re
from dataclasses import replace

import numpy as np
import pytest

from recommender.history import History
from recommender.plan import choose_plan
from recommender.results import Expected
from recommender.testing.evidence import evidence
from recommender.verdict import guess_score, rows_that_tell, rows_to_tell, verdict_of
from registry.cards import Metric
from registry.sample import Sample


def sample_of(shares=(40, 30, 20), metric=None):
    labels = [f"class {number}" for number, count in enumerate(shares) for _ in range(count)]
    pictures = np.random.default_rng(0).integers(0, 256, (len(labels), 6, 6, 3), dtype=np.uint8)
    return Sample.from_arrays(pictures, labels, name="drawn", metric=metric)


def verdict(mean, low, *, expected=0.8, raw=0.7, strategy="linear-probe", shifted=False):
    known, sample = evidence(), sample_of()
    choice = choose_plan(known.ranked, sample, known.baseline, History(()), strategy=strategy)
    gain = Expected(Metric.ACCURACY, mean, low, 2 * mean - low)
    best = replace(
        choice,
        expected=Expected.around(Metric.ACCURACY, expected, 0.1),
        ranked=replace(choice.ranked, gain=gain),
    )
    reference = replace(known.baseline, expected=Expected.around(Metric.ACCURACY, raw, 0.05))
    return verdict_of(best, reference, sample, shifted=shifted)


def test_what_beats_no_transfer_is_where_to_start():
    assert verdict(0.1, 0.02).transfer
    assert verdict(0.1, 0.02).sentence.startswith("Start from")


def test_what_is_too_close_to_call_names_the_better_bet_and_how_many_rows_would_tell():
    """A difference of .05 with a reach of .1 needs four times the 90 rows."""
    bet = verdict(0.05, -0.05)
    assert bet.transfer
    assert not bet.beyond_chance
    assert bet.sentence.startswith("Too close to call, start from net with linear-probe, which is the better bet")
    assert "90 rows are too few to tell, about 360 would" in bet.sentence


def test_what_another_source_of_the_test_part_leaves_open_no_number_of_training_rows_would_tell():
    sentence = verdict(0.05, -0.05, shifted=True).sentence
    assert "too few" not in sentence
    assert sentence.endswith("the test part is of another source, and labels of its kind would tell.")
    assert "another source" not in verdict(-0.05, -0.15, shifted=True).sentence
    assert "another source" not in verdict(0.1, 0.02, shifted=True).sentence


@pytest.mark.parametrize(("gain", "transfer"), [(0.02, True), (0.005, False)])
def test_a_gain_that_is_less_than_the_training_costs_is_no_better_bet(gain, transfer):
    """A training of 20 epochs of all takes some 60 passes, which a score of .012 has to be worth."""
    assert verdict(gain, gain - 0.1, strategy="lp-ft").transfer is transfer
    assert verdict(gain, gain - 0.1).transfer


@pytest.mark.parametrize(("mean", "beyond_chance"), [(-0.05, False), (-0.2, True)])
def test_a_refusal_knows_whether_no_transfer_is_better_beyond_chance(mean, beyond_chance):
    refused = verdict(mean, mean - 0.1)
    assert not refused.transfer
    assert refused.beyond_chance is beyond_chance
    assert ("is better beyond chance" in refused.sentence) is beyond_chance


@pytest.mark.parametrize(("mean", "low"), [(0.1, 0.02), (0.05, -0.05), (-0.2, -0.3), (0.001, -0.2)])
def test_every_interval_of_the_sentence_names_its_level(mean, low):
    sentence = verdict(mean, low).sentence
    intervals = re.findall(r"[-+\d.]+(?: points)? to [-+\d.]+", sentence)
    assert intervals
    assert all(f"(90 %: {one}" in sentence for one in intervals)


def test_a_difference_that_is_none_names_no_number_of_rows():
    assert "too few" not in verdict(-0.05, -0.15).sentence
    assert "too few" not in verdict(0.001, -0.2).sentence


def test_what_is_no_better_than_the_commonest_class_is_called_a_guess():
    sentence = verdict(0.01, -0.09, expected=0.45, raw=0.44).sentence
    assert "than a guess (44.4 %)" in sentence


@pytest.mark.parametrize(
    ("metric", "guess"), [("accuracy", 4 / 9), ("balanced-accuracy", 1 / 3), ("macro-f1", (8 / 13) / 3)]
)
def test_a_guess_scores_by_the_metric(metric, guess):
    assert guess_score(sample_of(metric=metric)) == pytest.approx(guess)


@pytest.mark.parametrize(("mean", "low", "rows"), [(0.1, 0.0, 100), (0.1, -0.1, 400), (0.1, 0.01, None)])
def test_reach_falls_with_the_root_of_the_rows(mean, low, rows):
    assert rows_to_tell(100, mean, low) == rows


def rows_needed(right, wrong, rows=20, probed=5):
    """Of so many rows the probe alone is right on some, and no transfer alone on others."""
    sample = sample_of((rows // 2, rows - rows // 2))
    truth = sample.targets.values
    ours = np.where(np.isin(np.arange(rows), np.arange(right, right + wrong)), 1 - truth, truth)
    raw = np.where(np.arange(rows) < right, 1 - truth, truth)
    return rows_that_tell(ours, raw, sample, probed)


def test_four_rows_tell_nothing_however_right_they_are():
    assert rows_needed(4, 0, rows=4) == 8
    assert rows_needed(10, 0) == 20
    assert rows_needed(10, 5) == 80
    assert rows_needed(5, 5) is None


def test_a_handful_of_rows_is_too_close_to_call_where_a_sign_test_does_not_agree():
    known, sample = evidence(), sample_of((2, 2))
    choice = choose_plan(known.ranked, sample_of(), known.baseline, History(()), strategy="linear-probe")
    sure = Expected(Metric.ACCURACY, 1.0, 1.0, 1.0)
    truth = sample.targets.values
    scored = replace(choice.ranked.transferability, predicted=truth)
    best = replace(choice, ranked=replace(choice.ranked, transferability=scored, gain=sure))
    reference = replace(known.baseline, predicted=1 - truth, expected=Expected.around(Metric.ACCURACY, 0.0, 0.1))
    bet = verdict_of(replace(best, expected=sure), reference, sample, probed=5)
    assert bet.transfer
    assert not bet.beyond_chance
    assert "4 rows are too few to tell, about 8 would" in bet.sentence


def test_many_rows_of_a_handful_of_groups_are_a_handful():
    labels = [f"class {number % 2}" for number in range(80)]
    pictures = np.random.default_rng(0).integers(0, 256, (80, 6, 6, 3), dtype=np.uint8)
    sample = Sample.from_arrays(pictures, labels, name="slides", groups=[number % 4 for number in range(80)])
    known, truth = evidence(), sample.targets.values
    choice = choose_plan(known.ranked, sample_of(), known.baseline, History(()), strategy="linear-probe")
    scored = replace(choice.ranked.transferability, predicted=truth)
    gain = Expected(Metric.ACCURACY, 0.2, 0.1, 0.3)
    best = replace(choice, ranked=replace(choice.ranked, transferability=scored, gain=gain))
    bet = verdict_of(best, replace(known.baseline, predicted=1 - truth), sample, probed=5)
    assert not bet.beyond_chance
    assert "80 rows in 4 groups are too few to tell, about 160 would" in bet.sentence
