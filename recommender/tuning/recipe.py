"""The recipe: how a job becomes a run. `run_local` carries it out in this process.

The run's folder holds the tuned backbone in transformers format, the head, the preprocessing, the event log and,
written last, run.json: a folder without it is not a finished run. A run that was interrupted goes on from its last save
when it is carried out again.
"""

import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped

from recommender.baseline import RawEncoder, RawRows, is_raw
from recommender.exposure import enough_unseen
from recommender.resampling import draw_weights, resample
from recommender.results import TuningRun
from recommender.runs.devices import metered
from recommender.runs.folder import RunFolder, RunState
from recommender.runs.job import Job
from recommender.runs.provider import FolderProvider, Provider
from recommender.runs.tracking import Tracker, TrackerRun
from recommender.strategies.rules import require_head
from recommender.transfer.linear import fit_ridge
from recommender.tuning import controls
from recommender.tuning.classifier import Classifier, fresh_head, logistic_head
from recommender.tuning.data import ItemRows, prepare_rows
from recommender.tuning.feature_drift import FeatureDrift, Forgetting, probe_source
from recommender.tuning.heads import (
    FittedHead,
    LinearHead,
    NeighborsHead,
    PrototypeHead,
    RawNeighborsHead,
    ScaledLinearHead,
    named,
)
from recommender.tuning.storing import store
from registry.cards import Metric, Origin, Outcome, Task
from registry.encoders.layers import layers_of
from registry.encoders.loading import open_network
from registry.errors import Diverged, OutOfRoom, TooFewRows, TransferZooError, UnknownName
from registry.files import disk_full_named
from registry.forms import to_json
from registry.metrics import score
from registry.progress import Phase, Progress, advance, silent
from registry.sample import Sample

__all__ = ["run_local"]

_HELD_OUT = 0.25
_NO_BETTER = (
    "training did not improve on the fitted head beyond chance: "
    "the backbone is left as it was, and the head fitted to all rows"
)
_BEYOND = 1.0
"""Standard errors by which the best of many epochs must beat a fitted head that has yet to see the held-out rows."""
_VALIDATION = 0.2


