"""The runner: python -m tests.benchmarks.proving_ground.run --minutes N. Takes the next missing cell until time is up.

Every result is one appended line; a probed pair's scores follow from the same forward pass. A killed runner loses the
cell it was at and nothing else; runners side by side never take the same cell. When no cell is missing, figures that
the shelves have since gained are filled in from cached features, and the product's own ranking is brought up to date.
"""

import argparse
import json
import platform
import time
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from recommender.transfer import scores
from registry.cards import FIRST_MODALITY
from registry.errors import NotOffered
from registry.zoo import Zoo
from tests.benchmarks.proving_ground.advice import advice_figures
from tests.benchmarks.proving_ground.bench import Bench, WeightsMissing
from tests.benchmarks.proving_ground.carry_out import Done, carry_out
from tests.benchmarks.proving_ground.cells import (
    HERE,
    Cell,
    Result,
    append,
    claimed,
    read_design,
    read_never,
    read_outcomes,
    read_scores,
)
from tests.benchmarks.proving_ground.scoring import commit, distance_figures, score_figures
from tests.benchmarks.proving_ground.targets import GROUNDS, Part, sets_of

__all__ = ["Tables", "fill_scores", "missing_cells", "result_of", "run_cell"]


@dataclass(frozen=True)
class Tables:
    """Where the tables lie."""

    folder: Path = HERE / FIRST_MODALITY

    @property
    def design(self) -> list[Cell]:
        """Every cell."""
        return read_design(self.folder / "design.csv")

    @property
    def never(self) -> dict[int, str]:
        """Why some cells can never be carried out."""
        return read_never(self.folder / "never.csv")

    @property
    def results(self) -> dict[int, Result]:
        """Results so far."""
        return read_outcomes(self.folder / "outcomes.csv")


def missing_cells(tables: Tables) -> list[Cell]:
    """Cells without a result that may have one yet: by wave, then by number."""
    over = {*tables.results, *tables.never}
    return sorted((c for c in tables.design if c.cell not in over), key=lambda c: (c.wave, c.cell))


def run_cell(cell: Cell, bench: Bench, tables: Tables, device: str) -> Result:
    """Carry out a cell, and append its result (and its pair's scores)."""
    part = bench.part(cell)
    _same_rows(cell, part.digest, tables)
    done = carry_out(cell, bench, device)
    result = result_of(cell, done, part, device)
    append(tables.folder / "outcomes.csv", [result])
    if cell.strategy == "linear-probe" and cell.rows == bench.ground.probe_rows:
        fill_scores(cell, bench, tables)
    return result


def fill_scores(cell: Cell, bench: Bench, tables: Tables, anew: Collection[str] = ()) -> int:
    """Append what the score shelf can say of a pair and has not said, or says otherwise where it is asked anew."""
    figures = score_figures(cell, bench, read_scores(tables.folder / "scores.csv"), anew)
    append(tables.folder / "scores.csv", figures)
    return len(figures)


def result_of(cell: Cell, done: Done, part: Part, device: str) -> Result:
    """The line that a finished cell adds."""
    right = done.predicted == part.test.targets.values
    machine = {"device": device, "threads": torch.get_num_threads(), "machine": platform.machine()}
    machine["clock"] = "processor"
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    versions = " ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "numpy", "scikit-learn"))
    return Result(
        cell.cell,
        cell.checkpoint,
        cell.target,
        cell.strategy,
        part.digest,
        len(part.train),
        len(right),
        round(float(right.mean()), 6),
        round(float(right[part.half_a].mean()), 6),
        round(float(right[~part.half_a].mean()), 6),
        np.packbits(right).tobytes().hex(),
        round(done.seconds, 2),
        json.dumps(machine | done.conditions, sort_keys=True),
        commit(),
        versions,
        now,
    )


def _same_rows(cell: Cell, digest: str, tables: Tables) -> None:
    """Refuse to go on where the rows are not those of earlier cells of the same target and size."""
    similar = {c.cell for c in tables.design if (c.target, c.rows, c.seed) == (cell.target, cell.rows, cell.seed)}
    others = {r.sample for r in tables.results.values() if r.cell in similar}
    if others - {digest}:
        raise RuntimeError(f"{cell.target}: rows {digest} are not the rows {', '.join(others)} of earlier cells")


