"""What the product knows of a pair before any tuning: its probe, its rank and its plans, kept from run to run."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import numpy as np

from recommender.baseline import baseline
from recommender.history import History
from recommender.plan import choose_plan
from recommender.probe import transferability
from recommender.rank import rank
from recommender.results import Baseline, BlockScore, Candidate, Choice, Ranked, Transferability
from tests.benchmarks.proving_ground.bench import Bench
from tests.benchmarks.proving_ground.cells import Cell

__all__ = ["choice_of", "probed", "ranked", "reference_of"]

BEHIND = (
    "recommender.probe",
    "recommender.resampling",
    "recommender.results",
    "recommender.transfer.linear",
    "recommender.transfer.logme",
    "recommender.transfer.knn",
    "recommender.transfer.decomposition",
)
"""Modules whose change makes kept probes stale."""


def probed(cell: Cell, bench: Bench) -> Transferability:
    """The product's probe of the cell's training rows."""
    part, candidate = bench.part(cell), Candidate(bench.checkpoint(cell), None)
    place = f"{bench.encoder(cell).digest[:16]}-{part.train.order[:16]}-{cell.seed}-{_code()}.json"
    path = bench.cache / "probes" / place
    if not path.exists():
        folds = part.train.folds(seed=cell.seed)
        encoded, seconds = bench.train_features(cell), bench.forward_seconds(cell)
        scored = transferability(candidate, encoded, part.train, folds, cell.seed, seconds)
        _keep(scored, path)
    return replace(_kept(candidate, path), adaptable=bench.encoder(cell).adaptable)


def ranked(cells: Sequence[Cell], bench: Bench, history: History) -> dict[int, Ranked]:
    """The product's ranking of candidates on one target, by cell."""
    part, seed = bench.part(cells[0]), cells[0].seed
    results = [probed(cell, bench) for cell in cells]
    rows = rank(
        part.train,
        part.train.digest,
        results,
        reference_of(cells[0], bench),
        history,
        folds=part.train.folds(seed=seed),
        test_rows=len(part.test),
        seed=seed,
    )
    by_digest = {cell.digest: cell.cell for cell in cells}
    return {by_digest[row.checkpoint.digest]: row for row in rows}


def choice_of(cell: Cell, bench: Bench, strategy: str | None, history: History, row: Ranked | None = None) -> Choice:
    """The product's choice for a pair, ranked alone unless its rank is given."""
    row = row or ranked([cell], bench, history)[cell.cell]
    return choose_plan(row, bench.part(cell).train, reference_of(cell, bench), history, strategy=strategy)


def reference_of(cell: Cell, bench: Bench) -> Baseline:
    """No transfer, cross-validated on the cell's training rows."""
    return _reference(bench, cell.target, cell.rows, cell.seed)


@lru_cache(maxsize=64)
def _reference(bench: Bench, target: str, rows: int, seed: int) -> Baseline:
    train = bench.rows_of(target, rows, seed).train
    return baseline(train, folds=train.folds(seed=seed), seed=seed)


@lru_cache(maxsize=1)
def _code() -> str:
    files = [Path(str(import_module(name).__file__)) for name in BEHIND]
    return sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


def _keep(result: Transferability, path: Path) -> None:
    record = {
        "scores": dict(result.scores),
        "blocks": [asdict(block) for block in result.blocks],
        "fold_scores": result.fold_scores,
        "predicted": result.predicted.tolist(),
        "seconds": result.forward_seconds,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".tmp")
    partial.write_text(json.dumps(record))
    partial.replace(path)


def _kept(candidate: Candidate, path: Path) -> Transferability:
    record = json.loads(path.read_text())
    return Transferability(
        candidate,
        record["scores"],
        tuple(BlockScore(**block) for block in record["blocks"]),
        tuple(record["fold_scores"]),
        np.array(record["predicted"]),
        record["seconds"],
    )
