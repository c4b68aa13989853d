"""Whether the test part is another source than the training part, and what that does to the score to expect.

Cross-validation is blind to it: its folds are all of the training part's source. The unlabelled test rows are not; the
labels of the test part are never looked at. That the parts differ is tested by MMD, with whole groups permuted. Where
they do, six estimates say by how much the score falls:

- *threshold*: average thresholded confidence (Garg et al. 2022): the share of test rows whose confidence exceeds the
  threshold above which exactly the held-out accuracy lies;
- *confidence*: the difference of mean confidences (Guillory et al. 2021);
- *weighted folds*: the score in folds whose rows count by how likely they are in the test part rather than here
  (Shimodaira 2000), by the odds that a cross-validated classifier of the parts gives them, clipped; only where the
  weights leave `LEAST_EFFECTIVE` rows in effect (Kish 1965), and average about one, as they do where the parts overlap;
- *far rows*: how much less is scored where folds hold out whole clusters of every class, in proportion to how far (by
  the root of MMD squared) the test part lies from the training part compared with those clusters from the others.

- *transport*: how much dearer it gets to deal the rows their classes, at one minus the probability that the head gives
  each, as many of a class as there are in the training part (COT; Lu et al. 2023): rows that all land in a few classes
  do not pass for sure ones. Where other shares of the classes account for what sets the parts apart, those are dealt;
- *neighbors*: how much rarer the head and the nearest training rows name the same class (after Jiang et al. 2022).

The first two trust the head's confidence and fall short where what moved is not what it doubts; weighted folds see no
more than rows like the test part's that are here; far rows ask nothing of any and rather say too much. What the last
two say comes nearest to what is lost, whatever moved (`tests/benchmarks/shift.py`, LOG.md): of classes the expectation
moves by them, and widens by the spread of all. Of labels and quantities, where they say nothing, it moves by the mean
of the others.
"""

from collections.abc import Mapping
from hashlib import sha256

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Shaped
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import linear_sum_assignment, nnls
from scipy.spatial.distance import cdist

from recommender.distance.classifier import classifier
from recommender.distance.mmd import bandwidth, gaussian_kernel, mmd
from recommender.results import Expected, Shift
from recommender.transfer.linear import OutOfFold, out_of_fold
from registry.cards import Task
from registry.errors import EstimatorError
from registry.index import neighbors
from registry.metrics import Z, score, weighted_scores
from registry.sample import Sample
from registry.targets import stratum_of

__all__ = [
    "MOST_UNLABELLED",
    "WEIGHTS",
    "WORDS",
    "contributions",
    "draw_unlabelled",
    "drops",
    "lower_expectation",
    "source_test",
]

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
VOTERS = 5
"""Nearest training rows that vote."""
WEIGHTS: Mapping[str, float] = {"transport": 1.0, "neighbors": 0.5}
"""What an estimate that rises above 0 counts for in the fall that is expected of classes. Least squares, none below 0,
over the planted and natural shifts of `tests/benchmarks/shift.py`; the four other estimates got nothing there."""
WORDS: Mapping[str, str] = {
    "threshold": "the head is rarely as sure",
    "confidence": "it is less sure on average",
    "weighted folds": "rows here that are like them are harder",
    "far rows": "they lie as far as clusters that are harder",
    "transport": "they fit the classes less well",
    "neighbors": "head and nearest rows agree less",
}
"""What an estimate says of the test rows."""
LEAST_DOUBT, DOUBT = 0.07, 0.25
"""Standard deviation of what that fall misses, and how much it grows with the estimates' own: fitted there too, for the
least Winkler score."""


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
    heads = out_of_fold(train, sample.targets, folds, groups=groups, others=test)
    sigma = bandwidth(train, test)
    falls = _of_weighted_folds(train, test, sample, folds, heads)
    if sample.task is not Task.REGRESSION:
        falls = {**_of_heads(train, test, sample, folds, heads, sigma), **falls}
    far = _of_far_rows(train, test, sample, folds, heads, sigma)
    return falls if far is None else {**falls, "far rows": far}