@dataclass(frozen=True, eq=False)
class _Split:
    """The sample's rows, split into a training and a test part."""

    train: Sample
    test: Sample
    rows: Int[np.ndarray, " n"]
    """Places of the training rows in the job's sample."""
    flattered: bool = False
    """Whether the checkpoint has seen test rows, and too few others are left to judge it by."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Fit:
    """A head, the classifier it belongs to if that was trained, what they say of the test rows, and notes."""

    head: FittedHead
    classifier: Classifier | None
    logits: Float[np.ndarray, "n c"]
    metrics: Mapping[str, float]
    notes: tuple[str, ...]
    forgetting: Forgetting | None = None
    """None where there was nothing to forget: the net started from random weights."""
    against: tuple[controls.Control, ...] = ()
    raw: RawEncoder | None = None
    """What makes the features that the head reads, where nothing is transferred."""


def run_local(
    job: Job, track: Tracker, progress: Progress = silent, provider: Provider | None = None
) -> tuple[TuningRun, Outcome]:
    """Carry out a job in this process, from its last save where it was begun before.

    The run's end and its outcome are one file, run.json; the provider gets the outcome next, and only then does anybody
    wait for MLflow. Without a provider features are computed from the checkpoint's folder, and no outcome is kept.

    Raises:
        NotResumable: another process carries it out, or it is finished.
        Diverged: the loss became NaN or infinite; the best weights so far are stored.
        OutOfRoom: memory ran out.
        DiskFull: the disk has no room; the run can be resumed.
        SampleError, EstimatorError, CheckpointError: the sample or the checkpoint cannot be used.
        Cancelled: the observer wants no more; the run can be resumed.
    """
    folder, finished, helper = RunFolder(job.folder), None, provider or FolderProvider()
    troubles: tuple[str, ...] = ()
    with folder.held(), _recorded_failure(folder), _named_failures(job):
        folder.start(job.to_dict())
        earlier = folder.spent
        try:
            with folder.beating(), track(job) as tracker_run:
                finished = _fit_and_store(job, helper, earlier, tracker_run, progress)
                _, outcome = _concluded(job, finished, tracker_run.troubles, tracker_run.run_id)
                with suppress(TransferZooError):  # it is tried again below, and by the next start
                    helper.record(job, outcome)
                tracker_run.model(job.folder)
        except KeyboardInterrupt:
            if finished is None:
                raise
            troubles = (f"telling MLflow was interrupted: `transferzoo runs sync {job.id}`",)
        run, outcome = _concluded(job, finished, (*tracker_run.troubles, *troubles), tracker_run.run_id)
        helper.record(job, outcome)
        folder.tidy()
    return run, outcome


@contextmanager
def _recorded_failure(folder: RunFolder) -> Iterator[None]:
    """The folder knows how a run that did not finish stands: failed, or interrupted and to be resumed."""
    try:
        yield
    except TransferZooError as failure:
        _mark(folder, RunState.FAILED, str(failure), failure.remedy)
        raise
    except Exception as failure:
        _mark(folder, RunState.FAILED, f"{type(failure).__name__}: {failure}")
        raise
    except BaseException:
        _mark(folder, RunState.INTERRUPTED, "interrupted")
        raise


def _mark(folder: RunFolder, state: RunState, reason: str, remedy: str = "") -> None:
    """Where not even that can be written (the disk is full), the next start finds that nobody is at it."""
    with suppress(OSError):
        folder.mark(state, reason, remedy)


@contextmanager
def _named_failures(job: Job) -> Iterator[None]:
    try:
        with disk_full_named(job.folder):
            yield
    except (MemoryError, torch.OutOfMemoryError) as cause:
        raise OutOfRoom("memory") from cause


@dataclass(frozen=True, eq=False)
class _FinishedRun:
    """A run that has come to its end, but for what becomes of telling others."""

    split: _Split
    fit: _Fit
    metrics: Mapping[str, float]
    notes: tuple[str, ...]
    ended: str
    """ISO 8601, UTC."""


def _fit_and_store(
    job: Job, helper: Provider, earlier: float, tracker_run: TrackerRun, progress: Progress
) -> _FinishedRun:
    """Train and store; then look back at what was forgotten and at what the same rows give without transfer.

    ``earlier`` are the seconds that were spent on it before it was interrupted.
    """
    began, split = time.perf_counter(), _split(job)
    with metered(job.device) as meter:
        if job.plan.stages:
            fit = _trained(job, helper, split, tracker_run.point, progress)
        else:
            raw = is_raw(job.plan.strategy)
            fit = _untransferred(job, split, progress) if raw else _probed(job, helper, split, progress)
    metrics = _metrics(job, split, fit, earlier + time.perf_counter() - began, meter.peak_bytes)
    store(job, fit.head, fit.classifier, fit.raw)
    fit = _with_controls(job, helper, split, _probed_source(job, fit, progress), progress)
    metrics |= {} if fit.forgetting is None else fit.forgetting.metrics
    metrics |= {name: value for control in fit.against for name, value in control.metrics.items()}
    tracker_run.result(metrics)
    notes = (*split.notes, *fit.notes, *_drawn(job, split, fit, metrics, tracker_run))
    return _FinishedRun(split, fit, metrics, notes, datetime.now(UTC).isoformat(timespec="seconds"))


def _probed_source(job: Job, fit: _Fit, progress: Progress) -> _Fit:
    """The source probe, where rows of the source are at hand; what was forgotten, in words."""
    kept = fit.forgetting
    if kept is None:
        return fit
    trouble: tuple[str, ...] = ()
    if job.source is not None:
        try:
            kept = replace(kept, source=probe_source(job, job.source, fit.classifier, progress))
        except TransferZooError as failure:
            trouble = (f"what is forgotten of the source could not be measured: {failure}",)
    return replace(fit, forgetting=kept, notes=(*fit.notes, *kept.notes, *trouble))


def _with_controls(job: Job, helper: Provider, split: _Split, fit: _Fit, progress: Progress) -> _Fit:
    """The controls that the plan asks for, and what follows from them, in words; one that fails is noted."""
    measured, notes = [], []
    for name in job.plan.controls:
        try:
            control = _control(name, job, helper, split, named(job.sample.task, fit.logits), progress)
        except TransferZooError as failure:
            notes.append(f"the control {name} could not be measured: {failure}. {failure.remedy}")
        else:
            measured.append(control)
            notes.append(control.sentence)
    return replace(fit, against=tuple(measured), notes=(*fit.notes, *notes))


def _control(
    name: str, job: Job, helper: Provider, split: _Split, ours: Shaped[np.ndarray, "m ..."], progress: Progress
) -> controls.Control:
    if name == controls.NO_TRANSFER:
        return controls.without_transfer(job, split.train, split.test, ours, progress)
    if name != controls.SCRATCH:
        raise UnknownName("control", name, (controls.NO_TRANSFER, controls.SCRATCH))
    fresh = controls.from_scratch(job)
    fresh.folder.mkdir(exist_ok=True)
    predicted = named(job.sample.task, _trained(fresh, helper, split, lambda *_: None, progress).logits)
    shutil.rmtree(fresh.folder)
    return controls.against(job, split.test, ours, name, "the same net from random weights", predicted)


def _drawn(
    job: Job, split: _Split, fit: _Fit, metrics: Mapping[str, float], tracker_run: TrackerRun
) -> tuple[str, ...]:
    """Draw the run; a picture that cannot be drawn costs the run nothing but a note."""
    from recommender.tuning.figures import draw  # noqa: PLC0415 - loads matplotlib

    try:
        for file in draw(job, split.test.targets, named(job.sample.task, fit.logits), metrics, fit.forgetting):
            tracker_run.artifact(file)
    except Exception as failure:  # whatever it is, the run is done
        return (f"the figures could not be drawn: {type(failure).__name__}: {failure}",)
    return ()


def _split(job: Job) -> _Split:
    """The sample's own test part, else a share of whole groups that is held out; of rows that were not seen before."""
    sample = job.sample
    if sample.test is not None:
        return _judged_unseen(job, _Split(sample, sample.test, np.arange(len(sample))))
    if (unseen := _unseen_split(job)) is not None:
        return unseen
    train_part, test = sample.split(_HELD_OUT, job.seed)
    return _judged_unseen(job, _Split(train_part, test, _places(sample, train_part)))


