"""Step 3: score the candidates on the user's labels; a candidate that fails becomes Skipped, with the reason."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise, takewhile
from platform import node
from statistics import median

import numpy as np
from jaxtyping import Float, Int

from recommender.effort import Deadline
from recommender.exposure import enough_unseen
from recommender.race import UNRACED, Race, row_work
from recommender.resampling import Draws, draw_weights, resample
from recommender.results import (
    UNSEEN_ERRORS,
    BlockScore,
    Candidate,
    Estimate,
    Skipped,
    Transferability,
    block_to_read,
)
from recommender.transfer import FROM_THE_SOURCE_HEAD, ComparableScore, scores
from recommender.transfer.decomposition import decompose
from recommender.transfer.linear import out_of_fold
from recommender.workers import Workers, in_this_process, sort_results
from registry.cards import Metric, Task
from registry.encoders import BlockSize
from registry.errors import EstimatorError, NotAScore, TransferZooError, UnreadableForm
from registry.features import Encoded, Features
from registry.forms import from_json, to_json
from registry.metrics import score as metric_score
from registry.plugins import warn_of_plugin
from registry.progress import Event, Phase, Progress, silent
from registry.sample import Sample
from registry.targets import Positions, Targets
from registry.zoo import Zoo

__all__ = ["CLOSING", "probe", "reserved", "rows_probed", "transferability"]

_MOST_ROWS = 800
"""Rows that are probed, where two of each class are no more."""
_MOST_OF_CLASSES = 4_000
"""Rows that are probed at most, of however many classes."""
MOST_POSITIONS = 2000
"""Positions of rows, where each has several, on which scores of features are computed; the head is judged on all."""
TIMED_ROWS = 16
TRIES = 5
TIMED_BATCHES = 4
"""Batches from which the seconds of a row are those of the batches, instead of tries on a few rows."""
CLOSING = 0.15
"""Share of the time there is that ranking and planning are left."""
BESIDE_TEST = 0.2
"""Share that is left to weigh what a test part of another source costs."""


def rows_probed(sample: Sample) -> int:
    """How many rows of a sample are probed at most: 800, or two of each class where that is more."""
    return max(_MOST_ROWS, min(2 * len(sample.classes), _MOST_OF_CLASSES))


def reserved(until: Deadline, sample: Sample) -> float:
    """Seconds that probing leaves to what comes after it."""
    weighed = sample.test is not None and sample.task is not Task.TOKEN_CLASSIFICATION
    return until.share(CLOSING + (BESIDE_TEST if weighed else 0.0))


def probe(  # noqa: PLR0913 - each says what is probed, or how
    sample: Sample,
    candidates: Sequence[Candidate],
    zoo: Zoo,
    *,
    folds: Int[np.ndarray, " n"],
    seed: int = 0,
    progress: Progress = silent,
    deadline: Deadline | None = None,
    race: Race = UNRACED,
    workers: Workers = in_this_process,
) -> tuple[tuple[Transferability, ...], tuple[Skipped, ...], tuple[Skipped, ...]]:
    """Encode the sample by each candidate in one forward pass and score every block of it.

    Gives what was scored, who failed, and whom time did not do for. Whatever a candidate raises, the others go on.
    Features of the rows of the race may be kept already, and it tells what a row takes.

    Raises:
        Cancelled: the observer wants no more; the features that are computed are kept.
    """
    until = deadline or Deadline()
    why = f"it was not probed on {len(sample):,} rows"
    costs = [race.seconds.get(candidate.checkpoint.name, 0.0) for candidate in candidates]
    if not all(costs):
        costs = [row_work(candidate) for candidate in candidates]
    results = workers(_attempted, _Probing(sample, folds, seed, race), candidates, zoo, until, progress, costs)
    unreached = [Skipped(candidate.checkpoint.name, why) for candidate in candidates]
    scored, skipped, undone = sort_results(results, unreached)
    return tuple(scored), tuple(skipped), tuple(undone)


@dataclass(eq=False)
class _Probing:
    """On what all candidates are probed, and the most seconds that scoring one has taken in this process."""

    sample: Sample
    folds: Int[np.ndarray, " n"]
    seed: int
    race: Race
    scoring: float = 0.0

    @property
    def fresh(self) -> int:
        """Rows that the race has not shown to anybody."""
        return len(self.sample) - (0 if self.race.rows is None else len(self.race.rows))


def _attempted(
    probing: _Probing, candidate: Candidate, zoo: Zoo, until: Deadline, progress: Progress
) -> Transferability | str | None:
    """One candidate scored, or why it cannot be; None where time does not do for it."""
    name, sample, race = candidate.checkpoint.name, probing.sample, probing.race
    try:
        needs = 0.0 if zoo.encodings.encoded(name, sample) else probing.fresh * race.seconds.get(name, 0.0)
        encoded = until.attempt(
            partial(_encoded, candidate, sample, zoo, race),
            progress,
            needs=needs + probing.scoring,
            reserve=reserved(until, sample),
        )
        if encoded is None:
            return None
        began = until.clock()
        result = _scored(candidate, *encoded, sample, probing.folds, probing.seed)
        probing.scoring = max(probing.scoring, until.clock() - began)
    except Exception as failure:  # a stranger's net may raise anything, and the others go on
        return _reason(failure)
    return result


def _scored(
    candidate: Candidate, encoded: Encoded, net: "_Net", sample: Sample, folds: Int[np.ndarray, " n"], seed: int
) -> Transferability:
    result = transferability(candidate, encoded, sample, folds, seed, net.seconds)
    sized = zip(result.blocks, net.sizes, strict=True)
    return replace(
        result,
        blocks=tuple(replace(block, parameters=size.parameters) for block, size in sized),
        adaptable=net.adaptable,
        sizes=net.sizes,
        opening_seconds=min(net.opening, net.seconds / 2),
        remarks=net.remarks,
    )


@dataclass(frozen=True)
class _Net:
    """What is known of a checkpoint once it was opened, kept beside the features that it gave."""

    machine: str
    """Whose seconds they are."""
    opening: float
    """Seconds to open an item."""
    seconds: float
    """Seconds to open and see one."""
    adaptable: tuple[str, ...]
    sizes: tuple[BlockSize, ...]
    remarks: tuple[str, ...]


def _encoded(candidate: Candidate, sample: Sample, zoo: Zoo, race: Race, progress: Progress) -> tuple[Encoded, _Net]:
    """Features of a sample, and what is known of the net; where both are kept, it is not opened."""
    name = candidate.checkpoint.name
    try:
        known = from_json(_Net, zoo.encodings.measurement(name, sample))
    except UnreadableForm:
        known = None
    if known is not None and known.machine == node():
        return zoo.encode(name, sample, progress=progress), known
    clock = _Clock(progress)
    encoded = zoo.encode(name, sample, known=race.rows, progress=clock)
    encoder, by_clock = zoo.encoder(name), clock.seconds_a_row
    if sample is race.rows and name in race.seconds:
        opening, seconds = 0.0, by_clock or race.seconds[name]
    elif by_clock is not None:
        opening, seconds = _opening(sample), by_clock
    else:
        opening, seconds = _seconds(candidate, sample, zoo)
    net = _Net(node(), opening, seconds, encoder.adaptable, encoder.sizes, encoder.remarks(sample.items))
    zoo.encodings.keep_measurement(name, sample, to_json(net))
    return encoded, net


@dataclass(eq=False)
class _Clock:
    """Passes on the progress of an encoding, and takes the time from one batch to the next."""

    progress: Progress
    _at: list[tuple[float, int]] = field(default_factory=list)

    def report(self, event: Event) -> None:
        if event.phase is Phase.ENCODE:
            self._at.append((time.perf_counter(), event.done))
        self.progress.report(event)

    def cancelled(self) -> bool:
        return self.progress.cancelled()

    @property
    def seconds_a_row(self) -> float | None:
        """The median batch's, whatever else the machine did meanwhile; None of fewer than `TIMED_BATCHES`.

        The first has to wait for its items, which are later opened while the net is at work.
        """
        pairs = [*pairwise(self._at)][1:]
        if len(pairs) < TIMED_BATCHES:
            return None
        return median((later - earlier) / (upto - since) for (earlier, since), (later, upto) in pairs)


def _reason(failure: Exception) -> str:
    """One line: a `TransferZooError` in its own words, any other error with its kind."""
    words = " ".join(str(failure).split())[:300]
    if isinstance(failure, TransferZooError):
        return words
    return f"{type(failure).__name__}: {words}" if words else type(failure).__name__


def transferability(
    candidate: Candidate, encoded: Encoded, sample: Sample, folds: Int[np.ndarray, " n"], seed: int, seconds: float
) -> Transferability:
    """All scores there are on the last block, and the linear head's cross-validated score after every block.

    The head's own predictions are those on the block to read. Rows that the checkpoint has seen may train a head, but
    none is judged by them, where enough others are left.
    """
    weights = draw_weights(sample.group_ids, seed=seed)
    positions, truth = sample.positions, sample.targets.values
    units = positions.units(None if sample.groups is None else sample.group_ids)
    exposure = candidate.exposure
    judged = None if exposure is None else exposure.unseen([item.digest for item in sample.items])
    believed = judged is None or enough_unseen(int((judged & (folds >= 0)).sum()), len(sample.classes))
    tested = (folds >= 0) & judged if judged is not None and believed else folds >= 0
    dealt = folds[positions.rows]
    heads = [out_of_fold(block.vectors, positions.targets, dealt, groups=units) for block in encoded.blocks]
    guesses = [positions.gathered(head.predicted) for head in heads]
    drawn = [resample(sample.metric, truth[tested], guess[tested], weights[:, tested]) for guess in guesses]
    blocks = tuple(
        BlockScore(name, draws.value, draws.standard_error) for name, draws in zip(encoded.names, drawn, strict=True)
    )
    errors = 1.0 if judged is None else UNSEEN_ERRORS
    place = encoded.names.index(block_to_read(blocks, errors).block)
    guess = guesses[place]
    by_fold = tuple(
        metric_score(sample.metric, truth[folds == fold], guess[folds == fold]) for fold in np.unique(folds[tested])
    )
    of_last = _scores(encoded.last, positions, units)
    return Transferability(
        candidate,
        of_last,
        blocks,
        by_fold,
        guess,
        seconds,
        encoded.blocks[place].width,
        judged=tested if judged is not None else None,
        believed=believed,
        optimism=0.0 if judged is None else _optimism(blocks, drawn, errors),
        estimates=() if exposure is not None else _estimates(encoded.blocks[place], sample.metric, positions, units),
        over_blocks=_over_blocks(encoded, sample, units, of_last),
        probabilities=heads[place].probabilities if sample.task is Task.CLASSIFICATION else None,
    )


def _over_blocks(
    encoded: Encoded, sample: Sample, groups: Int[np.ndarray, " n"] | None, of_last: Mapping[str, float]
) -> dict[str, float]:
    """The best k-NN and H-score over the blocks; the latter as a share of the most that so many classes allow."""
    if sample.task is not Task.CLASSIFICATION:
        return {}
    most = {"knn": 1.0, "hscore": max(1.0, float(sample.targets.values.max()))}
    best = {name: of_last[name] / most[name] for name in takewhile(of_last.__contains__, most)}
    for block in encoded.blocks[:-1]:
        with suppress(EstimatorError):
            thin = decompose(block.vectors)
            for name, of in most.items():
                value = float(scores[name](thin, sample.targets, groups=groups)) / of
                best[name] = max(value, best.get(name, value))
    return best


def _optimism(blocks: Sequence[BlockScore], drawn: Sequence[Draws], errors: float) -> float:
    """By how much the choice of a block flatters its score: the bootstrap's estimate (Efron 1983), never below 0.

    In every draw of the rows a block is chosen anew, and its score on that draw held against its score on all rows.
    """
    table, names = np.stack([draws.draws for draws in drawn], axis=1), [block.block for block in blocks]
    flattered = []
    for row in table:
        on_draw = [replace(block, score=float(score)) for block, score in zip(blocks, row, strict=True)]
        at = names.index(block_to_read(on_draw, errors).block)
        flattered.append(on_draw[at].score - blocks[at].score)
    return max(0.0, float(np.mean(flattered)))


def _opening(sample: Sample) -> float:
    """Seconds to open an item: of a few, after as many to warm up, the median of some tries."""
    items, opened = sample.items[:TIMED_ROWS], []
    for _ in range(1 + TRIES):
        began = time.perf_counter()
        for item in items:
            item.open()
        opened.append(time.perf_counter() - began)
    return median(opened[1:]) / len(items)


def _seconds(candidate: Candidate, sample: Sample, zoo: Zoo) -> tuple[float, float]:
    """Seconds to open an item, and to open and see it: of a few, after as many to warm up, the median of some tries.

    Cached features would tell nothing of the cost, and few batches nothing certain.
    """
    encoder, items = zoo.encoder(candidate.checkpoint.name), sample.items[:TIMED_ROWS]
    encoded = []
    for _ in range(1 + TRIES):
        began = time.perf_counter()
        encoder.encode(items, progress=silent)
        encoded.append(time.perf_counter() - began)
    return _opening(sample), median(encoded[1:]) / len(items)


def _scores(read: Features, positions: Positions, units: Int[np.ndarray, " p"] | None) -> dict[str, float]:
    """Each score of features that is defined for such targets; one of a plug-in that fails is left out and named."""
    vectors, targets, groups = _thinned(read, positions, units)
    values = {}
    try:
        shared = decompose(vectors)
    except EstimatorError:
        return {}
    for name, score in scores.usable():
        if name in FROM_THE_SOURCE_HEAD:
            continue
        brought = name in scores.brought
        try:
            value = score(vectors if brought else shared, targets, groups=groups)
        except EstimatorError:
            continue
        except Exception as failure:
            if not brought:
                raise
            warn_of_plugin("score", name, failure)
            continue
        if np.isfinite(value):
            values[name] = float(value)
        else:
            warn_of_plugin("score", name, NotAScore(name, value))
    return values


def _thinned(
    read: Features, positions: Positions, units: Int[np.ndarray, " p"] | None
) -> tuple[Float[np.ndarray, "q d"], Targets, Int[np.ndarray, " q"] | None]:
    """Features, targets and what belongs together, of at most `MOST_POSITIONS` where rows have several."""
    places = positions.thinned(MOST_POSITIONS)
    if len(places) == len(positions):
        return read.vectors, positions.targets, units
    return read.vectors[places], positions.targets.take(places), None if units is None else units[places]


def _estimates(
    read: Features, metric: Metric, positions: Positions, units: Int[np.ndarray, " p"] | None
) -> tuple[Estimate, ...]:
    """What the comparable scores, ours or a plug-in's, say of the block to read."""
    vectors, targets, groups = _thinned(read, positions, units)
    estimates = []
    for name, score in scores.usable():
        if not isinstance(score, ComparableScore):
            continue
        try:
            if metric not in score.metrics:
                continue
            value, error = score(vectors, targets, groups=groups), score.standard_error
        except EstimatorError:
            continue
        except Exception as failure:
            if name not in scores.brought:
                raise
            warn_of_plugin("score", name, failure)
            continue
        if metric.lowest <= value <= 1 and 0 < error < np.inf:
            estimates.append(Estimate(name, float(value), float(error)))
        else:
            warn_of_plugin("score", name, NotAScore(name, value, str(metric), error))
    return tuple(estimates)
