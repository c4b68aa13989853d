from dataclasses import replace

import pytest

from recommender.strategies import strategies
from recommender.strategies.rules import require_head
from recommender.testing.evidence import evidence
from registry.cards import Metric, Task
from registry.errors import NotOffered

EARLY = {"curve": (0.5, 0.9, 0.7, 0.6)}


@pytest.mark.parametrize("name", ["linear-probe", "lp-ft"])
def test_the_last_block_is_read_unless_an_earlier_one_is_better_beyond_chance(name):
    strategy = strategies[name]
    assert strategy(evidence()).read == "block 04"
    assert strategy(evidence(**EARLY)).read == "block 02"


def test_of_blocks_alike_within_chance_a_training_reads_the_last_and_a_probe_the_best():
    alike = evidence(curve=(0.5, 0.61, 0.6), error=0.02)
    assert [strategies[name](alike).read for name in ("lp-ft", "prototype", "linear-probe")] == [
        "block 03",
        "block 03",
        "block 02",
    ]
    assert "block 02 (61.0 %), the best in folds" in strategies["linear-probe"](alike).because[0]
    assert strategies["linear-probe"](evidence(curve=(0.5, 0.6, 0.6), error=0.02)).read == "block 03"


@pytest.mark.parametrize("name", ["linear-probe", "lp-ft"])
def test_the_reason_names_both_blocks_and_their_scores(name):
    reason = " ".join(strategies[name](evidence(**EARLY)).because)
    assert all(word in reason for word in ("block 02", "90.0 %", "block 04", "60.0 %"))


def test_a_linear_probe_trains_no_block():
    plan = strategies["linear-probe"](evidence())
    assert plan.stages == ()
    assert plan.frozen == evidence().blocks
    assert plan.head == "logistic"


def test_lp_ft_starts_from_the_fitted_head():
    assert strategies["lp-ft"](evidence()).head == "logistic"


def test_a_larger_backbone_learns_more_slowly():
    rates = [strategies["lp-ft"](evidence(parameters=n)).stages[0].backbone_rate for n in (400_000, 10**6, 10**8)]
    assert rates == [pytest.approx(rate) for rate in (1e-3, 1e-3, 1e-4)]


def test_lp_ft_leaves_blocks_above_the_one_that_is_read_alone():
    plan = strategies["lp-ft"](evidence(**EARLY))
    assert plan.stages[0].train == ("block 01", "block 02")
    assert plan.frozen == ("block 03", "block 04")


def test_scratch_forgets_the_source():
    plan = strategies["scratch"](evidence(**EARLY))
    assert plan.from_scratch
    assert plan.head == "fresh"
    assert plan.read == "block 04"


@pytest.mark.parametrize("name", ["lp-ft", "scratch"])
def test_a_handful_of_rows_is_not_trained_on(name):
    with pytest.raises(NotOffered, match="20 rows for 5 classes are too few"):
        strategies[name](evidence(rows=20, classes=5))
    assert strategies[name](evidence(rows=25, classes=5)).stages


def test_few_rows_are_shown_more_often():
    epochs = [strategies["lp-ft"](evidence(rows=rows)).stages[0].epochs for rows in (50, 600, 1500, 5000)]
    assert epochs == [20, 20, 8, 5]
    assert strategies["scratch"](evidence(rows=1500)).stages[0].epochs == 8


@pytest.mark.parametrize(("name", "head"), [("prototype", "prototype"), ("knn", "neighbors")])
def test_what_trains_nothing_freezes_everything(name, head):
    plan = strategies[name](evidence())
    assert (plan.head, plan.stages, plan.frozen) == (head, (), evidence().blocks)


def test_full_tuning_starts_from_a_fresh_head_at_one_rate():
    plan = strategies["full"](evidence())
    assert plan.head == "fresh"
    assert [(stage.train, stage.layer_decay) for stage in plan.stages] == [(evidence().blocks, 1.0)]


@pytest.mark.parametrize("last", [1, 2, 3])
def test_partial_lets_the_last_blocks_of_those_that_are_read_learn(last):
    plan = strategies[f"partial-{last}"](evidence())
    assert plan.stages[0].train == evidence().blocks[-last:]
    assert plan.frozen == evidence().blocks[:-last]
    assert plan.cache


def test_partial_is_not_offered_where_it_would_be_all():
    with pytest.raises(NotOffered, match="lp-ft"):
        strategies["partial-2"](evidence(**EARLY))


@pytest.mark.parametrize(
    ("curve", "learns", "part"),
    [
        ((0.41, 0.7, 0.9), "block 01", "first"),
        ((0.6, 0.61, 0.8), "block 02", "middle"),
        ((0.6, 0.8, 0.81), "block 03", "last"),
    ],
)
def test_surgical_tunes_the_part_that_adds_least(curve, learns, part):
    """Raw pixels score .4 in this evidence."""
    plan = strategies["surgical"](evidence(curve=curve))
    assert plan.stages[0].train == (learns,)
    assert any(f"the {part} third" in why for why in plan.because)


def test_gradual_unfreezing_goes_from_the_top_down_to_everything():
    plan = strategies["gradual-unfreezing"](evidence(rows=300))
    blocks = evidence().blocks
    assert [stage.train for stage in plan.stages] == [blocks[-count:] for count in (1, 2, 3, 4)]
    assert [stage.epochs for stage in plan.stages] == [1, 1, 1, 17]