def _judged_unseen(job: Job, split: _Split) -> _Split:
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


def _unseen_split(job: Job) -> _Split | None:
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
    return _Split(train_part, test, _places(sample, train_part), notes=(note,))


def _unseen(job: Job, part: Sample) -> Bool[np.ndarray, " n"]:
    if job.exposure is None or job.plan.from_scratch:
        return np.ones(len(part), bool)
    return job.exposure.unseen([item.digest for item in part.items])


def _places(whole: Sample, part: Sample) -> Int[np.ndarray, " n"]:
    rows = {item: row for row, item in enumerate(whole.items)}
    return np.array([rows[item] for item in part.items], np.int64)


def _features(job: Job, helper: Provider, part: Sample, progress: Progress) -> Float[np.ndarray, "n d"]:
    """Features of the block that is read; of rows of the job's sample, from those of the whole sample."""
    test = job.sample.test
    whole = job.sample if test is None or part.items[0] not in set(test.items) else test
    encoded = helper.features(job, whole, progress)
    vectors = encoded.blocks[encoded.names.index(job.plan.read)].vectors
    return vectors if part is whole else vectors[_places(whole, part)]


def _logistic(job: Job, helper: Provider, part: Sample, progress: Progress) -> torch.nn.Linear:
    features = _features(job, helper, part, progress)
    if job.plan.head == "fresh":
        return fresh_head(features.shape[1], len(job.sample.classes) or 1)
    advance(progress, Phase.HEAD, 0, 1)
    groups = None if part.groups is None else part.group_ids
    head = logistic_head(features, part.targets, len(job.sample.classes), groups)
    advance(progress, Phase.HEAD, 1, 1)
    return head


