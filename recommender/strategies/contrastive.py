"""Contrastive few-shot tuning: rows of a class learn to lie together and those of two apart, then a head is fitted.

Tunstall et al., "Efficient few-shot learning without prompts" (SetFit, 2022): of few rows many pairs can be made, and
what learns from them are the features, not a head that would overfit.
"""

from dataclasses import replace

from recommender.results import Evidence, Plan, Pretext, Pretraining
from recommender.strategies.rules import first_rate, head_on, used_blocks
from registry.cards import Task
from registry.errors import NotOffered

__all__ = ["FEW", "contrastive"]

FEW = 16
"""Rows a class from which on others learn from them well, so that it is not considered unless it is asked for."""
_FEWEST = 2
"""Rows of the smallest class of which a pair can be made."""
_PAIRS = 20
"""Pairs of one class, and as many of two, for each row."""
_MOST_PAIRS = 20_000
_SLOWER = 0.1
"""Of the rate of what comes before tuning."""


def contrastive(evidence: Evidence) -> Plan:
    """All that is read through learns from pairs of rows; a logistic head follows.

    Raises:
        NotOffered: no classes, or a class of a single row.
    """
    name = "contrastive"
    if evidence.task is not Task.CLASSIFICATION:
        raise NotOffered(name, f"rows of {evidence.task} are of one class or two in no pair")
    if evidence.fewest < _FEWEST:
        raise NotOffered(name, "a class has a single row, of which no pair can be made")
    used, rate = used_blocks(evidence), _SLOWER * first_rate(evidence)
    pairs = min(2 * _PAIRS * evidence.rows, _MOST_PAIRS)
    each = evidence.rows / evidence.classes
    why = (
        f"{len(used)} blocks learn at {rate:.0e} from {pairs:,} pairs which rows are of one class and which of two, "
        f"for {each:.0f} rows a class make many pairs; then the head is fitted"
    )
    planned = head_on(name, evidence, "logistic", [why])
    frozen = tuple(block for block in evidence.blocks if block not in used)
    return replace(planned, frozen=frozen, pretraining=Pretraining(Pretext.PAIRS, 1, rate, pairs))
