"""How fast tuning is, as ratios to plain loops in the same run.

    python -m tests.benchmarks.tuning --sets FOLDER [--rows 1500] [--repetitions 3] [probe|partial|loading ...]

`probe`: a linear probe, encoding included (cold cache), against transformers' Trainer with the same frozen backbone and
a linear head for ten epochs, which opens every picture in every epoch; the same with two workers, and with the pictures
held in memory. `partial`: seconds an epoch, from the second on, where the upper half of the blocks learns, against all
of them, and against itself without kept activations. `loading`: seconds for 1,000 pictures in our training, from its
second epoch on, against a bare loop over the same batches as tensors in memory. Variants take turns; medians are
printed, of wall time and of processor time, which other processes disturb less.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainingArguments

from recommender import results
from recommender.results import Plan, Stage
from recommender.runs.job import Job
from recommender.runs.provider import ZooProvider
from recommender.runs.tracking import NullTrackerRun, no_tracking
from recommender.tuning import fitting
from recommender.tuning.classifier import Classifier, fresh_head
from recommender.tuning.data import ItemRows, prepare_rows, slices
from recommender.tuning.parameter_groups import rates
from recommender.tuning.recipe import run_local
from registry.cards import Checkpoint
from registry.encoders.layers import layers_of, read_blocks
from registry.encoders.loading import load_network, quiet
from registry.features import Encoded
from registry.modalities.image.preprocessing import read_preprocessing
from registry.progress import Event, Phase, Progress, silent
from registry.sample import Sample
from registry.zoo import Zoo

PROBED = (("flowers5", "resnet-photos"), ("rsscn7", "resnet-photos"))
TRAINED = (("rsscn7", "resnet-photos"), ("rsscn7", "resnet-cifar10"), ("rsscn7", "vit-cifar10"))
EPOCHS, BATCH = 10, 32
"""Of the plain Trainer."""
RATE = 3e-2
"""Of its head: the best of 1e-3, 3e-3, 1e-2, 3e-2 and 1e-1 on the two sets together."""
MEASURED = 4
"""Epochs of a training whose later ones are timed."""


@dataclass(frozen=True)
class Spent:
    """Wall and processor seconds."""

    wall: float
    processor: float


@dataclass(frozen=True)
class Timed:
    """What a variant took in each repetition, and the test accuracy it came to."""

    spent: tuple[Spent, ...]
    accuracy: float

    @property
    def wall(self) -> float:
        return median(spent.wall for spent in self.spent)

    @property
    def processor(self) -> float:
        return median(spent.processor for spent in self.spent)


def main() -> None:
    """Run what is asked for and print a table each."""
    requested = _arguments()
    torch.set_num_threads(requested.threads)
    results._PATIENCE = 10**6
    for part, cases, run in (
        ("probe", PROBED, probe),
        ("partial", TRAINED, partial),
        ("loading", TRAINED, loading),
    ):
        for name, checkpoint in cases if not requested.parts or part in requested.parts else ():
            whole = Sample.from_folder(requested.sets / name)
            sample = replace(whole.subsample(requested.rows, 0), test=whole.test)
            with tempfile.TemporaryDirectory() as place, Zoo.open(place) as zoo:
                bench = Bench(sample, zoo, zoo.checkpoint(checkpoint))
                title = f"{part}: {name}, {len(sample)} rows, {checkpoint}"
                Console(width=120).print(table(title, take_turns(run(bench), requested.repetitions)))


@dataclass(frozen=True)
class Bench:
    """A sample, and a checkpoint to try on it."""

    sample: Sample
    zoo: Zoo
    card: Checkpoint

    @property
    def blocks(self) -> tuple[str, ...]:
        return self.zoo.encoder(self.card.name).blocks

    @property
    def tested(self) -> Sample:
        if self.sample.test is None:
            raise ValueError("a benchmark needs a test part")
        return self.sample.test

    def job(self, plan: Plan) -> Job:
        """A job whose features come from the zoo's cache."""
        return Job(
            id=f"run-{time.time_ns()}",
            checkpoint=self.card,
            plan=plan,
            sample=self.sample,
            home=self.zoo.home,
        )

    def plan(self, *stages: Stage, cache: bool = True) -> Plan:
        """A plan that reads the last block."""
        learned = {block for stage in stages for block in stage.train}
        return Plan(
            "bench",
            self.blocks[-1],
            "logistic",
            stages,
            tuple(b for b in self.blocks if b not in learned),
            False,
            False,
            BATCH,
            0.01,
            0.0,
            ("a benchmark",),
            cache=cache,
        )


