"""Cost: what a tuning was estimated to take, at advice time and by a measured trial, against what it took.

    python -m tests.benchmarks.cost --sets FOLDER [--checkpoints FOLDER] [--rows N] [--repeats N] [--home HOME]

Three checkpoints, a linear probe and LP-FT, two real image sets; nothing is kept from one case to the next. Stages stop
early, as they do. On a machine that others use too the wall clock runs on while they work: seconds of the processor
stand beside it. Of several repeats the medians are told.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from recommender import flow
from recommender.results import Cost
from recommender.runs.job import Job, TuneOptions
from recommender.runs.tracking import no_tracking
from recommender.tuning import loop  # noqa: F401 - seconds to import, which are no case's
from recommender.tuning.dry_run import measure_cost
from recommender.tuning.recipe import run_local
from registry.progress import Phase
from registry.sample import Sample
from registry.zoo import Zoo
from tests.observers import Recorder

SETS = ("sign_digits", "flowers5")
CHECKPOINTS = ("resnet-photos", "vit-cifar10", "imagenet_mobilenet_v1_0.25_128")
"""The last one is not bundled, and left out unless ``--checkpoints`` has it."""
STRATEGIES = ("linear-probe", "lp-ft")


@dataclass(frozen=True)
class Row:
    """One case: both estimates, what the trial itself took, and what came of the tuning."""

    case: tuple[str, str, str]
    rows: int
    epochs: str
    advised: Cost
    trial: Cost
    trial_seconds: float
    wall: float
    processor: float
    peak_memory_bytes: float


def main() -> None:
    """Run the cases and print the table."""
    requested = _arguments()
    torch.set_num_threads(requested.threads)
    measured = []
    for checkpoint, strategy, name in product(CHECKPOINTS, STRATEGIES, SETS):
        folder = None if requested.checkpoints is None else requested.checkpoints / checkpoint
        runs = []
        for seed in range(requested.repeats):
            with tempfile.TemporaryDirectory() as place, Zoo.open(requested.home or place) as zoo:
                if checkpoint not in {card.name for card in zoo.checkpoints()}:
                    if folder is None or not folder.is_dir():
                        continue
                    zoo.add(folder)
                whole = Sample.from_folder(requested.sets / name)
                sample = replace(whole.subsample(requested.rows, 0), test=whole.test)
                runs.append(run(zoo, sample, (name, strategy, checkpoint), seed))
        if runs:
            measured.append(middle(runs))
            Console(width=180).print(table(measured[-1:]))
    Console(width=180).print(table(measured))


def run(zoo: Zoo, sample: Sample, case: tuple[str, str, str], seed: int) -> Row:
    """One case, the estimates first."""
    _, strategy, checkpoint = case
    choice = flow.evaluate(sample, zoo, checkpoint, strategy)
    choice = replace(choice, plan=replace(choice.plan, controls=()))
    job = Job.of(choice, sample, zoo, TuneOptions(seed))
    began = time.perf_counter()
    trial = measure_cost(job, lambda part: zoo.encodings.encoded(checkpoint, part))
    took, processor = time.perf_counter() - began, time.process_time()
    recorder = Recorder()
    done, _ = run_local(job, no_tracking, recorder)
    processor = time.process_time() - processor
    steps = max((event.done for event in recorder.events if event.phase is Phase.TUNE), default=0)
    planned = sum(stage.epochs for stage in choice.plan.stages)
    an_epoch = -(-round(done.metrics["rows_train"] * 0.8) // choice.plan.batch_size)
    epochs = f"{round(steps / an_epoch)} of {planned}" if planned else "none"
    return Row(
        case,
        len(sample),
        epochs,
        choice.cost,
        trial,
        took,
        done.metrics["seconds"],
        processor,
        done.metrics["peak_memory_bytes"],
    )


def middle(runs: Sequence[Row]) -> Row:
    """The run whose told over taken is the median."""
    return sorted(runs, key=lambda row: row.advised.seconds / row.wall)[len(runs) // 2]


def table(rows: Sequence[Row]) -> Table:
    """Estimates beside what came, with ratios of estimated to realized."""
    ratios = [row.advised.seconds / row.wall for row in rows]
    within = sum(abs(ratio - 1) <= 0.3 for ratio in ratios)
    drawn = Table(title=f"Told over taken: median {median(ratios):.2f}, {within} of {len(rows)} within 30 %")
    for column in (
        "case",
        "rows",
        "epochs",
        "advice s",
        "trial s",
        "wall s",
        "processor s",
        "advice / wall",
        "advice / processor",
        "trial / wall",
        "memory ratio",
        "trial took s",
    ):
        drawn.add_column(column, justify="left" if column == "case" else "right", no_wrap=column == "case")
    for row in rows:
        drawn.add_row(
            " ".join(row.case),
            str(row.rows),
            row.epochs,
            f"{row.advised.seconds:.1f}",
            f"{row.trial.seconds:.1f}",
            f"{row.wall:.1f}",
            f"{row.processor:.1f}",
            f"{row.advised.seconds / row.wall:.2f}",
            f"{row.advised.seconds / row.processor:.2f}",
            f"{row.trial.seconds / row.wall:.2f}",
            f"{row.trial.peak_memory_bytes / row.peak_memory_bytes:.2f}",
            f"{row.trial_seconds:.1f}",
        )
    return drawn


def _arguments() -> argparse.Namespace:
    requested = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    requested.add_argument("--sets", type=Path, required=True)
    requested.add_argument("--checkpoints", type=Path)
    requested.add_argument("--home", type=Path)
    requested.add_argument("--rows", type=int, default=2000)
    requested.add_argument("--repeats", type=int, default=1)
    requested.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    return requested.parse_args()


if __name__ == "__main__":
    main()
