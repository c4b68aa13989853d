"""Domain-adaptive pretraining: the net goes on as it was pretrained, on items of the target's kind, then LP-FT.

Gururangan et al., "Don't stop pretraining: adapt language models to domains and tasks" (2020). What is learned from
needs no labels: the items that were handed over for that, and the training rows themselves.
"""

from dataclasses import replace
from math import ceil

from recommender.results import Evidence, Plan, Pretext, Pretraining
from recommender.strategies.lp_ft import lp_ft
from recommender.strategies.rules import backbone_rate, require_rows
from registry.errors import NotOffered
from registry.modalities import modalities

__all__ = ["domain_adaptive"]

_MOST_EPOCHS = 10
_SLOWER = 0.5
"""Of the rate of tuning."""


def domain_adaptive(evidence: Evidence) -> Plan:
    """Everything learns from items without labels, a head is fitted to what came of it, and LP-FT follows.

    Raises:
        NotOffered: too few rows a class, or a modality whose nets learn nothing from items without labels.
    """
    name, modality = "domain-adaptive", modalities[evidence.ranked.checkpoint.modality]
    many, pretext = modality.words.many, modality.defaults.pretext
    if not pretext:
        raise NotOffered(name, f"its nets learn nothing from {many} without labels")
    require_rows(name, evidence)
    rows, rate = evidence.unlabelled + evidence.rows, _SLOWER * backbone_rate(evidence)
    epochs = min(_MOST_EPOCHS, max(1, ceil(modality.defaults.shown / rows)))
    of = f"{evidence.unlabelled:,} {many} without labels, and the training rows" if evidence.unlabelled else "the rows"
    why = f"first all blocks learn {pretext}, from {of}: {epochs} passes at {rate:.0e}"
    planned = lp_ft(evidence)
    return replace(
        planned,
        strategy=name,
        frozen=(),
        pretraining=Pretraining(Pretext.ITEMS, epochs, rate, rows),
        because=(planned.because[0], why, *planned.because[1:]),
    )
