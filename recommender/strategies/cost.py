"""What carrying out a plan will take: seconds, memory and trainable parameters, from one item's forward pass.

Known before anything of the plan was run; `tests/benchmarks/cost.py` holds it against what it took.
`recommender.tuning.dry_run` measures.
"""

from collections.abc import Sequence

import numpy as np

from recommender.results import Cost, Plan, Stage, Transferability
from registry.modalities import modalities

__all__ = ["PRICE", "estimate", "passes", "price"]

PRICE = 0.002
"""Score that a doubling of the passes over the rows has to be worth."""

_START = 0.6
"""Seconds to load the net and set up a training."""
_RUN = 0.1
"""Seconds that any run takes beside what grows with its rows."""
_HEAD, _HEAD_PRODUCT = 0.05, 4e-7
"""Seconds to fit a logistic head: in any case, and for each row times column times class."""
_HELD_OUT, _VALIDATION = 0.25, 0.2
"""Shares of the rows that are held out where there is no test part, and that of the rest judge each epoch."""
_STEPS = 2.0
"""Passes that a training step over a row takes where all learns: forward, and twice as much backward, in larger
batches than the probe's."""
_SPARSE = 0.2
"""What the weights' gradients cost where only norms or adapters learn, as a share of those of all weights."""
_EPOCH, _BYTES_A_SECOND = 0.05, 5e8
"""Seconds between two epochs, and the speed at which the weights are saved there."""
_LOOKED = 200
"""Rows of which it is looked at after each epoch how far their features have moved."""
_PROCESS = 620 << 20
"""Bytes of the process with its libraries."""


def passes(planned: Plan, blocks: Sequence[str], rows: int) -> float:
    """What a plan takes in passes over the rows: one to see them, and three for each epoch in which all learns."""
    epochs = sum(stage.expected_epochs * 3.0 * len(stage.train) / max(1, len(blocks)) for stage in planned.stages)
    first = planned.pretraining
    return 1.0 + epochs + (0.0 if first is None else 3.0 * first.shown / rows)


def price(planned: Plan, blocks: Sequence[str], rows: int) -> float:
    """The score that a plan's cost is worth: nothing for a fitted head, `PRICE` for each doubling of its passes."""
    return PRICE * float(np.log2(passes(planned, blocks, rows)))


def estimate(
    plan: Plan,
    scored: Transferability,
    rows: int,
    *,
    classes: int,
    parameters: int,
    input_size: int,
    test_rows: int | None = None,
    fresh: tuple[int, int] | None = None,
) -> Cost:
    """Estimate a plan on ``rows`` rows for a head of ``classes`` outputs.

    ``test_rows`` are those of a test part; None where a share of the rows is held out. ``fresh`` is how many rows of
    the sample, and of its test part, have no features kept yet; None for all of them. A stage is thought to run
    `Stage.expected_epochs`, for most stop early.
    """
    fitted = rows if test_rows is not None else round(rows * (1 - _HELD_OUT))
    judged = rows - fitted if test_rows is None else test_rows
    of_sample, of_test = (rows, test_rows or 0) if fresh is None else fresh
    forward = max(scored.forward_seconds - scored.opening_seconds, scored.forward_seconds / 20)
    first = plan.pretraining
    seconds = _RUN + _HEAD + _HEAD_PRODUCT * fitted * scored.width * classes
    if plan.from_scratch or plan.head == "fresh":
        seconds = _RUN
    else:
        seconds += (of_sample + of_test * (not plan.stages)) * scored.forward_seconds
    blocks = [block.block for block in scored.blocks]
    used = blocks[: blocks.index(plan.read) + 1] if plan.read in blocks else blocks
    trainable = _most_trainable(plan, scored, parameters) + (scored.width + 1) * classes
    if first is not None:
        trainable = max(trainable, parameters)
        seconds += _START + first.shown * (scored.opening_seconds / first.epochs + forward * (1 + _STEPS))
    if plan.stages:
        learned, validated = fitted * (1 - _VALIDATION), fitted * _VALIDATION
        depth = len(used) / max(1, len(blocks))
        opened = (fitted + judged) * scored.opening_seconds
        saving = _EPOCH + 16 * (parameters + trainable) / _BYTES_A_SECOND
        seconds += (
            _START
            + opened
            + judged * forward * depth
            + sum(_stage(plan, stage, used, forward * depth, learned, validated, saving) for stage in plan.stages)
        )
    learns = max((len(stage.train) / max(1, len(blocks)) for stage in plan.stages), default=0.0) if not first else 1.0
    defaults = modalities[scored.candidate.checkpoint.modality].defaults
    places = defaults.places(input_size) * bool(plan.stages or first)
    held = 4 * (parameters + 3 * trainable) + defaults.place_bytes * (fitted + judged) * places
    active = plan.batch_size * places * defaults.activation_bytes * max(learns, 0.1)
    return Cost(seconds, round(_PROCESS + held + active), trainable)


def _most_trainable(plan: Plan, scored: Transferability, parameters: int) -> int:
    """Parameters of the backbone that learn in the stage where most do."""
    if len(scored.sizes) != len(scored.blocks):
        shares = [len(stage.train) / max(1, len(scored.blocks)) for stage in plan.stages]
        return round(parameters * max(shares, default=0.0))
    sizes = {block.block: size for block, size in zip(scored.blocks, scored.sizes, strict=True)}
    of = {
        "all": lambda size: size.parameters,
        "norms": lambda size: size.norms,
        "adapters": lambda size: size.edges * plan.adapter_rank,
    }
    return max((sum(of[stage.only](sizes[name]) for name in stage.train) for stage in plan.stages), default=0)


def _stage(
    plan: Plan, stage: Stage, used: list[str], forward: float, learned: float, validated: float, saving: float
) -> float:
    """Seconds of a stage: in each epoch a pass over what is learned from and one over what judges.

    A backward pass computes the gradients of the activations down to the lowest block that learns, and those of the
    weights that learn. A frozen prefix is run once where its activations are kept.
    """
    places = [place for place, block in enumerate(used) if block in stage.train]
    below = min(places, default=len(used)) / len(used)
    kept = below if plan.cache and not (plan.augment or plan.mixup) else 0.0
    weights = len(places) / len(used) * (1.0 if stage.only == "all" else _SPARSE)
    step = ((1 - kept) + (1 - below) + weights) * _STEPS / 3
    looked = 2 * min(_LOOKED, validated)
    epoch = saving + forward * (learned * step * 1.5 + (validated + looked / 2) * (1 - kept))
    return kept * forward * (learned + validated) + stage.expected_epochs * epoch