def _fitted(job: Job, helper: Provider, part: Sample, progress: Progress) -> FittedHead:
    """The head of a plan that trains nothing else.

    Raises:
        NotOffered: a head that names classes, in another task.
    """
    require_head(job.plan.strategy, job.plan.head, job.sample.task)
    if job.plan.head == "prototype":
        return PrototypeHead.fit(_features(job, helper, part, progress), part.targets, len(job.sample.classes))
    if job.plan.head == "neighbors":
        return NeighborsHead.fit(_features(job, helper, part, progress), part.targets, len(job.sample.classes))
    return _linear(_logistic(job, helper, part, progress))


def _raw_head(job: Job, part: Sample, features: Float[np.ndarray, "n d"]) -> FittedHead:
    """The model of no transfer that the plan names."""
    require_head(job.plan.strategy, job.plan.head, job.sample.task)
    classes = len(job.sample.classes)
    if job.plan.head == RawNeighborsHead.kind:
        return RawNeighborsHead.fit(features, part.targets, classes)
    groups = None if part.groups is None else part.group_ids
    return ScaledLinearHead.of_ridge(fit_ridge(features, part.targets, classes or 1, groups=groups))


def _linear(layer: torch.nn.Linear) -> LinearHead:
    weight, bias = (tensor.detach().cpu().numpy() for tensor in (layer.weight, layer.bias))
    return LinearHead(weight, bias)


