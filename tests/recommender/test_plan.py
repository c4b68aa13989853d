from dataclasses import replace

import numpy as np
import pytest

from recommender.fusion import (
    Candidates,
    Course,
    Fusion,
    Kind,
    Standing,
    case_of,
    features_of,
    from_log_odds,
    log_odds,
)
from recommender.history import History
from recommender.plan import ADAPTED, choose_plan, controlled, set_by_hand
from recommender.results import Expected, Plan, Stage, Trial
from recommender.strategies import strategies
from recommender.testing.evidence import CHECKPOINT, evidence
from recommender.trials import trial_outcomes
from registry.cards import Metric, Origin, Outcome, Task
from registry.errors import NotOffered
from registry.forms import from_json
from registry.sample import Sample
from tests.recommender.tuning.jobs import colored


def planned(low, strategy):
    pictures, labels = colored(90)
    sample = Sample.from_arrays(pictures, labels, name="colors")
    known = evidence()
    reach = 0.2
    raw = replace(known.baseline, expected=Expected.around(Metric.ACCURACY, 0.8 - reach - low, 0.05))
    ranked = replace(known.ranked, gain=Expected(Metric.ACCURACY, low + reach, low, low + 2 * reach))
    return choose_plan(ranked, sample, raw, History(()), strategy=strategy)


@pytest.mark.parametrize(
    ("low", "strategy", "controls"),
    [
        (0.05, "lp-ft", ()),
        (0.05, "linear-probe", ()),
        (-0.01, "linear-probe", ("no-transfer",)),
        (-0.01, "lp-ft", ("no-transfer", "scratch")),
        (-0.3, "scratch", ("no-transfer",)),
    ],
)
def test_controls_are_asked_for_where_transfer_is_doubtful(low, strategy, controls):
    choice = planned(low, strategy)
    assert choice.plan.controls == controls
    assert any("held against" in reason for reason in choice.because) == bool(controls)


@pytest.mark.parametrize(
    ("size", "cap", "words"),
    [(518, None, "224 of its 518 px"), (518, 518, "inputs have 518 px"), (128, None, None), (64, 518, None)],
)
def test_advice_states_at_which_size_its_inputs_are(size, cap, words):
    known = evidence()
    scored, candidate = known.ranked.transferability, known.ranked.transferability.candidate
    card = replace(candidate.checkpoint, input_size=size, cap=cap)
    ranked = replace(known.ranked, transferability=replace(scored, candidate=replace(candidate, checkpoint=card)))
    pictures, labels = colored(90)
    sample = Sample.from_arrays(pictures, labels, name="colors")
    because = " ".join(choose_plan(ranked, sample, known.baseline, History(()), strategy="linear-probe").because)
    assert words is None or words in because
    assert ("px" in because) == (words is not None)


def test_who_asks_gets_all_controls_that_fit_or_none():
    base = planned(0.05, "lp-ft").plan
    assert controlled(base, wanted=True).controls == ("no-transfer", "scratch")
    assert controlled(controlled(base, wanted=True), wanted=False) == base


def test_a_plan_that_was_stored_before_there_were_controls_can_still_be_read():
    base = strategies["lp-ft"](evidence())
    stored = base.to_dict()
    assert from_json(Plan, stored) == base
    del stored["controls"]
    assert from_json(Plan, stored) == base
    assert from_json(Plan, controlled(base, wanted=True).to_dict()).controls == ("no-transfer", "scratch")


def texts(rows, unlabelled=()):
    words = ("the red fox", "a lazy dog", "one two three")
    return Sample.from_arrays(
        [f"{words[row % 3]} {row}" for row in range(rows)],
        [words[row % 3][:3].strip() for row in range(rows)],
        keep_duplicates=True,
        unlabelled=unlabelled,
    )


def chosen(rows, unlabelled=(), history=None, strategy=None):
    known = evidence(rows=rows, classes=3, modality="text")
    return choose_plan(known.ranked, texts(rows, unlabelled), known.baseline, history or History(()), strategy=strategy)


@pytest.mark.parametrize(("strategy", "base"), [("domain-adaptive", "lp-ft"), ("contrastive", "linear-probe")])
def test_what_pretraining_adds_is_not_promised_before_it_was_measured(strategy, base):
    rows = 240 if strategy == "domain-adaptive" else 30
    chosen_by_name, plain = (chosen(rows, strategy=name) for name in (strategy, base))
    assert chosen_by_name.expected.mean == pytest.approx(plain.expected.mean)
    assert chosen_by_name.expected.high - chosen_by_name.expected.low > plain.expected.high - plain.expected.low
    assert chosen_by_name.cost.seconds > plain.cost.seconds
    assert "none is promised" in " ".join(chosen_by_name.because)


