"""What a backbone learns before there is a head: from items without labels, or from pairs of rows.

It is saved on the way as a training is, and goes on from its last save to the same weights; what came of it lies in
the run's folder until the run has ended.
"""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, Shaped
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from recommender.results import Pretext, Pretraining
from recommender.runs.job import Job
from recommender.runs.training_checkpoints import mark_complete, newest, quarantine_damaged, stage_folder
from recommender.tuning.classifier import Classifier
from recommender.tuning.data import Batch, ItemRows, prepare_rows
from recommender.tuning.keeper import PRETRAINING_LOSS, Point, write_weights
from recommender.tuning.trainer import StrictTrainer, settings_of
from registry.encoders.loading import quiet
from registry.errors import Diverged, NotOffered, Unsupported
from registry.modalities import Network, SelfSupervised, modalities
from registry.progress import Phase, Progress, advance
from registry.sample import Sample
from registry.targets import Positions, Targets

__all__ = ["HiddenRows", "PairRows", "pretrain"]

_ROUND = 2000
"""Items, or pairs, after which it is saved."""
_DECAY = 0.01
_WEIGHTS, _SAVES = "pretrained.safetensors", "pretraining"


def pretrain(
    classifier: Classifier, job: Job, learning: Sample, judging: Sequence[Sample], point: Point, progress: Progress
) -> tuple[str, ...]:
    """Let the backbone learn what the plan says, unless that was done before; notes on it.

    ``learning`` are the rows that are learned from. Items that stand in one of the ``judging`` parts are left out.

    Raises:
        NotOffered: the net cannot learn so.
        Diverged: the loss became NaN or infinite.
    """
    plan = job.plan.pretraining
    if plan is None:
        return ()
    rows, module, notes = _task(classifier, job, plan, learning, judging, progress)
    file = job.folder / _WEIGHTS
    if file.is_file():
        classifier.body.load_state_dict(load_file(file), strict=True)
    else:
        notes += _train(module.to(job.device), rows, job, plan, point, progress)
        write_weights(classifier.body, file)
    classifier.learn(())
    classifier.eval()
    return notes


class _Rounds(Dataset[Batch]):
    """Rows of which each round shows a stretch, in an order of their own."""

    def __init__(self, count: int, seed: int) -> None:
        self.seed = seed
        self.round = 0
        self.order = np.random.default_rng([seed, count]).permutation(count)

    def __len__(self) -> int:
        return min(_ROUND, len(self.order))

    def __getitems__(self, places: list[int]) -> Batch:
        return self.batch(self.order[(self.round * len(self) + np.asarray(places)) % len(self.order)])

    def batch(self, rows: Int[np.ndarray, " b"]) -> Batch:
        """The module's arguments for these rows."""
        raise NotImplementedError


class HiddenRows(_Rounds):
    """Items of which other parts are hidden in every round."""

    def __init__(self, items: ItemRows, network: SelfSupervised, seed: int) -> None:
        super().__init__(len(items), seed)
        self.items, self.network = items, network

    def batch(self, rows: Int[np.ndarray, " b"]) -> Batch:
        """As `_Rounds.batch`."""
        chance = [np.random.default_rng([self.seed, self.round, int(row)]) for row in rows]
        return self.network.hide([self.items.prepared[row] for row in rows], chance)


class PairRows(_Rounds):
    """Pairs of rows, as many of one class as of two; a batch holds the one half behind the other."""

    def __init__(self, items: ItemRows, count: int, seed: int) -> None:
        super().__init__(count, seed)
        self.items = items
        self.pairs = _pairs(items.targets, count, np.random.default_rng(seed))

    def batch(self, rows: Int[np.ndarray, " b"]) -> Batch:
        """As `_Rounds.batch`."""
        one, other, same = self.pairs[rows].T
        inputs = self.items.batch([*one.tolist(), *other.tolist()])
        return {**inputs, "labels": torch.from_numpy(same.astype(np.float32))}