def contributions(drops_by: Mapping[str, float]) -> dict[str, float]:
    """What each estimate adds to the fall that is expected; none is below 0."""
    rises = {name: max(0.0, fall) for name, fall in drops_by.items()}
    if rises.keys() >= WEIGHTS.keys():
        return {name: weight * rises[name] for name, weight in WEIGHTS.items()}
    return {name: rise / (len(rises) + 1) for name, rise in rises.items()}


def lower_expectation(expected: Expected, drops_by: Mapping[str, float], besides: float = 0.0) -> Expected:
    """What is to be expected of the test part: moved by the estimates (never up), widened by their spread.

    ``besides`` is a standard deviation of what else is not known of the fall.

    One by which the score rises counts as one by which it does not change: a head that is the surer of rows that it has
    not seen the like of (blurred ones) is no better for it (LOG.md). Where those of `WEIGHTS` are missing, the mean of
    all stands, and that nothing changes, as the folds have it, is one of them.
    """
    spread = float(np.std(np.maximum(0.0, [0.0, *drops_by.values()]), ddof=1)) if len(drops_by) else 0.0
    doubt = LEAST_DOUBT + DOUBT * spread if drops_by.keys() >= WEIGHTS.keys() else spread
    fall = sum(contributions(drops_by).values())
    deviation = max(expected.high - expected.mean, expected.mean - expected.low) / Z  # one end may be the metric's own
    reach = Z * float(np.linalg.norm([deviation, doubt, besides]))
    return Expected.around(expected.metric, max(expected.mean - fall, expected.metric.lowest), reach)


def _of_heads(
    train: Float[np.ndarray, "n d"],
    test: Float[np.ndarray, "m d"],
    sample: Sample,
    folds: Int[np.ndarray, " n"],
    heads: OutOfFold,
    sigma: float,
) -> dict[str, float]:
    """What the folds' own heads say by their confidence, and of classes by what they name."""
    tested = folds >= 0
    right = (heads.predicted == sample.targets.values)[tested]
    sure = _confidence(heads.probabilities[tested], sample.task)
    of_test = np.concatenate([_confidence(probabilities, sample.task) for probabilities in heads.of_others])
    accuracy = float(right.mean())
    threshold = np.quantile(sure, 1 - accuracy)
    over = float((sure > threshold).mean()) - float((of_test > threshold).mean())
    falls = {"threshold": over, "confidence": float(sure.mean() - of_test.mean())}
    if sample.task is not Task.CLASSIFICATION:
        return falls
    held_out = {int(fold): heads.probabilities[folds == fold] for fold in np.unique(folds[tested])}
    own, other = _class_shares(train, test, sample.targets.values, sigma)
    before = np.mean([_transport_cost(one, own) for one in held_out.values()])
    after = min(np.mean([_transport_cost(one, shares) for one in heads.of_others]) for shares in (own, other))
    rarer = [
        _agreement_lost(train, test, sample, folds == fold, of_fold, of_other)
        for (fold, of_fold), of_other in zip(held_out.items(), heads.of_others, strict=True)
    ]
    return {**falls, "transport": float(after - before), "neighbors": float(np.mean(rarer))}


def _transport_cost(probabilities: Float64[np.ndarray, "n c"], shares: Float64[np.ndarray, " c"]) -> float:
    """The least mean of one minus the probability of its class, over all ways to deal rows classes in these shares."""
    ends = np.rint(np.cumsum(shares) * len(probabilities)).astype(int)
    dealt = np.repeat(np.arange(len(shares)), np.diff(ends, prepend=0))
    cost = 1 - probabilities[:, dealt]
    return float(cost[linear_sum_assignment(cost)].mean())