def take_turns(variants: Mapping[str, Callable[[], tuple[Spent, float]]], repetitions: int) -> dict[str, Timed]:
    """Every variant in every round, so that what disturbs one disturbs all."""
    rounds = [{name: run() for name, run in variants.items()} for _ in range(repetitions)]
    return {name: Timed(tuple(result[name][0] for result in rounds), rounds[0][name][1]) for name in variants}


def table(title: str, result: Mapping[str, Timed]) -> Table:
    """Each variant, and how many times as long as the first it took."""
    ours = next(iter(result.values()))
    drawn = Table(title=title)
    for column in ("variant", "wall s", "processor s", "wall ratio", "processor ratio", "test accuracy"):
        drawn.add_column(column, justify="left" if column == "variant" else "right")
    for name, timed in result.items():
        drawn.add_row(
            name,
            f"{timed.wall:.3f}",
            f"{timed.processor:.3f}",
            f"{timed.wall / ours.wall:.2f}",
            f"{timed.processor / ours.processor:.2f}",
            "-" if np.isnan(timed.accuracy) else f"{timed.accuracy:.3f}",
        )
    return drawn


# ---------------------------------------------------------------- probe


def probe(bench: Bench) -> dict[str, Callable[[], tuple[Spent, float]]]:
    """Ours first, then the plain Trainer on files, on files with workers, on pictures in memory."""
    return {
        "linear-probe, cold cache": lambda: _cold(bench),
        f"Trainer, {EPOCHS} epochs, files": lambda: _plain(bench, 0, held=False),
        "the same, 2 workers": lambda: _plain(bench, 2, held=False),
        "the same, pictures in memory": lambda: _plain(bench, 0, held=True),
    }


def _cold(bench: Bench) -> tuple[Spent, float]:
    """The whole executor, loading and storing included; only the test part was encoded before."""
    test = bench.tested
    with tempfile.TemporaryDirectory() as place, Zoo.open(place) as zoo:
        known = bench.zoo.encode(bench.card.name, test)

        class Known(ZooProvider):
            """The test part's features, and those that are computed now."""

            def features(self, job: Job, part: Sample, progress: Progress) -> Encoded:
                return known if part is test else super().features(job, part, progress)

        job = replace(bench.job(bench.plan()), home=zoo.home)
        with _clock() as spent:
            run, _ = run_local(job, no_tracking, silent, Known(zoo))
        return spent[0], run.metrics["accuracy"]


def _plain(bench: Bench, workers: int, *, held: bool) -> tuple[Spent, float]:
    """A frozen backbone and a linear head, as it is commonly written; judged at the end, beside the clock."""
    judged = Files(bench.tested, bench.card.folder, held=False)
    with tempfile.TemporaryDirectory() as place, _clock() as spent, quiet():
        torch.manual_seed(0)
        rows = Files(bench.sample, bench.card.folder, held=held)
        settings = TrainingArguments(
            output_dir=place,
            report_to="none",
            disable_tqdm=True,
            save_strategy="no",
            logging_strategy="no",
            remove_unused_columns=False,
            use_cpu=True,
            per_device_train_batch_size=BATCH,
            num_train_epochs=EPOCHS,
            per_device_eval_batch_size=128,
            learning_rate=RATE,
            dataloader_num_workers=workers,
            dataloader_pin_memory=False,
            seed=0,
        )
        net = FrozenNet(bench.card.folder, len(bench.sample.classes))
        trainer = Trainer(model=net, args=settings, train_dataset=rows)
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    with quiet():
        predicted = trainer.predict(judged).predictions.argmax(1)
    return spent[0], float((predicted == judged.targets.values).mean())


