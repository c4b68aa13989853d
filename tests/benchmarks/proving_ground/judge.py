"""Judging: every method on every target, within groups of equal size and architecture or over all checkpoints."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from tests.benchmarks.proving_ground.figures import ceiling, entropy, regret, relative, weighted_tau
from tests.benchmarks.proving_ground.rankers import Ranker, by_random, leaks
from tests.benchmarks.proving_ground.skill import family_means
from tests.benchmarks.proving_ground.truth import Truth

__all__ = [
    "FEWEST",
    "Judged",
    "Method",
    "Wins",
    "ceilings",
    "groups_of",
    "judge",
    "judge_chosen",
    "judge_fixed",
    "judge_random",
    "wins",
]

FEWEST = 3
"""A ranking of fewer checkpoints says nothing."""
RANDOM_ORDERS = 20
FIGURES = ("tau", "relative", "regret_1", "regret_3", "cost")
Masks = Sequence[Bool[np.ndarray, " k"]]


@dataclass(frozen=True)
class Method:
    """A named ranker; one that probes pays for every candidate's forward pass before it answers."""

    name: str
    ranker: Ranker
    probes: bool = False


@dataclass(frozen=True, eq=False)
class Judged:
    """A method's figures by target: a mean over the groups judged; NaN where it was not judged."""

    name: str
    tau: Float[np.ndarray, " t"]
    relative: Float[np.ndarray, " t"]
    regret_1: Float[np.ndarray, " t"]
    regret_3: Float[np.ndarray, " t"]
    cost: Float[np.ndarray, " t"]
    """Seconds until the first choice is tuned, as a share of tuning every candidate."""
    blind: int = 0
    """Candidates on which the method had no opinion; they come last."""
    leaks: bool = False


@dataclass(frozen=True, eq=False)
class Wins:
    """How often each checkpoint is best; a family's targets share one vote."""

    checkpoints: tuple[str, ...]
    votes: Float[np.ndarray, " k"]
    bits: float
    most_bits: float


def groups_of(truth: Truth) -> dict[str, Bool[np.ndarray, " k"]]:
    """Checkpoints by group, for groups large enough to be ranked."""
    names = np.array(truth.groups)
    by_name = {group: names == group for group in dict.fromkeys(truth.groups)}
    return {group: mask for group, mask in by_name.items() if mask.sum() >= FEWEST}


def judge(truth: Truth, method: Method, masks: Masks) -> Judged:
    """The method on every target, its own figures averaged over the groups."""
    rows = [_judge_group(truth.of(mask), method) for mask in masks]
    return Judged(
        method.name,
        *_mean([row[0] for row in rows], len(truth.targets)),
        blind=sum(row[1] for row in rows),
        leaks=any(row[2] for row in rows),
    )


def judge_random(truth: Truth, masks: Masks) -> Judged:
    """The mean of many random orders."""
    orders = [judge(truth, Method("random", by_random(seed)), masks) for seed in range(RANDOM_ORDERS)]
    mean = {name: np.mean([getattr(order, name) for order in orders], axis=0) for name in FIGURES}
    return Judged("random", **mean, leaks=any(order.leaks for order in orders))


def judge_fixed(
    truth: Truth, name: str, halves_of: Callable[[Truth], Float[np.ndarray, "2 t"]], masks: Masks
) -> Judged:
    """A choice from outside the table (no transfer, a generalist's linear head): it has regret but ranks nothing."""
    parts = []
    for own in (truth.of(mask) for mask in masks):
        table, halves = np.full((len(FIGURES), len(truth.targets)), np.nan), halves_of(own)
        for t in range(len(truth.targets)):
            best = own.halves[:, own.rows(t), t]
            if best.shape[1] >= FEWEST and np.isfinite(halves[:, t]).all():
                tops = np.array([best[0, np.argmax(best[1])], best[1, np.argmax(best[0])]])
                lost = float((tops - halves[:, t]).mean())
                table[1:4, t] = float((halves[:, t] / np.maximum(tops, 1e-12)).mean()), lost, lost
        parts.append(table)
    return Judged(name, *_mean(parts, len(truth.targets)))


