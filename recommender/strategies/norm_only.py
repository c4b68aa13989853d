"""Norm-only: nothing learns but the normalization layers' scales and shifts, and the head (Frankle et al. 2021)."""

from recommender.results import Evidence, Plan, Stage
from recommender.strategies.rules import backbone_rate, epochs_for, head_rate, training, used_blocks

__all__ = ["norm_only"]

_FASTER = 10.0
"""Times the rate of full tuning: few parameters, each of which moves a whole channel."""


def norm_only(evidence: Evidence) -> Plan:
    """The norms of all blocks learn, from a fitted head.

    Raises:
        NotOffered: too few rows a class.
    """
    used, epochs = used_blocks(evidence), epochs_for(evidence)
    rate = _FASTER * backbone_rate(evidence)
    why = (
        f"only scales and shifts of the normalization layers learn, for {epochs} epochs at {rate:.0e}: so few "
        "parameters can hardly overfit, and no weight of the source is lost"
    )
    return training("norm-only", evidence, (Stage(used, epochs, head_rate(evidence), rate, only="norms"),), [why])
