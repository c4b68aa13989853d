"""Rankers: from what may be seen of a target to one number a checkpoint, higher is better, NaN for no opinion.

A ranker is a function of the `Case` and nothing else. `leaks` proves it for one target: with chance planted in place
of the target's own truth, an honest ranker says what it said before.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from tests.benchmarks.proving_ground.figures import standing
from tests.benchmarks.proving_ground.truth import Case, Truth

__all__ = ["Ranker", "by_figure", "by_random", "generalist", "largest", "leaks", "plus_static", "static"]

Ranker = Callable[[Case], Float[np.ndarray, " k"]]


def static(case: Case) -> Float[np.ndarray, " k"]:
    """The static list: mean z-score on the other families."""
    return standing(case.history)


def largest(case: Case) -> Float[np.ndarray, " k"]:
    """By number of parameters."""
    return case.parameters


def generalist(case: Case) -> Float[np.ndarray, " k"]:
    """Mean accuracy on the other families: whoever is good everywhere."""
    known = np.isfinite(case.history)
    sums = np.where(known, case.history, 0).sum(axis=1)
    return np.where(known.any(axis=1), sums / np.maximum(known.sum(axis=1), 1), np.nan)


def by_figure(name: str, sign: float = 1.0) -> Ranker:
    """By a score (sign 1) or a distance (sign -1) of the shelf."""

    def ranker(case: Case) -> Float[np.ndarray, " k"]:
        return sign * case.figures.get(name, np.full(len(case.candidates), np.nan))

    return ranker


def plus_static(name: str) -> Ranker:
    """A score and the static list, each as z-scores over the candidates."""

    def ranker(case: Case) -> Float[np.ndarray, " k"]:
        ours, listed = by_figure(name)(case), static(case)
        return standing(ours[:, None]) + standing(listed[:, None])

    return ranker


def by_random(seed: int) -> Ranker:
    """An order drawn from the target's name and a seed."""

    def ranker(case: Case) -> Float[np.ndarray, " k"]:
        return np.random.default_rng([seed, *case.target.encode()]).random(len(case.candidates))

    return ranker


def leaks(ranker: Ranker, truth: Truth, target: int) -> bool:
    """Whether what the ranker says of a target changes with that target's own truth."""
    predicted = ranker(truth.case(target))
    return not np.array_equal(predicted, ranker(truth.planted(target).case(target)), equal_nan=True)