def test_items_without_labels_add_what_they_added_elsewhere_and_the_more_the_more_they_are():
    """Measured on other sets, shrunk by how few these are; of the training rows alone nothing is promised."""
    plain = chosen(240, strategy="lp-ft").expected
    none, few, many = (
        chosen(240, tuple(f"word {row}" for row in range(rows)), strategy="domain-adaptive") for rows in (0, 240, 2160)
    )
    gains = [one.expected.mean - plain.mean for one in (none, few, many)]
    assert gains[0] == pytest.approx(0)
    assert 0 < gains[1] < gains[2] < ADAPTED
    assert many.expected.high - many.expected.low > plain.high - plain.low
    assert "its pretraining is expected to add" in " ".join(many.because)


def test_outcomes_elsewhere_tell_what_pairs_add():
    outcomes = tuple(
        Outcome(
            f"run {place}", "net", "contrastive", f"{place}", "other", Task.CLASSIFICATION, Metric.ACCURACY, 0.9, 0.01,
            30, 100, 1.0, Origin.OURS, "2026-01-01", conditions={"probe": 0.8}, modality="text",
        )
        for place in range(10)
    )  # fmt: skip
    before, after = (chosen(30, strategy="contrastive", history=History(some)) for some in ((), outcomes))
    assert after.expected.mean == pytest.approx(before.expected.mean + 0.05)


def test_items_without_labels_are_considered_where_they_are_handed_over():
    considered = [{one.strategy for one in (*c.passed_over, c.plan)} for c in (chosen(240, ("words",)), chosen(240))]
    assert "domain-adaptive" in considered[0]
    assert "domain-adaptive" not in considered[1]


def test_pairs_are_considered_where_rows_are_few():
    considered = [{one.strategy for one in (*c.passed_over, c.plan)} for c in (chosen(30), chosen(60))]
    assert "contrastive" in considered[0]
    assert "contrastive" not in considered[1]


def test_what_is_set_by_hand_is_in_the_plan_and_said_so():
    base = planned(0.05, "lp-ft").plan
    stage = base.stages[0]
    changed = set_by_hand(base, 3, stage.backbone_rate / 2, 8)
    assert changed.stages == (
        replace(stage, epochs=3, backbone_rate=stage.backbone_rate / 2, head_rate=stage.head_rate / 2),
    )
    assert changed.batch_size == 8
    assert changed.because[-1].startswith(f"set by hand: 3 epochs, not {stage.epochs}; a rate of ")
    assert set_by_hand(base, None, None, None) is base


def test_epochs_set_by_hand_are_those_of_all_stages():
    base = planned(0.05, "lp-ft").plan
    first, last = Stage(("block 02",), 2, 1e-3, 1e-4), Stage(("block 01", "block 02"), 9, 1e-3, 5e-5)
    staged = replace(base, stages=(first, last))
    assert [stage.epochs for stage in set_by_hand(staged, 5, None, None).stages] == [2, 3]
    rates = [stage.backbone_rate for stage in set_by_hand(staged, None, 2e-4, None).stages]
    assert rates == pytest.approx([2e-4, 1e-4])
    with pytest.raises(NotOffered, match="take 2 epochs"):
        set_by_hand(staged, 2, None, None)


def test_a_plan_that_fits_a_head_alone_has_nothing_to_set():
    with pytest.raises(NotOffered, match="no epochs, rate or batch size") as caught:
        set_by_hand(planned(0.05, "linear-probe").plan, 3, None, None)
    assert "--anyway" in caught.value.remedy
    assert "--strategy lp-ft" in caught.value.remedy


def test_to_go_on_with_pretraining_is_advised_where_many_items_have_no_labels():
    """Of as good as none it would not be worth its passes."""
    known = evidence(rows=240, classes=3, modality="text")
    standings = {CHECKPOINT.name: Standing(CHECKPOINT.digest[:8], "net-0.40M@64", 0.8)}
    fused = Candidates.beside(added_before(0.03), standings, 0.4, 5, "image")
    strategies_advised = [
        choose_plan(
            known.ranked,
            texts(240, tuple(f"word {row}" for row in range(more))),
            known.baseline,
            History(()),
            fused=fused,
        ).plan.strategy
        for more in (1, 2160)
    ]
    assert strategies_advised == ["lp-ft", "domain-adaptive"]


