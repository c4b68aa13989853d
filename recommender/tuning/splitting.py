"""Which rows of a sample a run learns from, and which judge it: never those that the checkpoint has seen before."""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Int

from recommender.exposure import enough_unseen
from recommender.runs.job import Job
from registry.cards import Task
from registry.sample import Sample

__all__ = ["Split", "places", "split_rows"]


_HELD_OUT = 0.25


@dataclass(frozen=True, eq=False)
class Split:
    """The sample's rows, split into a training and a test part."""

    train: Sample
    test: Sample
    rows: Int[np.ndarray, " n"]
    """Places of the training rows in the job's sample."""
    flattered: bool = False
    """Whether the checkpoint has seen test rows, and too few others are left to judge it by."""
    notes: tuple[str, ...] = ()


def split_rows(job: Job) -> Split:
    """The sample's own test part, else a share of whole groups that is held out; of rows that were not seen before."""
    sample = job.sample
    if sample.test is not None:
        return _judged_unseen(job, Split(sample, sample.test, np.arange(len(sample))))
    if (unseen := _unseen_split(job)) is not None:
        return unseen
    train_part, test = sample.split(_HELD_OUT, job.seed)
    return _judged_unseen(job, Split(train_part, test, places(sample, train_part)))


def _judged_unseen(job: Job, split: Split) -> Split:
    """The parts, the checkpoint judged on the test rows that it has not seen; a note where these are too few."""
    fresh = _unseen(job, split.test)
    if fresh.all():
        return split
    name, rows = job.checkpoint.name, len(split.test)
    if enough_unseen(int(fresh.sum()), len(split.test.classes)):
        note = f"the score is of {int(fresh.sum()):,} of {rows:,} test rows: {name} has seen the others before"
        return replace(split, test=split.test.take(fresh), notes=(note,))
    copies = job.exposure is not None and job.exposure.copies
    what = "may have seen copies of all" if copies else f"has seen {int((~fresh).sum()):,}"
    note = f"the score is flattered: {name} {what} of these {rows:,} test rows before; it counts for no later advice"
    return replace(split, flattered=True, notes=(note,))


def _unseen_split(job: Job) -> Split | None:
    """A held-out part of rows that the checkpoint has not seen, at most the usual share; None where too few are."""
    sample = job.sample
    fresh = _unseen(job, sample)
    if fresh.all():
        return None
    ids = sample.group_ids
    fresh = ~np.isin(ids, ids[~fresh])
    most = round(_HELD_OUT * len(sample))
    if not enough_unseen(min(int(fresh.sum()), most), len(sample.classes)):
        return None
    test = replace(sample.take(fresh).subsample(most, job.seed), name=f"{sample.name} (held out)", test=None)
    held_out = {item.digest for item in test.items}
    kept = np.array([item.digest not in held_out for item in sample.items])
    train_part = replace(sample.take(kept), test=test)
    if set(train_part.labels) < set(sample.labels) and sample.task is not Task.REGRESSION:
        return None
    note = f"the score is of {len(test):,} rows that {job.checkpoint.name} has not seen before, held out for that"
    return Split(train_part, test, places(sample, train_part), notes=(note,))


def _unseen(job: Job, part: Sample) -> Bool[np.ndarray, " n"]:
    if job.exposure is None or job.plan.from_scratch:
        return np.ones(len(part), bool)
    return job.exposure.unseen([item.digest for item in part.items])


def places(whole: Sample, part: Sample) -> Int[np.ndarray, " n"]:
    """Places of a part's items in the whole."""
    rows = {item: row for row, item in enumerate(whole.items)}
    return np.array([rows[item] for item in part.items], np.int64)