def _classifier(job: Job, head: torch.nn.Linear) -> Classifier:
    torch.manual_seed(job.seed)
    network = open_network(job.checkpoint.folder, from_scratch=job.plan.from_scratch)
    classifier = Classifier(network, layers_of(network), job.plan.read, head, dropout=job.plan.dropout)
    if job.plan.adapter_rank:
        classifier.adapt([block for stage in job.plan.stages for block in stage.train], job.plan.adapter_rank)
    classifier.to(job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    return classifier.eval()


def _untransferred(job: Job, split: _Split, progress: Progress) -> _Fit:
    """A head on raw features, which are fitted on the training rows as it is."""
    train, items = len(split.train), (*split.train.items, *split.test.items)
    raw = RawRows.of(job.sample.modality, items, progress)
    features = raw.features(np.arange(train))
    head = _raw_head(job, split.train, features[:train])
    trainable = sum(tensor.size for tensor in head.tensors().values())
    return _Fit(
        head,
        None,
        head.logits(features[train:]),
        {"trainable_parameters": float(trainable)},
        (),
        raw=raw.fitted(np.arange(train)),
    )


def _probed(job: Job, helper: Provider, split: _Split, progress: Progress) -> _Fit:
    """A head on cached features; the backbone is not run again."""
    head = _fitted(job, helper, split.train, progress)
    trainable = sum(tensor.size for tensor in head.tensors().values())
    logits = head.logits(_features(job, helper, split.test, progress))
    return _Fit(
        head,
        None,
        logits,
        {"trainable_parameters": float(trainable)},
        (),
        Forgetting(),
    )


def _trained(
    job: Job, helper: Provider, split: _Split, point: Callable[[str, int, float], None], progress: Progress
) -> _Fit:
    """The stages of the plan, the best weights by validation on rows that neither head nor net has seen.

    Where no epoch scores better than the fitted head beyond chance, that is fitted anew to all rows: a linear probe.
    """
    from recommender.tuning.loop import Training, logits_of, train  # noqa: PLC0415 - seconds to import the Trainer

    learning, validation = _validation(split.train, job.seed)
    unit = _Unit.of(learning)
    classifier = _classifier(job, _logistic(job, helper, learning, progress))
    unit.put_on(classifier.head)
    rows = {
        name: _rows(job, classifier, part, unit, name, progress)
        for name, part in (("training", learning), ("validation", validation), ("test", split.test))
    }
    trainable, validated = _most_trainable(classifier, job), rows["validation"]
    training = Training(
        job.plan,
        rows["training"],
        validated,
        job.sample.metric,
        job.folder,
        job.seed,
        job.device,
        job.sample.task,
    )
    drift = None if job.plan.from_scratch else FeatureDrift(classifier, job.checkpoint.folder, validated)
    if drift is not None:
        training = replace(training, drift=drift.drift)
    before = logits_of(classifier, validated)
    try:
        trained = train(classifier, training, point, progress)
    except Diverged:
        unit.take_off(classifier.head)
        store(job, _linear(classifier.head), classifier)
        raise
    better = _beyond_chance(job, validation, before, logits_of(classifier, validated))
    unit.take_off(classifier.head)
    notes, best = trained.notes, trained.best.epoch
    if job.plan.head == "logistic" and not better:
        best = 0
        classifier.load_state_dict(_classifier(job, _logistic(job, helper, split.train, progress)).state_dict())
        notes = (*notes, _NO_BETTER)
    metrics = {
        "trainable_parameters": float(trainable),
        "validation_start": trained.start.score,
        "validation_best": trained.best.score,
        "best_epoch": float(best),
    }
    kept = None if drift is None else drift.forgetting(validated)
    return _Fit(_linear(classifier.head), classifier, logits_of(classifier, rows["test"]), metrics, notes, kept)


def _beyond_chance(job: Job, rows: Sample, before: Float[np.ndarray, "n c"], after: Float[np.ndarray, "n c"]) -> bool:
    """Whether what is said of held-out rows became better by more than the error of the difference."""
    weights = draw_weights(rows.group_ids, seed=job.seed)
    old, new = (
        resample(job.sample.metric, rows.targets, named(job.sample.task, logits), weights) for logits in (before, after)
    )
    return new.value - old.value > _BEYOND * new.error_beside(old)


@dataclass(frozen=True)
class _Unit:
    """What a quantity is measured in while a net learns it: deviations from its mean. Classes and labels have none."""

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, sample: Sample) -> "_Unit":
        """The unit of the rows that are learned from."""
        if sample.task is not Task.REGRESSION:
            return cls()
        return cls(float(sample.targets.mean()), float(sample.targets.std()) or 1.0)

    def measured(self, part: Sample) -> Shaped[np.ndarray, "n ..."]:
        """Targets in this unit."""
        return (part.targets - self.mean) / self.deviation if part.task is Task.REGRESSION else part.targets

    def put_on(self, head: torch.nn.Linear) -> None:
        """Let a head that says the quantity say it in this unit; one that says nothing yet then says the mean."""
        if self != _Unit() and bool(head.weight.any()):
            _rescale(head, 1 / self.deviation, -self.mean / self.deviation)

    def take_off(self, head: torch.nn.Linear) -> None:
        """Let a head that says the quantity in this unit say it as it is."""
        if self != _Unit():
            _rescale(head, self.deviation, self.mean)


def _rescale(head: torch.nn.Linear, scale: float, shift: float) -> None:
    with torch.no_grad():
        head.weight.mul_(scale)
        head.bias.mul_(scale).add_(shift)


def _validation(sample: Sample, seed: int) -> tuple[Sample, Sample]:
    """A part for learning and one for choosing among epochs; where rows are too few the learning rows choose."""
    try:
        return sample.split(_VALIDATION, seed)
    except TooFewRows:
        return sample, sample


def _rows(job: Job, classifier: Classifier, part: Sample, unit: _Unit, name: str, progress: Progress) -> ItemRows:
    spill = job.folder / f"rows-{name}"
    return prepare_rows(part.items, unit.measured(part), classifier.network, spill, progress, name)


