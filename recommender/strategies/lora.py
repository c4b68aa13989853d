"""LoRA: low-rank adapters beside the linear layers learn, the weights stay (Hu et al. 2021)."""

from recommender.results import Evidence, Plan, Stage
from recommender.strategies.rules import backbone_rate, epochs_for, head_rate, training, used_blocks
from registry.errors import NotOffered

__all__ = ["lora"]

RANK = 8
_FASTER = 10.0
"""Times the rate of full tuning (Biderman et al. 2024)."""


def lora(evidence: Evidence) -> Plan:
    """Adapters on all linear layers of the blocks that are read through, from a fitted head.

    Raises:
        NotOffered: too few rows a class, or no linear layers there.
    """
    scored = evidence.ranked.transferability
    adapted = tuple(block for block in used_blocks(evidence) if block in scored.adaptable)
    if not adapted:
        raise NotOffered("lora", f"{evidence.architecture} has no linear layers for adapters")
    epochs, rate = epochs_for(evidence), _FASTER * backbone_rate(evidence)
    why = (
        f"adapters of rank {RANK} beside the linear layers learn for {epochs} epochs at {rate:.0e}; the weights "
        "themselves stay, so memory is spared and little is forgotten"
    )
    stages = (Stage(adapted, epochs, head_rate(evidence), rate, only="adapters"),)
    return training("lora", evidence, stages, [why], adapter_rank=RANK)
