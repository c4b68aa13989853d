"""Linear probe: the whole backbone frozen, a logistic head on cached features (Kornblith et al. 2019)."""

from recommender.strategies.rules import read_from
from recommender.verdicts import Evidence, Plan

__all__ = ["linear_probe"]


def linear_probe(evidence: Evidence) -> Plan:
    """Freeze everything; fit the head on the block that reads the classes best."""
    read, why = read_from(evidence)
    return Plan(
        strategy="linear-probe", read=read, head="logistic", stages=(), frozen=evidence.blocks, from_scratch=False,
        augment=False, batch_size=32, weight_decay=0.0, label_smoothing=0.0,
        because=(why, "features are computed once, so this costs seconds and cannot forget anything"),
    )  # fmt: skip
