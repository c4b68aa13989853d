"""The race against probing everybody: the same first choice for how much of the probing, and is a deadline kept?

    python -m tests.benchmarks.race FOLDER ... [--checkpoints FOLDER ...] [--seconds N ...]

Each sample is advised on twice in fresh homes, once with every checkpoint probed in full and once by the race; rows
are counted at the encoders, and weighed by the multiplications that a row takes. Then once for each number of seconds.
Brute force is what carrying out every offered strategy of every checkpoint is estimated to take; advice is held against
it by seconds of the processor. On a busy machine brute force is estimated too long: that share is right on a quiet one.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from recommender.effort import Deadline
from recommender.flow import recommend
from recommender.history import History
from recommender.plan import choose_plan
from recommender.race import row_work
from recommender.results import Candidate, Choice, Recommendation
from recommender.strategies import strategies
from registry.encoders.encoder import CheckpointEncoder
from registry.errors import NotOffered
from registry.sample import Sample
from registry.zoo import Zoo

ALL = 999


@dataclass(frozen=True)
class Advised:
    """Advice, with the rows that each checkpoint was shown, what they take, and the seconds of all by either clock."""

    advice: Recommendation
    rows: Counter[str]
    work: float
    seconds: float
    processor: float


def main() -> None:
    """Print a line a sample, and one a deadline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--checkpoints", nargs="*", type=Path, default=[])
    parser.add_argument("--seconds", nargs="*", type=float, default=[])
    typed = parser.parse_args()
    table = Table(title="The race against probing everybody")
    for name in (
        "sample",
        "checkpoints",
        "first of all",
        "first of the race",
        "rows",
        "work",
        "seconds",
        "of brute force",
    ):
        table.add_column(name)
    kept = Table(title="Deadlines")
    for name in ("sample", "seconds", "took", "choices", "left undone"):
        kept.add_column(name)
    for folder in typed.folders:
        table.add_row(folder.name, *_compared(folder, typed.checkpoints))
        for seconds in typed.seconds:
            began = time.monotonic()
            got = _advise(folder, typed.checkpoints, keep=5, seconds=seconds)
            took, undone = time.monotonic() - began - got[1], len(got[0].advice.undone)
            kept.add_row(folder.name, f"{seconds:.0f}", f"{took:.1f}", f"{len(got[0].advice.choices)}", f"{undone}")
    Console(width=150).print(table)
    Console(width=150).print(kept)


def _compared(folder: Path, checkpoints: Sequence[Path]) -> tuple[str, ...]:
    full, _ = _advise(folder, checkpoints, keep=ALL)
    raced, _ = _advise(folder, checkpoints, keep=5)
    best, first = full.advice.best, raced.advice.best.checkpoint.name
    same = next((choice for choice in full.advice.choices if choice.checkpoint.name == first), None)
    inside = same is not None and best.expected.low <= same.expected.mean <= best.expected.high
    sample = Sample.from_folder(folder)
    brute = sum(_brute(choice, sample, full.advice) for choice in full.advice.choices)
    return (
        f"{len(full.advice.choices)}",
        f"{best.checkpoint.name} {best.expected.words}",
        f"{first}, {'within' if inside else 'outside'} that interval",
        f"{sum(raced.rows.values()) / sum(full.rows.values()):.2f}",
        f"{raced.work / full.work:.2f}",
        f"{raced.seconds:.0f} for {full.seconds:.0f}",
        f"{raced.processor / brute:.4f} of {brute:,.0f} s",
    )


def _brute(choice: Choice, sample: Sample, advice: Recommendation) -> float:
    """Seconds that all strategies which are offered to a checkpoint are estimated to take."""
    seconds = 0.0
    for strategy in strategies:
        with suppress(NotOffered):
            planned = choose_plan(choice.ranked, sample, advice.baseline, History(()), strategy=strategy)
            seconds += planned.cost.seconds
    return seconds


def _advise(
    folder: Path, checkpoints: Sequence[Path], *, keep: int, seconds: float | None = None
) -> tuple[Advised, float]:
    """Advice in a fresh home, and the seconds that it took to make that home."""
    began = time.monotonic()
    with TemporaryDirectory() as place, Zoo.open(place) as zoo, _counted() as rows:
        for checkpoint in checkpoints:
            zoo.add(checkpoint, name=checkpoint.name)
        rows.clear()
        opening = time.monotonic() - began
        deadline, began, spent = Deadline(seconds), time.monotonic(), time.process_time()
        sample = Sample.from_folder(folder)
        advice = recommend(sample, zoo, keep=keep, deadline=deadline)
        took, spent = time.monotonic() - began, time.process_time() - spent
        lens = zoo.lens(sample.modality).checkpoint
        rows.pop(lens, None)
        work = sum(count * row_work(Candidate(zoo.checkpoint(name), None)) for name, count in rows.items())
        return Advised(advice, rows, work, took, spent), opening


@contextmanager
def _counted() -> Iterator[Counter[str]]:
    """How many rows each checkpoint is shown meanwhile."""
    rows: Counter[str] = Counter()
    encode = CheckpointEncoder.encode

    def counted(self: CheckpointEncoder, items: Sequence[object], **options: object) -> object:
        rows[self.name] += len(items)
        return encode(self, items, **options)

    with patch.object(CheckpointEncoder, "encode", counted):
        yield rows


if __name__ == "__main__":
    main()
