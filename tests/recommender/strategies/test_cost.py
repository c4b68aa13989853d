from dataclasses import replace

import pytest

from recommender.results import Stage
from recommender.strategies import strategies
from recommender.strategies.cost import estimate
from recommender.testing.evidence import CHECKPOINT, evidence
from registry.encoders import BlockSize


def cost(name, rows=600, seconds=0.001, **case):
    known = evidence(rows=rows, **case)
    return estimated(strategies[name](known), known, rows, seconds)


def estimated(plan, known, rows=600, seconds=0.001, side=64, **other):
    scored = replace(known.ranked.transferability, forward_seconds=seconds, width=128)
    sizes = {"classes": 5, "parameters": CHECKPOINT.parameters, "input_size": side}
    return estimate(plan, scored, rows, **sizes, **other)


def test_a_probe_trains_the_head_alone():
    assert cost("linear-probe").trainable_parameters == 129 * 5


def test_training_everything_trains_the_backbone_too():
    assert cost("lp-ft").trainable_parameters == CHECKPOINT.parameters + 129 * 5


def test_training_a_part_costs_less_than_training_all():
    whole, part = cost("lp-ft"), cost("lp-ft", curve=(0.5, 0.9, 0.6, 0.6))
    assert part.trainable_parameters < whole.trainable_parameters
    assert part.seconds < whole.seconds
    assert part.peak_memory_bytes < whole.peak_memory_bytes


def test_a_probe_costs_less_than_a_training():
    assert cost("linear-probe").seconds < cost("lp-ft").seconds
    assert cost("linear-probe").peak_memory_bytes < cost("lp-ft").peak_memory_bytes


def test_seconds_grow_with_rows_and_with_the_forward_pass():
    rows = [cost("lp-ft", rows=rows).seconds for rows in (600, 1200, 2400)]
    assert rows == sorted(rows)
    assert cost("lp-ft", seconds=0.002).seconds > cost("lp-ft", seconds=0.001).seconds


def test_memory_grows_with_the_input():
    plan, known = strategies["lp-ft"](evidence()), evidence()
    small, large = (estimated(plan, known, side=side).peak_memory_bytes for side in (64, 224))
    assert small < large


def test_a_probe_is_charged_for_every_row_that_has_no_features_yet_and_for_no_other():
    known = evidence()
    plan = strategies["linear-probe"](known)
    seconds = [
        estimated(plan, known, seconds=0.01, test_rows=400, fresh=fresh).seconds
        for fresh in (None, (0, 400), (600, 0), (0, 0))
    ]
    assert seconds[0] - seconds[3] == pytest.approx(10.0)
    assert seconds[1] - seconds[3] == pytest.approx(4.0)
    assert seconds[2] - seconds[3] == pytest.approx(6.0)


def test_what_learns_is_counted_block_by_block():
    sizes = tuple(BlockSize(parameters, 10, 100) for parameters in (1_000, 2_000, 40_000, 300_000))
    known = evidence(curve=(0.5, 0.9, 0.6, 0.6))
    known = replace(
        known, ranked=replace(known.ranked, transferability=replace(known.ranked.transferability, sizes=sizes))
    )
    head = 129 * 5
    assert estimated(strategies["lp-ft"](known), known).trainable_parameters == 3_000 + head
    assert estimated(strategies["norm-only"](known), known).trainable_parameters == 20 + head
    lora = strategies["lora"](known)
    assert estimated(lora, known).trainable_parameters == 200 * lora.adapter_rank + head


def test_opening_pictures_is_paid_once_and_not_in_every_epoch():
    known = evidence()
    plan = strategies["lp-ft"](known)
    slow = replace(known.ranked.transferability, forward_seconds=0.011, opening_seconds=0.010, width=128)
    quick = replace(slow, forward_seconds=0.001, opening_seconds=0.0)
    case = {"classes": 5, "parameters": 1000, "input_size": 64, "test_rows": 100, "fresh": (0, 0)}
    more = estimate(plan, slow, 600, **case).seconds - estimate(plan, quick, 600, **case).seconds
    assert more == pytest.approx(700 * 0.010)


@pytest.mark.parametrize(("epochs", "run"), [(20, 15), (8, 6), (5, 4.5), (3, 3)])
def test_a_stage_is_thought_to_run_half_way_between_its_patience_and_all_its_epochs(epochs, run):
    assert Stage(("block 01",), epochs, 1e-3, 1e-3).expected_epochs == run
