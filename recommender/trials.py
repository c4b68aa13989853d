"""Short real trainings of the finalists: what training adds on a part of the rows, measured and not expected.

Successive halving (Jamieson and Talwalkar 2016): each finalist's training runs for a few epochs on a part of the probed
rows; the better half of them runs again, for twice the epochs on twice the rows. What a training adds is its score on
rows held out less that of a linear head on the same block and rows. Training from random weights, or all of a net below
a fresh head, says nothing after a few epochs, so that it is tried in full, beside a head on the block that the
checkpoint's own probe reads. What was measured is kept beside the features, so that the same question goes on from it.
Nothing of it becomes history.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from tempfile import TemporaryDirectory

import numpy as np

from recommender.effort import Deadline
from recommender.fusion import from_log_odds, log_odds
from recommender.results import Choice, Plan, Skipped, Trial
from recommender.runs.event_log import EventLog
from recommender.runs.job import Job
from recommender.runs.provider import RowsProvider
from recommender.runs.tracking import no_tracking
from recommender.transfer.linear import out_of_fold
from recommender.tuning.recipe import run_local
from recommender.workers import Workers, in_this_process, sort_results
from registry.cards import Origin, Outcome
from registry.documents import read_json
from registry.errors import NotFetched, TransferZooError, UnreadableDocument, UnreadableForm
from registry.files import write_atomic
from registry.forms import from_json
from registry.home import Home
from registry.metrics import Z, score
from registry.progress import Phase, Progress, Unreported, silent, tracked
from registry.sample import Sample
from registry.targets import Targets
from registry.zoo import Zoo

__all__ = ["MOST_TRIALS", "trial_outcomes", "try_out"]

MOST_TRIALS = 4
"""Trainings that are tried at most."""
_RUNGS = ((400, 3), (800, 6))
"""Rows, a quarter of them held out, and epochs of the trials of each round."""
_HELD_OUT = 0.25
_FEWEST = 80
"""Rows below which what is held out tells nothing."""
_UNLIKE = 0.02
"""Deviation of what all rows and epochs add from what the trial's did."""
PLANNING = 0.05
"""Share of the time there is that planning anew is left."""


