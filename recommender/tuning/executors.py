"""Executors: job in, run out. `here` carries a job out in this process.

The run's folder holds the tuned backbone in transformers format, the head, the preprocessing, the journal and, written
last, run.json: a folder without it is not a finished run.
"""

import errno
import json
import math
import platform
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import psutil
import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file

from recommender.resampling import draw_weights, resample
from recommender.tuning.classifier import Classifier, fresh_head, logistic_head
from recommender.tuning.data import Pictures, open_pictures
from recommender.tuning.job import Job
from recommender.tuning.tracking import Diary, Tracker
from recommender.verdicts import TuningRun
from registry.cards import Metric, Origin, Outcome
from registry.encoders.anatomy import anatomy_of
from registry.encoders.opening import load, quiet
from registry.encoders.preprocessing import read_preprocessing
from registry.errors import OutOfRoom, ShapeMismatch, TooFewRows
from registry.plugins import Shelf
from registry.progress import Progress, silent
from registry.sample import Sample, score

__all__ = ["Executor", "executors", "here"]

Executor = Callable[[Job, Tracker, Progress], tuple[TuningRun, Outcome]]

_HELD_OUT = 0.25
_VALIDATION = 0.2


@dataclass(frozen=True, eq=False)
class _Parts:
    """The sample's rows, told apart."""

    train: Sample
    test: Sample
    rows: Int[np.ndarray, " n"]
    """Places of the training rows in the job's sample."""


@dataclass(frozen=True, eq=False)
class _Done:
    """A classifier, what it says of the test rows, and what is to be told of its making."""

    classifier: Classifier
    logits: Float[np.ndarray, "n c"]
    metrics: Mapping[str, float]
    notes: tuple[str, ...]


def here(job: Job, track: Tracker, progress: Progress = silent) -> tuple[TuningRun, Outcome]:
    """Carry out a job in this process.

    Raises:
        Diverged: the loss became NaN or infinite.
        OutOfRoom: memory or disk ran out.
        SampleError, EstimatorError, CheckpointError: the sample or the checkpoint cannot be used.
    """
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        began = time.perf_counter()
        with track(job) as diary:
            parts = _parts(job)
            done = _trained(job, parts, diary, progress) if job.plan.stages else _probed(job, parts, progress)
            metrics = _metrics(job, parts, done, time.perf_counter() - began)
            _save(job, done.classifier)
            diary.result(metrics)
        return _concluded(job, parts, metrics, (*done.notes, *diary.troubles), diary.run_id)
    except (MemoryError, torch.OutOfMemoryError) as cause:
        raise OutOfRoom("memory") from cause
    except OSError as cause:
        if cause.errno == errno.ENOSPC:
            raise OutOfRoom("disk") from cause
        raise
    finally:
        _tidy(job)


executors: Shelf[Executor] = Shelf("executor", "transferzoo.executors", {"here": lambda: here})


def _parts(job: Job) -> _Parts:
    """The sample's own test part, else a share of whole groups that is held out."""
    sample = job.sample
    if sample.test is not None:
        return _Parts(sample, sample.test, np.arange(len(sample)))
    train_part, test = sample.split(_HELD_OUT, job.seed)
    return _Parts(train_part, test, _places(sample, train_part))


def _places(whole: Sample, part: Sample) -> Int[np.ndarray, " n"]:
    rows = {item: row for row, item in enumerate(whole.items)}
    return np.array([rows[item] for item in part.items], np.int64)


def _features(job: Job, part: Sample, progress: Progress) -> Float[np.ndarray, "n d"]:
    """Features of the block that is read; of rows of the job's sample, from those of the whole sample."""
    whole = part if part is job.sample.test else job.sample
    encoded = job.encode(whole, progress)
    vectors = encoded.blocks[encoded.names.index(job.plan.read)].vectors
    return vectors if part is whole else vectors[_places(whole, part)]


def _head(job: Job, part: Sample, progress: Progress) -> torch.nn.Linear:
    features = _features(job, part, progress)
    if job.plan.head == "fresh":
        return fresh_head(features.shape[1], len(job.sample.classes))
    progress("fit the head", 0, 1)
    groups = None if part.groups is None else part.group_ids
    head = logistic_head(features, part.targets, len(job.sample.classes), groups)
    progress("fit the head", 1, 1)
    return head


def _classifier(job: Job, head: torch.nn.Linear) -> Classifier:
    torch.manual_seed(job.seed)
    body = load(job.checkpoint.folder, from_scratch=job.plan.from_scratch)
    made = Classifier(body, anatomy_of(body), job.plan.read, head).to(job.device).eval()
    _lay_out(made, torch.channels_last)
    return made


def _lay_out(module: torch.nn.Module, order: torch.memory_format) -> None:
    """Change how weights lie in memory, not what they are."""
    module.to(memory_format=order)  # type: ignore[call-overload]  # torch's stub lacks it


def _probed(job: Job, parts: _Parts, progress: Progress) -> _Done:
    """A head on cached features; the backbone is not run again."""
    head = _head(job, parts.train, progress)
    with torch.inference_mode():
        logits = head(torch.from_numpy(_features(job, parts.test, progress))).numpy()
    trainable = sum(p.numel() for p in head.parameters())
    return _Done(_classifier(job, head), logits, {"trainable_parameters": float(trainable)}, ())


