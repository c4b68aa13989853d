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
from recommender.tuning.fitting import Fit, predicted_of
from recommender.tuning.mistakes import confusions, worst_mistakes
from recommender.tuning.splitting import Split
from registry.cards import Metric, Origin, Outcome, Task
from registry.forms import to_json
from registry.metrics import score

__all__ = ["FinishedRun", "conclude", "metrics_of"]


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A run that has come to its end, but for what becomes of telling others."""

    split: Split
    fit: Fit
    metrics: Mapping[str, float]
    notes: tuple[str, ...]
    ended: str
    """ISO 8601, UTC."""


def metrics_of(job: Job, split: Split, fit: Fit, seconds: float, peak_bytes: int) -> dict[str, float]:
    """The figures of a run on its test rows, beside what was expected and estimated; ``seconds`` of this machine."""
    truth, predicted = split.test.targets.values, predicted_of(split, fit)
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


def conclude(
    job: Job, finished: FinishedRun, troubles: tuple[str, ...], mlflow_run_id: str | None
) -> tuple[TuningRun, Outcome]:
    """Write run.json, outcome and all: when only MLflow is left, and again when it is known what became of that."""
    run = TuningRun(
        job.id,
        mlflow_run_id,
        job.checkpoint.name,
        job.plan.strategy,
        finished.metrics,
        str(job.folder),
        (*finished.notes, *troubles),
    )
    outcome = _outcome(job, finished, mlflow_run_id)
    RunFolder(job.folder).finish(
        {
            **run.to_dict(),
            "task": str(job.sample.task),
            "sample": job.sample.to_dict(),
            "classes": list(job.sample.classes),
            "plan": job.plan.to_dict(),
            "conditions": outcome.conditions,
            "created": finished.ended,
            "outcome": to_json(outcome),
            "controls": [control.to_dict() for control in finished.fit.against],
            "mistakes": [row.to_dict() for row in worst_mistakes(finished.split.test, finished.fit.logits)],
            "confusions": [row.to_dict() for row in confusions(finished.split.test, finished.fit.logits)],
            "forgetting": None if finished.fit.forgetting is None else finished.fit.forgetting.to_dict(),
            "versions": {name: version(name) for name in ("transferzoo", "torch", "transformers")}
            | {"python": platform.python_version()},
        }
    )
    return run, outcome


def _outcome(job: Job, finished: FinishedRun, mlflow_run_id: str | None) -> Outcome:
    """What history keeps of the run, with the conditions that it was carried out under."""
    conditions = {
        **job.known,
        "plan": job.plan.to_dict(),
        "seed": job.seed,
        "device": job.device,
        "checkpoint_digest": job.checkpoint.digest,
        "expected": None if job.expected is None else job.expected.to_dict(),
        "recommendation": job.recommendation,
    }
    if job.checkpoint.cap is not None:
        conditions["cap"] = job.checkpoint.cap
    if finished.split.flattered:
        conditions["flattered"] = True
    return Outcome(
        id=job.id,
        checkpoint=job.checkpoint.name,
        strategy=job.plan.strategy,
        sample_digest=job.sample.digest,
        sample_name=job.sample.name,
        task=job.sample.task,
        metric=job.sample.metric,
        score=finished.metrics["score"],
        standard_error=finished.metrics["standard_error"],
        rows_train=len(finished.split.train),
        rows_test=len(finished.split.test),
        seconds=finished.metrics["seconds"],
        origin=Origin.OURS,
        created=finished.ended,
        mlflow_run_id=mlflow_run_id,
        conditions=conditions,
        modality=job.sample.modality,
    )