def _pairs(targets: Int[np.ndarray, " n"], count: int, random: np.random.Generator) -> Int[np.ndarray, "p 3"]:
    """Pairs of row numbers, and whether they are of one class: each row in turn, with one of its class, then not."""
    rows, pairs = random.permutation(len(targets)), []
    for place in range(count):
        row, same = rows[place // 2 % len(rows)], place % 2 == 0
        fitting = np.flatnonzero((targets == targets[row]) == same)
        others = fitting[fitting != row]
        if len(others):
            pairs.append((row, random.choice(others), same))
    return np.array(pairs, np.int64).reshape(-1, 3)


class _Similarity(nn.Module):
    """Squared error of the cosine of two rows' features, which is to be 1 in one class and 0 in two."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, labels: torch.Tensor, **batch: torch.Tensor) -> torch.Tensor:
        """The mean over the pairs."""
        one, other = self.classifier.blocks(**batch)[-1].chunk(2)
        return functional.mse_loss(functional.cosine_similarity(one, other), labels)


def _task(
    classifier: Classifier,
    job: Job,
    plan: Pretraining,
    learning: Sample,
    judging: Sequence[Sample],
    progress: Progress,
) -> tuple[_Rounds, nn.Module, tuple[str, ...]]:
    """What is shown, what gives the loss, and notes."""
    network, strategy = classifier.network, job.plan.strategy
    if plan.pretext is Pretext.PAIRS:
        rows = _prepared(learning.items, learning.targets.values, network, job, progress)
        pairs = PairRows(rows, plan.rows, job.seed)
        classifier.learn([name for name in classifier.layers.names if name not in job.plan.frozen])
        return pairs, _Similarity(classifier), ()
    if not isinstance(network, SelfSupervised):
        raise NotOffered(strategy, f"{type(classifier.body).__name__} learns nothing from items without labels")
    judged = {item.identity for part in judging for item in part.items}
    more = [item for item in job.sample.unlabelled if item.identity not in judged]
    gone = len(job.sample.unlabelled) - len(more)
    words = modalities[str(job.checkpoint.modality)].words
    left_out = f"{words.count(gone)} without labels left out: the same stand among the rows that judge it"
    notes = (left_out,) if gone else ()
    items = tuple({item.identity: item for item in (*learning.items, *more)}.values())
    rows = _prepared(items, np.zeros(len(items), np.int64), network, job, progress)
    try:
        with quiet():
            module: nn.Module = network.pretext(job.checkpoint.folder)
    except Unsupported as cause:
        raise NotOffered(strategy, cause.why) from cause
    module.requires_grad_()
    return HiddenRows(rows, network, job.seed), module, notes


def _prepared(
    items: Sequence[Any], targets: Shaped[np.ndarray, "n ..."], network: Network, job: Job, progress: Progress
) -> ItemRows:
    return prepare_rows(
        items, Positions.of(Targets.of(targets)), network, job.folder / "rows-first", progress, "without labels"
    )


class _Loop(StrictTrainer):
    """The module's own loss; one that is no number stops everything."""

    rate: float
    losses: list[float]

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,  # noqa: ARG002 - the Trainer's signature
    ) -> Any:  # noqa: ANN401 - as above
        loss = model(**inputs)
        if not bool(torch.isfinite(loss)):
            raise Diverged(self.state.global_step, loss.item(), self.rate)
        self.losses.append(loss.item())
        return (loss, loss) if return_outputs else loss


class _Reports(TrainerCallback):
    """Shows other rows in each round, reports progress, and makes saves count."""

    def __init__(self, loop: _Loop, rows: _Rounds, point: Point, progress: Progress, strategy: str) -> None:
        self.loop, self.rows, self.point, self.progress, self.strategy = loop, rows, point, progress, strategy

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: object
    ) -> None:
        """Show the rows of this round."""
        del args, control, rest
        self.rows.round = round(state.epoch or 0.0)
        self.loop.losses = []

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: object
    ) -> None:
        """Report; what is cancelled ends here, to go on from its last save."""
        del args, control, rest
        advance(self.progress, Phase.PRETRAIN, state.global_step, state.max_steps, self.strategy)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: object
    ) -> None:
        """Note the mean loss."""
        del args, state, control, rest
        self.point(PRETRAINING_LOSS, self.rows.round + 1, float(np.mean(self.loop.losses)))

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **rest: object) -> None:
        """Make the save count."""
        del control, rest
        mark_complete(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", {"step": state.global_step})


def _train(
    module: nn.Module, rows: _Rounds, job: Job, plan: Pretraining, point: Point, progress: Progress
) -> tuple[str, ...]:
    """All rounds, or those that a complete save leaves to be done; sentences about saves that were damaged."""
    stages = job.folder / _SAVES
    bad, saved = quarantine_damaged(stages), newest(stages)
    pairs = plan.pretext is Pretext.PAIRS
    batch, rounds = job.plan.batch_size // (2 if pairs else 1), ceil(plan.epochs * len(rows.order) / len(rows))
    learning = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in learning if p.ndim > 1], "weight_decay": _DECAY},
            {"params": [p for p in learning if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=plan.rate,
    )
    settings = settings_of(
        stage_folder(stages, 0), job.device, job.seed, epochs=rounds, steps=ceil(len(rows) / batch), batch_size=batch
    )
    with quiet():
        loop = _Loop(model=module, args=settings, train_dataset=rows, optimizers=(optimizer, None))
        loop.rate, loop.losses = plan.rate, []
        loop.add_callback(_Reports(loop, rows, point, progress, job.plan.strategy))
        loop.train(resume_from_checkpoint=None if saved is None else str(saved[0]))
    return bad
