"""Suspected labels: rows whose label no probed checkpoint's head would give, none of which has seen the row.

Confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels"),
by cleanlab, on the mean of the out-of-fold probabilities of several checkpoints: a row is suspected where it is pruned
both by class and by noise rate. A single head that misreads a class suspects many of its rows; so every head has to
name another label than the row's own (LOG.md). A head is not asked where it reads no better than a guess, or where even
those rows that it is surest of bear another label more often than not: its mistakes say nothing of labels. No label is
changed: that is the user's to do.
"""

from collections.abc import Sequence

import numpy as np

from recommender.results import Suspect, Suspects, Transferability
from registry.cards import Task
from registry.sample import Sample

__all__ = ["FEWEST_HEADS", "HARDEST", "suspected_labels"]

FEWEST_HEADS = 2
"""Checkpoints below which nobody is there to agree."""
SUREST = 0.25
"""Share of the rows, a head's surest, whose labels it has to give more often than not."""
HARDEST = 20
"""Rows that are listed as the hardest at most."""


def suspected_labels(sample: Sample, scored: Sequence[Transferability]) -> Suspects | None:
    """The rows of a probed sample whose labels are in doubt, the most doubtful first, and the hardest of the others.

    None where labels are no single classes, or fewer than `FEWEST_HEADS` heads can be asked.
    """
    heads = [one for one in scored if one.candidate.exposure is None and one.probabilities is not None]
    if sample.task is not Task.CLASSIFICATION or len(heads) < FEWEST_HEADS:
        return None
    by_head = np.stack([one.probabilities for one in heads if one.probabilities is not None])
    judged = np.flatnonzero((by_head.sum(axis=2) > 0).all(axis=0))
    present, own = np.unique(sample.targets.values[judged], return_inverse=True)
    by_head = by_head[:, judged][:, :, present]
    guess = np.bincount(own).max() / len(own)
    given = by_head.argmax(axis=2) == own
    able = given.mean(axis=1) > guess + np.sqrt(guess * (1 - guess) / len(own))
    able &= np.array([_is_right_where_sure(*head) for head in zip(by_head, given, strict=True)])
    if len(present) < 2 or able.sum() < FEWEST_HEADS:
        return None
    by_head = by_head[able] / by_head[able].sum(axis=2, keepdims=True)
    mean = by_head.mean(axis=0)
    suggested, rows = mean.argmax(axis=1), np.arange(len(own))
    unanimous = (by_head.argmax(axis=2) != own).all(axis=0)
    margin = mean[rows, suggested] - mean[rows, own]
    doubted = np.flatnonzero(_pruned(own, mean) & unanimous & (margin > 0))
    rest = np.setdiff1d(rows, doubted)
    hardest = rest[np.argsort(mean[rest, own[rest]], kind="stable")][:HARDEST]
    others = mean.copy()
    others[rows, own] = -1.0

    def beside(row: int, other: int) -> Suspect:
        item, classes = sample.items[judged[row]].name, sample.classes
        chances = float(mean[row, own[row]]), float(mean[row, other])
        return Suspect(item, classes[present[own[row]]], classes[present[other]], *chances)

    return Suspects(
        tuple(
            beside(row, int(suggested[row])) for row in sorted(doubted.tolist(), key=lambda row: (-margin[row], row))
        ),
        len(judged),
        tuple(one.candidate.checkpoint.name for one, usable in zip(heads, able, strict=True) if usable),
        tuple(beside(row, int(others[row].argmax())) for row in hardest.tolist()),
        float((suggested == own).mean()),
    )


def _is_right_where_sure(probabilities: np.ndarray, given: np.ndarray) -> bool:
    """Whether a head gives the labels of the rows that it is surest of more often than not."""
    surest = np.argsort(-probabilities.max(axis=1), kind="stable")[: int(np.ceil(SUREST * len(given)))]
    return bool(given[surest].mean() > 0.5)


def _pruned(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Which rows confident learning prunes, both by class and by noise rate."""
    from cleanlab.filter import find_label_issues  # noqa: PLC0415 - loads pandas and datasets

    return np.asarray(find_label_issues(labels, probabilities, filter_by="both", n_jobs=1), bool)
