"""What carrying out a plan will take: seconds, memory and trainable parameters, from one item's forward pass.

Known before anything of the plan was run, and as rough as that: on four real cases the seconds were 0.7 to 1.5 times
what it took (`tests/benchmarks/cost.py`). `recommender.tuning.trial` measures.
"""

from recommender.verdicts import Cost, Plan, Stage
from registry.cards import Checkpoint

__all__ = ["estimate"]

_START = 1.0
"""Seconds to load the net and set up the training."""
_OPENING = 0.001
"""Seconds to open and resize a picture; done once."""
_HEAD, _HEAD_PRODUCT = 0.2, 6e-7
"""Seconds to fit a logistic head: in any case, and for each row times column times class."""
_LEARNING, _JUDGING = 0.7, 0.17
"""Shares of the rows that a training learns from, and that judge each epoch."""
_PROBED = 800
"""Rows up to which the probe's features are those of all rows, and kept."""
_SPARSE = 0.2
"""What the weights' gradients cost where only norms or adapters learn, as a share of those of all weights."""
_EPOCH, _BYTES_A_SECOND = 0.03, 5e8
"""Seconds between two epochs, and the speed at which the weights are saved there."""
_PROCESS = 620 << 20
"""Bytes of the process with its libraries."""
_ACTIVATIONS = 1000
"""Bytes of stored activations for each input pixel, where everything learns."""
_CAP = 224


def estimate(
    plan: Plan, checkpoint: Checkpoint, rows: int, seconds_per_image_forward: float, *, width: int = 0, classes: int = 0
) -> Cost:
    """Estimate a plan on ``rows`` rows; ``width`` of the features and ``classes`` give the size of the head.

    Every epoch is counted: a training that stops early costs less.
    """
    head = (width + 1) * classes
    blocks = sorted({*plan.frozen, *(block for stage in plan.stages for block in stage.train)})
    used = blocks[: blocks.index(plan.read) + 1] if plan.read in blocks else blocks
    forward = max(seconds_per_image_forward - _OPENING, seconds_per_image_forward / 3)
    encoding = rows * seconds_per_image_forward * (rows > _PROBED)
    seconds = encoding + _HEAD + _HEAD_PRODUCT * rows * width * classes
    learns = max((len(stage.train) / len(blocks) for stage in plan.stages), default=0.0)
    trainable = round(checkpoint.parameters * learns) + head
    if plan.stages:
        saving = _EPOCH + 16 * (checkpoint.parameters + trainable) / _BYTES_A_SECOND
        seconds += _START + rows * (_OPENING + forward) + sum(
            stage.epochs * (saving + rows * forward * _epoch(plan, stage, used)) for stage in plan.stages
        )  # fmt: skip
    pixels = min(checkpoint.input_size, _CAP) ** 2
    held = 4 * (checkpoint.parameters + 3 * trainable) + 3 * rows * pixels * bool(plan.stages)
    active = plan.batch_size * pixels * _ACTIVATIONS * max(learns, 0.1) * bool(plan.stages)
    return Cost(seconds, round(_PROCESS + held + active), trainable)


def _epoch(plan: Plan, stage: Stage, used: list[str]) -> float:
    """What an epoch costs a row, in forward passes: learning from most rows, and judging by some.

    A backward pass computes the gradients of the activations down to the lowest block that learns, and those of the
    weights that learn. A frozen prefix is passed over where its activations are kept.
    """
    places = [place for place, block in enumerate(used) if block in stage.train]
    below = min(places, default=len(used)) / len(used)
    kept = below if plan.cache and not (plan.augment or plan.mixup) else 0.0
    weights = len(places) / len(used) * (1.0 if stage.only == "all" else _SPARSE)
    return _LEARNING * ((1 - kept) + (1 - below) + weights) + _JUDGING * (1 - kept)
