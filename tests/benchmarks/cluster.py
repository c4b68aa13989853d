"""Probing on a Ray cluster: what a second worker is worth, and whether the advice stays the same to the bit.

    python -m tests.benchmarks.cluster FOLDER [--limit 800] [--workers 1 2]

Each cluster is started on this machine, a core a worker, and has advised once before, so that its workers have imported
what they need and opened the registry; then every bundled checkpoint is probed in full on rows that none has seen.
"""

import argparse
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from recommender import flow
from recommender.probe import probe
from recommender.results import Candidate, Transferability
from recommender.workers import Workers, open_workers
from registry.sample import Sample
from registry.zoo import Zoo
from tests.clusters import cluster, lasting

_WARM = 60


def main() -> None:
    """Print a line a number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--limit", type=int, default=800)
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    typed = parser.parse_args()
    sample = Sample.from_folder(typed.folder, limit=typed.limit)
    table = Table(title=f"Probing {len(sample):,} rows of {sample.name} by every bundled checkpoint")
    for name in ("workers", "checkpoints", "probing, seconds", "times the first", "advice, seconds", "same advice"):
        table.add_column(name, justify="right")
    first: tuple[float, object] | None = None
    for count in typed.workers:
        scored, probing, (advising, advice) = _measured(sample, count)
        first = first or (probing, advice)
        same = "yes" if advice == first[1] else "NO"
        table.add_row(str(count), str(scored), f"{probing:.1f}", f"{first[0] / probing:.2f}", f"{advising:.1f}", same)
    Console(width=120).print(table)


def _measured(sample: Sample, count: int) -> tuple[int, float, tuple[float, object]]:
    """Checkpoints that were scored, the seconds of probing them, and seconds and advice of advising anew."""
    with TemporaryDirectory() as home, cluster(count, RAY_worker_niceness="0") as head, Zoo.open(home) as zoo:
        os.environ["RAY_ADDRESS"] = head.address
        with open_workers("ray") as workers:
            _probed(sample.subsample(_WARM, 1), zoo, workers)
            began = time.perf_counter()
            scored = _probed(sample, zoo, workers)
            probing = time.perf_counter() - began
            for kept in zoo.home.features.iterdir():
                kept.unlink()
            began = time.perf_counter()
            advice = flow.recommend(sample, zoo, workers=workers)
            advising = time.perf_counter() - began
    return len(scored), probing, (advising, lasting(advice.to_dict()))


def _probed(sample: Sample, zoo: Zoo, workers: Workers) -> tuple[Transferability, ...]:
    candidates = [Candidate(card, None) for card in zoo.checkpoints(sample.modality) if card.folder]
    return probe(sample, candidates, zoo, folds=sample.folds(), workers=workers)[0]


if __name__ == "__main__":
    main()
