"""Whether the test part is another source than the training part, and what that does to the score to expect.

Cross-validation is blind to it: its folds are all of the training part's source. The unlabelled test rows are not; the
labels of the test part are never looked at. That the parts differ is tested by MMD, with whole groups permuted. Where
they do, four estimates say by how much the score falls:

- *threshold*: average thresholded confidence (Garg et al. 2022): the share of test rows whose confidence exceeds the
  threshold above which exactly the held-out accuracy lies;
- *confidence*: the difference of mean confidences (Guillory et al. 2021);
- *weighted folds*: the score in folds whose rows count by how likely they are in the test part rather than here
  (Shimodaira 2000), by the odds that a cross-validated classifier of the parts gives them, clipped; only where the
  weights leave `LEAST_EFFECTIVE` rows in effect (Kish 1965), and average about one, as they do where the parts overlap;
- *far rows*: how much less is scored where folds hold out whole clusters of every class, in proportion to how far (by
  the root of MMD squared) the test part lies from the training part compared with those clusters from the others.

The first two trust the head's confidence and fall short where what moved is not what it doubts; the third sees no more
than rows like the test part's that are here; the last asks nothing of any and rather says too much. The expectation
moves by their mean and widens by their spread.
"""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256

import numpy as np
from jaxtyping import Float, Float64, Int, Shaped
from scipy.cluster.hierarchy import fcluster, linkage

from recommender.distance.classifier import classifier
from recommender.distance.mmd import mmd
from recommender.results import Expected, Shift
from recommender.transfer.linear import out_of_fold
from registry.cards import Task
from registry.errors import EstimatorError
from registry.metrics import Z, score, weighted_scores
from registry.sample import Sample
from registry.targets import stratum_of

__all__ = ["MOST_UNLABELLED", "draw_unlabelled", "drops", "lower_expectation", "source_test"]

MOST_UNLABELLED = 800
"""Rows of the test part that are looked at."""
PERMUTATIONS = 999
MOST_ODDS = 20.0
"""Most that a row may count for, beside one that is as likely in either part."""
LEAST_EFFECTIVE = 30
"""Rows in effect, below which weighted folds say nothing."""
LEAST_OVERLAP = 0.5
"""Mean weight, one where the parts overlap, below which no row here is like the test part's: folds say nothing."""
CLUSTERS = 5
"""Clusters that every class is parted into, to hold them out one after the other."""


def draw_unlabelled(test: Sample, seed: int = 0) -> Sample:
    """At most `MOST_UNLABELLED` rows of a test part, drawn by their content alone: whatever their labels are."""
    tickets = [sha256(f"{seed}:{item.digest}".encode()).digest() for item in test.items]
    rows = sorted(range(len(test)), key=tickets.__getitem__)[:MOST_UNLABELLED]
    return test.take(np.array(sorted(rows), np.int64))


def source_test(
    train: Float[np.ndarray, "n d"],
    test: Float[np.ndarray, "m d"],
    groups: tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]] | None = None,
    *,
    seed: int = 0,
) -> Shift:
    """Whether both are one source: MMD's permutation test, beside the AUC of a classifier that tells them apart.

    Raises:
        EstimatorError: fewer than two rows, or two groups, in a part; or all rows are identical.
    """
    far = mmd(train, test, groups=groups, permutations=PERMUTATIONS, seed=seed)
    separation = classifier(train, test, groups=groups, seed=seed)
    return Shift(float(far.p_same or 0.0), separation.details["auc"], len(train), len(test))


def drops(
    train: Float[np.ndarray, "n d"], test: Float[np.ndarray, "m d"], sample: Sample, folds: Int[np.ndarray, " n"]
) -> dict[str, float]:
    """By how much the score of a linear head falls on unlabelled test rows, by each estimate; below 0 it rises.

    ``train`` are features of the sample's rows, whose ``folds`` they are. Of a quantity only *far rows* tells.

    Raises:
        EstimatorError: the rows cannot be learned from.
    """
    groups = None if sample.groups is None else sample.group_ids
    falls = {**_of_confidence(train, test, sample, folds, groups), **_of_weighted_folds(train, test, sample, folds)}
    far = _of_far_rows(train, test, sample, folds, groups)
    return falls if far is None else {**falls, "far rows": far}