def _trained(job: Job, parts: _Parts, diary: Diary, progress: Progress) -> _Done:
    """The stages of the plan, the best weights by validation on rows that neither head nor net has seen."""
    from recommender.tuning.loop import Training, logits_of, train  # noqa: PLC0415 - seconds to import the Trainer

    learning, validation = _validation(parts.train, job.seed)
    classifier = _classifier(job, _head(job, learning, progress))
    pictures = {
        name: _pictures(job, part, name, progress)
        for name, part in (("training", learning), ("validation", validation), ("test", parts.test))
    }
    trainable = _most_trainable(classifier, job)
    training = Training(
        job.plan, pictures["training"], pictures["validation"], job.sample.metric, job.folder, job.seed, job.device
    )
    start, best = train(classifier, training, diary.point, progress)
    notes = () if best.epoch else ("training never improved on the fitted head: its weights are kept",)
    told = {
        "trainable_parameters": float(trainable), "validation_start": start.score, "validation_best": best.score,
        "best_epoch": float(best.epoch),
    }  # fmt: skip
    return _Done(classifier, logits_of(classifier, pictures["test"]), told, notes)


def _validation(sample: Sample, seed: int) -> tuple[Sample, Sample]:
    """A part for learning and one for choosing among epochs; where rows are too few the learning rows choose."""
    try:
        return sample.split(_VALIDATION, seed)
    except TooFewRows:
        return sample, sample


def _pictures(job: Job, part: Sample, name: str, progress: Progress) -> Pictures:
    preprocessing = read_preprocessing(job.checkpoint.folder)
    stage = f"open {name} pictures"
    return open_pictures(part.items, part.targets, preprocessing, job.folder / f"{name}.npy", progress, stage)


def _most_trainable(classifier: Classifier, job: Job) -> int:
    most = 0
    for stage in job.plan.stages:
        classifier.learn(stage.train)
        most = max(most, sum(p.numel() for p in classifier.parameters() if p.requires_grad))
    classifier.learn(())
    return most


def _metrics(job: Job, parts: _Parts, done: _Done, seconds: float) -> dict[str, float]:
    truth, predicted = parts.test.targets, done.logits.argmax(1)
    metric = job.sample.metric
    drawn = resample(metric, truth, predicted, draw_weights(parts.test.group_ids, seed=job.seed))
    told = {
        "score": score(metric, truth, predicted), "accuracy": score(Metric.ACCURACY, truth, predicted),
        "standard_error": drawn.standard_error, "seconds": seconds, "rows_train": len(parts.train),
        "rows_test": len(parts.test), "peak_memory_bytes": _peak_memory(job.device), **done.metrics,
    }  # fmt: skip
    if job.expected is not None:
        told |= {f"expected_{end}": getattr(job.expected, end) for end in ("mean", "low", "high")}
    return {name: float(value) for name, value in told.items()}


def _peak_memory(device: str) -> int:
    if device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(device))
    used = psutil.Process().memory_info()
    return int(getattr(used, "peak_wset", used.rss))


def _save(job: Job, classifier: Classifier) -> None:
    """Backbone, head and preprocessing; what was written is read back and must be the same."""
    if job.plan.stages:
        _lay_out(classifier, torch.contiguous_format)
        with quiet():
            classifier.body.save_pretrained(job.folder)
        stored, ours = load(job.folder).state_dict(), classifier.body.state_dict()
        for name, tensor in ours.items():
            if not torch.equal(stored[name], tensor.cpu()):
                raise ShapeMismatch(job.folder, f"{name} was not stored as it was trained")
    else:
        for file in job.checkpoint.folder.glob("*.safetensors*"):
            shutil.copyfile(file, job.folder / file.name)
        shutil.copyfile(job.checkpoint.folder / "config.json", job.folder / "config.json")
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (job.checkpoint.folder / name).is_file():
            shutil.copyfile(job.checkpoint.folder / name, job.folder / name)
    head = {name: tensor.detach().cpu().contiguous() for name, tensor in classifier.head.state_dict().items()}
    save_file(head, job.folder / "head.safetensors")


def _concluded(
    job: Job, parts: _Parts, metrics: Mapping[str, float], notes: tuple[str, ...], mlflow_run_id: str | None
) -> tuple[TuningRun, Outcome]:
    run = TuningRun(
        job.id, mlflow_run_id, job.checkpoint.name, job.plan.strategy, metrics, str(job.folder), notes
    )  # fmt: skip
    conditions = {**job.known, "plan": job.plan.to_dict(), "seed": job.seed, "device": job.device,
                  "checkpoint_digest": job.checkpoint.digest, "expected": None if job.expected is None else
                  job.expected.to_dict(), "recommendation": job.recommendation}  # fmt: skip
    outcome = Outcome(
        id=job.id, checkpoint=job.checkpoint.name, strategy=job.plan.strategy, sample_digest=job.sample.digest,
        sample_name=job.sample.name, task=job.sample.task, metric=job.sample.metric, score=metrics["score"],
        standard_error=metrics["standard_error"], rows_train=len(parts.train), rows_test=len(parts.test),
        seconds=metrics["seconds"], origin=Origin.OURS, created=datetime.now(UTC).isoformat(timespec="seconds"),
        mlflow_run_id=mlflow_run_id, conditions=conditions,
    )  # fmt: skip
    _write(job.folder / "run.json", {
        **run.to_dict(), "sample": job.sample.to_dict(), "classes": list(job.sample.classes),
        "plan": job.plan.to_dict(), "conditions": conditions, "created": outcome.created,
        "versions": {name: version(name) for name in ("transferzoo", "torch", "transformers")}
        | {"python": platform.python_version()},
    })  # fmt: skip
    return run, outcome


def _write(path: Path, told: Mapping[str, object]) -> None:
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(told, indent=1, default=_plain))
    partial.replace(path)


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else str(value)


def _tidy(job: Job) -> None:
    """Take away what only the making needed."""
    for name in ("best.safetensors", "training.npy", "validation.npy", "test.npy"):
        (job.folder / name).unlink(missing_ok=True)
    shutil.rmtree(job.folder / "trainer", ignore_errors=True)
