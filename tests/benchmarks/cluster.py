"""Probing on a Ray cluster: what a second worker is worth, and whether the advice stays the same to the bit.

    python -m tests.benchmarks.cluster FOLDER [--limit 800] [--workers 1 2] [--rounds 1] [--pinned]

Each cluster is started on this machine, a core a worker, which it keeps to by itself (`registry.threads`);
``--pinned`` has the system keep it to one, as a machine of its own would. First it probes a few rows, so that its
workers have imported what they need and opened the registry (*cold*: that, and connecting); then every bundled
checkpoint is probed in full on rows that none has seen, from the first task that is sent to the last that is finished.
Beside the seconds stand those of the processor: of the workers, and of Ray's own processes and this one, which the
machine's cores carry too.
"""

import argparse
import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from rich.console import Console
from rich.table import Table

from recommender import flow
from recommender.probe import probe
from recommender.results import Candidate, Transferability
from recommender.workers import Workers, open_workers
from registry.sample import Sample
from registry.zoo import Zoo
from tests.clusters import Head, cluster, lasting

_WARM = 60
_COLUMNS = ("workers", "load", "cold", "checkpoints", "probing", "times", "workers'", "others'", "advice", "same")


def main() -> None:
    """Print a line a number of workers and round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=800)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--pinned", action="store_true")
    typed = parser.parse_args()
    sample = Sample.from_folder(typed.folder, limit=typed.limit)
    title = (
        f"Probing {len(sample):,} rows of {sample.name} by every bundled checkpoint, in seconds; processor seconds of"
    )
    table = Table(title=title + " the workers and of the others")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    first: _Measured | None = None
    for count in typed.workers * typed.rounds:
        load = f"{os.getloadavg()[0]:.1f}"
        now = _measured(sample, count, typed.pinned)
        first = first or now
        figures = (now.probing, first.probing / now.probing, now.of_workers, now.of_others, now.advising)
        probing, times, *others = (
            f"{figure:.2f}" if place == 1 else f"{figure:.1f}" for place, figure in enumerate(figures)
        )
        same = "yes" if now.advice == first.advice else "NO"
        table.add_row(str(count), load, f"{now.cold:.1f}", str(now.scored), probing, times, *others, same)
    Console(width=120).print(table)


@dataclass(frozen=True)
class _Measured:
    cold: float
    scored: int
    probing: float
    of_workers: float
    of_others: float
    advising: float
    advice: object


def _measured(sample: Sample, count: int, pinned: bool) -> _Measured:
    """What a cluster of so many workers takes."""
    started = cluster(count, pinned=pinned, RAY_worker_niceness="0")
    with TemporaryDirectory() as home, started as head, Zoo.open(home) as zoo:
        os.environ["RAY_ADDRESS"] = head.address
        began = time.perf_counter()
        with open_workers("ray") as workers:
            _probed(sample.subsample(_WARM, 1), zoo, workers)
            cold = time.perf_counter() - began
            before, began = _processor(head), time.perf_counter()
            scored = _probed(sample, zoo, workers)
            probing = time.perf_counter() - began
            used = _processor(head) - before
            for kept in zoo.home.features.iterdir():
                kept.unlink()
            began = time.perf_counter()
            advice = flow.recommend(sample, zoo, workers=workers)
            advising = time.perf_counter() - began
    record = lasting(advice.to_dict())
    return _Measured(cold, len(scored), probing, used["workers"], used["others"], advising, record)


def _processor(head: Head) -> Counter[str]:
    """Processor seconds so far of the workers, and of all else that belongs to a cluster, this process included."""
    total: Counter[str] = Counter()
    for process in (psutil.Process(), *head.processes()):
        with suppress(psutil.Error):
            words, times = " ".join(process.cmdline()), process.cpu_times()
            total["workers" if words.startswith("ray::") else "others"] += times.user + times.system
    return total


def _probed(sample: Sample, zoo: Zoo, workers: Workers) -> tuple[Transferability, ...]:
    candidates = [Candidate(card, None) for card in zoo.checkpoints(sample.modality) if card.folder]
    return probe(sample, candidates, zoo, folds=sample.folds(), workers=workers)[0]


if __name__ == "__main__":
    main()
