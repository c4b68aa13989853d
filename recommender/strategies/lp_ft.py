"""LP-FT: fit the head first, then train backbone and head together (Kumar et al. 2022).

A fresh head would pull the backbone through large, uninformed gradients; one that is already fitted does not, which
keeps more of what was learned at the source and pays most out of distribution.
"""

from math import sqrt

from recommender.strategies.rules import epochs_for, read_from, require_rows
from recommender.verdicts import Evidence, Plan, Stage

__all__ = ["lp_ft"]

HEAD_RATE = 1e-3
MILLION = 1e6
LAYER_DECAY = 0.8


def lp_ft(evidence: Evidence) -> Plan:
    """A logistic head, then everything up to the block that it reads, lower blocks more slowly.

    Raises:
        NotOffered: too few rows a class.
    """
    require_rows("lp-ft", evidence)
    read, why = read_from(evidence)
    used = evidence.blocks[: evidence.blocks.index(read) + 1]
    epochs = epochs_for(evidence.rows)
    rate = _backbone_rate(evidence.ranked.checkpoint.parameters)
    return Plan(
        strategy="lp-ft", read=read, head="logistic",
        stages=(Stage(used, epochs, HEAD_RATE, rate, LAYER_DECAY),),
        frozen=evidence.blocks[len(used):], from_scratch=False, augment=False, batch_size=32, weight_decay=0.01,
        label_smoothing=0.0,
        because=(
            why,
            f"the head is fitted first, so that training starts from the probe and not below it; then {len(used)} "
            f"blocks learn for {epochs} epochs at {rate:.0e}, each lower one at {LAYER_DECAY} of the rate above",
        ),
    )  # fmt: skip


def _backbone_rate(parameters: int) -> float:
    """The head's rate up to a million parameters, then falling with the square root of their number."""
    return HEAD_RATE * min(1.0, sqrt(MILLION / parameters))