def _most_trainable(classifier: Classifier, job: Job) -> int:
    most = 0
    for stage in job.plan.stages:
        classifier.learn(stage.train, stage.only)
        most = max(most, sum(p.numel() for p in classifier.parameters() if p.requires_grad))
    classifier.learn(())
    return most


def _metrics(job: Job, split: _Split, fit: _Fit, seconds: float, peak_bytes: int) -> dict[str, float]:
    truth, predicted = split.test.targets, named(job.sample.task, fit.logits)
    metric = job.sample.metric
    drawn = resample(metric, truth, predicted, draw_weights(split.test.group_ids, seed=job.seed))
    metrics = {
        "score": score(metric, truth, predicted),
        **_secondary_metrics(job.sample.task, truth, predicted),
        "standard_error": drawn.standard_error,
        "seconds": seconds,
        "rows_train": len(split.train),
        "rows_test": len(split.test),
        "peak_memory_bytes": peak_bytes,
        **fit.metrics,
    }
    if job.expected is not None:
        metrics |= {f"expected_{end}": getattr(job.expected, end) for end in ("mean", "low", "high")}
    if job.estimated is not None:
        metrics |= {
            "estimated_seconds": job.estimated.seconds,
            "estimated_peak_memory_bytes": job.estimated.peak_memory_bytes,
        }
    return {name: float(value) for name, value in metrics.items()}


def _secondary_metrics(task: Task, truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Beside the metric: the accuracy, or how far off a quantity is."""
    if task is Task.REGRESSION:
        return {"mean_absolute_error": float(np.abs(truth - predicted).mean())}
    return {"accuracy": score(Metric.ACCURACY, truth, predicted)}


def _concluded(
    job: Job, finished: _FinishedRun, troubles: tuple[str, ...], mlflow_run_id: str | None
) -> tuple[TuningRun, Outcome]:
    """Write run.json, outcome and all: when only MLflow is left, and again when it is known what became of that."""
    split, metrics, fit = finished.split, finished.metrics, finished.fit
    run = TuningRun(
        job.id,
        mlflow_run_id,
        job.checkpoint.name,
        job.plan.strategy,
        metrics,
        str(job.folder),
        (*finished.notes, *troubles),
    )
    conditions = {
        **job.known,
        "plan": job.plan.to_dict(),
        "seed": job.seed,
        "device": job.device,
        "checkpoint_digest": job.checkpoint.digest,
        "expected": None if job.expected is None else job.expected.to_dict(),
        "recommendation": job.recommendation,
    }
    if split.flattered:
        conditions["flattered"] = True
    outcome = Outcome(
        id=job.id,
        checkpoint=job.checkpoint.name,
        strategy=job.plan.strategy,
        sample_digest=job.sample.digest,
        sample_name=job.sample.name,
        task=job.sample.task,
        metric=job.sample.metric,
        score=metrics["score"],
        standard_error=metrics["standard_error"],
        rows_train=len(split.train),
        rows_test=len(split.test),
        seconds=metrics["seconds"],
        origin=Origin.OURS,
        created=finished.ended,
        mlflow_run_id=mlflow_run_id,
        conditions=conditions,
        modality=job.sample.modality,
    )
    RunFolder(job.folder).finish(
        {
            **run.to_dict(),
            "task": str(job.sample.task),
            "sample": job.sample.to_dict(),
            "classes": list(job.sample.classes),
            "plan": job.plan.to_dict(),
            "conditions": conditions,
            "created": finished.ended,
            "outcome": to_json(outcome),
            "controls": [control.to_dict() for control in fit.against],
            "forgetting": None if fit.forgetting is None else fit.forgetting.to_dict(),
            "versions": {name: version(name) for name in ("transferzoo", "torch", "transformers")}
            | {"python": platform.python_version()},
        }
    )
    return run, outcome
