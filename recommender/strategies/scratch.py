"""From scratch: the same net at random initialization, as a control that shows what transfer itself is worth."""

from recommender.strategies.rules import epochs_for, require_rows
from recommender.verdicts import Evidence, Plan, Stage

__all__ = ["scratch"]

RATE = 2e-3


def scratch(evidence: Evidence) -> Plan:
    """Everything learns, from nothing, on the budget that a tuning would have.

    Raises:
        NotOffered: too few rows a class.
    """
    require_rows("scratch", evidence)
    return Plan(
        strategy="scratch", read=evidence.blocks[-1], head="fresh",
        stages=(Stage(evidence.blocks, epochs_for(evidence.rows), RATE, RATE),), frozen=(), from_scratch=True,
        augment=False, batch_size=32, weight_decay=0.05, label_smoothing=0.0,
        because=("a control: what the architecture learns from these rows alone, on the budget of a tuning",),
    )  # fmt: skip