class FrozenNet(nn.Module):
    """A backbone that stays as it is, and a linear head."""

    def __init__(self, folder: Path, classes: int) -> None:
        super().__init__()
        self.network = load_network(folder)
        self.body = self.network.model.requires_grad_(False).eval()
        self.layers = layers_of(self.network)
        self.head = nn.LazyLinear(classes)
        seen = self.network.preprocessing
        self.head(self._features(torch.zeros(1, 3, seen.height, seen.width)))

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        """Loss and logits."""
        with torch.no_grad():
            features = self._features(pixel_values)
        logits = self.head(features)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}

    def train(self, mode: bool = True) -> "FrozenNet":
        """The backbone stays in evaluation mode."""
        super().train(mode)
        self.body.eval()
        return self

    def _features(self, pixels: torch.Tensor) -> torch.Tensor:
        return read_blocks(self.network, self.layers, {"pixel_values": pixels}).blocks[-1]


class Files(Dataset[dict[str, torch.Tensor]]):
    """Pictures opened and resized whenever they are asked for, or once where they are ``held``."""

    def __init__(self, sample: Sample, folder: Path, *, held: bool) -> None:
        self.sample, self.targets, self.preprocessing = sample, sample.targets.values, read_preprocessing(folder)
        self.held = [self._picture(row) for row in range(len(sample))] if held else None

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, row: int) -> dict[str, torch.Tensor]:
        picture = self._picture(row) if self.held is None else self.held[row]
        return {"pixel_values": picture, "labels": torch.tensor(self.targets[row])}

    def _picture(self, row: int) -> torch.Tensor:
        pixels = self.preprocessing.pixels(self.sample.items[row].open())
        return torch.from_numpy(self.preprocessing.normalized(pixels[None]))[0]


# ---------------------------------------------------------------- partial


