"""Domain-adaptive pretraining: the net goes on as it was pretrained, on items of the target's kind, then LP-FT.

Gururangan et al., "Don't stop pretraining: adapt language models to domains and tasks" (2020). What is learned from
needs no labels: the items that were handed over for that, and the training rows themselves.
"""

from dataclasses import replace
from math import ceil

from recommender.results import Evidence, Plan, Pretext, Pretraining, Stage
from recommender.strategies.rules import (
    LAYER_DECAY,
    backbone_rate,
    epochs_for,
    first_rate,
    head_rate,
    require_rows,
    training,
    used_blocks,
)
from registry.cards import Task
from registry.errors import NotOffered
from registry.modalities import modalities

__all__ = ["domain_adaptive"]

_MOST_EPOCHS = 10
_SLOWER = 0.5
"""Of the rate of what comes before tuning."""


def domain_adaptive(evidence: Evidence) -> Plan:
    """Everything learns from items without labels, a head is fitted to what came of it, and LP-FT follows.

    Raises:
        NotOffered: too few rows a class, or a modality whose nets learn nothing from items without labels.
    """
    name, modality = "domain-adaptive", modalities[evidence.ranked.checkpoint.modality]
    many, pretext = modality.words.many, modality.defaults.pretext
    if not pretext:
        raise NotOffered(name, f"its nets learn nothing from {many} without labels")
    if evidence.task is Task.TOKEN_CLASSIFICATION:
        raise NotOffered(name, f"nets that label positions of {many} are not pretrained on")
    require_rows(name, evidence)
    rows, rate = evidence.unlabelled + evidence.rows, _SLOWER * first_rate(evidence)
    epochs = min(_MOST_EPOCHS, max(1, ceil(modality.defaults.shown / rows)))
    of = f"{evidence.unlabelled:,} {many} without labels, and the training rows" if evidence.unlabelled else "the rows"
    why = f"first all blocks learn {pretext}, from {of}: {epochs} passes at {rate:.0e}"
    used, last = used_blocks(evidence), epochs_for(evidence)
    stage = Stage(used, last, head_rate(evidence), backbone_rate(evidence), LAYER_DECAY)
    then = f"the head is fitted to what came of it, and {len(used)} blocks learn on from there for {last} epochs"
    planned = training(name, evidence, (stage,), [why, then])
    return replace(planned, frozen=(), pretraining=Pretraining(Pretext.ITEMS, epochs, rate, rows))
