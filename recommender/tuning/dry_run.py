"""What a job will cost, measured: the job itself on a few rows, two epochs a stage, in a folder that is thrown away.

What grows with rows and epochs is timed apart and multiplied; the rest is taken as it was. A stage is thought to run
`Stage.expected_epochs`, for most stop early. What a run is held against afterwards is not counted.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from recommender.results import Cost, Stage
from recommender.runs.devices import metered
from recommender.runs.job import Job
from recommender.runs.tracking import NullTrackerRun
from recommender.transfer.linear import fit_head
from recommender.tuning.keeper import PRETRAINING_LOSS
from recommender.tuning.recipe import run_local
from registry.cards import Outcome, Task
from registry.encoders import Encoder, at_positions, open_encoder
from registry.encoders.loading import load_network
from registry.features import Encoded
from registry.home import Home
from registry.progress import Event, Phase, Progress, advance, silent
from registry.sample import Sample

__all__ = ["measure_cost"]

_EPOCHS = 2
_STEPS = 4
"""Batches of an epoch of the trial."""
_LEARNING, _LEARNING_BESIDE_TEST = 0.6, 0.8
"""Shares of a sample that are learned from; where it has a test part, the others but choose."""
_A_CLASS = 8
"""Rows of a class that a trial needs, so that every part has some."""
_HEAVY = 0.02
"""Seconds to encode a row beyond which one batch fewer does."""
_TEST_ROWS = 32
_PRETRAINED = 256
"""Items, or pairs of them, that a trial's net learns from before its head."""
_MORE, _BLUR = 2.5, 0.3
"""How many times the trial's rows a head is fitted to, and by what share of a deviation they are blurred for that."""
_SPILL = 1 << 30
"""Bytes of prepared items that are held in memory at most."""


def measure_cost(job: Job, encoded: Callable[[Sample], bool], progress: Progress = silent) -> Cost:
    """Try a job on a few rows; ``encoded`` tells whether a sample's features are in the cache already.

    Raises:
        TuningError: even the trial failed.
        SampleError, EstimatorError, CheckpointError: the sample or the checkpoint cannot be used.
    """
    advance(progress, Phase.TRY, 0, 1)
    encoder = open_encoder(job.checkpoint.folder, name=job.checkpoint.name, cap=job.checkpoint.cap)
    encoding = _Encoding(at_positions(encoder) if job.sample.task is Task.TOKEN_CLASSIFICATION else encoder)
    few = _few(job, encoding.rate(job.sample.subsample(16, job.seed)))
    recorder = _Recorder(progress=progress)
    with TemporaryDirectory(prefix="transferzoo-trial-") as place, metered(job.device) as meter:
        home = Home.find(place)
        stages = tuple(replace(stage, epochs=_EPOCHS) for stage in job.plan.stages)
        first = job.plan.pretraining
        less = None if first is None else replace(first, epochs=1, rows=min(first.rows, _PRETRAINED))
        few = replace(few, unlabelled=few.unlabelled[:_PRETRAINED])
        plan = replace(job.plan, stages=stages, controls=(), pretraining=less, find_rate=False)
        tried = replace(job, id="trial", home=home, sample=few, plan=plan, source=None)
        run, _ = run_local(tried, recorder.track, recorder, encoding)
    trial = _DryRun(job, few, recorder.instants, encoding, {name: float(value) for name, value in run.metrics.items()})
    advance(progress, Phase.TRY, 1, 1)
    memory = meter.peak_bytes + (trial.more_bytes() if job.device == "cpu" else 0)
    return Cost(trial.seconds(encoded), memory, round(run.metrics["trainable_parameters"]))


def _few(job: Job, seconds_a_row: float) -> Sample:
    """Rows enough for a few batches and for some of each class in every part."""
    steps = _STEPS if seconds_a_row < _HEAVY else _STEPS - 1
    test = job.sample.test
    share = _LEARNING if test is None else _LEARNING_BESIDE_TEST
    rows = max(round(steps * job.plan.batch_size / share), _A_CLASS * len(job.sample.classes))
    few = job.sample.subsample(rows, job.seed)
    return few if test is None else replace(few, test=test.subsample(_TEST_ROWS, job.seed))


@dataclass(frozen=True)
class _Instant:
    """Something that happened, and when: an event of the progress, or a judgment after an epoch."""

    at: float
    phase: Phase | None
    """None for a judgment."""
    part: str
    done: int
    """Of a judgment the epoch."""
    of: int