def lower_expectation(expected: Expected, drops_by: Mapping[str, float]) -> Expected:
    """What is to be expected of the test part: moved by the mean of the estimates (never up), widened by their spread.

    That nothing changes, as the folds have it, counts as an estimate too, and so does one by which the score rises: a
    head that is the surer of rows that it has not seen the like of (blurred ones) is no better for it (LOG.md).
    """
    estimates = np.maximum(0.0, [0.0, *drops_by.values()])
    mean = max(expected.mean - float(estimates.mean()), expected.metric.lowest)
    deviation = max(expected.high - expected.mean, expected.mean - expected.low) / Z  # one end may be the metric's own
    reach = Z * float(np.hypot(deviation, estimates.std(ddof=1) if len(drops_by) else 0.0))
    return Expected.around(expected.metric, mean, reach)


def _of_confidence(
    train: Float[np.ndarray, "n d"],
    test: Float[np.ndarray, "m d"],
    sample: Sample,
    folds: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None,
) -> dict[str, float]:
    """What the confidence of the folds' own heads says; nothing in regression, where there is none."""
    if sample.task is Task.REGRESSION:
        return {}
    held_out, tested = out_of_fold(train, sample.targets, folds, groups=groups), folds >= 0
    right = (held_out.predicted == sample.targets.values)[tested]
    sure = _confidence(held_out.probabilities[tested], sample.task)
    of_test = np.concatenate(
        [
            _confidence(_predicted(train, test, sample, folds != fold, groups), sample.task)
            for fold in np.unique(folds[tested])
        ]
    )
    accuracy = float(right.mean())
    threshold = np.quantile(sure, 1 - accuracy)
    over = float((sure > threshold).mean()) - float((of_test > threshold).mean())
    return {"threshold": over, "confidence": float(sure.mean() - of_test.mean())}


def _of_weighted_folds(
    train: Float[np.ndarray, "n d"], test: Float[np.ndarray, "m d"], sample: Sample, folds: Int[np.ndarray, " n"]
) -> dict[str, float]:
    """What rows of the folds say that are like the test part's; nothing where these are too few."""
    groups = None if sample.groups is None else sample.group_ids
    odds = _odds(train, test, folds, groups)
    tested = folds >= 0
    weights = odds[tested]
    if weights.sum() ** 2 < LEAST_EFFECTIVE * (weights**2).sum() or weights.mean() < LEAST_OVERLAP:
        return {}
    predicted = out_of_fold(train, sample.targets, folds, groups=groups).predicted
    truth, answers = sample.targets.values[tested], predicted[tested]
    plain, weighted = weighted_scores(sample.metric, truth, answers, np.stack([np.ones(len(weights)), weights]))
    return {"weighted folds": float(plain - weighted)}


def _odds(
    train: Float[np.ndarray, "n d"],
    test: Float[np.ndarray, "m d"],
    folds: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None,
) -> Float64[np.ndarray, " n"]:
    """How much likelier each training row is in the test part than here, by classifiers that have not seen it."""
    parts = np.repeat([0, 1], [len(train), len(test)])
    dealt = np.concatenate([folds, np.arange(len(test)) % (int(folds.max()) + 1)])
    units = None if groups is None else np.concatenate([groups, groups.max() + 1 + np.arange(len(test))])
    held_out = out_of_fold(np.concatenate([train, test]), parts, dealt, groups=units)
    other = np.clip(held_out.probabilities[: len(train), 1], 1e-6, 1 - 1e-6)
    return np.asarray(np.clip(other / (1 - other) * len(train) / len(test), 1 / MOST_ODDS, MOST_ODDS))


