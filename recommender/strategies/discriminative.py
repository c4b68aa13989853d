"""Discriminative rates: each lower block learns at a fraction of the rate above it (ULMFiT; Howard & Ruder 2018)."""

from recommender.results import Evidence, Plan, Stage
from recommender.strategies.rules import backbone_rate, epochs_for, head_rate, rate_ratio, training, used_blocks

__all__ = ["discriminative"]


def discriminative(evidence: Evidence) -> Plan:
    """Everything learns from a fitted head, the lower the more slowly.

    Raises:
        NotOffered: too few rows a class.
    """
    used, epochs = used_blocks(evidence), epochs_for(evidence)
    rate, share = backbone_rate(evidence), rate_ratio(len(used))
    why = (
        f"low blocks hold what is general and are changed least: each learns at {share:.2f} of the rate above it, "
        f"the top one at {rate:.0e}, for {epochs} epochs after the head was fitted"
    )
    return training("discriminative", evidence, (Stage(used, epochs, head_rate(evidence), rate, share),), [why])