@dataclass
class _Recorder(NullTrackerRun):
    """Observer and tracker of a dry run; remembers the time of every event."""

    progress: Progress = silent
    """Whoever waits for the trial."""
    instants: list[_Instant] = field(default_factory=list)

    def report(self, event: Event) -> None:
        """Hear of progress."""
        self.instants.append(_Instant(time.perf_counter(), event.phase, event.part, event.done, event.of))

    def cancelled(self) -> bool:
        """As the caller's observer answers."""
        return self.progress.cancelled()

    def point(self, series: str, step: int, value: float) -> None:
        """Hear that an epoch was judged."""
        del value
        if series == PRETRAINING_LOSS:
            return
        self.instants.append(_Instant(time.perf_counter(), None, "", step, 0))


@dataclass
class _Encoding:
    """Encodes each sample once, and knows how long that took; keeps no outcome."""

    encoder: Encoder
    done: dict[str, Encoded] = field(default_factory=dict)
    took: dict[str, float] = field(default_factory=dict)

    def features(self, job: Job, sample: Sample, progress: Progress) -> Encoded:
        """Features of a sample, whatever job they are for."""
        del job
        if sample.order not in self.done:
            began = time.perf_counter()
            self.done[sample.order] = self.encoder.encode(sample.items, progress=progress)
            self.took[sample.order] = time.perf_counter() - began
        return self.done[sample.order]

    def record(self, job: Job, outcome: Outcome) -> None:
        """What is tried out only has no outcome."""

    def rate(self, sample: Sample) -> float:
        """Seconds a row, after the net was warmed up."""
        self.encoder.encode(sample.items[:4])
        return self._seconds(sample.items) / len(sample)

    def steady(self, sample: Sample) -> float:
        """Seconds a row of many: all but the first batch are opened while the net is at work on the one before."""
        first = self.took[sample.order]
        more = self._seconds((*sample.items, *sample.items)) - first
        return min(max(more, 0.5 * first), first) / len(sample)

    def _seconds(self, items: Sequence[Any]) -> float:
        began = time.perf_counter()
        self.encoder.encode(items)
        return time.perf_counter() - began


@dataclass(frozen=True, eq=False)
class _DryRun:
    """What was heard of a trial, and what follows from it for the whole."""

    job: Job
    few: Sample
    instants: Sequence[_Instant]
    encoding: _Encoding
    metrics: Mapping[str, float]

    def seconds(self, encoded: Callable[[Sample], bool]) -> float:
        """What the whole job takes: the trial's own time, and what more rows and epochs add."""
        parts = [self.job.sample, *([] if self.job.sample.test is None else [self.job.sample.test])]
        fresh = sum(len(part) for part in parts if not encoded(part))
        encoding = (fresh * self.encoding.steady(self.few) if fresh else 0.0) - sum(self.encoding.took.values())
        training = self._training() if self.job.plan.stages else 0
        return self.metrics["seconds"] + encoding + self._fitting() + self._pretraining() + training

    def more_bytes(self) -> int:
        """Prepared items that the whole holds beyond those of the trial."""
        if not self.job.plan.stages:
            return 0
        prepared = load_network(
            self.job.checkpoint.folder, cap=self.job.checkpoint.cap, bare=True, task=self.few.task
        ).prepare(self.few.items[0])
        row = sum(part.nbytes for part in prepared.values())
        return sum(min(_SPILL, rows * row) - few * row for few, rows in self._rows().values())

    def _rows(self) -> dict[str, tuple[int, int]]:
        """Rows of the trial and of the whole that are learned from, that choose, that test."""
        test = self.job.sample.test
        rows = {}
        for part in ("training", "validation", "test"):
            few = next(
                instant.of for instant in self.instants if (instant.phase, instant.part) == (Phase.PREPARE, part)
            )
            whole = round(few * len(self.job.sample) / len(self.few))
            rows[part] = few, len(test) if part == "test" and test is not None else whole
        return rows

    def _fitting(self) -> float:
        """What more rows add to the fit of the head: fitted again, to several times the trial's rows, blurred."""
        took = self._span(Phase.HEAD)
        rows, most = len(self.few), len(self.job.sample)
        if not took or rows == most:
            return 0.0
        encoded, random = self.encoding.done[self.few.order], np.random.default_rng(self.job.seed)
        vectors = encoded.blocks[encoded.names.index(self.job.plan.read)].vectors
        positions = self.few.positions
        more = random.integers(rows, size=min(most, round(_MORE * rows)) - rows)
        drawn = positions.within(np.concatenate([np.arange(rows), more]))
        blurred = vectors[drawn] + _BLUR * vectors.std(0) * random.standard_normal((len(drawn), vectors.shape[1]))
        began = time.perf_counter()
        fit_head(blurred, positions.targets.take(drawn), len(self.few.classes))
        share = self._fitted_share()
        slope = max(0.0, time.perf_counter() - began - took) / (rows + len(more) - share * rows)
        return slope * share * (most - rows)

    def _fitted_share(self) -> float:
        """The share of a sample that the head is fitted to."""
        fitted = self._rows()["training"][0] if self.job.plan.stages else self.metrics["rows_train"]
        return fitted / len(self.few)

    def _training(self) -> float:
        """What more rows and epochs add to the training, with the opening of its items and the last judgment."""
        rows = self._rows()
        opening = sum(self._span(Phase.PREPARE, part) * (whole / few - 1) for part, (few, whole) in rows.items())
        stages = _stages(self.instants, len(self.job.plan.stages))
        judged = stages[-1].judging / rows["validation"][0] * (rows["test"][1] - rows["test"][0])
        pairs = zip(stages, self.job.plan.stages, strict=True)
        return opening + judged + sum(self._stage(timed, stage) for timed, stage in pairs)

    def _stage(self, timed: "_Timed", stage: Stage) -> float:
        """What more rows and epochs add to one stage."""
        (learn, learn_all), (choose, choose_all) = (self._rows()[part] for part in ("training", "validation"))
        few, many = (max(1, round(rows / self.job.plan.batch_size)) for rows in (learn, learn_all))
        return (
            timed.step * (stage.expected_epochs * many - _EPOCHS * few)
            + timed.judging * (stage.expected_epochs * choose_all / choose - _EPOCHS)
            + timed.between * (stage.expected_epochs - _EPOCHS)
            + timed.keeping * ((learn_all + choose_all) / (learn + choose) - 1)
        )

    def _pretraining(self) -> float:
        """What more steps add to what comes before the head."""
        at = [instant for instant in self.instants if instant.phase is Phase.PRETRAIN]
        first = self.job.plan.pretraining
        if first is None or len(at) < 2:
            return 0.0
        step = median(later.at - earlier.at for earlier, later in pairwise(at))
        return step * max(0.0, first.shown / self.job.plan.batch_size - len(at))

    def _span(self, phase: Phase, part: str = "") -> float:
        """Seconds from the first to the last event of a part of a phase."""
        at = [instant.at for instant in self.instants if (instant.phase, instant.part) == (phase, part)]
        return at[-1] - at[0] if at else 0.0


