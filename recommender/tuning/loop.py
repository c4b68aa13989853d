"""The training loop: transformers' Trainer on our loss, with its own judge after every epoch.

After every epoch all that is needed to go on is saved; a training that finds a complete save goes on from it.
"""

import gc
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recommender.runs.event_log import RANGE_LOSS, RANGE_RATE
from recommender.runs.training_checkpoints import newest, quarantine_damaged, stage_folder
from recommender.tuning.activation_cache import ActivationCache, fits, frozen_prefix
from recommender.tuning.classifier import Classifier
from recommender.tuning.data import ItemRows, TrainingRows, keep
from recommender.tuning.keeper import (
    Curves,
    EpochScore,
    Keeper,
    Point,
    Training,
    TrainingState,
    best_file,
)
from recommender.tuning.normalization import why_own_statistics
from recommender.tuning.objective import Anchor, Objective
from recommender.tuning.parameter_groups import rates
from recommender.tuning.rate_range import MULTIPLES, measure_range
from recommender.tuning.trainer import StrictTrainer, settings_of
from registry.encoders.loading import quiet
from registry.errors import Diverged
from registry.forms import from_json
from registry.progress import Phase, Progress, advance

__all__ = ["Trained", "train"]

_TRIED = 4
"""Rows on which it is tried whether a net can be resumed in the middle."""


@dataclass(frozen=True)
class Trained:
    """What a training came to. The classifier has its best weights."""

    start: EpochScore
    best: EpochScore
    curves: Curves
    notes: tuple[str, ...]
    slowed: int = 0
    """How often it was begun again at a third of the rate."""


def train(classifier: Classifier, training: Training, point: Point, progress: Progress) -> Trained:
    """Carry out the stages, or those that a complete save in the folder leaves to be done.

    Raises:
        Diverged: the loss became NaN or infinite; the best weights so far are in the classifier.
    """
    bad = quarantine_damaged(training.folder)
    saved = newest(training.folder)
    course = None if saved is None else from_json(TrainingState, saved[1])
    lost = course is not None and not (training.folder / best_file(course.best)).is_file()
    if lost:  # its best weights are gone: nothing that was saved can be gone on from
        shutil.rmtree(training.folder / "trainer")
        course = None
    keeper = Keeper(classifier, training, point, course)
    keeper.course.notes += bad
    keeper.course.notes += ["the best weights of an earlier attempt were missing: trained anew"] if lost else []
    if course is None and training.plan.head == "logistic" and not training.plan.from_scratch:
        _hold_statistics(keeper, training)
    if keeper.course.own_statistics:
        classifier.keep_statistics()
    try:
        for place in range(keeper.course.stage, len(training.plan.stages)):
            keeper.enter(place)
            _train_stage(place, keeper, training, progress)
            keeper.restore()
    finally:
        keeper.restore()
        classifier.cache = None
        classifier.learn(())
        classifier.eval()
    course = keeper.course
    return Trained(course.start, course.best, course.curves, tuple(dict.fromkeys(course.notes)), course.slowed)


def _hold_statistics(keeper: Keeper, training: Training) -> None:
    """Decide whether the net goes on normalizing by its own statistics, and note it."""
    plan, of = training.plan, (training.rows, training.metric, training.task)
    why = why_own_statistics(keeper.classifier, plan.stages, *of, plan.batch_size, training.seed)
    keeper.course.own_statistics = why
    keeper.course.notes += [f"the checkpoint's normalization statistics stay as they are: {why}"] if why else []


class _Loop(StrictTrainer):
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


class _Epochs(TrainerCallback):
    """Reports progress each step, and the learning curve and the keeper each epoch."""

    def __init__(self, keeper: Keeper, loop: _Loop, rows: TrainingRows, progress: Progress) -> None:
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


def _train_stage(place: int, keeper: Keeper, training: Training, progress: Progress) -> None:
    """One stage; where memory runs out, again from its last save with batches of half the size.

    Where its first epoch lost beyond chance what no later one brought back, again at a third of the rate.
    """
    rows, keeper.held_out = _rows(place, keeper, training, progress)
    try:
        if training.plan.find_rate and keeper.course.rate_factor is None:
            _find_rate(keeper, rows, training)
        while not _attempted(place, keeper, rows, training, progress):
            pass
    finally:
        keeper.held_out = training.held_out
        keeper.classifier.cache = None


