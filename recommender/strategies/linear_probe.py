"""Linear probe: the whole backbone frozen, a linear head on cached features (Kornblith et al. 2019)."""

from recommender.results import Evidence, Plan
from recommender.strategies.rules import best_read, head_on

__all__ = ["linear_probe"]


def linear_probe(evidence: Evidence) -> Plan:
    """Freeze everything; fit the head on the block that reads the classes best."""
    why = "features are computed once, so this costs seconds and cannot forget anything"
    return head_on("linear-probe", evidence, "logistic", [why], reads=best_read)
