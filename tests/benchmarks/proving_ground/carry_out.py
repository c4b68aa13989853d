"""Carrying out a cell: from its rows and weights to which test rows are told rightly."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float, Int

from recommender.baseline import NEAREST, RawRows, held_out
from recommender.history import History
from recommender.results import Choice, Stage
from recommender.runs.job import Job
from recommender.runs.tracking import no_tracking
from recommender.transfer.linear import fit_head, out_of_fold
from recommender.tuning.heads import read_head
from recommender.tuning.recipe import run_local
from registry.cards import Outcome
from registry.encoders.encoder import load_encoder
from registry.features import Encoded
from registry.home import Home
from registry.index import neighbors
from registry.progress import Progress
from registry.sample import Sample
from tests.benchmarks.proving_ground.bench import Bench
from tests.benchmarks.proving_ground.cells import NO_TRANSFER, Cell
from tests.benchmarks.proving_ground.evidence import choice_of
from tests.benchmarks.proving_ground.targets import Part

__all__ = ["Done", "carry_out"]

NOTHING_YET = History(())
"""Plans of cells rest on the pair's own rows alone, so that the order of running changes none."""


@dataclass(frozen=True, eq=False)
class Done:
    """What a trained model says of the test rows, and what it took to train it."""

    predicted: Int[np.ndarray, " n"]
    seconds: float
    """Of the processor, which other work on the machine does not lengthen."""
    conditions: dict[str, object] = field(default_factory=dict)


def carry_out(cell: Cell, bench: Bench, device: str = "cpu", *, again: int = 0) -> Done:
    """Train as the cell says and predict its test rows; ``again`` gives trainings another seed, and the same rows."""
    if cell.strategy in _HEADS:
        return _HEADS[cell.strategy](cell, bench)
    return _tuned(cell, bench, device, cell.seed + again)


def _no_transfer(cell: Cell, bench: Bench) -> Done:
    """Raw pixels; linear head or nearest neighbors, whichever cross-validates better on the training rows."""
    part, began = bench.part(cell), time.process_time()
    train = part.train
    models = held_out(RawRows.of(train.modality, train.items), train.targets, train.folds(seed=cell.seed))
    model = max(models, key=lambda name: float((models[name].plain == train.targets.values).mean()))
    rows, tests = len(part.train), len(part.test)
    pixels = RawRows.of(part.train.modality, _joined(part).items).features(np.arange(rows))
    if model == NEAREST:
        predicted = _vote(pixels[rows:], pixels[:rows], part.train.targets.values)
    else:
        folds = np.repeat([-1, 0], [rows, tests])
        predicted = out_of_fold(pixels, _joined(part).targets, folds).predicted[rows:]
    return Done(predicted, time.process_time() - began, {"model": f"raw pixels + {model}"})


def _linear_probe(cell: Cell, bench: Bench) -> Done:
    """A logistic head on the last block's pooled features."""
    return _head_on(-1, cell, bench, {})


def _block_probe(cell: Cell, bench: Bench) -> Done:
    """A logistic head on the block that the product's linear-probe plan reads."""
    choice = choice_of(cell, bench, "linear-probe", NOTHING_YET)
    names = bench.encoder(cell).blocks
    return _head_on(names.index(choice.plan.read), cell, bench, _known(choice))


def _tuned(cell: Cell, bench: Bench, device: str, seed: int) -> Done:
    """The product's plan with the cell's epochs, carried out by the product; its stored net is what is judged."""
    part, choice = bench.part(cell), choice_of(cell, bench, cell.strategy, NOTHING_YET)
    plan = replace(choice.plan, stages=_within(cell.epochs, choice.plan.stages))
    train, test = bench.train_features(cell), bench.test_features(cell)
    with TemporaryDirectory(dir=bench.cache) as folder:
        job = Job(
            id=f"cell-{cell.cell}",
            checkpoint=choice.checkpoint,
            plan=plan,
            sample=part.train,
            home=Home.find(folder),
            seed=seed,
            device=device,
        )
        began = time.process_time()
        run, _ = run_local(job, no_tracking, provider=Measured(part.train, train, test))
        seconds = time.process_time() - began
        predicted = _stored_says(job, part.test)
    agreed, metrics = float((predicted == part.test.targets.values).mean()), run.metrics["accuracy"]
    if abs(agreed - metrics) > 0.005:
        raise RuntimeError(f"cell {cell.cell}: the stored net scores {agreed:.3f}, the run {metrics:.3f}")
    record = {
        **_known(choice),
        "batch_size": plan.batch_size,
        "best_epoch": run.metrics.get("best_epoch", 0),
        **{key: plan.to_dict()[key] for key in ("stages", "augment", "dropout")},
    }
    return Done(predicted, seconds, record)


@dataclass(frozen=True)
class Measured:
    """A provider of features that were computed before, of both parts of a cell."""

    sample: Sample
    train: Encoded
    test: Encoded

    def features(self, job: Job, part: Sample, progress: Progress) -> Encoded:
        return self.train if part is self.sample else self.test

    def record(self, job: Job, outcome: Outcome) -> None:
        pass


def _head_on(place: int, cell: Cell, bench: Bench, known: dict[str, object]) -> Done:
    part = bench.part(cell)
    train, test = bench.train_features(cell), bench.test_features(cell)
    began = time.process_time()
    head = fit_head(train.blocks[place].vectors, part.train.targets, len(part.train.classes))
    seconds = time.process_time() - began + len(part.train) * bench.forward_seconds(cell)
    return Done(head.logits(test.blocks[place].vectors).argmax(axis=1), seconds, {"read": train.names[place], **known})


def _stored_says(job: Job, test: Sample) -> Int[np.ndarray, " n"]:
    """The classes that the run's stored backbone and head name."""
    encoder = load_encoder(job.folder)
    encoded = encoder.encode(test.items)
    read = encoded.blocks[encoded.names.index(job.plan.read)].vectors
    return np.asarray(read_head(job.folder).logits(read).argmax(axis=1))


def _within(epochs: int, stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The stages in so many epochs altogether: one each, the rest to the last."""
    rest = max(1, epochs - len(stages) + 1)
    return tuple(
        replace(stage, epochs=1 if place < len(stages) else rest) for place, stage in enumerate(stages, start=1)
    )


def _known(choice: Choice) -> dict[str, object]:
    """What the plan reads, and the cross-validated accuracy of a head there."""
    curve = {row.block: row.score for row in choice.ranked.transferability.blocks}
    return {"read": choice.plan.read, "probe": round(curve[choice.plan.read], 6)}


def _joined(part: Part) -> Sample:
    """Training rows, then test rows."""
    return replace(
        part.train, items=(*part.train.items, *part.test.items), labels=(*part.train.labels, *part.test.labels)
    )


def _vote(
    test: Float[np.ndarray, "n d"], train: Float[np.ndarray, "m d"], targets: Int[np.ndarray, " m"]
) -> Int[np.ndarray, " n"]:
    """The majority of five nearest training rows; ties go to the nearer."""
    _, near = neighbors(test, train, min(5, len(train)))
    votes = np.zeros((len(test), int(targets.max()) + 1))
    for place in range(near.shape[1]):
        votes[np.arange(len(test)), targets[near[:, place]]] += 1 - 1e-3 * place
    return votes.argmax(axis=1)


_HEADS: dict[str, Callable[[Cell, Bench], Done]] = {
    NO_TRANSFER: _no_transfer,
    "linear-probe": _linear_probe,
    "block-probe": _block_probe,
}
