"""The training loop: transformers' Trainer on our loss, with its own judge after every epoch.

The Trainer's own reloading is not used: for models whose keys are renamed when loaded it skips most tensors in silence
(transformers issue 43701). Weights are saved under the names they have here, and loaded strictly. After every epoch
all that is needed to go on is saved; a training that finds a complete save goes on from it.
"""

import gc
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recommender.results import Plan
from recommender.runs.devices import precision
from recommender.runs.training_checkpoints import mark_complete, newest, quarantine_damaged, stage_folder
from recommender.tuning.activation_cache import Boundary, fits, frozen_prefix
from recommender.tuning.classifier import Classifier
from recommender.tuning.data import ItemRows, TrainingRows, keep, slices
from recommender.tuning.heads import named
from recommender.tuning.objective import Anchor, Objective
from recommender.tuning.parameter_groups import rates
from registry.cards import Metric, Task
from registry.encoders.loading import quiet
from registry.errors import Diverged
from registry.files import filling, replacing
from registry.forms import from_json, to_json
from registry.metrics import score
from registry.progress import Phase, Progress, advance

__all__ = ["Curves", "DriftPoints", "EpochScore", "Point", "Trained", "Training", "logits_of", "train"]

Point = Callable[[str, int, float], None]
"""Told a series, an epoch and a value of the learning curve."""
DriftPoints = Callable[[TrainingRows], Mapping[str, float]]
"""Looks at the weights after an epoch, with the held-out rows: series and values for the learning curve."""
Curves = Mapping[str, Mapping[int, float]]
"""Series, epoch, value."""
_ABOVE_SILENCE, _FAR_ABOVE, _GROWN = 2.0, 10.0, 1.5
"""Times the loss of a head that says nothing, beyond which a training loss tells of too high a rate: in two epochs one
after the other, or at once; and by how much it must have grown, for one that falls may yet recover."""
_RISES, _RISEN = 3, 0.25
"""How often a training loss rises in a row, and by what share of that silent loss in all, to tell of the same."""
_WORSE = 1.05
"""Times the best validation loss, from which a worse one beside a falling training loss is overfitting."""
_WARM_UP = 0.1
_LARGEST_GRADIENT = 1.0
_TRIED = 4
"""Rows on which it is tried whether a net can be resumed in the middle."""
_WEIGHTS = "model.safetensors"
_STATES = 3
"""What a save holds at most, in sizes of the weights: these, and two moments of each."""
_DEVICE = "ACCELERATE_TORCH_DEVICE"
"""Where accelerate, which would take the first GPU, is told which one to take."""


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


@dataclass(frozen=True)
class EpochScore:
    """How the weights did on the validation rows: the metric, and the loss which breaks ties."""

    epoch: int
    score: float
    loss: float

    def beats(self, other: "EpochScore") -> bool:
        """Whether this is better."""
        return (self.score, -self.loss) > (other.score, -other.loss)


@dataclass(frozen=True)
class Trained:
    """What a training came to. The classifier has its best weights."""

    start: EpochScore
    best: EpochScore
    curves: Curves
    notes: tuple[str, ...]


@dataclass
class _Course:
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


def train(classifier: Classifier, training: Training, point: Point, progress: Progress) -> Trained:
    """Carry out the stages, or those that a complete save in the folder leaves to be done.

    Raises:
        Diverged: the loss became NaN or infinite; the best weights so far are in the classifier.
    """
    bad = quarantine_damaged(training.folder)
    saved = newest(training.folder)
    course = None if saved is None else from_json(_Course, saved[1])
    lost = course is not None and not (training.folder / _best_file(course.best)).is_file()
    if lost:  # its best weights are gone: nothing that was saved can be gone on from
        shutil.rmtree(training.folder / "trainer")
        course = None
    keeper = _Keeper(classifier, training, point, course)
    keeper.course.notes += bad
    keeper.course.notes += ["the best weights of an earlier attempt were missing: trained anew"] if lost else []
    try:
        for place in range(keeper.course.stage, len(training.plan.stages)):
            keeper.enter(place)
            _train_stage(place, keeper, training, progress)
            keeper.restore()
    finally:
        keeper.restore()
        classifier.boundary = None
        classifier.learn(())
        classifier.eval()
    course = keeper.course
    return Trained(course.start, course.best, course.curves, tuple(dict.fromkeys(course.notes)))


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