def _find_rate(keeper: Keeper, rows: TrainingRows, training: Training) -> None:
    """Let a range test lower the stage's rates, and note it."""
    planned, tested = keeper.stage.backbone_rate, measure_range(keeper, rows, training)
    first = keeper.course.stage * len(MULTIPLES)
    for doubling, (multiple, loss) in enumerate(zip(tested.multiples, tested.losses, strict=True), start=first):
        keeper.point(RANGE_RATE, doubling, planned * multiple)
        keeper.point(RANGE_LOSS, doubling, loss)
    keeper.course.rate_factor = tested.factor
    keeper.course.notes.append(tested.words(planned))


def _attempted(place: int, keeper: Keeper, rows: TrainingRows, training: Training, progress: Progress) -> bool:
    """Whether a stage came to its end; if not, all is set for the next attempt."""
    try:
        saved = newest(training.folder)
        here = saved is not None and saved[0].parent == stage_folder(training.folder, place)
        if keeper.waits:
            loop = _loop(place, keeper, rows, training, progress)
            with quiet():
                loop.train(resume_from_checkpoint=str(saved[0]) if here and saved else None)
    except (MemoryError, RuntimeError) as cause:
        if not _out_of_memory(cause) or training.plan.batch_size >> keeper.course.halved <= 1:
            raise
        _step_back(place, keeper, training)
        return False
    if not keeper.slow_down():
        return True
    keeper.restore()
    shutil.rmtree(stage_folder(training.folder, place))
    return False


def _step_back(place: int, keeper: Keeper, training: Training) -> None:
    """Forget what came after the last save, and halve the batch; the sum over a step stays the same."""
    halved = keeper.course.halved + 1
    saved = newest(training.folder)
    if saved is not None and saved[0].parent == stage_folder(training.folder, place):
        keeper.course = from_json(TrainingState, saved[1])
    keeper.course.halved = halved
    size = max(1, training.plan.batch_size >> halved)
    keeper.course.notes.append(f"memory ran out: batches of {size}, {1 << halved} of them a step")
    keeper.restore()
    gc.collect()
    if training.device.startswith("cuda"):
        torch.cuda.empty_cache()


def _out_of_memory(cause: BaseException) -> bool:
    return isinstance(cause, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(cause)


def _rows(place: int, keeper: Keeper, training: Training, progress: Progress) -> tuple[TrainingRows, TrainingRows]:
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
        cache = ActivationCache(classifier, prefix, tried, training.rows.context([0]).keys())
    except (ValueError, RuntimeError, TypeError, LookupError, AttributeError) as cause:
        keeper.course.notes.append(f"every epoch runs the whole net: {cause}")
        return training.rows, training.held_out
    if not fits(len(training.rows) + len(training.held_out), cache.activations(tried), training.folder):
        keeper.course.notes.append(f"every epoch runs the whole net: no room to keep activations behind {prefix}")
        return training.rows, training.held_out
    kept = [
        keep(cache, items, training.folder / f"kept-{name}.npy", progress, name)
        for name, items in (("training", training.rows), ("validation", training.held_out))
    ]
    classifier.cache = cache
    return kept[0], kept[1]


def _loop(place: int, keeper: Keeper, rows: TrainingRows, training: Training, progress: Progress) -> _Loop:
    plan, classifier = training.plan, keeper.classifier
    optimizer = torch.optim.AdamW(rates(classifier, keeper.stage, plan.weight_decay))
    settings = _settings(place, keeper.course.halved, len(rows), training)
    with quiet():
        loop = _Loop(
            model=classifier,
            args=settings,
            train_dataset=rows,
            optimizers=(optimizer, None),
        )
    loop.objective, loop.anchor, loop.losses = keeper.objective, keeper.anchor, []
    loop.blended = classifier.network.blended
    loop.highest_rate = max(keeper.stage.head_rate, keeper.stage.backbone_rate)
    loop.add_callback(_Epochs(keeper, loop, rows, progress))
    return loop


def _settings(place: int, halved: int, rows: int, training: Training) -> TrainingArguments:
    plan, stage, steps = training.plan, training.plan.stages[place], _steps(training)
    return settings_of(
        stage_folder(training.folder, place),
        training.device,
        training.seed + place,
        epochs=stage.epochs,
        steps=steps,
        batch_size=max(1, plan.batch_size >> halved),
        batches_a_step=1 << halved,
        drop_last=steps * plan.batch_size <= rows,
    )


def _steps(training: Training) -> int:
    """Batches an epoch; a last batch of one row is left out, for it has no variance to normalize by."""
    whole, rest = divmod(len(training.rows), training.plan.batch_size)
    return whole + (rest > 1 or whole == 0)
