"""What a finished run comes to: its metrics, run.json, and the outcome in it."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np

from recommender.resampling import draw_weights, resample
from recommender.results import TuningRun
from recommender.runs.folder import RunFolder
from recommender.runs.job import Job
from recommender.tuning.fitting import Fit
from recommender.tuning.heads import (
    named,
)
from recommender.tuning.partition import Partition
from registry.cards import Metric, Origin, Outcome, Task
from registry.forms import to_json
from registry.metrics import score

__all__ = ["Conclusion", "conclude", "metrics_of"]


@dataclass(frozen=True, eq=False)
class Conclusion:
    """A run that has come to its end, but for what becomes of telling others."""

    parts: Partition
    fit: Fit
    metrics: Mapping[str, float]
    notes: tuple[str, ...]
    ended: str
    """ISO 8601, UTC."""


def metrics_of(job: Job, parts: Partition, done: Fit, seconds: float, peak_bytes: int) -> dict[str, float]:
    """The figures of a run on its test rows, beside what was expected and estimated; ``seconds`` of this machine."""
    truth, predicted = parts.test.targets, named(job.sample.task, done.logits)
    metric = job.sample.metric
    drawn = resample(metric, truth, predicted, draw_weights(parts.test.group_ids, seed=job.seed))
    told = {
        "score": score(metric, truth, predicted),
        **_also(job.sample.task, truth, predicted),
        "standard_error": drawn.standard_error,
        "seconds": seconds,
        "rows_train": len(parts.train),
        "rows_test": len(parts.test),
        "peak_memory_bytes": peak_bytes,
        **done.metrics,
    }
    if job.expected is not None:
        told |= {f"expected_{end}": getattr(job.expected, end) for end in ("mean", "low", "high")}
    if job.estimated is not None:
        told |= {
            "estimated_seconds": job.estimated.seconds,
            "estimated_peak_memory_bytes": job.estimated.peak_memory_bytes,
        }
    return {name: float(value) for name, value in told.items()}


def _also(task: Task, truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Beside the metric: the accuracy, or how far off a quantity is."""
    if task is Task.REGRESSION:
        return {"mean_absolute_error": float(np.abs(truth - predicted).mean())}
    return {"accuracy": score(Metric.ACCURACY, truth, predicted)}


def conclude(
    job: Job, result: Conclusion, troubles: tuple[str, ...], mlflow_run_id: str | None
) -> tuple[TuningRun, Outcome]:
    """Write run.json, outcome and all: when only MLflow is left, and again when it is known what became of that."""
    run = TuningRun(
        job.id,
        mlflow_run_id,
        job.checkpoint.name,
        job.plan.strategy,
        result.metrics,
        str(job.folder),
        (*result.notes, *troubles),
    )
    outcome = _outcome(job, result, mlflow_run_id)
    RunFolder(job.folder).finish(
        {
            **run.to_dict(),
            "task": str(job.sample.task),
            "sample": job.sample.to_dict(),
            "classes": list(job.sample.classes),
            "plan": job.plan.to_dict(),
            "conditions": outcome.conditions,
            "created": result.ended,
            "outcome": to_json(outcome),
            "controls": [control.to_dict() for control in result.fit.against],
            "forgetting": None if result.fit.forgetting is None else result.fit.forgetting.to_dict(),
            "versions": {name: version(name) for name in ("transferzoo", "torch", "transformers")}
            | {"python": platform.python_version()},
        }
    )
    return run, outcome


def _outcome(job: Job, result: Conclusion, mlflow_run_id: str | None) -> Outcome:
    """What history keeps of the run, with the conditions it was made under."""
    conditions = {
        **job.known,
        "plan": job.plan.to_dict(),
        "seed": job.seed,
        "device": job.device,
        "checkpoint_digest": job.checkpoint.digest,
        "expected": None if job.expected is None else job.expected.to_dict(),
        "recommendation": job.recommendation,
    }
    if result.parts.flattered:
        conditions["flattered"] = True
    return Outcome(
        id=job.id,
        checkpoint=job.checkpoint.name,
        strategy=job.plan.strategy,
        sample_digest=job.sample.digest,
        sample_name=job.sample.name,
        task=job.sample.task,
        metric=job.sample.metric,
        score=result.metrics["score"],
        standard_error=result.metrics["standard_error"],
        rows_train=len(result.parts.train),
        rows_test=len(result.parts.test),
        seconds=result.metrics["seconds"],
        origin=Origin.OURS,
        created=result.ended,
        mlflow_run_id=mlflow_run_id,
        conditions=conditions,
        modality=job.sample.modality,
    )
