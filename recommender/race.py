"""The race: all candidates on a few rows first; who is behind beyond chance drops out, the others get more rows.

The bounds are paired: on the same rows, held out in the same folds, a linear head on the block that suits it best is
held against the leader's (group bootstrap of the difference), as in Maron and Moore (1994), whose bounds are not
paired, and Birattari et al. (2002). Where accuracy judges, they are of the log probability that a head gives the true
class, which tells heads apart on fewer rows than hits do. Who has dropped out is never probed in full; and of those
whom the second look cannot tell apart only the first few are, for a tie is seldom decided by more rows.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import Float

from recommender.effort import Deadline
from recommender.resampling import Draws, draw_weights, resample
from recommender.results import Candidate, Skipped
from recommender.transfer import scores
from recommender.transfer.linear import out_of_fold
from recommender.workers import Workers, in_this_process, sort_results
from registry.cards import Metric, Task
from registry.errors import EstimatorError, NoVariation, TooFewRows
from registry.features import Encoded
from registry.modalities import modalities
from registry.progress import Phase, Progress, Unreported, silent, tracked
from registry.sample import Sample
from registry.zoo import Zoo

__all__ = [
    "LOOKED_SECONDS",
    "LOOKED_WORK",
    "UNRACED",
    "Race",
    "looked_rows",
    "most_finalists",
    "race",
    "row_work",
    "screening_scores",
]

FIRST, SECOND = (1 / 8, 48, 96), (1 / 4, 96, 200)
"""Share of the rows, fewest and most of the first and of the second look. On eight sets the best of thirteen probes
came first by a look on 200 rows, and on 96 once eighth (LOG.md): there nobody drops out but by the bounds."""
LEAST_LOOKED = 32
LEAST_GROUPS = 10
"""Groups of rows below which the bounds are none: a bootstrap of so few knows too little doubt."""
ROWS_A_CLASS = 2
"""Rows of a look for each class at least, without which they cannot be folded."""
LOOKED_BY = ("linear", "knn", "logme")
"""Scores that a look adds up, each as deviations from the mean of all that are looked at."""
LOOKED_WORK = 2e12
"""Multiplications that the looks on one number of rows may take in all; a number, and no clock, so that the same
question gets the same answer."""
LOOKED_SECONDS = 60.0
"""About what that takes on two cores."""
BEHIND, FAR_BEHIND = 0.95, 0.99
"""Share of the draws in which the leader is ahead of who gets no more rows, and of who gets no full probe."""
FINALISTS = 2
"""How many are probed in full at least."""
IMPROBABLE = 0.05
"""Added to the probability that a head gives the true class, so that one sure mistake does not outweigh all else."""
RACE_SHARE = 0.5
"""Share of the time that is left when it begins, which the race may take."""


@dataclass(frozen=True, eq=False)
class Race:
    """Who is ahead, best first, who dropped out and why, and whom time did not do for.

    Where it did not do for anybody, all are ahead, in the order in which they came.
    """

    ahead: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...] = ()
    undone: tuple[Skipped, ...] = ()
    rows: Sample | None = None
    """The rows on which all who are ahead were looked at; None where nobody had to race."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """What a row took, by checkpoint."""


UNRACED = Race(())
"""Where nobody had to race."""


@dataclass(frozen=True, eq=False)
class _Drawn:
    """What heads are held against one another by, on the same draws of rows."""

    score: Draws
    likelihood: Float[np.ndarray, " B"] | None
    """Mean log probability of the true class in each draw; None where another metric than accuracy judges."""


@dataclass(frozen=True, eq=False)
class _Look:
    candidate: Candidate
    values: Mapping[str, float]
    drawn: "_Drawn | None"
    """Of a linear head out of fold; None where the rows cannot be folded."""
    seconds: float

    @property
    def name(self) -> str:
        return self.candidate.checkpoint.name


def race(  # noqa: PLR0913 - each says who races, or how
    sample: Sample,
    candidates: Sequence[Candidate],
    zoo: Zoo,
    *,
    keep: int,
    finalists: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
    deadline: Deadline | None = None,
    workers: Workers = in_this_process,
) -> Race:
    """At most ``finalists`` of the candidates, else ``keep``, and at least `FINALISTS`.

    All, unseen, where they are not more than ``keep``. As many are looked at, in the order in which they come, as
    `LOOKED_WORK` goes for.

    Raises:
        Cancelled: the observer wants no more.
    """
    if len(candidates) <= keep or sample.is_constant:
        left = tuple(Skipped(c.checkpoint.name, f"only {keep} are kept") for c in candidates[keep:])
        return Race(tuple(candidates[:keep]), left)
    until = deadline or Deadline()
    after = 0.0 if until.seconds is None else (1 - RACE_SHARE) * max(0.0, until.left)
    within, beyond = _affordable(candidates)
    skipped = [
        Skipped(c.checkpoint.name, f"not looked at: {len(within)} others, of which more was to be hoped, took all time")
        for c in beyond
    ]
    most = min(keep, max(FINALISTS, keep if finalists is None else finalists))
    first, further = looked_rows(sample)
    part = _part(sample, within, first, seed)
    looks, failed, undone = _looked(_Glance(part, None, seed, after), within, zoo, progress, until, workers)
    if not looks and undone:
        return Race(tuple(within), tuple(skipped), tuple(undone))
    second = _part(sample, [look.candidate for look in looks], further, seed) if looks else part
    if len(second) > len(part) and len(looks) > keep and not undone:
        on, dropped = _dropped(looks, part, keep, BEHIND)
        ahead_yet = [look.candidate for look in on]
        more, broken, late = _looked(_Glance(second, part, seed, after), ahead_yet, zoo, progress, until, workers)
        if not late:
            looks, part = more, second
            failed += [*dropped, *broken]
    ordered = _ordered(looks)
    failed += _beyond(ordered, part, most)
    ahead, dropped = _dropped(ordered[:most], part, FINALISTS, FAR_BEHIND)
    seconds = {look.name: look.seconds for look in looks}
    return Race(tuple(look.candidate for look in ahead), (*skipped, *failed, *dropped), tuple(undone), part, seconds)


def most_finalists(keep: int) -> int:
    """How many of ``keep`` are probed in full at most where a look cannot tell them apart: the better half."""
    return max(FINALISTS, -(-keep // 2))


def looked_rows(sample: Sample) -> tuple[int, int]:
    """Rows of the first and of the second look at the candidates, where their work allows it."""
    foldable = ROWS_A_CLASS * len(sample.classes)
    first, second = (
        min(len(sample), max(foldable, int(np.clip(share * len(sample), least, most))))
        for share, least, most in (FIRST, SECOND)
    )
    return first, second


def _beyond(ordered: Sequence[_Look], part: Sample, most: int) -> list[Skipped]:
    """Who comes after the first ``most``, and whether chance may have put it there."""
    tied, _ = _dropped(ordered, part, most, FAR_BEHIND)
    close = {look.name for look in tied}
    return [
        Skipped(
            look.name,
            f"its look on {len(part)} rows came {place}. of {len(ordered)}; the first {most} are probed in full"
            + (", and with more rows it would hardly be told from them" if look.name in close else ""),
        )
        for place, look in enumerate(ordered[most:], start=most + 1)
    ]


@dataclass(frozen=True, eq=False)
class _Glance:
    """On which rows candidates are looked at; those of ``known`` they may have been shown before."""

    part: Sample
    known: Sample | None
    seed: int
    after: float
    """Seconds that the race leaves to what comes after it."""


def _looked(
    glance: _Glance,
    candidates: Sequence[Candidate],
    zoo: Zoo,
    progress: Progress,
    deadline: Deadline,
    workers: Workers,
) -> tuple[list[_Look], list[Skipped], list[Skipped]]:
    """A look at each on these rows; who failed, and whom time did not do for."""
    why = f"it was not looked at on {len(glance.part)} rows"
    results = workers(
        _attempted, glance, candidates, zoo, deadline, Unreported(progress), [row_work(one) for one in candidates]
    )
    reported = tracked(results, progress, Phase.LOOK, len(candidates))
    return sort_results(reported, [Skipped(candidate.checkpoint.name, why) for candidate in candidates])


def _attempted(
    glance: _Glance, candidate: Candidate, zoo: Zoo, deadline: Deadline, progress: Progress
) -> _Look | str | None:
    """A look at one, or why there is none; None where time does not do for it."""
    look = partial(_look, candidate, glance, zoo, deadline)
    try:
        return deadline.attempt(look, progress, reserve=glance.after)
    except Exception as failure:  # a stranger's net may raise anything, and the others go on
        return str(failure) or type(failure).__name__


def _look(candidate: Candidate, glance: _Glance, zoo: Zoo, deadline: Deadline, progress: Progress) -> _Look:
    part, known = glance.part, glance.known
    began = deadline.clock()
    encoded = zoo.encode(candidate.checkpoint.name, part, known=known, progress=progress)
    seconds = (deadline.clock() - began) / (len(part) - (0 if known is None else len(known)))
    return _Look(candidate, screening_scores(encoded, part), _drawn(encoded, part, glance.seed), seconds)


def screening_scores(encoded: Encoded, sample: Sample) -> Mapping[str, float]:
    """How well a few rows are told apart by each of `LOOKED_BY`, after the block that does it best.

    Raises:
        NoVariation: no block tells any row from another.
    """
    positions = sample.positions
    groups = positions.units(None if sample.groups is None else sample.group_ids)
    values: dict[str, float] = {}
    for block in encoded.blocks:
        with suppress(NoVariation):
            for name in LOOKED_BY:
                score = scores[name](block.vectors, positions.targets, groups=groups)
                values[name] = max(score, values.get(name, score))
    if not values:
        raise NoVariation(encoded.last.encoder)
    return values


def _drawn(encoded: Encoded, part: Sample, seed: int) -> _Drawn | None:
    """What the linear head says out of fold on the block where it scores best, with its bootstrap."""
    try:
        folds = part.folds(seed=seed)
    except TooFewRows:
        return None
    positions, truth = part.positions, part.targets.values
    groups, dealt = positions.units(None if part.groups is None else part.group_ids), folds[positions.rows]
    tested, weights = folds >= 0, draw_weights(part.group_ids, seed=seed)
    weights = weights[:, tested]
    drawn = []
    for block in encoded.blocks:
        with suppress(EstimatorError):
            head = out_of_fold(block.vectors, positions.targets, dealt, groups=groups)
            guess = positions.gathered(head.predicted)[tested]
            likelihood = None
            if part.task is Task.CLASSIFICATION and part.metric is Metric.ACCURACY:
                probable = head.probabilities[tested, truth[tested]]
                likelihood = weights @ np.log(probable + IMPROBABLE) / weights.sum(axis=1)
            drawn.append(_Drawn(resample(part.metric, truth[tested], guess, weights), likelihood))
    return max(drawn, key=lambda one: one.score.value, default=None)


def _ordered(looks: Sequence[_Look]) -> list[_Look]:
    """Best first by the sum of a look's scores, in standard deviations over all looks; equal ones stay in order."""
    table = np.array([[look.values[name] for name in LOOKED_BY] for look in looks]).reshape(-1, len(LOOKED_BY))
    spread = table.std(axis=0) if len(table) else np.ones(len(LOOKED_BY))
    total: Float[np.ndarray, " n"] = (table / np.where(spread > 0, spread, 1.0)).sum(axis=1)
    return [looks[at] for at in np.argsort(-total, kind="stable")]