def try_out(
    finalists: Sequence[Choice],
    rows: Sample,
    zoo: Zoo,
    *,
    in_full: Sequence[Choice] = (),
    deadline: Deadline,
    seed: int = 0,
    progress: Progress = silent,
    workers: Workers = in_this_process,
) -> tuple[tuple[Trial, ...], tuple[Skipped, ...]]:
    """What the plans of the finalists, which all train, add on a part of the probed rows; and what was left undone.

    Of each the last trial counts, on the most rows. Those to be tried ``in_full``, with all their epochs, follow.

    Raises:
        Cancelled: the observer wants no more.
        ClusterError: the workers are a cluster that cannot do it.
    """
    rows = replace(rows, test=None)
    if not (finalists or in_full) or len(rows) < _FEWEST:
        return (), ()
    trials: dict[tuple[str, str], Trial] = {}
    undone: list[Skipped] = []

    def run_all(choices: Sequence[Choice], part: Sample, epochs: int | None) -> list[Trial]:
        unreached = [Skipped(c.checkpoint.name, f"{_what(c, part)} was not tried") for c in choices]
        shared = _Round(part, rows, epochs, seed)
        results = workers(_attempted, shared, choices, zoo, deadline, Unreported(progress))
        tried, failed, late = sort_results(tracked(results, progress, Phase.TRIAL, len(choices)), unreached)
        undone.extend((*failed, *late))
        trials.update({(trial.checkpoint, trial.strategy): trial for trial in tried})
        return tried

    left = [*finalists[:MOST_TRIALS]]
    for most, epochs in _RUNGS:
        if not left or undone:
            break
        part = rows.subsample(most, seed)
        tried = run_all(left, part, epochs)
        ahead = sorted(tried, key=lambda trial: -trial.score)[: max(1, len(tried) // 2)]
        left = [choice for trial in ahead for choice in left if choice.checkpoint.name == trial.checkpoint]
        if len(part) == len(rows):
            break
    if in_full:
        run_all(in_full, rows.subsample(_RUNGS[-1][0], seed), None)
    return tuple(trials.values()), tuple(undone)


def trial_outcomes(trials: Sequence[Trial], choices: Sequence[Choice], sample: Sample) -> tuple[Outcome, ...]:
    """The trials as results on the sample: what the probe's head is expected to score, moved by what training added.

    The head's own uncertainty, that of the trial's few held-out rows and of what more rows add are its error.
    """
    heads = {choice.checkpoint.name: choice.ranked.expected for choice in choices}
    rows = []
    for trial in trials:
        head = heads[trial.checkpoint]
        odds = log_odds(head.mean) + log_odds(trial.score) - log_odds(trial.head_score)
        unsure = (head.high - head.low) / (2 * Z)
        error = float(np.sqrt(trial.standard_error**2 + unsure**2 + _UNLIKE**2))
        rows.append(
            Outcome(
                f"trial {trial.checkpoint} {trial.strategy}",
                trial.checkpoint,
                trial.strategy,
                sample.digest,
                sample.name,
                sample.task,
                head.metric,
                from_log_odds(float(odds)),
                error,
                trial.rows_train,
                trial.rows_test,
                trial.seconds,
                Origin.OURS,
                "",
                conditions={"trial": trial.to_dict()},
                modality=sample.modality,
            )
        )
    return tuple(rows)


@dataclass(frozen=True, eq=False)
class _Round:
    """What all trials of a round share: the part of the rows that they take, and the epochs; None for all of a plan."""

    part: Sample
    rows: Sample
    epochs: int | None
    seed: int


def _attempted(shared: _Round, choice: Choice, zoo: Zoo, deadline: Deadline, progress: Progress) -> Trial | str | None:
    """One trial, or why there is none; None where time does not do for it."""
    work = partial(_trial, choice, shared, zoo)
    try:
        return deadline.attempt(work, progress, reserve=deadline.share(PLANNING))
    except (TransferZooError, OSError, MemoryError) as failure:
        return f"its trial of {_what(choice, shared.part)} failed: {str(failure) or type(failure).__name__}"


def _what(choice: Choice, part: Sample) -> str:
    return f"{choice.plan.strategy} on {len(part):,} rows"


def _trial(choice: Choice, shared: _Round, zoo: Zoo, progress: Progress) -> Trial:
    """One trial, carried out or as it was kept."""
    part, rows, epochs, seed = shared.part, shared.rows, shared.epochs, shared.seed
    plan = _short(choice.plan, epochs)
    key = [choice.checkpoint.digest, part.order, plan.to_dict(), seed]
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    place = zoo.home.features / f"trial-{digest[:24]}.json"
    if place.exists():
        with suppress(UnreadableDocument, UnreadableForm, NotFetched):  # what is damaged is measured anew
            return from_json(Trial, read_json(place))
    train, held_out = part.split(_HELD_OUT, seed)
    train = replace(train, test=held_out)
    provider = RowsProvider.of(choice.checkpoint.name, rows, zoo, progress)
    with TemporaryDirectory(prefix="transferzoo-trial-") as folder:
        job = Job(
            id="trial",
            checkpoint=choice.checkpoint,
            plan=plan,
            sample=train,
            home=Home.find(folder),
            seed=seed,
        )
        run, _ = run_local(job, no_tracking, progress, provider)
        curve = EventLog(job.folder).curves.get(f"validation {part.metric}", {})
    trial = Trial(
        choice.checkpoint.name,
        plan.strategy,
        len(train),
        len(held_out),
        sum(stage.epochs for stage in plan.stages),
        _head_score(
            choice.ranked.transferability.read.block if plan.head == "fresh" else plan.read,
            train,
            held_out,
            provider,
            job,
            progress,
        ),
        float(run.metrics["score"]),
        float(run.metrics["standard_error"]),
        tuple(value for _, value in sorted(curve.items())),
        float(run.metrics["seconds"]),
    )
    if zoo.home.writable:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, json.dumps(trial.to_dict()).encode())
    return trial


def _short(plan: Plan, epochs: int | None) -> Plan:
    """The plan for so many epochs in all, without what a run is held against."""
    stages = plan.stages
    if epochs is not None:
        each = max(1, epochs // len(stages))
        stages = tuple(replace(stage, epochs=min(stage.epochs, each)) for stage in stages)
    return replace(plan, stages=stages, controls=(), pretraining=None)


def _head_score(
    read: str, train: Sample, held_out: Sample, provider: RowsProvider, job: Job, progress: Progress
) -> float:
    """A linear head's score on the rows held out, after the block ``read``."""
    parts = [provider.features(job, part, progress) for part in (train, held_out)]
    vectors = np.concatenate([part.blocks[part.names.index(read)].vectors for part in parts])
    targets: Targets = train.targets.followed_by(held_out.targets)
    folds = np.repeat([-1, 0], [len(train), len(held_out)])
    predicted = out_of_fold(vectors, targets, folds).predicted[len(train) :]
    return float(score(train.metric, held_out.targets.values, predicted))