def partial(bench: Bench) -> dict[str, Callable[[], tuple[Spent, float]]]:
    """An epoch, judged and saved: upper half, upper half without kept activations, everything."""
    upper = bench.blocks[len(bench.blocks) // 2 :]
    return {
        f"upper {len(upper)} of {len(bench.blocks)} blocks learn": lambda: _epoch(bench, upper),
        "the same, nothing kept": lambda: _epoch(bench, upper, cache=False),
        "all learn": lambda: _epoch(bench, bench.blocks),
    }


def _epoch(bench: Bench, learning: tuple[str, ...], *, cache: bool = True) -> tuple[Spent, float]:
    """The median of the epochs from the second on."""
    recorder = _Recorder()
    plan = bench.plan(Stage(learning, MEASURED, 1e-3, 1e-4), cache=cache)
    run, _ = run_local(bench.job(plan), recorder.track, silent)
    return recorder.epoch(), run.metrics["accuracy"]


# ---------------------------------------------------------------- loading


def loading(bench: Bench) -> dict[str, Callable[[], tuple[Spent, float]]]:
    """A training pass over the rows: a bare loop, and ours."""
    return {"bare loop, tensors in memory": lambda: _bare(bench), "our training": lambda: _ours(bench)}


def _ours(bench: Bench) -> tuple[Spent, float]:
    """From the steps that the training tells of; judging and saving lie between epochs."""
    recorder = _Recorder()
    run, _ = run_local(bench.job(bench.plan(Stage(bench.blocks, MEASURED, 1e-3, 1e-4))), recorder.track, recorder)
    return recorder.passed(), run.metrics["accuracy"]


def _bare(bench: Bench) -> tuple[Spent, float]:
    """Forward, backward and step on batches that are there already; as many rows as our training learns from."""
    learning, _ = bench.sample.split(fitting._VALIDATION, 0)
    net = _net(bench)
    with tempfile.TemporaryDirectory() as place:
        rows = prepare_rows(learning.items, learning.targets.values, net.network, Path(place) / "rows", silent, "open")
    stage = Stage(bench.blocks, MEASURED, 1e-3, 1e-4)
    net.learn(stage.train)
    net.train()
    optimizer = torch.optim.AdamW(rates(net, stage, 0.01))
    batches = _batches(rows)
    passes = []
    for _ in range(MEASURED):
        with _clock() as spent:
            for batch in batches:
                optimizer.zero_grad()
                functional.cross_entropy(net(pixel_values=batch["pixel_values"]), batch["labels"]).backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
        passes.append(spent[0])
    return _typical(passes[1:], len(rows)), float("nan")


def _net(bench: Bench) -> Classifier:
    network = load_network(bench.card.folder)
    width = bench.zoo.encode(bench.card.name, bench.sample).last.width
    head = fresh_head(width, len(bench.sample.classes))
    classifier = Classifier(network, layers_of(network), bench.blocks[-1], head)
    return classifier.to(memory_format=torch.channels_last)


def _batches(rows: ItemRows) -> list[dict[str, torch.Tensor]]:
    return [rows.batch(chosen) for chosen in slices(rows, BATCH) if len(chosen) > 1]


# ---------------------------------------------------------------- clocks


@contextmanager
def _clock() -> Iterator[list[Spent]]:
    """What passes inside; processor seconds of workers that are over count too."""
    spent: list[Spent] = []
    wall, processor = time.perf_counter(), sum(os.times()[:4])
    yield spent
    spent.append(Spent(time.perf_counter() - wall, sum(os.times()[:4]) - processor))


def _typical(passes: list[Spent], rows: int) -> Spent:
    """Seconds for 1,000 rows, at the median."""
    return Spent(*(1000 / rows * median(getattr(p, which) for p in passes) for which in ("wall", "processor")))


@dataclass
class _Recorder(NullTrackerRun):
    """A tracker's run, and a progress, that remembers when each step was done and each epoch judged."""

    judged: list[tuple[float, float]] = field(default_factory=list)
    steps: list[tuple[float, float]] = field(default_factory=list)

    def point(self, series: str, step: int, value: float) -> None:
        """Hear that an epoch is over."""
        del step, value
        if series == "validation loss":
            self.judged.append((time.perf_counter(), sum(os.times()[:4])))

    def report(self, event: Event) -> None:
        """Hear that a step is done."""
        if event.phase is Phase.TUNE:
            self.steps.append((time.perf_counter(), sum(os.times()[:4])))

    def cancelled(self) -> bool:
        """Never."""
        return False

    def epoch(self) -> Spent:
        """The median of the epochs from the second on: learned, judged, saved."""
        later = np.diff(np.array(self.judged[1:]), axis=0)
        return Spent(*np.median(later, axis=0).tolist())

    def passed(self) -> Spent:
        """Seconds for 1,000 rows in the later epochs, from the first step of each to its last."""
        steps = np.array(self.steps).reshape(MEASURED, -1, 2)
        took = (steps[1:, -1] - steps[1:, 0]) / (steps.shape[1] - 1) / BATCH
        return Spent(*(1000 * np.median(took, axis=0)).tolist())


def _arguments() -> argparse.Namespace:
    requested = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    requested.add_argument("parts", nargs="*", metavar="PART", help="probe, partial, loading; else all")
    requested.add_argument("--sets", type=Path, required=True)
    requested.add_argument("--rows", type=int, default=1500)
    requested.add_argument("--repetitions", type=int, default=3)
    requested.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    return requested.parse_args()


if __name__ == "__main__":
    main()
