"""Judges a net on held-out rows after every epoch, keeps its best weights, and stops where going on is of no use."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from safetensors.torch import load_file, save_file

from recommender.resampling import draw_weights, resample
from recommender.results import Plan, Stage
from recommender.runs.training_checkpoints import mark_complete
from recommender.tuning.classifier import Classifier
from recommender.tuning.data import ItemRows, TrainingRows, slices
from recommender.tuning.heads import named
from recommender.tuning.objective import Objective
from registry.cards import Metric, Task
from registry.files import filling, replacing
from registry.forms import to_json
from registry.metrics import score

__all__ = [
    "PRETRAINING_LOSS",
    "Curves",
    "DriftPoints",
    "EpochScore",
    "Keeper",
    "Point",
    "Training",
    "TrainingState",
    "best_file",
    "logits_of",
    "write_weights",
]


Point = Callable[[str, int, float], None]
"""Told a series, an epoch and a value of the learning curve."""
DriftPoints = Callable[[TrainingRows], Mapping[str, float]]
"""Looks at the weights after an epoch, with the held-out rows: series and values for the learning curve."""
PRETRAINING_LOSS = "pretraining loss"
"""The series of what is learned before there is a head, by its round."""
Curves = Mapping[str, Mapping[int, float]]
"""Series, epoch, value."""
_ABOVE_SILENCE, _FAR_ABOVE, _GROWN = 2.0, 10.0, 1.5
"""Times the loss of a head that says nothing, beyond which a training loss tells of too high a rate: in two epochs one
after the other, or at once; and by how much it must have grown, for one that falls may yet recover."""
_RISES, _RISEN = 3, 0.25
"""How often a training loss rises in a row, and by what share of that silent loss in all, to tell of the same."""
_SLOWER = 3.0
"""What rates are divided by where the first epoch of a stage lost what its head was fitted to, and no later one came
back: of those that lose it some come back, and end higher than at a third from the start (LOG.md)."""
_LOST = 2.0
"""Standard errors of the paired difference that are a loss."""
_MOST_SLOWED = 1
"""How often a run is slowed at most."""
_WORSE = 1.05
"""Times the best validation loss, from which a worse one beside a falling training loss is overfitting."""


def _no_drift(_rows: TrainingRows) -> Mapping[str, float]:
    return {}


@dataclass(frozen=True, eq=False)
class Training:
    """What is learned from, and by which plan."""

    plan: Plan
    rows: ItemRows
    held_out: ItemRows
    metric: Metric
    folder: Path
    seed: int
    device: str
    task: Task = Task.CLASSIFICATION
    drift: DriftPoints = _no_drift
    together: Int[np.ndarray, " n"] | None = None
    """Which held-out rows belong together; None where each is its own."""


@dataclass(frozen=True)
class EpochScore:
    """How the weights did on the validation rows: the metric, and the loss which breaks ties."""

    epoch: int
    score: float
    loss: float

    def beats(self, other: "EpochScore") -> bool:
        """Whether this is better."""
        return (self.score, -self.loss) > (other.score, -other.loss)


@dataclass
class TrainingState:
    """How far a training has come; part of every save."""

    stage: int
    epoch: int
    waited: int
    start: EpochScore
    best: EpochScore
    curves: dict[str, dict[int, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    halved: int = 0
    entered: int = 0
    """The epoch after which the stage began."""
    own_statistics: str = ""
    """Why the net normalizes by its own statistics; empty where it does by those of batches."""
    lost: str = ""
    """What the first epoch of the stage lost, in words; empty where that was not beyond chance."""
    slowed: int = 0
    """How often the rates were divided by `_SLOWER`."""
    rate_factor: float | None = None
    """What a range test multiplies the rates of the stage by; None before one."""


def logits_of(classifier: Classifier, rows: TrainingRows) -> Float[np.ndarray, "n c"]:
    """What the classifier says of every row."""
    was = classifier.training
    classifier.eval()
    device = classifier.head.weight.device
    parts = []
    with torch.inference_mode():
        for chosen in slices(rows):
            inputs = {name: tensor.to(device) for name, tensor in rows.batch(chosen).items() if name != "labels"}
            parts.append(classifier(**inputs).float().cpu())
    classifier.train(was)
    return torch.cat(parts).numpy()


class Keeper:
    """Judges the weights on held-out rows after each epoch and keeps the best in a file."""

    def __init__(self, classifier: Classifier, training: Training, point: Point, course: TrainingState | None) -> None:
        self.classifier, self.training, self.point = classifier, training, point
        self.objective = Objective.of(training.plan, training.task, training.rows.targets, classifier.head.out_features)
        self.anchor = self.objective.anchor(classifier)
        self.held_out: TrainingRows = training.held_out
        if course is None:
            start = self._judged(0)
            self.course = TrainingState(0, 0, 0, start, start)
            self._record(0, self._scores(start))
            self._keep(start)
        else:
            self.course = course

    def enter(self, place: int) -> None:
        """A new stage is given its patience anew; one that is resumed goes on with what it had."""
        if place > self.course.stage:
            course = replace(self.course, stage=place, waited=0, entered=self.course.epoch, lost="")
            self.course = replace(course, rate_factor=None)

    def judge(self, losses: list[float], seconds: float) -> bool:
        """Judge after an epoch; False when it is time to stop."""
        course = self.course
        course.epoch += 1
        judged = self._judged(course.epoch)
        if course.epoch == course.entered + 1:
            course.lost = self._lost(judged)
        course.waited += 1
        if judged.beats(course.best):
            self._keep(judged)  # before it counts: the disk may be full
            course.best, course.waited = judged, 0
        progress = {"training loss": float(np.mean(losses)), "items per second": len(self.training.rows) / seconds}
        self._record(course.epoch, {**self._scores(judged), **progress, **self.training.drift(self.held_out)})
        if trouble := self._too_fast(judged, losses):
            course.waited = self.patience
        elif not self.waits:
            trouble = self._overfitted(judged)
        course.notes += [trouble] if trouble else []
        return self.waits

    def slow_down(self) -> bool:
        """Whether the stage is to be begun again at lower rates, from the weights that it began with."""
        course = self.course
        if not course.lost or course.best.epoch > course.entered or course.slowed >= _MOST_SLOWED:
            return False
        lost = course.lost
        self.course = replace(course, waited=0, entered=course.epoch, lost="", slowed=course.slowed + 1)
        rates = f"{self.stage.head_rate:.1g} for the head, {self.stage.backbone_rate:.1g} for the backbone"
        self.course.notes.append(f"{lost}: it was begun again at a third of the rate, {rates}")
        return True

    def saved(self, save: Path) -> None:
        """A save is written: it counts from now on, and what only an earlier one needed may go."""
        with filling(save):
            mark_complete(save, to_json(self.course))
        for file in self.training.folder.glob("best-*.safetensors"):
            if file != self._file:
                file.unlink()

    def restore(self) -> None:
        """Load the best weights, strictly."""
        self.classifier.load_state_dict(load_file(self._file), strict=True)

    def record(self, series: str, value: float) -> None:
        """One more point of this epoch's."""
        self._record(self.course.epoch, {series: value})

    @property
    def stage(self) -> Stage:
        """The stage that is carried out, at the rates that it has by now."""
        planned = self.training.plan.stages[self.course.stage]
        times = (self.course.rate_factor or 1.0) / _SLOWER**self.course.slowed
        return replace(planned, head_rate=planned.head_rate * times, backbone_rate=planned.backbone_rate * times)

    @property
    def patience(self) -> int:
        """Epochs without improvement after which the stage ends."""
        return self.stage.patience

    @property
    def waits(self) -> bool:
        """Whether an improvement is still waited for."""
        return self.course.waited < self.patience

    @property
    def _file(self) -> Path:
        return self.training.folder / best_file(self.course.best)

    def _lost(self, judged: EpochScore) -> str:
        """What the first epoch of a stage took from its fitted head beyond chance, in words."""
        plan, metric = self.training.plan, self.training.metric
        lower = math.isfinite(judged.loss) and judged.score < self.course.best.score
        if not lower or plan.head != "logistic" or plan.from_scratch:
            return ""
        together = self.training.together
        weights = draw_weights(np.arange(len(self.held_out)) if together is None else together, seed=self.training.seed)
        after = self._predicted()
        learned = {name: tensor.clone() for name, tensor in self.classifier.state_dict().items()}
        self.restore()
        before = self._predicted()
        self.classifier.load_state_dict(learned, strict=True)
        truth = self.held_out.positions.gathered(self.held_out.targets)
        old, new = (resample(metric, truth, predicted, weights) for predicted in (before, after))
        if old.value - new.value <= _LOST * new.error_beside(old):
            return ""
        return (
            f"epoch {judged.epoch} took validation {metric} from {metric.words(old.value)} to "
            f"{metric.words(new.value)}, beyond two standard errors, and no later one came back"
        )

    def _too_fast(self, judged: EpochScore, losses: list[float]) -> str:
        """Whether the rate is too high, in words: weights that are no numbers, or a training loss that grows."""
        losses_by_epoch = self.course.curves["training loss"]
        means = [losses_by_epoch[epoch] for epoch in sorted(losses_by_epoch) if epoch > self.course.entered]
        silent, half = self._silent_loss(), float(np.mean(losses[len(losses) // 2 :]))
        twice = len(means) > 1 and min(half, means[-2]) > _ABOVE_SILENCE * silent
        grown = half > _GROWN * min([losses[0], *means[:-1]])
        rising = len(means) > _RISES and bool((np.diff(means[-_RISES - 1 :]) > 0).all())
        if not math.isfinite(judged.loss):
            why = "what the net says is no number any more"
        elif grown and (twice or half > _FAR_ABOVE * silent):
            why = f"the training loss grew to {half:.3g}; a head that says nothing has {silent:.3g}"
        elif rising and means[-1] > min(means) + _RISEN * silent:
            why = f"the training loss rose {_RISES} epochs in a row, to {means[-1]:.3g} from {min(means):.3g}"
        else:
            return ""
        return (
            f"the learning rate is too high: {why}. Training was stopped after epoch {judged.epoch}, "
            f"{self._kept}. Lower the rates, to a tenth say: {self.stage.head_rate / 10:.1g} for the head, "
            f"{self.stage.backbone_rate / 10:.1g} for the backbone"
        )

    def _overfitted(self, judged: EpochScore) -> str:
        """Whether what was learned since the best weights was these rows alone, in words."""
        best, losses = self.course.best, self.course.curves["training loss"]
        first = max(best.epoch, self.course.entered) + 1
        if judged.loss <= _WORSE * best.loss or losses[judged.epoch] >= losses[first]:
            return ""
        return (
            f"overfitting: from epoch {best.epoch} to {judged.epoch} the validation loss rose from "
            f"{best.loss:.3g} to {judged.loss:.3g} while the training loss fell to {losses[judged.epoch]:.3g}. "
            f"Training was stopped, {self._kept}. More rows, augmentation, or fewer blocks that learn help"
        )

    @property
    def _kept(self) -> str:
        epoch = self.course.best.epoch
        return f"the weights of epoch {epoch} are kept" if epoch else "the weights of the start are kept"

    def _silent_loss(self) -> float:
        """The training loss of a head that says nothing."""
        truth = torch.from_numpy(self.training.rows.targets)
        return float(self.objective.loss(torch.zeros(len(truth), self.classifier.head.out_features), truth))

    def _judged(self, epoch: int) -> EpochScore:
        logits = logits_of(self.classifier, self.held_out)
        if not np.isfinite(logits).all():
            return EpochScore(epoch, -math.inf if self.training.metric is Metric.R2 else 0.0, math.inf)
        truth, plain = self.held_out.targets, replace(self.training.plan, label_smoothing=0.0, class_weights=False)
        objective = Objective.of(plain, self.training.task, self.training.rows.targets, logits.shape[1])
        loss = objective.loss(torch.from_numpy(logits), torch.from_numpy(truth)).item()
        gathered = self.held_out.positions.gathered
        predicted = gathered(named(self.training.task, logits))
        return EpochScore(epoch, score(self.training.metric, gathered(truth), predicted), loss)

    def _predicted(self) -> Shaped[np.ndarray, "n ..."]:
        """What the weights as they are say of the held-out rows, in the form of their targets."""
        logits = logits_of(self.classifier, self.held_out)
        return self.held_out.positions.gathered(named(self.training.task, logits))

    def _scores(self, judged: EpochScore) -> dict[str, float]:
        return {f"validation {self.training.metric}": judged.score, "validation loss": judged.loss}

    def _record(self, epoch: int, values: Mapping[str, float]) -> None:
        for series, value in values.items():
            self.course.curves.setdefault(series, {})[epoch] = value
            self.point(series, epoch, value)

    def _keep(self, judged: EpochScore) -> None:
        write_weights(self.classifier, self.training.folder / best_file(judged))


def best_file(best: EpochScore) -> str:
    """Name of the file that holds the best weights."""
    return f"best-{best.epoch:04d}.safetensors"


def write_weights(model: torch.nn.Module, file: Path) -> None:
    """Keep a net's weights under the names they have here, whole or not at all.

    Raises:
        DiskFull: there is no room for them.
    """
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    with replacing(file, sum(tensor.nbytes for tensor in tensors.values())) as partial:
        save_file(tensors, partial)
