from dataclasses import replace

from recommender.strategies import strategies
from recommender.strategies.cost import estimate
from tests.recommender.evidence import CHECKPOINT, evidence


def cost(name, rows=600, seconds=0.001, **case):
    return estimate(strategies[name](evidence(rows=rows, **case)), CHECKPOINT, rows, seconds, width=128, classes=5)


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


def test_memory_grows_with_the_input_up_to_the_cap():
    plan = strategies["lp-ft"](evidence())
    small, large, capped = (
        estimate(plan, replace(CHECKPOINT, input_size=side), 600, 0.001).peak_memory_bytes for side in (64, 224, 513)
    )
    assert small < large == capped