def _dropped(looks: Sequence[_Look], part: Sample, least: int, sure: float) -> tuple[list[_Look], list[Skipped]]:
    """Who goes on, and who lies behind the leader beyond chance; the first ``least`` go on in any case.

    Draws of fewer than `LEAST_GROUPS` groups say nothing of chance: nobody lies behind there.
    """
    ordered = _ordered(looks)
    leader = max((look for look in ordered if look.drawn is not None), key=_value, default=None)
    if len(np.unique(part.group_ids)) < LEAST_GROUPS:
        leader = None
    on: list[_Look] = []
    dropped: list[Skipped] = []
    for place, look in enumerate(ordered):
        why = None if leader is None or place < least else _behind(look, leader, part, sure)
        if why is None:
            on.append(look)
        else:
            dropped.append(Skipped(look.name, f"on {len(part)} rows {why}, beyond chance: it got no more"))
    kept = {look.name for look in on}
    return [look for look in looks if look.name in kept], dropped


def _value(look: _Look) -> float:
    return -np.inf if look.drawn is None else look.drawn.score.value


def _behind(look: _Look, leader: _Look, part: Sample, sure: float) -> str | None:
    """That it lies behind the leader on the same draws of rows, and by how much; None where that may be chance."""
    if look.drawn is None or leader.drawn is None:
        return None
    mine, theirs = look.drawn, leader.drawn
    if mine.likelihood is not None and theirs.likelihood is not None:
        if np.quantile(mine.likelihood - theirs.likelihood, sure) >= 0:
            return None
        apart = part.metric.difference(mine.score.value - theirs.score.value)
        return f"it scores {apart} beside {leader.name} and gives the true classes less probability"
    low, high = np.quantile(mine.score.draws - theirs.score.draws, [1 - sure, sure])
    apart = f"{part.metric.interval(-float(high), -float(low))} ({200 * sure - 100:.4g} % interval)"
    return None if high >= 0 else f"it lies {apart} behind {leader.name}"


def _part(sample: Sample, candidates: Sequence[Candidate], most: int, seed: int) -> Sample:
    """As many rows as all of these can be looked at on."""
    work = sum(map(row_work, candidates))
    return sample.subsample(int(np.clip(LOOKED_WORK / work, LEAST_LOOKED, most)), seed, spread=True)


def _affordable(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """As many, in this order, as can be looked at on the least number of rows; and the rest."""
    spent = 0.0
    within: list[Candidate] = []
    beyond: list[Candidate] = []
    for candidate in candidates:
        spent += LEAST_LOOKED * row_work(candidate)
        (within if spent <= LOOKED_WORK or not within else beyond).append(candidate)
    return within, beyond


def row_work(candidate: Candidate) -> float:
    """About how many multiplications a row takes: each weight once for each place that is left in a net's middle."""
    card = candidate.checkpoint
    defaults = modalities[card.modality].defaults
    return card.parameters * max(1.0, defaults.uses(defaults.used(card.input_size, card.cap)))