def _cells(requested: argparse.Namespace, bench: Bench, tables: Tables, deadline: float) -> None:
    skipped: set[int] = set()
    while time.monotonic() < deadline:
        left = [cell for cell in missing_cells(tables) if cell.cell not in skipped]
        wanted = (c for c in left if requested.only in (None, c.strategy) and requested.rows in (None, c.rows))
        names = requested.checkpoints
        cell = next((c for c in wanted if names is None or c.checkpoint in names), None)
        if cell is None:
            return
        with claimed(cell, requested.cache) as ours:
            if not ours or cell.cell in tables.results:
                skipped.add(cell.cell)
                continue
            try:
                result = run_cell(cell, bench, tables, requested.device)
            except (WeightsMissing, NotOffered) as left_out:
                skipped.add(cell.cell)
                print(f"cell {cell.cell} left: {left_out}", flush=True)
                continue
        print(
            f"{len(left) - 1:4d} left; cell {cell.cell} {cell.checkpoint} on {cell.target}, {cell.strategy} "
            f"({result.rows_train} rows): {result.accuracy:.3f} in {result.seconds:.0f} s",
            flush=True,
        )


def _anew(bench: Bench, tables: Tables, deadline: float, stale: Collection[str]) -> None:
    """Compute scores whose code has changed once more, on every pair that was probed."""
    done = tables.results
    for cell in tables.design:
        if cell.strategy == "linear-probe" and cell.rows == bench.ground.probe_rows and cell.cell in done:
            if time.monotonic() > deadline:
                return
            if changed := fill_scores(cell, bench, tables, stale):
                print(f"{changed} figures of {cell.checkpoint} on {cell.target} changed", flush=True)


def _figures(bench: Bench, tables: Tables, deadline: float) -> None:
    """Fill in scores and distances that the shelves have gained, or that a new lens sees otherwise."""
    done, path = tables.results, tables.folder / "scores.csv"
    zoo = Zoo.open(bench.home.root)
    for cell in tables.design:
        probed = cell.strategy == "linear-probe" and cell.rows == bench.ground.probe_rows and cell.cell in done
        if probed and bench.has(cell) and time.monotonic() < deadline:
            added = fill_scores(cell, bench, tables)
            far = distance_figures(cell, bench, zoo, read_scores(path))
            append(path, far)
            if added or far:
                print(f"{added + len(far)} figures of {cell.checkpoint} on {cell.target}", flush=True)


def _advice(bench: Bench, tables: Tables, deadline: float) -> None:
    """Let the product rank anew where what it says has changed."""
    path, results = tables.folder / "scores.csv", tables.results
    for target in bench.ground.families:
        if time.monotonic() < deadline:
            known = read_scores(path)
            predicted = advice_figures(target, tables.design, results, bench)
            changed = [
                f for f in predicted if (k := known.get((f.cell, f.block, f.figure))) is None or k.value != f.value
            ]
            append(path, changed)
            print(f"the product's advice on {target}: {len(changed)} of {len(predicted)} figures changed", flush=True)


def main() -> None:
    """Run for the minutes asked for."""
    parser = argparse.ArgumentParser(description="Carry out missing cells of design.csv.")
    parser.add_argument("--modality", choices=sorted(GROUNDS), default=FIRST_MODALITY)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--device", default="cpu", help="where nets are tuned")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--figures", action="store_true", help="no cells: scores, distances and advice alone")
    parser.add_argument("--anew", nargs="+", choices=sorted(scores), help="scores whose code has changed, these alone")
    parser.add_argument("--only", default=None, help="one strategy")
    parser.add_argument("--checkpoints", nargs="+", help="cells of these alone")
    parser.add_argument("--rows", type=int, default=None, help="cells of so many rows alone")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--data", type=Path, default=Path(".cache/data"), help="where the image sets are unpacked")
    parser.add_argument("--grown", type=Path, default=Path(".cache/grow"), help="seedlings not yet in the catalog")
    parser.add_argument("--teachers", type=Path, default=Path(".cache/teachers"), help="real text checkpoints")
    parser.add_argument("--cache", type=Path, default=Path(".cache/proving"), help="features and claims")
    requested = parser.parse_args()
    torch.set_num_threads(requested.threads)
    ground, tables = GROUNDS[requested.modality], Tables(HERE / requested.modality)
    data = sets_of(ground, requested.data, requested.shared)
    bench = Bench(data, requested.shared, requested.grown, requested.cache, ground, requested.teachers)
    deadline = time.monotonic() + 60 * requested.minutes
    if requested.anew:
        _anew(bench, tables, deadline, requested.anew)
        return
    if not requested.figures:
        _cells(requested, bench, tables, deadline)
    _figures(bench, tables, deadline)
    _advice(bench, tables, deadline)


if __name__ == "__main__":
    main()
