"""Full fine-tuning: a fresh head and everything below it learn at one rate, as is most often done."""

from recommender.results import Evidence, Plan, Stage
from recommender.strategies.rules import backbone_rate, epochs_for, head_rate, training, used_blocks

__all__ = ["full"]


def full(evidence: Evidence) -> Plan:
    """Everything learns at once, the head from nothing.

    Raises:
        NotOffered: too few rows a class.
    """
    used, epochs = used_blocks(evidence), epochs_for(evidence)
    rate = backbone_rate(evidence)
    why = f"all {len(used)} blocks and a fresh head learn for {epochs} epochs at {rate:.0e}"
    stage = Stage(used, epochs, head_rate(evidence), rate)
    return training("full", evidence, (stage,), [why], head="fresh", augment=True)
