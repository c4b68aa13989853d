"""Controls: what the same rows give without transfer, on the same test rows and the same budget.

A run that scores less than its control suffers from negative transfer. Differences are paired: both sides are judged
on the same bootstrap draws of whole groups.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Shaped

from recommender.baseline import no_transfer
from recommender.resampling import draw_weights, resample
from recommender.results import Stage
from recommender.runs.job import Job
from recommender.strategies.scratch import RATE
from registry.cards import Metric
from registry.encoders.layers import layers_of
from registry.encoders.loading import load_network
from registry.forms import Record
from registry.metrics import Z
from registry.progress import Progress
from registry.sample import Sample

__all__ = ["NO_TRANSFER", "SCRATCH", "Control", "against", "from_scratch", "without_transfer"]

NO_TRANSFER, SCRATCH = "no-transfer", "scratch"


@dataclass(frozen=True)
class Control(Record):
    """What a control scored, and by how much the run beats it, with the error of the paired difference."""

    name: str
    what: str
    score: float
    gain: float
    standard_error: float
    metric: Metric

    @property
    def metrics(self) -> dict[str, float]:
        """The figures of a run."""
        return {f"{self.name.replace('-', '_')}_score": self.score}

    @property
    def sentence(self) -> str:
        """What follows, in words; beyond chance means outside the nominal 90 % interval."""
        by, error = (self.metric.difference(size).lstrip("+") for size in (abs(self.gain), self.standard_error))
        sentence = f"{self.what} scores {self.metric.words(self.score)}, the run {by} "
        sentence += f"{'more' if self.gain >= 0 else 'less'} (± {error}, paired)"
        if self.gain < -Z * self.standard_error:
            return f"negative transfer: {sentence}. Take that, or another checkpoint"
        if self.gain > Z * self.standard_error:
            return f"transfer was worth it: {sentence}"
        return f"transfer cannot be told from none: {sentence}. More test rows would tell"


def without_transfer(
    job: Job, train: Sample, test: Sample, own: Shaped[np.ndarray, "m ..."], progress: Progress
) -> Control:
    """The run against the better of a linear model and nearest neighbors on raw features, chosen on training rows.

    Raises:
        SampleError, EstimatorError: the rows allow no such model.
    """
    model, predicted = no_transfer(train, test, seed=job.seed, progress=progress)
    return against(job, test, own, NO_TRANSFER, f"no transfer ({model})", predicted)


def against(
    job: Job,
    test: Sample,
    own: Shaped[np.ndarray, "m ..."],
    name: str,
    what: str,
    predicted: Shaped[np.ndarray, "m ..."],
) -> Control:
    """What the run predicts of its test rows against what a control predicts of them."""
    metric, weights = job.sample.metric, draw_weights(test.group_ids, seed=job.seed)
    ours, theirs = (resample(metric, test.targets.values, guess, weights) for guess in (own, predicted))
    error = ours.error_beside(theirs)
    return Control(name, what, theirs.value, ours.value - theirs.value, error, metric)


def from_scratch(job: Job) -> Job:
    """The same net from random weights, everything learning for as many epochs, in a folder inside the run's."""
    plan, names = job.plan, layers_of(load_network(job.checkpoint.folder, cap=job.checkpoint.cap)).names
    stage = Stage(names[: names.index(plan.read) + 1], sum(stage.epochs for stage in plan.stages), RATE, RATE)
    fresh = replace(
        plan,
        strategy=SCRATCH,
        head="fresh",
        stages=(stage,),
        frozen=(),
        from_scratch=True,
        anchor=0.0,
        adapter_rank=0,
        controls=(),
    )
    return replace(job, id=f"{job.id}/{SCRATCH}", plan=fresh, source=None)
