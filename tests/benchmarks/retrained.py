"""How much of the best of several strategies is luck: python -m tests.benchmarks.retrained --minutes N, resumable.

Trainings of the proving ground are carried out again, on the same rows by another seed. Printed are how far two
trainings of a cell lie apart, beside the standard error that the test rows alone leave, and how often the strategy that
was best the first time is within one paired standard error of the best the second time: what a forecast would reach
that knew every outcome of the first.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from registry.errors import NotOffered
from tests.benchmarks.proving_ground.bench import Bench
from tests.benchmarks.proving_ground.carry_out import carry_out
from tests.benchmarks.proving_ground.cells import HERE, Cell, Result, Setting, append, claimed, read_outcomes
from tests.benchmarks.proving_ground.intervals import Coverage
from tests.benchmarks.proving_ground.run import Tables, result_of
from tests.benchmarks.proving_ground.strategies import StrategyFigures, judge_strategies, right_rows
from tests.benchmarks.proving_ground.targets import IMAGES, sets_of
from tests.benchmarks.proving_ground.truth import kept_now

AGAIN = 1
"""By how much the second seed is higher."""


def retrain(cells: Sequence[Cell], bench: Bench, path: Path, deadline: float) -> None:
    """Carry out again what was not yet, a pair after the other, until time is up."""
    for cell in sorted(cells, key=lambda cell: (cell.target, cell.group, cell.weights)):
        if time.monotonic() > deadline:
            return
        with claimed(cell, path.parent) as ours:
            if ours and cell.cell not in (read_outcomes(path) if path.exists() else {}):
                try:
                    done = carry_out(cell, bench, again=AGAIN)
                except NotOffered as left_out:
                    print(f"cell {cell.cell} left: {left_out}", flush=True)
                    continue
                result = result_of(cell, done, bench.part(cell), "cpu")
                append(path, [result])
                print(f"{cell.checkpoint} on {cell.target}, {cell.strategy}: {result.accuracy:.3f}", flush=True)


def of_best(
    design: Sequence[Cell], chosen: Mapping[int, Result], judged: Mapping[int, Result], setting: Setting
) -> StrategyFigures | None:
    """How the strategy that was best in some results does in others, over pairs of which these have all of those."""
    ours = [cell for cell in design if cell.cell in chosen and setting.has(cell)]
    bare = {(cell.group, cell.target): cell for cell in ours if cell.strategy == "scratch"}
    cells: dict[tuple[str, str], list[Cell]] = {}
    for cell in ours:
        if cell.strategy != "scratch" and cell.digest:
            cells.setdefault((cell.weights, cell.target), []).append(cell)
    for of in cells.values():
        if scratch := bare.get((of[0].group, of[0].target)):
            of.append(scratch)
    whole = {pair: of for pair, of in cells.items() if all(cell.cell in judged for cell in of)}
    best = {pair: max(of, key=lambda cell: chosen[cell.cell].accuracy).strategy for pair, of in whole.items()}
    there = {cell.cell: judged[cell.cell] for of in whole.values() for cell in of}
    return judge_strategies(design, there, {}, [setting], {setting: best})


def main() -> None:
    """Retrain, then print."""
    parser = argparse.ArgumentParser(description="How much of the best of several strategies is luck.")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--data", type=Path, default=Path(".cache/data"), help="where the image sets are unpacked")
    parser.add_argument("--cache", type=Path, default=Path(".cache/proving"))
    parser.add_argument("--checkpoints", nargs="+", default=["resnet-photos", "resnet-cifar10"])
    parser.add_argument("--rows", type=int, default=150)
    parser.add_argument("--minutes", type=float, default=0)
    requested = parser.parse_args()
    torch.set_num_threads(1)
    tables, setting = Tables(HERE / IMAGES.modality), Setting(requested.rows, 20, 1)
    design, first = tables.design, tables.results
    groups = {cell.group for cell in design if cell.checkpoint in requested.checkpoints}
    cells = [
        cell
        for cell in design
        if cell.epochs == setting.epochs
        and setting.has(cell)
        and cell.cell in first
        and (cell.checkpoint in requested.checkpoints or (cell.strategy == "scratch" and cell.group in groups))
    ]
    bench = Bench(
        sets_of(IMAGES, requested.data, requested.shared), requested.shared, Path(), requested.cache, IMAGES, Path()
    )
    path = requested.cache / "retrained" / "outcomes.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    retrain(cells, bench, path, time.monotonic() + 60 * requested.minutes)
    second = read_outcomes(path) if path.exists() else {}
    print("\n| strategy | trained twice | one training lies from another by | of that the test rows' own |")
    print("|---|---|---|---|")
    for strategy in dict.fromkeys(cell.strategy for cell in cells):
        both = [(first[c.cell], second[c.cell]) for c in cells if c.strategy == strategy and c.cell in second]
        if both:
            apart = np.sqrt(np.mean([(one.accuracy - other.accuracy) ** 2 for one, other in both]))
            print(f"| {strategy} | {len(both)} | {apart:.3f} | {np.mean([_error(*pair) for pair in both]):.3f} |")
    heads = {cell.cell: first[cell.cell] for cell in design if not cell.epochs and cell.cell in first}
    first, second = kept_now(design, first), kept_now(design, heads | second)
    of_both = {number: result for number, result in first.items() if number in second}
    for name, judged in (("first", of_both), ("second", second)):
        if figures := of_best(design, first, judged, setting):
            print(f"\n{figures.pairs} pairs, judged by the {name} training; one that was best in the first:")
            print(f"within one paired standard error of the best on {_share(figures.good)}, loses {figures.lost:.4f}")
            print("; ".join(f"{always} {_share(share)}" for always, share in figures.always.items()))


def _share(share: Coverage | None) -> str:
    return "-" if share is None else f"{share[0]:.2f} ({share[1]:.2f} to {share[2]:.2f})"


def _error(one: Result, other: Result) -> float:
    """The paired standard error of the difference of two trainings on the test rows."""
    gap = right_rows(one).astype(float) - right_rows(other).astype(float)
    return float(gap.std() / np.sqrt(len(gap)))


if __name__ == "__main__":
    main()