@dataclass(frozen=True)
class _Timed:
    """Seconds that parts of a stage took."""

    step: float
    judging: float
    """Of the held-out rows, after an epoch."""
    between: float
    """From the judgment to the next epoch: saving, and starting anew."""
    keeping: float
    """Running the frozen prefix over all rows."""


def _stages(instants: Sequence[_Instant], stages: int) -> list[_Timed]:
    """The stages of a trial, from what was heard of its steps and judgments; judgment 0 is of the start.

    A stage may have ended after its first epoch, and the run with it: one that never began is timed as the one before.
    """
    judged = {instant.done: instant.at for instant in reversed(instants) if instant.phase is None}
    timed: dict[int, _Timed] = {}
    epochs: dict[int, list[_Epoch]] = {}
    for epoch in sorted(judged.keys() - {0}):
        events = [instant for instant in instants if judged[epoch - 1] < instant.at < judged[epoch]]
        last = next(instant for instant in reversed(events) if instant.phase is Phase.TUNE)
        epochs.setdefault((last.done - 1) * stages // last.of, []).append(_Epoch(events, judged[epoch]))
    for place, (first, *more) in epochs.items():
        timed[place] = _timed(first, more[0] if more else None)
    return [timed[max(place for place in timed if place <= at)] for at in range(stages)]


@dataclass(frozen=True)
class _Epoch:
    """What was heard in an epoch, and when it was judged."""

    events: Sequence[_Instant]
    end: float

    @property
    def steps(self) -> list[float]:
        """When each was over."""
        return [instant.at for instant in self.events if instant.phase is Phase.TUNE]


def _timed(first: _Epoch, second: _Epoch | None) -> _Timed:
    """A stage, from its first two epochs, or the only one."""
    epochs = [first, *([second] if second else [])]
    begun = second.steps[0] - first.end if second else 0.0
    between = [later - earlier for epoch in epochs for earlier, later in pairwise(epoch.steps)]
    step = median(between or [begun])
    keeping = 0.0
    for part in {instant.part for instant in first.events if instant.phase is Phase.CACHE}:
        at = [instant.at for instant in first.events if (instant.phase, instant.part) == (Phase.CACHE, part)]
        keeping += at[-1] - at[0]
    return _Timed(step, min(epoch.end - epoch.steps[-1] for epoch in epochs), max(0.0, begun - step), keeping)
