"""What carrying out a plan will take: seconds, memory and trainable parameters, from one item's forward pass."""

from recommender.verdicts import Cost, Plan
from registry.cards import Checkpoint

__all__ = ["estimate"]

_START = 4.0
"""Seconds to load the training loop."""
_HEAD = 1.0
"""Seconds to fit a logistic head."""
_BACKWARD = 2.0
"""A backward pass costs twice a forward one."""
_PROCESS = 600 << 20
"""Bytes of the process with its libraries."""
_ACTIVATIONS = 160
"""Bytes of stored activations for each input pixel, where everything learns."""
_CAP = 224


def estimate(
    plan: Plan, checkpoint: Checkpoint, rows: int, seconds_per_image_forward: float, *, width: int = 0, classes: int = 0
) -> Cost:
    """Estimate a plan on ``rows`` rows; ``width`` of the features and ``classes`` give the size of the head."""
    head = (width + 1) * classes
    blocks = len(plan.frozen) + len({block for stage in plan.stages for block in stage.train})
    shares = [len(stage.train) / blocks for stage in plan.stages]
    passes = sum(stage.epochs * (1 + _BACKWARD * share) for stage, share in zip(plan.stages, shares, strict=True))
    seconds = (1 + passes) * rows * seconds_per_image_forward + _HEAD + (_START if plan.stages else 0.0)
    learns = max(shares, default=0.0)
    trainable = round(checkpoint.parameters * learns) + head
    pixels = min(checkpoint.input_size, _CAP) ** 2
    held = 4 * (checkpoint.parameters + 3 * trainable) + 3 * rows * pixels * bool(plan.stages)
    active = plan.batch_size * pixels * _ACTIVATIONS * max(learns, 0.1)
    return Cost(seconds, round(_PROCESS + held + active), trainable)