def _predicted(
    train: Float[np.ndarray, "n d"],
    test: Float[np.ndarray, "m d"],
    sample: Sample,
    rows: np.ndarray,
    groups: Int[np.ndarray, " n"] | None,
) -> Float64[np.ndarray, "m c"]:
    """Probabilities of the test rows by a head that is fitted to some training rows."""
    known = sample.targets.take(rows)
    nothing = np.zeros_like(known.values, shape=(len(test), *known.values.shape[1:]))
    targets = known.followed_by(replace(known, values=nothing))
    alone = None if groups is None else np.concatenate([groups[rows], groups.max() + 1 + np.arange(len(test))])
    folds = np.repeat([-1, 0], [int(rows.sum()), len(test)])
    predicted = out_of_fold(np.concatenate([train[rows], test]), targets, folds, groups=alone)
    return predicted.probabilities[int(rows.sum()) :]


def _confidence(probabilities: Float64[np.ndarray, "n c"], task: Task) -> Float64[np.ndarray, " r"]:
    """Of the class that is named; or of each decision on a label."""
    if task is Task.CLASSIFICATION:
        return np.asarray(probabilities.max(axis=1))
    return np.asarray(np.maximum(probabilities, 1 - probabilities).ravel())


def _of_far_rows(
    train: Float[np.ndarray, "n d"],
    test: Float[np.ndarray, "m d"],
    sample: Sample,
    folds: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None,
) -> float | None:
    """None where no cluster can be held out."""
    mean, spread = train.mean(axis=0), train.std(axis=0)
    scale = np.where(spread > 0, spread, np.inf)
    far = _far_folds((train - mean) / scale, sample)
    try:
        whole = mmd(train, test, permutations=1, groups=_beside(groups, len(test)))
        fixed = {"sigma": whole.details["sigma"], "mean": mean, "scale": scale}
        between = _mmd(train, test, _beside(groups, len(test)), fixed)
        apart = [
            _mmd(
                train[far != fold],
                train[far == fold],
                None if groups is None else (groups[far != fold], groups[far == fold]),
                fixed,
            )
            for fold in np.unique(far[far >= 0])
        ]
        lost = _scored(train, sample, folds, groups) - _scored(train, sample, far, groups)
    except EstimatorError:
        return None
    if not apart or np.mean(apart) <= 0:
        return None
    return lost * float(np.sqrt(min(1.0, max(0.0, between) / float(np.mean(apart)))))


def _mmd(
    one: Float[np.ndarray, "n d"],
    other: Float[np.ndarray, "m d"],
    groups: tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]] | None,
    fixed: Mapping[str, object],
) -> float:
    return mmd(one, other, groups=groups, permutations=1, **fixed).statistic  # type: ignore[arg-type]  # mmd's own


def _beside(
    groups: Int[np.ndarray, " n"] | None, more: int
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"]] | None:
    """Groups of the training part beside ungrouped rows."""
    return None if groups is None else (groups, np.arange(more))


def _scored(
    train: Float[np.ndarray, "n d"], sample: Sample, folds: Int[np.ndarray, " n"], groups: Int[np.ndarray, " n"] | None
) -> float:
    predicted, tested = out_of_fold(train, sample.targets, folds, groups=groups).predicted, folds >= 0
    return score(sample.metric, sample.targets.values[tested], predicted[tested])


def _far_folds(rows: Float[np.ndarray, "n d"], sample: Sample) -> Int[np.ndarray, " n"]:
    """Folds that each hold out a cluster (Ward's) of every class, or of the rows of a quantile bin; groups whole."""
    strata = np.unique(np.array(stratum_of(sample.labels, sample.task)), return_inverse=True)[1]
    units: Shaped[np.ndarray, " n"] = sample.group_ids
    _, first, unit = np.unique(units, return_index=True, return_inverse=True)
    folds = np.full(len(first), -1)
    for stratum in np.unique(strata[first]):
        members = np.flatnonzero(strata[first] == stratum)
        clusters = min(CLUSTERS, len(members) // 2)
        if clusters > 1:
            means = np.stack([rows[unit == member].mean(axis=0) for member in members])
            folds[members] = fcluster(linkage(means, "ward"), clusters, "maxclust") - 1
    return np.asarray(folds[unit])
