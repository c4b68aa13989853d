"""What a run says wrongly of its test rows: the worst mistakes, and which class was taken for which."""

from collections import Counter

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit, softmax

from recommender.results import Confusion, Mistake
from recommender.tuning.heads import named
from registry.cards import Task
from registry.sample import Sample

__all__ = ["MOST_MISTAKES", "confusions", "worst_mistakes"]

MOST_MISTAKES = 50
"""Rows that are listed."""


def worst_mistakes(test: Sample, logits: Float[np.ndarray, "p c"]) -> tuple[Mistake, ...]:
    """The test rows that are said wrongly with the highest confidence; of a quantity those that are farthest off.

    ``logits`` are those of the rows or, where positions are labelled, of every position. The confidence in a wrong row
    of several labels, or tags, is that in its surest wrong one.
    """
    said = test.positions.gathered(named(test.task, logits))
    if test.task is Task.REGRESSION:
        off = said - test.targets.values
        order = np.argsort(-np.abs(off), kind="stable")[:MOST_MISTAKES].tolist()
        return tuple(
            Mistake(test.items[row].name, test.labels[row], f"{said[row]:.6g}", None, float(off[row])) for row in order
        )
    wrong, sure = _wrong(test, logits), _confidence(test.task, logits)
    by_row = np.full(len(test), -1.0)
    np.maximum.at(by_row, test.positions.rows, np.where(wrong, sure, -1.0).reshape(len(sure), -1).max(axis=1))
    order = [row for row in np.argsort(-by_row, kind="stable").tolist() if by_row[row] >= 0][:MOST_MISTAKES]
    return tuple(
        Mistake(test.items[row].name, test.labels[row], _in_words(test, said[row]), float(by_row[row])) for row in order
    )


def confusions(test: Sample, logits: Float[np.ndarray, "n c"]) -> tuple[Confusion, ...]:
    """Rows of each class by what they are taken for, where any are; empty where rows have no single class."""
    if test.task is not Task.CLASSIFICATION:
        return ()
    taken = Counter(zip(test.targets.values.tolist(), named(test.task, logits).tolist(), strict=True))
    return tuple(Confusion(test.classes[a], test.classes[b], rows) for (a, b), rows in sorted(taken.items()))


def _wrong(test: Sample, logits: Float[np.ndarray, "p c"]) -> Bool[np.ndarray, "p ..."]:
    """Which rows, labels of them or positions are said wrongly."""
    return np.asarray(named(test.task, logits) != test.positions.targets.values)


def _confidence(task: Task, logits: Float[np.ndarray, "p c"]) -> Float[np.ndarray, "p ..."]:
    """Probability of what is said."""
    if task is Task.MULTI_LABEL:
        return np.asarray(np.maximum(expit(logits), expit(-logits)))
    return np.asarray(softmax(logits, axis=1).max(axis=1))


def _in_words(test: Sample, said: object) -> str:
    """What is said of a row, as its label would say it."""
    if test.task is Task.CLASSIFICATION:
        return test.classes[int(np.asarray(said))]
    if test.task is Task.MULTI_LABEL:
        return "|".join(np.array(test.classes)[np.asarray(said) > 0])
    return " ".join(np.asarray(said))