def judge_chosen(name: str, singles: Sequence[Judged], families: tuple[str, ...]) -> Judged:
    """On each family whichever method has the highest tau on all others, for nobody knows the best one beforehand."""
    names = np.array(families)
    figures = {figure: np.full(len(families), np.nan) for figure in FIGURES}
    for family in dict.fromkeys(families):
        own = names == family
        known = [
            (float(means[np.isfinite(means)].mean()), one)
            for one in singles
            if np.isfinite(means := family_means(np.where(own, np.nan, one.tau), families)).any()
        ]
        if known:
            chosen = max(known, key=lambda pair: pair[0])[1]
            for figure, values in figures.items():
                values[own] = getattr(chosen, figure)[own]
    return Judged(name, **figures)


def ceilings(truth: Truth, masks: Masks) -> Float[np.ndarray, " t"]:
    """The noise ceiling by target, a mean over the groups."""
    tables = []
    for own in (truth.of(mask) for mask in masks):
        each = [own.halves[:, own.rows(t), t] for t in range(len(truth.targets))]
        tables.append(np.array([[ceiling(halves) if halves.shape[1] >= FEWEST else np.nan for halves in each]]))
    return _mean(tables, len(truth.targets))[0]


def wins(truth: Truth) -> Wins:
    """The winners of the table, judged on the whole test part; ties share."""
    votes = np.zeros(len(truth.checkpoints))
    judged = [t for t in range(len(truth.targets)) if truth.rows(t).sum() >= FEWEST]
    shared = Counter(truth.families[t] for t in judged)
    for t in judged:
        rows = np.flatnonzero(truth.rows(t))
        best = rows[truth.whole[rows, t] >= truth.whole[rows, t].max() - 1e-12]
        votes[best] += 1 / len(best) / shared[truth.families[t]]
    return Wins(truth.checkpoints, votes, *(entropy(votes) if votes.sum() else (0.0, 0.0)))


def _judge_group(truth: Truth, method: Method) -> tuple[Float[np.ndarray, "5 t"], int, bool]:
    table = np.full((len(FIGURES), len(truth.targets)), np.nan)
    blind, leaky = 0, False
    for t in range(len(truth.targets)):
        rows = truth.rows(t)
        if rows.sum() < FEWEST:
            continue
        predicted = method.ranker(truth.case(t))
        leaky = leaky or leaks(method.ranker, truth, t)
        silent = ~np.isfinite(predicted)
        blind += int(silent.sum())
        if not silent.all():
            predicted = np.where(silent, predicted[~silent].min() - 1, predicted)
            table[:, t] = _figures(
                truth.halves[:, rows, t], predicted, truth.seconds[rows, t], _probing(truth, method, t)
            )
    return table, blind, leaky


def _figures(
    halves: Float[np.ndarray, "2 k"],
    predicted: Float[np.ndarray, " k"],
    seconds: Float[np.ndarray, " k"],
    probing: Float[np.ndarray, " k"],
) -> Float[np.ndarray, " 5"]:
    tau = np.mean([weighted_tau(half, predicted) for half in halves])
    pick = np.argmax(predicted)
    cost = (probing.sum() + max(seconds[pick] - probing[pick], 0.0)) / max(seconds.sum(), 1e-12)
    return np.array(
        [tau, relative(halves, predicted), regret(halves, predicted), regret(halves, predicted, tries=3), cost]
    )


def _probing(truth: Truth, method: Method, target: int) -> Float[np.ndarray, " k"]:
    """Seconds of each candidate's forward pass, which tuning it does not need again."""
    rows, spent = truth.rows(target), truth.figures.get("effort.seconds")
    if not method.probes or spent is None:
        return np.zeros(int(rows.sum()))
    return np.where(np.isfinite(spent[rows, target]), spent[rows, target], 0.0)


def _mean(tables: Sequence[Float[np.ndarray, "f t"]], targets: int) -> Float[np.ndarray, "f t"]:
    """The mean of tables, leaving NaN out; NaN where none has a figure."""
    if not tables:
        return np.full((len(FIGURES), targets), np.nan)
    stack = np.stack(tables)
    known = np.isfinite(stack)
    return np.where(known.any(axis=0), np.where(known, stack, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.nan)