def test_gradual_unfreezing_of_many_blocks_takes_four_stages():
    curve = tuple(0.1 * place for place in range(1, 9))
    counts = [len(stage.train) for stage in strategies["gradual-unfreezing"](evidence(curve=curve)).stages]
    assert counts == [2, 4, 6, 8]


def test_discriminative_rates_fall_by_ulmfits_ratio_and_more_mildly_in_deep_nets():
    shallow = strategies["discriminative"](evidence()).stages[0].layer_decay
    deep = strategies["discriminative"](evidence(curve=tuple(0.1 * n for n in range(1, 9)))).stages[0].layer_decay
    assert shallow == pytest.approx(1 / 2.6)
    assert deep**7 == pytest.approx(0.02)


def test_ulmfit_is_both_at_once():
    plan = strategies["ulmfit"](evidence())
    assert len(plan.stages) == 4
    assert [stage.layer_decay for stage in plan.stages] == pytest.approx([1 / 2.6] * 4)


def test_only_norms_or_adapters_learn_and_faster_than_weights_would():
    whole = strategies["lp-ft"](evidence()).stages[0].backbone_rate
    for name, only in (("norm-only", "norms"), ("lora", "adapters")):
        (stage,) = strategies[name](evidence()).stages
        assert (stage.only, stage.backbone_rate) == (only, pytest.approx(10 * whole))


def test_lora_adapts_the_blocks_that_have_linear_layers():
    plan = strategies["lora"](evidence(adaptable=("block 03", "block 04")))
    assert plan.stages[0].train == ("block 03", "block 04")
    assert plan.adapter_rank > 0


def test_lora_is_not_offered_without_linear_layers():
    with pytest.raises(NotOffered, match="no linear layers"):
        strategies["lora"](evidence(adaptable=()))


def test_few_rows_get_dropout_and_many_get_smoothed_labels():
    few, many = (strategies["lp-ft"](evidence(rows=rows)) for rows in (300, 5000))
    assert (few.dropout > 0, few.label_smoothing) == (True, 0.0)
    assert (many.dropout, many.label_smoothing > 0) == (0.0, True)


def test_pictures_vary_only_where_no_activations_are_kept():
    for name in set(strategies) - {"domain-adaptive"}:
        plan = strategies[name](evidence(rows=5000))
        assert not ((plan.augment or plan.mixup) and plan.stages and plan.frozen)
    assert strategies["full"](evidence()).augment
    assert any("only once" in why for why in strategies["partial-1"](evidence()).because)


@pytest.mark.parametrize(("metric", "weighed"), [(Metric.ACCURACY, False), (Metric.MACRO_F1, True)])
def test_uneven_classes_are_weighed_where_the_metric_counts_classes(metric, weighed):
    assert strategies["lp-ft"](evidence(fewest=10, metric=metric)).class_weights is weighed
    assert not strategies["lp-ft"](evidence(metric=metric)).class_weights


@pytest.mark.parametrize("task", [Task.MULTI_LABEL, Task.REGRESSION])
def test_what_only_classes_have_is_no_part_of_a_plan_for_another_task(task):
    of_task = replace(evidence(rows=3000, fewest=5), task=task)
    plain = strategies["lp-ft"](of_task)
    assert (plain.label_smoothing, plain.class_weights) == (0.0, False)
    assert not [reason for reason in plain.because if "smoothed" in reason or "weigh" in reason]
    assert strategies["lp-ft"](evidence(rows=3000)).label_smoothing > 0
    for name in ("prototype", "knn"):
        with pytest.raises(NotOffered, match=f"which {task} does not have"):
            require_head(name, strategies[name](of_task).head, task)


def test_domain_adaptive_learns_from_all_items_before_lp_ft():
    plan = strategies["domain-adaptive"](replace(evidence(**EARLY, modality="text"), unlabelled=5400))
    assert (plan.pretraining.pretext, plan.pretraining.rows, plan.pretraining.epochs) == ("items", 6000, 2)
    assert plan.stages == strategies["lp-ft"](evidence(**EARLY, modality="text")).stages
    assert plan.frozen == ()
    assert "5,400 texts without labels" in " ".join(plan.because)


@pytest.mark.parametrize(
    ("strategy", "known", "why"),
    [
        ("domain-adaptive", evidence(), "learn nothing from images without labels"),
        ("domain-adaptive", evidence(rows=20, modality="text"), "too few"),
        ("contrastive", evidence(rows=20, fewest=1), "a single row"),
        ("contrastive", replace(evidence(rows=20), task=Task.MULTI_LABEL), "multi-label"),
    ],
)
def test_pretraining_is_refused_where_it_has_nothing_to_learn_from(strategy, known, why):
    with pytest.raises(NotOffered, match=why):
        strategies[strategy](known)


def test_pairs_teach_what_the_head_reads_through():
    plan = strategies["contrastive"](evidence(rows=20, **EARLY))
    assert (plan.head, plan.stages, plan.frozen) == ("logistic", (), ("block 03", "block 04"))
    assert (plan.pretraining.pretext, plan.pretraining.rows, plan.pretraining.shown) == ("pairs", 800, 1600)
