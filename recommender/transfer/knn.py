"""Leave-one-out k-nearest-neighbor accuracy: no training, and the best single score of the large medical study."""

from typing import Literal

import numpy as np
from jaxtyping import Float64, Int, Real, Shaped

from recommender.transfer.decomposition import Decomposition, decompose
from recommender.transfer.targets import TargetColumns, group_numbers, parse_targets
from registry.cards import Task
from registry.errors import TooManyNeighbors
from registry.features import Array
from registry.index import other_neighbors
from registry.targets import Targets

__all__ = ["knn_score"]


def knn_score(
    features: Real[Array, "n d"] | Decomposition,
    targets: Targets | Shaped[Array, "m ..."],
    *,
    groups: Shaped[Array, " g"] | None = None,
    k: int = 5,
    metric: Literal["l2", "cosine"] = "cosine",
) -> float:
    """Accuracy of the vote of each row's ``k`` nearest other rows, of other groups where there are groups.

    A tied vote goes to the class of the nearer neighbors. ``k`` is lowered where there are too few rows. Multi-label:
    accuracy averaged over the labels; regression: R squared of the neighbors' mean.

    Raises:
        TooManyNeighbors: ``k`` is below 1; else as `recommender.transfer.ScoreFunction`.
    """
    thin = decompose(features)
    wanted = parse_targets(targets, len(thin.rows), "knn", tuple(Task))
    units = group_numbers(groups, len(thin.rows))
    most = len(thin.rows) - int(np.bincount(units).max())
    if k < 1:
        raise TooManyNeighbors(k, most)
    near = other_neighbors(thin.rows, min(k, most), groups=units, metric=metric)[1]
    return _agreement(wanted, near)


def _agreement(targets: TargetColumns, near: Int[np.ndarray, "n k"]) -> float:
    columns = targets.columns
    if targets.task is Task.CLASSIFICATION:
        return float((_vote(targets.codes[near], columns.shape[1]) == targets.codes).mean())
    votes = columns[near].mean(axis=1)
    if targets.task is Task.MULTI_LABEL:
        return float(((votes > 0.5) == columns).mean())
    return float(1 - np.square(votes - columns).sum() / np.square(columns - columns.mean(axis=0)).sum())


def _vote(codes: Int[np.ndarray, "n k"], classes: int) -> Int[np.ndarray, " n"]:
    """The class named most often; each nearer neighbor weighs a trifle more."""
    votes: Float64[np.ndarray, "n c"] = np.zeros((len(codes), classes))
    k = codes.shape[1]
    for place, column in enumerate(codes.T):
        votes[np.arange(len(codes)), column] += 1 + 2.0 ** -(place + 1) / k
    return np.asarray(votes.argmax(axis=1))
