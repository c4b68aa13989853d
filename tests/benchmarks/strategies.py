"""Strategies: what each one comes to on real image sets, and what it costs and forgets.

    python -m tests.benchmarks.strategies --sets FOLDER [--checkpoint NAME|FOLDER] [--rows N] [--test-rows N]
        [--threads N] [--only NAME ...] [TARGET ...]

Every strategy on the shelf carries out its own plan on the same training rows of each target and is judged on the
target's test part. Beside what it realized stands what was expected of it. What is not offered is listed with its
reason.
"""

import argparse
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from recommender import flow
from recommender.runs.job import Job, TuneOptions
from recommender.runs.tracking import no_tracking
from recommender.strategies import strategies
from recommender.tuning.recipe import run_local
from registry.errors import NotOffered
from registry.sample import Sample
from registry.zoo import Zoo

TARGETS = ("flowers5", "plankton30", "rsscn7", "sign_digits")
"""Of four families, each with more than 500 test rows."""


@dataclass(frozen=True)
class Row:
    """One strategy on one target: its metrics beside what was expected, or why it is not offered."""

    target: str
    strategy: str
    metrics: dict[str, float]
    expected: str = ""
    refused: str = ""

    def cell(self) -> str:
        """Accuracy with its standard error, what was expected, seconds, the lowest likeness of a block to its start."""
        if self.refused:
            return "not offered"
        metrics = self.metrics
        forgot = f", {metrics['cka_lowest']:.2f}" if "cka_lowest" in metrics else ""
        accuracy = f"{metrics['accuracy']:.3f} ± {metrics['standard_error']:.3f}"
        return f"{accuracy} (expected {self.expected})  {metrics['seconds']:.0f} s{forgot}"


def main() -> None:
    """Run every strategy on every target and print the table."""
    requested = _arguments()
    torch.set_num_threads(requested.threads)
    console, rows = Console(width=150), []
    with tempfile.TemporaryDirectory() as place, Zoo.open(place) as zoo:
        checkpoint = requested.checkpoint
        if Path(checkpoint).is_dir():
            checkpoint = zoo.add(checkpoint).name
        for target in requested.targets:
            sample = Sample.from_folder(requested.sets / target).subsample(requested.rows)
            if requested.test_rows:
                sample = replace(sample, test=sample.test and sample.test.subsample(requested.test_rows))
            for name in requested.only or strategies:
                rows.append(run(zoo, sample, checkpoint, name))
                console.print(f"{target:12s} {name:20s} {rows[-1].cell()} {rows[-1].refused}")
    console.print(table(rows, checkpoint, requested.rows))


def run(zoo: Zoo, sample: Sample, checkpoint: str, strategy: str) -> Row:
    """Carry out one strategy."""
    try:
        choice = flow.evaluate(sample, zoo, checkpoint, strategy)
    except NotOffered as reason:
        return Row(sample.name, strategy, {}, refused=reason.why)
    done, _ = run_local(Job.of(choice, sample, zoo, TuneOptions()), no_tracking)
    mean, low, high = choice.expected.mean, choice.expected.low, choice.expected.high
    return Row(sample.name, strategy, dict(done.metrics), f"{mean:.3f}, {low:.3f} to {high:.3f}")


def table(rows: list[Row], checkpoint: str, most: int) -> Table:
    """Strategies down, targets across."""
    drawn = Table(title=f"{checkpoint}, {most} rows: accuracy, seconds, lowest CKA to the start")
    drawn.add_column("strategy")
    drawn.add_column("parameters", justify="right")
    targets = list(dict.fromkeys(row.target for row in rows))
    for target in targets:
        drawn.add_column(target)
    for name in dict.fromkeys(row.strategy for row in rows):
        ours = {row.target: row for row in rows if row.strategy == name}
        learn = max((row.metrics.get("trainable_parameters", 0.0) for row in ours.values()), default=0.0)
        drawn.add_row(name, f"{learn:,.0f}", *(ours[target].cell() for target in targets))
    return drawn


def _arguments() -> argparse.Namespace:
    requested = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    requested.add_argument("targets", nargs="*", default=TARGETS, metavar="TARGET")
    requested.add_argument("--sets", type=Path, required=True)
    requested.add_argument("--checkpoint", default="resnet-photos", help="a name, or a folder")
    requested.add_argument("--rows", type=int, default=1500)
    requested.add_argument("--test-rows", type=int, default=None)
    requested.add_argument("--threads", type=int, default=1)
    requested.add_argument("--only", nargs="+", default=None, metavar="NAME", help="these strategies alone")
    return requested.parse_args()


if __name__ == "__main__":
    main()