class _Loop(Trainer):
    """Our loss on the classifier's logits; a loss that is no number stops everything."""

    objective: Objective
    anchor: Anchor
    blended: Sequence[str]
    losses: list[float]
    highest_rate: float

    def compute_loss(
        self,
        model: torch.nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,  # noqa: ARG002 - the Trainer's signature
    ) -> Any:  # noqa: ANN401 - as above
        batch, targets = dict(inputs), inputs["labels"]
        del batch["labels"]
        chance = np.random.default_rng([self.args.seed, self.state.global_step])
        batch, targets = self.objective.mix(batch, targets, self.blended, chance)
        logits = model(**batch)
        loss = self.objective.loss(logits, targets) + self.anchor.penalty()
        if not bool(torch.isfinite(loss)):
            finite = all(bool(torch.isfinite(tensor).all()) for tensor in batch.values())
            raise Diverged(self.state.global_step, loss.item(), self.highest_rate, finite_inputs=finite)
        self.losses.append(loss.item())
        return (loss, logits) if return_outputs else loss

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        del state_dict
        folder = Path(output_dir or str(self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        _write_weights(_present(self.model), folder / _WEIGHTS)

    def _save_checkpoint(self, model: torch.nn.Module, trial: object) -> None:
        """As the Trainer does it, of which nothing stays where it fails."""
        place = Path(str(self.args.output_dir)) / f"checkpoint-{self.state.global_step}"
        weights = sum(tensor.nbytes for tensor in model.state_dict().values())
        with filling(place, weights * _STATES):
            super()._save_checkpoint(model, trial)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: torch.nn.Module | None = None) -> None:
        stored = load_file(Path(resume_from_checkpoint) / _WEIGHTS)
        _present(model or self.model).load_state_dict(stored, strict=True)


class _Keeper:
    """Judges the weights on held-out rows after each epoch and keeps the best in a file."""

    def __init__(self, classifier: Classifier, training: Training, point: Point, course: _Course | None) -> None:
        self.classifier, self.training, self.point = classifier, training, point
        self.objective = Objective.of(training.plan, training.task, training.rows.targets, classifier.head.out_features)
        self.anchor = self.objective.anchor(classifier)
        self.held_out: TrainingRows = training.held_out
        if course is None:
            start = self._judged(0)
            self.course = _Course(0, 0, 0, start, start)
            self._record(0, self._scores(start))
            self._keep(start)
        else:
            self.course = course

    def enter(self, place: int) -> None:
        """A new stage is given its patience anew; one that is resumed goes on with what it had."""
        if place > self.course.stage:
            self.course = replace(self.course, stage=place, waited=0, entered=self.course.epoch)

    def judge(self, losses: list[float], seconds: float) -> bool:
        """Judge after an epoch; False when it is time to stop."""
        course = self.course
        course.epoch += 1
        judged = self._judged(course.epoch)
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
    def patience(self) -> int:
        """Epochs without improvement after which the stage ends."""
        return self.training.plan.stages[self.course.stage].patience

    @property
    def waits(self) -> bool:
        """Whether an improvement is still waited for."""
        return self.course.waited < self.patience

    @property
    def _file(self) -> Path:
        return self.training.folder / _best_file(self.course.best)

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
        stage = self.training.plan.stages[self.course.stage]
        return (
            f"the learning rate is too high: {why}. Training was stopped after epoch {judged.epoch}, "
            f"{self._kept}. Lower the rates, to a tenth say: {stage.head_rate / 10:.1g} for the head, "
            f"{stage.backbone_rate / 10:.1g} for the backbone"
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
        return EpochScore(epoch, score(self.training.metric, truth, named(self.training.task, logits)), loss)

    def _scores(self, judged: EpochScore) -> dict[str, float]:
        return {f"validation {self.training.metric}": judged.score, "validation loss": judged.loss}

    def _record(self, epoch: int, values: Mapping[str, float]) -> None:
        for series, value in values.items():
            self.course.curves.setdefault(series, {})[epoch] = value
            self.point(series, epoch, value)

    def _keep(self, judged: EpochScore) -> None:
        _write_weights(self.classifier, self.training.folder / _best_file(judged))


class _Epochs(TrainerCallback):
    """Reports progress each step, and the learning curve and the keeper each epoch."""

    def __init__(self, keeper: _Keeper, loop: _Loop, rows: TrainingRows, progress: Progress) -> None:
        self.keeper, self.loop, self.rows, self.progress = keeper, loop, rows, progress
        stages = keeper.training.plan.stages
        lengths = [stage.epochs * _steps(keeper.training) for stage in stages]
        self.before, self.of = sum(lengths[: keeper.course.stage]), sum(lengths)
        self.strategy = keeper.training.plan.strategy

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: object
    ) -> None:
        """Start the clock; augmented rows look as they do in this epoch."""
        del args, control, rest
        if isinstance(self.rows, ItemRows):
            self.rows.set_epoch(round(state.epoch or 0.0))
        self.loop.losses = []
        self.began = time.perf_counter()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: object
    ) -> None:
        """Report; a training that is cancelled ends here, to go on from its last save."""
        del args, control, rest
        advance(self.progress, Phase.TUNE, self.before + state.global_step, self.of, self.strategy)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: object
    ) -> None:
        """Judge, and stop where nothing improves."""
        del args, state, rest
        going = self.keeper.judge(self.loop.losses, time.perf_counter() - self.began)
        control.should_training_stop |= not going

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **rest: object,
    ) -> None:
        """Pass on what the Trainer alone knows."""
        del args, state, control, rest
        for theirs, ours in (("grad_norm", "gradient norm"), ("learning_rate", "learning rate")):
            if logs and theirs in logs:
                self.keeper.record(ours, float(logs[theirs]))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: object) -> None:
        """Make the save count."""
        del control, rest
        self.keeper.saved(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")


def _train_stage(place: int, keeper: _Keeper, training: Training, progress: Progress) -> None:
    """One stage; where memory runs out, again from its last save with batches of half the size."""
    rows, keeper.held_out = _rows(place, keeper, training, progress)
    while True:
        try:
            saved = newest(training.folder)
            here = saved is not None and saved[0].parent == stage_folder(training.folder, place)
            if keeper.waits:
                loop = _loop(place, keeper, rows, training, progress)
                with quiet():
                    loop.train(resume_from_checkpoint=str(saved[0]) if here and saved else None)
            return
        except (MemoryError, RuntimeError) as cause:
            if not _out_of_memory(cause) or training.plan.batch_size >> keeper.course.halved <= 1:
                raise
            _step_back(place, keeper, training)
        finally:
            keeper.held_out = training.held_out
            keeper.classifier.boundary = None


def _step_back(place: int, keeper: _Keeper, training: Training) -> None:
    """Forget what came after the last save, and halve the batch; the sum over a step stays the same."""
    halved = keeper.course.halved + 1
    saved = newest(training.folder)
    if saved is not None and saved[0].parent == stage_folder(training.folder, place):
        keeper.course = from_json(_Course, saved[1])
    keeper.course.halved = halved
    size = max(1, training.plan.batch_size >> halved)
    keeper.course.notes.append(f"memory ran out: batches of {size}, {1 << halved} of them a step")
    keeper.restore()
    gc.collect()
    if training.device.startswith("cuda"):
        torch.cuda.empty_cache()


def _out_of_memory(cause: BaseException) -> bool:
    return isinstance(cause, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(cause)


def _rows(place: int, keeper: _Keeper, training: Training, progress: Progress) -> tuple[TrainingRows, TrainingRows]:
    """Items; or, where a prefix stays frozen and nothing varies the items, activations at its end."""
    plan, classifier = training.plan, keeper.classifier
    learned = frozenset(block for stage in plan.stages[: place + 1] for block in stage.train)
    prefix = frozen_prefix(classifier, learned)
    training.rows.seed = training.seed if plan.augment else None
    if prefix is None or not plan.cache or plan.augment or plan.mixup:
        return training.rows, training.held_out
    batch = training.rows.batch(range(min(_TRIED, len(training.rows))))
    tried = {name: tensor.to(training.device) for name, tensor in batch.items() if name != "labels"}
    classifier.eval()
    try:
        boundary = Boundary(classifier, prefix, tried, training.rows.context([0]).keys())
    except (ValueError, RuntimeError, TypeError, LookupError, AttributeError) as cause:
        keeper.course.notes.append(f"every epoch runs the whole net: {cause}")
        return training.rows, training.held_out
    if not fits(len(training.rows) + len(training.held_out), boundary.activations(tried), training.folder):
        keeper.course.notes.append(f"every epoch runs the whole net: no room to keep activations behind {prefix}")
        return training.rows, training.held_out
    kept = [
        keep(boundary, items, training.folder / f"kept-{name}.npy", progress, name)
        for name, items in (("training", training.rows), ("validation", training.held_out))
    ]
    classifier.boundary = boundary
    return kept[0], kept[1]


def _loop(place: int, keeper: _Keeper, rows: TrainingRows, training: Training, progress: Progress) -> _Loop:
    plan, classifier = training.plan, keeper.classifier
    optimizer = torch.optim.AdamW(rates(classifier, plan.stages[place], plan.weight_decay))
    settings = _settings(place, keeper.course.halved, len(rows), training)
    with quiet():
        loop = _Loop(
            model=classifier,
            args=settings,
            train_dataset=rows,
            data_collator=_as_they_are,  # type: ignore[arg-type]  # rows come as batches
            optimizers=(optimizer, None),
        )
    loop.remove_callback(PrinterCallback)
    loop.objective, loop.anchor, loop.losses = keeper.objective, keeper.anchor, []
    loop.blended = classifier.network.blended
    loop.highest_rate = max(plan.stages[place].head_rate, plan.stages[place].backbone_rate)
    loop.add_callback(_Epochs(keeper, loop, rows, progress))
    return loop


def _settings(place: int, halved: int, rows: int, training: Training) -> TrainingArguments:
    """The Trainer's settings, held to one device: it would take the first GPU and spread the net over all of them."""
    plan, stage, steps, seed = training.plan, training.plan.stages[place], _steps(training), training.seed + place
    on_cpu = training.device == "cpu"
    if not on_cpu:
        os.environ[_DEVICE] = training.device
    arguments = TrainingArguments(
        output_dir=str(stage_folder(training.folder, place)),
        report_to="none",
        disable_tqdm=True,
        save_strategy="epoch",
        save_total_limit=2,
        logging_strategy="epoch",
        logging_nan_inf_filter=False,
        remove_unused_columns=False,
        use_cpu=on_cpu,
        bf16=precision(training.device) is torch.bfloat16,
        per_device_train_batch_size=max(1, plan.batch_size >> halved),
        gradient_accumulation_steps=1 << halved,
        num_train_epochs=stage.epochs,
        lr_scheduler_type="cosine",
        warmup_steps=math.ceil(_WARM_UP * steps * stage.epochs),
        max_grad_norm=_LARGEST_GRADIENT,
        seed=seed,
        data_seed=seed,
        dataloader_pin_memory=False,
        dataloader_drop_last=steps * plan.batch_size <= rows,
    )
    if not on_cpu:
        vars(arguments).update(_setup_devices=torch.device(training.device), _n_gpu=1)
    return arguments


def _present(model: torch.nn.Module | None) -> torch.nn.Module:
    if model is None:
        raise ValueError("a loop without a model")
    return model


def _as_they_are(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return batch


def _steps(training: Training) -> int:
    """Batches an epoch; a last batch of one row is left out, for it has no variance to normalize by."""
    whole, rest = divmod(len(training.rows), training.plan.batch_size)
    return whole + (rest > 1 or whole == 0)


def _best_file(best: EpochScore) -> str:
    return f"best-{best.epoch:04d}.safetensors"


def _write_weights(model: torch.nn.Module, file: Path) -> None:
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.state_dict().items()}
    with replacing(file, sum(tensor.nbytes for tensor in tensors.values())) as partial:
        save_file(tensors, partial)
