"""Cost: what a tuning was estimated to take, at advice time and by a measured trial, against what it took.

    python -m tests.benchmarks.cost --sets FOLDER [--home HOME] [--threads N]

Three cases on real image sets with a bundled checkpoint: a linear probe whose features are not cached yet, LP-FT, and
a training of the upper half behind a frozen prefix. Early stopping is off, for the estimates are of all epochs.
"""

import argparse
import os
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from recommender import flow
from recommender.results import Choice, Cost
from recommender.runs.job import Job, TuneOptions
from recommender.runs.tracking import no_tracking
from recommender.strategies.cost import estimate
from recommender.tuning import loop
from recommender.tuning.dry_run import measure
from recommender.tuning.recipe import run_local
from registry.progress import silent
from registry.sample import Sample
from registry.zoo import Zoo

CASES = (
    ("flowers5", "linear-probe", "resnet-photos"),
    ("rsscn7", "lp-ft", "resnet-cifar10"),
    ("sign_digits", "partial", "resnet-quickdraw3"),
    ("clothing", "lp-ft", "vit-cifar10"),
)


@dataclass(frozen=True)
class Row:
    """One case: both estimates, what the trial itself took, and what came of the tuning."""

    case: tuple[str, str, str]
    rows: int
    advised: Cost
    trial: Cost
    trial_seconds: float
    seconds: float
    peak_memory_bytes: float


def main() -> None:
    """Run the cases and print the table."""
    asked = _arguments()
    torch.set_num_threads(asked.threads)
    loop._PATIENCE = 10**6
    measured = []
    for number, case in enumerate(CASES):
        with tempfile.TemporaryDirectory() as place, Zoo.open(asked.home or place) as zoo:
            measured.append(run(zoo, asked.sets, case, seed=number))
        Console(width=140).print(table(measured[-1:]))
    Console(width=140).print(table(measured))


def run(zoo: Zoo, sets: Path, case: tuple[str, str, str], seed: int) -> Row:
    """One case, the estimates first."""
    name, strategy, checkpoint = case
    sample = Sample.from_folder(sets / name)
    choice = _chosen(sample, zoo, checkpoint, strategy)
    job = Job.of(choice, sample, zoo, TuneOptions(seed))
    began = time.perf_counter()
    trial = measure(job, lambda part: zoo.encoded(checkpoint, part))
    took = time.perf_counter() - began
    done, _ = run_local(job, no_tracking, silent)
    return Row(
        case, len(sample), choice.cost, trial, took, done.metrics["seconds"], done.metrics["peak_memory_bytes"]
    )  # fmt: skip


def _chosen(sample: Sample, zoo: Zoo, checkpoint: str, strategy: str) -> Choice:
    """The plan of a strategy; ``partial`` freezes the lower half of what LP-FT trains."""
    if strategy != "partial":
        return flow.consider(sample, zoo, checkpoint, strategy)
    choice = flow.consider(sample, zoo, checkpoint, "lp-ft")
    (stage,) = choice.plan.stages
    upper = stage.train[len(stage.train) // 2 :]
    frozen = tuple(block for block in stage.train if block not in upper) + choice.plan.frozen
    plan = replace(choice.plan, strategy="partial", stages=(replace(stage, train=upper),), frozen=frozen)
    found = choice.ranked.transferability
    cost = estimate(
        plan, choice.ranked.checkpoint, len(sample), found.forward_seconds, width=found.width,
        classes=len(sample.classes),
    )  # fmt: skip
    return replace(choice, plan=plan, cost=cost)


def table(rows: list[Row]) -> Table:
    """Estimates beside what came, with ratios of estimated to realized."""
    drawn = Table(title="Estimated and realized cost")
    for column in ("case", "rows", "advice s", "trial s", "realized s", "advice ratio", "trial ratio",
                   "trial MiB", "realized MiB", "memory ratio", "trial took s"):  # fmt: skip
        drawn.add_column(column, justify="left" if column == "case" else "right")
    for row in rows:
        drawn.add_row(
            " ".join(row.case), str(row.rows), f"{row.advised.seconds:.1f}", f"{row.trial.seconds:.1f}",
            f"{row.seconds:.1f}", f"{row.advised.seconds / row.seconds:.2f}", f"{row.trial.seconds / row.seconds:.2f}",
            f"{row.trial.peak_memory_bytes / 2**20:.0f}", f"{row.peak_memory_bytes / 2**20:.0f}",
            f"{row.trial.peak_memory_bytes / row.peak_memory_bytes:.2f}", f"{row.trial_seconds:.1f}",
        )  # fmt: skip
    return drawn


def _arguments() -> argparse.Namespace:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--sets", type=Path, required=True)
    asked.add_argument("--home", type=Path)
    asked.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    return asked.parse_args()


if __name__ == "__main__":
    main()
