"""From scratch: the same net at random initialization, as a control that shows what transfer itself is worth."""

from dataclasses import replace

from recommender.results import Evidence, Plan, Stage
from recommender.strategies.rules import epochs_for, training

__all__ = ["scratch"]

RATE = 2e-3
WEIGHT_DECAY = 0.05


def scratch(evidence: Evidence) -> Plan:
    """Everything learns, from nothing, on the budget that a tuning would have.

    Raises:
        NotOffered: too few rows a class.
    """
    why = "a control: what the architecture learns from these rows alone, on the budget of a tuning"
    stage = Stage(evidence.blocks, epochs_for(evidence), RATE, RATE)
    planned = training("scratch", evidence, (stage,), [why], head="fresh", augment=True)
    return replace(
        planned, read=evidence.blocks[-1], from_scratch=True, weight_decay=WEIGHT_DECAY, because=planned.because[1:]
    )
