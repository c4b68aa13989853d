"""LP-FT: fit the head first, then train backbone and head together (Kumar et al. 2022).

A fresh head would pull the backbone through large, uninformed gradients; one that is already fitted does not, which
keeps more of what was learned at the source and pays most out of distribution.
"""

from recommender.results import Evidence, Plan, Stage
from recommender.strategies.rules import LAYER_DECAY, backbone_rate, epochs_for, head_rate, training, used_blocks

__all__ = ["lp_ft"]


def lp_ft(evidence: Evidence) -> Plan:
    """A logistic head, then everything up to the block that it reads, lower blocks more slowly.

    Raises:
        NotOffered: too few rows a class.
    """
    used, epochs = used_blocks(evidence), epochs_for(evidence)
    rate = backbone_rate(evidence)
    why = (
        f"the head is fitted first, so that training starts from the probe and not below it; then {len(used)} "
        f"blocks learn for {epochs} epochs at {rate:.0e}, each lower one at {LAYER_DECAY} of the rate above"
    )
    return training("lp-ft", evidence, (Stage(used, epochs, head_rate(evidence), rate, LAYER_DECAY),), [why])