def added_before(gain, bare=None):
    """Outcomes of a net whose heads score more than its probes promised, and trainings by a gain more than those.

    From scratch it scores as much more than the probes, a sample like the other but for a luck in log-odds, as ``bare``
    says; without it nothing is known of that.
    """
    random, cases = np.random.default_rng(0), []
    for sample in range(30):
        standing = Standing(CHECKPOINT.digest[:8], "net-0.40M@64", 0.6 + 0.3 * random.random())
        beside = features_of([standing], 0.4, 5)[0]
        for strategy, kind, score in (
            ("linear-probe", Kind.HEAD, standing.probe + 0.05),
            ("lp-ft", Kind.TRAINING, standing.probe + 0.05 + gain),
        ):
            course = Course(strategy, kind, standing.probe, 600, 20 if kind is Kind.TRAINING else 0)
            case = case_of(standing, beside, course, sample=f"s{sample}", modality="image", score=score)
            cases.append(replace(case, head=None if kind is Kind.HEAD else standing.probe + 0.05))
        if bare is not None:
            gained, luck = bare
            score = from_log_odds(float(log_odds(standing.probe)) + gained + luck * random.normal())
            course = Course("scratch", Kind.SCRATCH, standing.probe, 600, 20)
            cases.append(case_of(standing, beside, course, sample=f"s{sample}", modality="image", score=score))
    return Fusion(cases)


@pytest.mark.parametrize(("gain", "strategy"), [(0.03, "lp-ft"), (-0.02, "linear-probe")])
def test_of_the_strategies_of_a_net_that_is_advised_which_was_better_on_the_same_rows(gain, strategy):
    pictures, labels = colored(90)
    sample, known = Sample.from_arrays(pictures, labels, name="colors"), evidence()
    standings = {CHECKPOINT.name: Standing(CHECKPOINT.digest[:8], "net-0.40M@64", 0.8)}
    fused = Candidates.beside(added_before(gain), standings, 0.4, 5, "image")
    choice = choose_plan(known.ranked, sample, known.baseline, History(()), fused=fused)
    assert choice.plan.strategy == strategy
    (other,) = (row for row in choice.passed_over if row.strategy in {"lp-ft", "linear-probe"})
    assert choice.expected.mean - other.mean == pytest.approx(abs(gain), abs=0.015)


@pytest.mark.parametrize(
    ("bare", "strategy", "told"),
    [((1.5, 0.1), "scratch", False), ((0.9, 1.5), "lp-ft", True), ((-1.5, 0.1), "lp-ft", False)],
)
def test_from_scratch_is_advised_where_it_is_surely_better_and_told_where_it_may_be(bare, strategy, told):
    pictures, labels = colored(90)
    sample, known = Sample.from_arrays(pictures, labels, name="colors"), evidence()
    standings = {CHECKPOINT.name: Standing(CHECKPOINT.digest[:8], "net-0.40M@64", 0.8)}
    fused = Candidates.beside(added_before(0.03, bare), standings, 0.4, 5, "image")
    choice = choose_plan(known.ranked, sample, known.baseline, History(()), fused=fused)
    assert choice.plan.strategy == strategy
    assert any("the same net from random weights" in reason for reason in choice.because) == told


@pytest.mark.parametrize(("score", "strategy"), [(0.97, "scratch"), (0.6, "lp-ft")])
def test_from_scratch_is_advised_where_a_trial_of_it_scored_more(score, strategy):
    pictures, labels = colored(90)
    sample, known = Sample.from_arrays(pictures, labels, name="colors"), evidence()
    standings = {CHECKPOINT.name: Standing(CHECKPOINT.digest[:8], "net-0.40M@64", 0.8)}
    fused = Candidates.beside(added_before(0.03, (0.9, 1.5)), standings, 0.4, 5, "image")
    before = choose_plan(known.ranked, sample, known.baseline, History(()), fused=fused)
    trial = Trial(CHECKPOINT.name, "scratch", 300, 100, 20, 0.8, score, 0.02, (), 1.0)
    history = History(trial_outcomes([trial], [before], sample))
    choice = choose_plan(known.ranked, sample, known.baseline, history, fused=fused)
    assert choice.plan.strategy == strategy
    assert any("random weights" in reason for reason in before.because)
    assert not any("random weights" in reason for reason in choice.because)