def _class_shares(
    train: Float[np.ndarray, "n d"], test: Float[np.ndarray, "m d"], codes: Int[np.ndarray, " n"], sigma: float
) -> tuple[Float64[np.ndarray, " c"], Float64[np.ndarray, " c"]]:
    """Shares of the classes here, and in the test part as far as a change of shares accounts for the parts' distance.

    The latter lie between the former and those by which MMD to the test part is least (Iyer et al. 2014), by the root
    of the share of MMD squared that is left with these.
    """
    mean, spread = train.mean(axis=0), train.std(axis=0)
    ours, theirs = ((rows - mean) / np.where(spread > 0, spread, np.inf) for rows in (train, test))
    named = np.eye(int(codes.max()) + 1)[codes]
    counts = named.sum(axis=0)
    own = counts / counts.sum()
    kernel = gaussian_kernel(sigma)
    within, between, beyond = (
        kernel(cdist(*pair, "sqeuclidean")) for pair in ((ours, ours), (ours, theirs), (theirs, theirs))
    )
    np.fill_diagonal(within, 0.0)
    np.fill_diagonal(beyond, 0.0)
    alike = named.T @ within @ named / np.maximum(1, np.outer(counts, counts) - np.diag(counts))
    near = named.T @ between.mean(axis=1) / np.maximum(1, counts)
    values, vectors = np.linalg.eigh(alike)
    roots = np.sqrt(np.maximum(values, 1e-6 * values.max()))
    whole = 100 * roots.max()  # that the shares sum to one weighs the most
    system = np.vstack([vectors * roots @ vectors.T, np.full(len(counts), whole)])
    best = nnls(system, np.append(vectors / roots @ vectors.T @ near, whole))[0]
    best /= best.sum()
    constant = beyond.sum() / (len(test) * (len(test) - 1))
    far, left = (shares @ alike @ shares - 2 * shares @ near + constant for shares in (own, best))
    unexplained = float(np.sqrt(min(1.0, max(0.0, left) / far))) if far > 0 else 0.0
    return own, unexplained * own + (1 - unexplained) * best


def _agreement_lost(
    train: Float[np.ndarray, "n d"],
    test: Float[np.ndarray, "m d"],
    sample: Sample,
    held_out: Bool[np.ndarray, " n"],
    before: Float64[np.ndarray, "h c"],
    after: Float64[np.ndarray, "m c"],
) -> float:
    """How much rarer a head and the neighbors among its rows name one class on test rows than on rows held out."""
    spread = train.std(axis=0)
    scale = np.where(spread > 0, spread, np.inf)
    learned = train[~held_out] / scale
    near = neighbors(np.concatenate([train[held_out], test]) / scale, learned, min(VOTERS, len(learned)))[1]
    votes = np.eye(before.shape[1])[sample.targets.values[~held_out][near]].sum(axis=1)
    same = votes.argmax(axis=1) == np.concatenate([before, after]).argmax(axis=1)
    return float(same[: len(before)].mean() - same[len(before) :].mean())


def _of_weighted_folds(
    train: Float[np.ndarray, "n d"],
    test: Float[np.ndarray, "m d"],
    sample: Sample,
    folds: Int[np.ndarray, " n"],
    heads: OutOfFold,
) -> dict[str, float]:
    """What rows of the folds say that are like the test part's; nothing where these are too few."""
    groups = None if sample.groups is None else sample.group_ids
    odds = _odds(train, test, folds, groups)
    tested = folds >= 0
    weights = odds[tested]
    if weights.sum() ** 2 < LEAST_EFFECTIVE * (weights**2).sum() or weights.mean() < LEAST_OVERLAP:
        return {}
    truth, answers = sample.targets.values[tested], heads.predicted[tested]
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
    heads: OutOfFold,
    sigma: float,
) -> float | None:
    """None where no cluster can be held out."""
    groups = None if sample.groups is None else sample.group_ids
    mean, spread = train.mean(axis=0), train.std(axis=0)
    scale = np.where(spread > 0, spread, np.inf)
    far = _far_folds((train - mean) / scale, sample)
    try:
        fixed = {"sigma": sigma, "mean": mean, "scale": scale}
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
        elsewhere = out_of_fold(train, sample.targets, far, groups=groups)
        lost = _score_of(heads, sample, folds) - _score_of(elsewhere, sample, far)
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


def _score_of(heads: OutOfFold, sample: Sample, folds: Int[np.ndarray, " n"]) -> float:
    tested = folds >= 0
    return score(sample.metric, sample.targets.values[tested], heads.predicted[tested])


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
