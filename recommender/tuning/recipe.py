"""The recipe: how a job becomes a run. `run_local` carries it out in this process.

The run's folder holds the tuned backbone in transformers format, the head, the preprocessing, the event log and,
written last, run.json: a folder without it is not a finished run. A run that was interrupted goes on from its last save
when it is carried out again.
"""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import torch
from jaxtyping import Shaped

from recommender.results import TuningRun
from recommender.runs.devices import metered
from recommender.runs.folder import RunFolder, RunState
from recommender.runs.job import Job
from recommender.runs.provider import FolderProvider, Provider
from recommender.runs.tracking import Tracker, TrackerRun
from recommender.tuning import controls
from recommender.tuning.conclusion import FinishedRun, conclude, metrics_of
from recommender.tuning.feature_drift import probe_source
from recommender.tuning.fitting import Fit, fit_plan, predicted_of
from recommender.tuning.splitting import Split, split_rows
from recommender.tuning.storing import store
from registry.cards import Outcome
from registry.errors import OutOfRoom, TransferZooError, UnknownName
from registry.files import disk_full_named
from registry.progress import Progress, silent

__all__ = ["run_local"]


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
    folder, finished, provider = RunFolder(job.folder), None, provider or FolderProvider()
    troubles: tuple[str, ...] = ()
    with folder.held(), _recorded_failure(folder), _named_failures(job):
        folder.start(job.to_dict())
        earlier = folder.spent
        try:
            with folder.beating(), track(job) as tracker_run:
                finished = _fit_and_store(job, provider, earlier, tracker_run, progress)
                _, outcome = conclude(job, finished, tracker_run.troubles, tracker_run.run_id)
                with suppress(TransferZooError):  # it is tried again below, and by the next start
                    provider.record(job, outcome)
                tracker_run.model(job.folder)
        except KeyboardInterrupt:
            if finished is None:
                raise
            troubles = (f"telling MLflow was interrupted: `transferzoo runs sync {job.id}`",)
        run, outcome = conclude(job, finished, (*tracker_run.troubles, *troubles), tracker_run.run_id)
        provider.record(job, outcome)
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


def _fit_and_store(
    job: Job, provider: Provider, earlier: float, tracker_run: TrackerRun, progress: Progress
) -> FinishedRun:
    """Train and store; then look back at what was forgotten and at what the same rows give without transfer.

    ``earlier`` are the seconds that were spent on it before it was interrupted.
    """
    began, split = time.perf_counter(), split_rows(job)
    with metered(job.device) as meter:
        fit = fit_plan(job, provider, split, tracker_run.point, progress)
    metrics = metrics_of(job, split, fit, earlier + time.perf_counter() - began, meter.peak_bytes)
    store(job, fit.head, fit.classifier, fit.raw)
    fit = _with_controls(job, provider, split, _probed_source(job, fit, progress), progress)
    metrics |= {} if fit.forgetting is None else fit.forgetting.metrics
    metrics |= {name: value for control in fit.against for name, value in control.metrics.items()}
    tracker_run.result(metrics)
    notes = (*split.notes, *fit.notes, *_drawn(job, split, fit, metrics, tracker_run))
    return FinishedRun(split, fit, metrics, notes, datetime.now(UTC).isoformat(timespec="seconds"))


def _probed_source(job: Job, fit: Fit, progress: Progress) -> Fit:
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


def _with_controls(job: Job, provider: Provider, split: Split, fit: Fit, progress: Progress) -> Fit:
    """The controls that the plan asks for, and what follows from them, in words; one that fails is noted."""
    measured, notes = [], []
    for name in job.plan.controls:
        try:
            control = _control(name, job, provider, split, predicted_of(split, fit), progress)
        except TransferZooError as failure:
            notes.append(f"the control {name} could not be measured: {failure}. {failure.remedy}")
        else:
            measured.append(control)
            notes.append(control.sentence)
    return replace(fit, against=tuple(measured), notes=(*fit.notes, *notes))


def _control(
    name: str, job: Job, provider: Provider, split: Split, ours: Shaped[np.ndarray, "m ..."], progress: Progress
) -> controls.Control:
    if name == controls.NO_TRANSFER:
        return controls.without_transfer(job, split.train, split.test, ours, progress)
    if name != controls.SCRATCH:
        raise UnknownName("control", name, (controls.NO_TRANSFER, controls.SCRATCH))
    fresh = controls.from_scratch(job)
    fresh.folder.mkdir(exist_ok=True)
    predicted = predicted_of(split, fit_plan(fresh, provider, split, lambda *_: None, progress))
    shutil.rmtree(fresh.folder)
    return controls.against(job, split.test, ours, name, "the same net from random weights", predicted)


def _drawn(job: Job, split: Split, fit: Fit, metrics: Mapping[str, float], tracker_run: TrackerRun) -> tuple[str, ...]:
    """Draw the run; a picture that cannot be drawn costs the run nothing but a note."""
    try:
        from recommender.tuning.figures import draw  # noqa: PLC0415 - Matplotlib, for which no advice shall wait

        for file in draw(job, split.test.targets.values, predicted_of(split, fit), metrics, fit.forgetting):
            tracker_run.artifact(file)
    except Exception as failure:  # whatever it is, the run is done
        return (f"the figures could not be drawn: {type(failure).__name__}: {failure}",)
    return ()
