"""How long LP-FT should train, and whether pictures should vary: what the rules of strategies rest on.

    python -m tests.benchmarks.recipes --minutes N [--rows 200 600] [--checkpoints NAME ...] [--results FILE]

Carries out the product's LP-FT plan on pairs of the proving ground with other epochs and augmentation. Each result is
one appended line, so that it can be interrupted; the table compares settings on the pairs that have all of them.
"""

import argparse
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from recommender import results
from recommender.runs.job import Job
from recommender.runs.tracking import no_tracking
from recommender.tuning.recipe import run_local
from registry.home import Home
from tests.benchmarks.proving_ground.bench import Bench, WeightsMissing
from tests.benchmarks.proving_ground.carry_out import NOTHING_YET, Measured
from tests.benchmarks.proving_ground.cells import Cell, append, read_rows
from tests.benchmarks.proving_ground.evidence import choice_of
from tests.benchmarks.proving_ground.run import Tables
from tests.benchmarks.proving_ground.targets import FAMILIES, unpacked

LIGHT = ("resnet-photos", "vit-cifar10", "convnext-cifar10", "resnet-clothing", "face3d_mobilenet_v1_0.5_120")
"""Five architectures and sources, cheap enough for a hundred trainings."""


@dataclass(frozen=True)
class Recipe:
    """What a training is varied in."""

    epochs: int
    augment: bool

    def __str__(self) -> str:
        return f"{self.epochs} epochs{', augmented' if self.augment else ''}"


RECIPES = (Recipe(5, augment=False), Recipe(20, augment=False), Recipe(20, augment=True))


@dataclass(frozen=True)
class Line:
    """One training."""

    target: str
    checkpoint: str
    rows: int
    recipe: str
    probe: float
    """Accuracy of the fitted head on the test rows."""
    accuracy: float
    best_epoch: float
    seconds: float


def main() -> None:
    """Train until time is up, then print what there is."""
    requested = _arguments()
    torch.set_num_threads(1)
    results._PATIENCE = 10**6
    bench = Bench(unpacked(requested.data, requested.shared), requested.shared, requested.grown, requested.cache)
    done = read_rows(requested.results, Line)
    known = {(line.target, line.checkpoint, line.rows, line.recipe) for line in done}
    deadline = time.monotonic() + 60 * requested.minutes
    for cell in _cells(requested.checkpoints, requested.rows):
        for recipe in RECIPES:
            if time.monotonic() < deadline and (cell.target, cell.checkpoint, cell.rows, str(recipe)) not in known:
                try:
                    line = carry_out(cell, recipe, bench)
                except WeightsMissing:
                    continue
                done.append(line)
                append(requested.results, [line])
    Console(width=140).print(table(done))


def carry_out(cell: Cell, recipe: Recipe, bench: Bench) -> Line:
    """The product's plan, varied, on a cell's rows."""
    part, choice = bench.part(cell), choice_of(cell, bench, "lp-ft", NOTHING_YET)
    (stage,) = choice.plan.stages
    plan = replace(choice.plan, stages=(replace(stage, epochs=recipe.epochs),), augment=recipe.augment)
    train, test = bench.train_features(cell), bench.test_features(cell)
    with TemporaryDirectory(dir=bench.cache) as folder:
        job = Job(
            id="recipe",
            checkpoint=choice.checkpoint,
            plan=plan,
            sample=part.train,
            home=Home.find(folder),
            seed=cell.seed,
        )
        provider = Measured(part.train, train, test)
        run, _ = run_local(job, no_tracking, provider=provider)
        plain = replace(job, id="probe", plan=replace(plan, strategy="linear-probe", stages=(), augment=False))
        probe, _ = run_local(plain, no_tracking, provider=provider)
    metrics = run.metrics
    return Line(
        cell.target,
        cell.checkpoint,
        cell.rows,
        str(recipe),
        round(probe.metrics["accuracy"], 4),
        round(metrics["accuracy"], 4),
        metrics.get("best_epoch", 0),
        round(metrics["seconds"], 1),
    )


def table(done: list[Line]) -> Table:
    """Settings down: what each adds to the probe, and what share of its error it removes."""
    drawn = Table(title="LP-FT against a linear head on the same block: mean over pairs, standard error over families")
    for name in ("rows", "recipe", "pairs", "accuracy added", "share of error removed", "pairs gaining .02", "seconds"):
        drawn.add_column(name, justify="left" if name == "recipe" else "right")
    for rows in sorted({line.rows for line in done}):
        pairs = defaultdict(dict)
        for line in done:
            if line.rows == rows:
                pairs[line.target, line.checkpoint][line.recipe] = line
        full = [pair for pair in pairs.values() if set(map(str, RECIPES)) <= set(pair)]
        for recipe in map(str, RECIPES if full else ()):
            lines = [pair[recipe] for pair in full]
            added = np.array([line.accuracy - line.probe for line in lines])
            share = added / np.maximum(1e-3, [1 - line.probe for line in lines])
            error = _error([FAMILIES[line.target] for line in lines], added)
            drawn.add_row(
                f"{rows}",
                recipe,
                f"{len(lines)}",
                f"{added.mean():+.3f} ± {error:.3f}",
                f"{share.mean():.2f} (median {np.median(share):.2f}, deviation {share.std():.2f})",
                f"{np.mean(added > 0.02):.0%}",
                f"{np.mean([line.seconds for line in lines]):.0f}",
            )
    return drawn


def _error(families: list[str], values: np.ndarray) -> float:
    """Standard error of a mean whose families are drawn as a whole."""
    names = sorted(set(families))
    residuals = [(values[np.array(families) == name] - values.mean()).sum() for name in names]
    return float(np.sqrt(np.sum(np.square(residuals)))) / len(values)


def _cells(checkpoints: list[str], rows: list[int]) -> list[Cell]:
    """The tuned cells of these checkpoints at every number of rows, targets taking turns."""
    tuned = [c for c in Tables().design if c.strategy == "lp-ft" and c.checkpoint in checkpoints]
    turn: dict[str, int] = defaultdict(int)
    keyed = []
    for cell in tuned:
        keyed.append((turn[cell.checkpoint], cell))
        turn[cell.checkpoint] += 1
    return [replace(cell, rows=few) for _, cell in sorted(keyed, key=lambda pair: pair[0]) for few in rows]


def _arguments() -> argparse.Namespace:
    requested = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    requested.add_argument("--minutes", type=float, default=60.0)
    requested.add_argument("--rows", type=int, nargs="+", default=[600])
    requested.add_argument("--checkpoints", nargs="+", default=list(LIGHT))
    requested.add_argument("--results", type=Path, default=Path(__file__).with_suffix(".csv"))
    requested.add_argument("--shared", type=Path, default=Path("../shared"))
    requested.add_argument("--data", type=Path, default=Path(".cache/data"))
    requested.add_argument("--grown", type=Path, default=Path(".cache/grow"))
    requested.add_argument("--cache", type=Path, default=Path(".cache/proving"))
    return requested.parse_args()


if __name__ == "__main__":
    main()
