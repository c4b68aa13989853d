"""The training loop: transformers' Trainer on our loss, with its own judge after every epoch.

The Trainer's own reloading is not used: for models whose keys are renamed when loaded it skips most tensors in silence
(transformers issue 43701). The best weights are kept in a file of ours and loaded strictly.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recommender.tuning.classifier import Classifier
from recommender.tuning.data import Pictures
from recommender.tuning.freeze import rates
from recommender.verdicts import Plan
from registry.cards import Metric
from registry.encoders.opening import quiet
from registry.errors import Diverged
from registry.progress import Progress
from registry.sample import score

__all__ = ["Judged", "Point", "Training", "logits_of", "train"]

Point = Callable[[str, int, float], None]
"""Told a series, an epoch and a value of the learning curve."""
_PATIENCE = 4
"""Epochs without improvement after which a stage ends."""
_WARM_UP = 0.1
_LARGEST_GRADIENT = 1.0
_JUDGED_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class Training:
    """What is learned from, and by which plan."""

    plan: Plan
    rows: Pictures
    held_out: Pictures
    metric: Metric
    folder: Path
    seed: int
    device: str

@dataclass(frozen=True)
class Judged:
    """How the weights did on the validation rows: the metric, and the log loss which breaks ties."""

    epoch: int
    score: float
    loss: float

    def beats(self, other: "Judged") -> bool:
        """Whether this is better."""
        return (self.score, -self.loss) > (other.score, -other.loss)


_WORST = Judged(0, 0.0, math.inf)


def train(
    classifier: Classifier, training: Training, point: Point, progress: Progress
) -> tuple[Judged, Judged]:
    """Carry out the stages; the classifier ends with its best weights. Gives the start and the best.

    Raises:
        Diverged: the loss became NaN or infinite; the best weights so far are in the classifier.
    """
    keeper = _Keeper(classifier, training, point)
    stages = training.plan.stages
    lengths = [stage.epochs * _steps(training) for stage in stages]
    told = f"tune {training.plan.strategy}"
    try:
        for place in range(len(stages)):
            keeper.restart()
            trainer = _trainer(classifier, training, place)
            trainer.add_callback(_Epochs(keeper, told, sum(lengths[:place]), sum(lengths), progress))
            with quiet():
                trainer.train()
            keeper.restore()
    finally:
        keeper.restore()
        classifier.learn(())
        classifier.eval()
    return keeper.start, keeper.best


def logits_of(classifier: Classifier, pictures: Pictures) -> Float[np.ndarray, "n c"]:
    """What the classifier says of every row."""
    was = classifier.training
    classifier.eval()
    device = classifier.head.weight.device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(pictures), _JUDGED_AT_ONCE):
            pixels = pictures.input(pictures.pixels[start : start + _JUDGED_AT_ONCE])
            parts.append(classifier(pixels.to(device)).cpu())
    classifier.train(was)
    return torch.cat(parts).numpy()


class _Loop(Trainer):
    """Cross entropy on the classifier's logits; a loss that is no number stops everything."""

    smoothing = 0.0

    def compute_loss(
        self, model: torch.nn.Module, inputs: dict[str, torch.Tensor], return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,  # noqa: ARG002 - the Trainer's signature
    ) -> Any:  # fmt: skip  # noqa: ANN401 - as above
        logits = model(inputs["pixel_values"])
        loss = functional.cross_entropy(logits, inputs["labels"], label_smoothing=self.smoothing)
        if not bool(torch.isfinite(loss)):
            raise Diverged(self.state.global_step, loss.item())
        return (loss, logits) if return_outputs else loss


class _Keeper:
    """Judges the weights on held-out rows and keeps the best in a file."""

    def __init__(self, classifier: Classifier, training: Training, point: Point) -> None:
        self.classifier, self.held_out, self.metric, self.point = classifier, training.held_out, training.metric, point
        self.file = training.folder / "best.safetensors"
        self.epoch = 0
        self.start = self.best = self._judge()
        self._keep()
        self.waited = 0

    def restart(self) -> None:
        """A new stage is given its patience anew."""
        self.waited = 0

    def judge(self) -> bool:
        """Judge after an epoch; False when it is time to stop."""
        self.epoch += 1
        found = self._judge()
        self.waited += 1
        if found.beats(self.best):
            self.best, self.waited = found, 0
            self._keep()
        return self.waited < _PATIENCE

    def restore(self) -> None:
        """Load the best weights, strictly."""
        self.classifier.load_state_dict(load_file(self.file), strict=True)

    def _judge(self) -> Judged:
        logits = logits_of(self.classifier, self.held_out)
        finite = np.isfinite(logits).all()
        truth = self.held_out.targets
        loss = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(truth)).item()
        found = Judged(self.epoch, score(self.metric, truth, logits.argmax(1)), loss) if finite else _WORST
        self.point(f"validation {self.metric}", self.epoch, found.score)
        self.point("validation loss", self.epoch, found.loss)
        return found

    def _keep(self) -> None:
        tensors = self.classifier.state_dict()
        partial = self.file.with_suffix(".tmp")
        save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}, partial)
        partial.replace(self.file)


class _Epochs(TrainerCallback):
    """Tells progress each step, and the learning curve and the keeper each epoch."""

    def __init__(self, keeper: _Keeper, stage: str, before: int, of: int, progress: Progress) -> None:
        self.keeper, self.stage, self.before, self.of, self.progress = keeper, stage, before, of, progress

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: object
    ) -> None:
        """Tell progress."""
        del args, control, rest
        self.progress(self.stage, self.before + state.global_step, self.of)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: object
    ) -> None:
        """Judge, and stop where nothing improves."""
        del args, state, rest
        control.should_training_stop |= not self.keeper.judge()


def _trainer(classifier: Classifier, training: Training, place: int) -> _Loop:
    plan, rows, stage = training.plan, training.rows, training.plan.stages[place]
    classifier.learn(stage.train)
    seed, steps = training.seed + place, _steps(training)
    settings = TrainingArguments(
        output_dir=str(training.folder / "trainer"), report_to="none", disable_tqdm=True, save_strategy="no",
        logging_strategy="no", logging_nan_inf_filter=False, remove_unused_columns=False,
        use_cpu=training.device == "cpu", per_device_train_batch_size=plan.batch_size,
        num_train_epochs=stage.epochs, lr_scheduler_type="cosine",
        warmup_steps=math.ceil(_WARM_UP * steps * stage.epochs), max_grad_norm=_LARGEST_GRADIENT, seed=seed,
        data_seed=seed, dataloader_pin_memory=False, dataloader_drop_last=steps * plan.batch_size <= len(rows),
    )  # fmt: skip
    optimizer = torch.optim.AdamW(rates(classifier, stage, plan.weight_decay))
    with quiet():
        loop = _Loop(
            model=classifier, args=settings, train_dataset=rows, data_collator=rows.batch, optimizers=(optimizer, None)
        )
    loop.remove_callback(PrinterCallback)
    loop.smoothing = plan.label_smoothing
    return loop


def _steps(training: Training) -> int:
    """Batches an epoch; a last batch of one row is left out, for it has no variance to normalize by."""
    whole, rest = divmod(len(training.rows), training.plan.batch_size)
    return whole + (rest > 1 or whole == 0)

