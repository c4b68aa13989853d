"""What the product's fusion starts from: python -m tests.benchmarks.proving_ground.measured [--modality text].

Writes catalog/outcomes/measured.csv, or a table of its own for another modality: one row a cell, with what was known of
the pair before. A training of which no epoch beat its fitted head has what that head scores, as plans have it now. Of
probes only those of the block that a plan reads, on the most rows, are taken. To the cells of images come the tunings
of `recipes.csv` by the plain recipes of 5 and 20 epochs, where no cell has the same. `draw` is the seed of rows that
were drawn later. *No transfer*, on the plainest raw features, is cross-validated of rows that the table does not have
yet, for earlier draws cannot be repeated on every set; the nearness is the share of the registry's own domain pairs
that lie farther apart. `head` is what a head on the same block and rows scored on the same test part; where a recipe
was tried on rows of which no probe was cross-validated, it stands for the probe too. Where the table would be too
large, a training gives way to a longer one of the same pair and rows, as few as must. With ``--keep`` the
table's rows stay as they are, and what it has not comes to them. With ``--judged`` all that is measured goes where the
report reads whom it judges.
"""

import argparse
import csv
import io
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from recommender.baseline import baseline
from recommender.fusion import body_of
from registry.catalog import SAME, whole_rows
from registry.encoders import open_encoder
from registry.home import catalog_folder
from registry.zoo import Zoo
from tests.benchmarks.proving_ground.bench import Bench, WeightsMissing
from tests.benchmarks.proving_ground.cells import (
    HERE,
    NO_TRANSFER,
    Cell,
    Figure,
    Result,
    read_design,
    read_outcomes,
    read_scores,
)
from tests.benchmarks.proving_ground.fused import JUDGED
from tests.benchmarks.proving_ground.targets import FAMILIES, GROUNDS, IMAGES, Ground, sets_of
from tests.benchmarks.proving_ground.truth import kept_head, kept_now

__all__ = ["fitting", "longest", "rows_of"]

RECIPES = {"5 epochs": 5, "20 epochs": 20}
"""Of the recipes those that differ from cells in nothing but their epochs."""
COLUMNS = (
    "checkpoint",
    "weights",
    "body",
    "sample_name",
    "family",
    "strategy",
    "draw",
    "rows_train",
    "rows_test",
    "classes",
    "epochs",
    "probe",
    "neighbors",
    "hscore",
    "nearer",
    "no_transfer",
    "head",
    "kept",
    "score",
)
MOST_BYTES = 100_000
"""Of the table: where it would be larger, trainings give way to longer ones."""
_OF_SAMPLE, _OF_DRAW = ("family",), ("rows_test", "classes", "no_transfer")
_REPEATED = ("sample_name", "strategy", "rows_train", "epochs")
_SHARES = ("probe", "neighbors", "hscore", "nearer", "no_transfer", "head", "score")
_OF_WEIGHTS, _OF_PAIR, _OF_ROWS = ("checkpoint", "body"), ("neighbors", "hscore", "nearer"), ("head",)
Row = Mapping[str, object]
Rows = tuple[str, int, int]
"""A target, most rows and a seed."""
Facts = Mapping[Rows, tuple[int, float]]


@dataclass(frozen=True)
class _Pair:
    """What is known of a checkpoint and a target before any tuning, whatever the rows; None where none was probed."""

    neighbors: float | None = None
    hscore: float | None = None
    nearer: float | None = None


def rows_of(
    design: Sequence[Cell],
    results: Mapping[int, Result],
    scores: Mapping[tuple[int, str, str], Figure],
    recipes: Sequence[Mapping[str, str]],
    facts: Facts,
    bodies: Mapping[str, str],
    pairs: np.ndarray,
    ground: Ground = IMAGES,
) -> Iterator[Row]:
    """The rows of the table. ``facts`` are classes and cross-validated *no transfer* by target, most rows and seed.

    ``bodies`` name what checkpoints of one body share, by their group; ``pairs`` are the distances of the registry's
    own domain pairs.
    """
    known = _pairs(design, scores, pairs)
    probes = {_drawn(c): c for c in design if c.strategy == "block-probe" and c.cell in results}
    for cell in design:
        if cell.cell not in results or cell.strategy in {NO_TRANSFER, "linear-probe"}:
            continue
        if cell.strategy == "block-probe" and cell.rows < ground.probe_rows:
            continue
        result = results[cell.cell]
        name = {"block-probe": "linear-probe"}.get(cell.strategy, cell.strategy)
        probe = None if name == "scratch" else float(json.loads(result.conditions)["probe"])
        same = probes.get(_drawn(cell)) if cell.epochs and name != "scratch" else None
        head = None if same is None else results[same.cell].accuracy
        of = known, facts, bodies, results
        yield _row(cell, name, cell.epochs, probe, head, result.accuracy, result.rows_train, *of)
    tuned = {(c.weights, c.target, c.rows, c.epochs) for c in design if c.strategy == "lp-ft" and c.cell in results}
    by_name = {(c.checkpoint, c.target): c for c in probes.values() if c.rows == ground.probe_rows}
    for tried in recipes:
        most = by_name.get((tried["checkpoint"], tried["target"]))
        rows, epochs = int(tried["rows"]), RECIPES.get(tried["recipe"])
        if most is None or epochs is None or (most.target, rows, most.seed) not in facts:
            continue
        if (most.weights, most.target, rows, epochs) in tuned:
            continue
        again = Cell(**{**vars(most), "rows": rows})
        cell = probes.get(_drawn(again))
        probe = float(tried["probe"]) if cell is None else float(json.loads(results[cell.cell].conditions)["probe"])
        head = float(tried["probe"]) if cell is None else results[cell.cell].accuracy
        score = float(tried["accuracy"])
        yield _row(again, "lp-ft", epochs, probe, head, score, rows, known, facts, bodies, results, most.cell)


def _drawn(cell: Cell) -> tuple[str, str, int, int]:
    """A pair and its rows."""
    return cell.weights, cell.target, cell.rows, cell.seed


def _row(  # noqa: PLR0917 - a row has as many parts
    cell: Cell,
    strategy: str,
    epochs: int,
    probe: float | None,
    head: float | None,
    score: float,
    rows: int,
    known: Mapping[tuple[str, str], _Pair],
    facts: Facts,
    bodies: Mapping[str, str],
    results: Mapping[int, Result],
    tested: int | None = None,
) -> Row:
    classes, raw = facts[cell.target, cell.rows, cell.seed]
    pair = known.get((cell.weights, cell.target), _Pair())
    bare = strategy == "scratch"
    return {
        "checkpoint": "random" if bare else cell.checkpoint,
        "weights": "" if bare else cell.digest[:8],
        "body": bodies[cell.group],
        "sample_name": cell.target,
        "family": cell.family,
        "strategy": strategy,
        "draw": cell.seed or "",
        "rows_train": rows,
        "rows_test": results[tested or cell.cell].rows_test,
        "classes": classes,
        "epochs": epochs or "",
        "probe": _short(probe),
        "neighbors": "" if bare else _short(pair.neighbors),
        "hscore": "" if bare or pair.hscore is None else _short(pair.hscore / (classes - 1)),
        "nearer": "" if bare else _short(pair.nearer),
        "no_transfer": _short(raw),
        "head": _short(head),
        "kept": 1 if epochs and tested is None and not bare and kept_head(results[cell.cell]) else "",
        "score": _short(score),
    }


def _once(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows: what is the same for weights, a sample, a draw of it, a pair or its rows stands in the first alone."""
    stated: set[tuple[object, ...]] = set()
    for row in rows:
        empty: set[str] = set()
        of_pair = ("sample_name", "weights")
        for columns, of in (
            *([(_OF_WEIGHTS, ("weights",))] if row["weights"] else []),
            (_OF_SAMPLE, ("sample_name",)),
            (_OF_DRAW, ("sample_name", "draw", "rows_train")),
            (_OF_PAIR, of_pair),
            (_OF_ROWS, (*of_pair, "draw", "rows_train")),
        ):
            key = (columns, *(str(row[name]) for name in of))
            if key in stated:
                empty |= {*columns}
            if any(row[name] != "" for name in columns):
                stated.add(key)
        yield {name: "" if name in empty else value for name, value in row.items()}


def _order(row: Row) -> tuple[object, ...]:
    return row["strategy"] != "linear-probe", row["strategy"], _epochs(row), str(row["draw"]), row["sample_name"]


def _compared(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows: what is the same as in the row before stands for itself."""
    before: Row = {}
    for row in rows:
        same = {name for name in _REPEATED if len(str(row[name])) > 1 and str(row[name]) == str(before.get(name))}
        before = row
        yield {name: SAME if name in same else value for name, value in row.items()}


def longest(rows: Sequence[Row]) -> list[Row]:
    """The rows but trainings beside longer ones of the same weights, or body, by the same strategy on as many rows."""
    most = _most_epochs(rows, _trained)
    return [row for row in rows if _epochs(row) == most[_trained(row)]]


def fitting(rows: Sequence[Row], fits: Callable[[Sequence[Row]], bool]) -> list[Row]:
    """As many rows as fit: trainings that are shorter than others give way, the last of them first.

    Those beside a longer one of the same pair and rows before those whose strategy was trained for longer elsewhere;
    among each, those from scratch before others.
    """
    alone, most = {id(row) for row in longest(rows)}, _most_epochs(rows, lambda row: row["strategy"])
    shorter = [row for row in reversed(rows) if _epochs(row) < most[row["strategy"]]]
    kept = [*rows]
    for row in sorted(shorter, key=lambda row: (id(row) in alone, row["strategy"] != "scratch")):
        if fits(kept):
            break
        kept = [one for one in kept if one is not row]
    return kept


def _most_epochs(rows: Sequence[Row], key: Callable[[Row], object]) -> dict[object, int]:
    most: dict[object, int] = {}
    for row in rows:
        most[key(row)] = max(most.get(key(row), 0), _epochs(row))
    return most


def _epochs(row: Row) -> int:
    return int(str(row["epochs"] or 0))


def _trained(row: Row) -> tuple[object, ...]:
    return tuple(row[name] for name in ("weights", "body", "sample_name", "strategy", "rows_train"))


def _written(rows: Sequence[Row], own: Mapping[str, str]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, (*own, *COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows({**own, **row} for row in _compared(_once(sorted(rows, key=_order))))
    return text.getvalue()


def _cell(row: Row) -> tuple[str, ...]:
    """What a row was trained on, and for how long."""
    return tuple(str(row[name]) for name in ("weights", "sample_name", "strategy", "draw", "rows_train", "epochs")) + (
        (str(row["body"]),) if row["strategy"] == "scratch" else ()
    )


def _rows_at(path: Path) -> list[Row]:
    """The rows of a table, its shares as short as they are written now."""
    with path.open(newline="") as file:
        rows = [{name: row.get(name) or "" for name in COLUMNS} for row in whole_rows(csv.DictReader(file))]
    return [{name: _short(float(of)) if of and name in _SHARES else of for name, of in row.items()} for row in rows]


def _facts_of(path: Path, sizes: Mapping[Rows, int]) -> dict[Rows, tuple[int, float]]:
    """What a table has of these rows already; ``sizes`` are how many they came to."""
    if not path.exists():
        return {}
    rows = _rows_at(path)
    known = {
        (str(row["sample_name"]), int(str(row["rows_train"])), int(str(row["draw"] or 0))): (
            int(str(row["classes"])),
            float(str(row["no_transfer"])),
        )
        for row in rows
        if row["no_transfer"]
    }
    came_to = {of: (of[0], count, of[2]) for of, count in sizes.items()}
    return {of: known[rows] for of, rows in came_to.items() if rows in known}


def _short(value: float | None) -> str:
    """Three digits at most, which is finer than any test part tells, and none that says nothing."""
    return "" if value is None else f"{value:.3f}".rstrip("0").rstrip(".").removeprefix("0") or "0"


def _pairs(
    design: Sequence[Cell], scores: Mapping[tuple[int, str, str], Figure], pairs: np.ndarray
) -> dict[tuple[str, str], _Pair]:
    cells = {cell.cell: cell for cell in design}
    best: dict[tuple[str, str], dict[str, float]] = {}
    for (number, _, name), figure in scores.items():
        if name in {"score.knn", "score.hscore", "distance.mmd"}:
            try:
                value = float(figure.value)
            except ValueError:
                continue
            of = best.setdefault((cells[number].weights, cells[number].target), {})
            of[name] = max(value, of.get(name, value))
    collected = {}
    for pair, of in best.items():
        far = of.get("distance.mmd")
        nearer = None if far is None else float(np.mean(pairs > max(far, 0.0)))
        collected[pair] = _Pair(of.get("score.knn"), of.get("score.hscore"), nearer)
    return collected


def _bodies(design: Sequence[Cell], bench: Bench) -> dict[str, str]:
    """What `recommender.fusion.body_of` makes of a checkpoint of each group; its group's name where none is left."""
    collected: dict[str, str] = {}
    for cell in design:
        if cell.digest and cell.group not in collected:
            try:
                folder = bench.folder(cell)
            except WeightsMissing:
                continue
            encoder = open_encoder(folder, name=cell.checkpoint)
            collected[cell.group] = body_of(encoder.opened.architecture, encoder.sizes, encoder.opened.input_size)
    return collected | {cell.group: cell.group for cell in design if cell.group not in collected}


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description="Write what the product's fusion starts from.")
    parser.add_argument("--modality", choices=sorted(GROUNDS), default=IMAGES.modality)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--data", type=Path, default=Path(".cache/data"), help="where the image sets are unpacked")
    parser.add_argument("--grown", type=Path, default=Path(".cache/grow"))
    parser.add_argument("--teachers", type=Path, default=Path(".cache/teachers"), help="real text checkpoints")
    parser.add_argument("--cache", type=Path, default=Path(".cache/proving"))
    parser.add_argument("--strategies", nargs="+", help="these alone")
    parser.add_argument("--judged", action="store_true", help="all cells, into the folder that the report judges")
    parser.add_argument("--keep", action="store_true", help="the table's own rows as they are, to which others come")
    requested = parser.parse_args()
    ground, folder = GROUNDS[requested.modality], HERE / requested.modality
    data = sets_of(ground, requested.data, requested.shared)
    bench = Bench(data, requested.shared, requested.grown, requested.cache, ground, requested.teachers)
    design = read_design(folder / "design.csv")
    results = kept_now(design, read_outcomes(folder / "outcomes.csv"))
    tried: list[dict[str, str]] = []
    if ground is IMAGES:
        with (HERE.parent / "recipes.csv").open(newline="") as file:
            tried = list(csv.DictReader(file))
    bundled = (
        catalog_folder() / "outcomes" / ("measured.csv" if ground is IMAGES else f"measured_{ground.modality}.csv")
    )
    judged = folder / JUDGED / "outcomes" / bundled.name
    path, most_bytes = (judged, sys.maxsize) if requested.judged else (bundled, MOST_BYTES)
    sizes = {
        (c.target, c.rows, c.seed): results[c.cell].rows_train
        for c in design
        if c.cell in results and c.strategy != NO_TRANSFER
    }
    most = {target: rows for (target, size, _), rows in sizes.items() if size == ground.probe_rows}
    targets_tried = {(row["target"], int(row["rows"]), 0) for row in tried if row["target"] in most}
    sizes = {of: min(of[1], most[of[0]]) for of in targets_tried} | sizes
    facts = _facts_of(judged, sizes) | _facts_of(bundled, sizes)
    for target, rows, seed in sorted({*sizes} - {*facts}):
        if target in FAMILIES:
            train = bench.rows_of(target, rows, seed).train
            facts[target, rows, seed] = len(train.classes), baseline(train, folds=train.folds(seed=seed)).plain
    zoo = Zoo.open(bench.home.root)
    sketches = [s for domain in zoo.domains(ground.modality) if (s := zoo.sketch(domain.name)) is not None]
    pairs = np.array([float(((a.embedding - b.embedding) ** 2).sum()) for a, b in combinations(sketches, 2)])
    scores, bodies = read_scores(folder / "scores.csv"), _bodies(design, bench)
    rows = rows_of(design, results, scores, tried, facts, bodies, pairs, ground)
    before = _rows_at(path) if requested.keep else []
    measured = [*rows]
    marks = {_cell(row): row["kept"] for row in measured}
    before = [{**row, "kept": marks.get(_cell(row), row["kept"])} for row in before]
    kept = [row for row in measured if requested.strategies is None or row["strategy"] in requested.strategies]
    there = {_cell(row) for row in before}
    table = [*before, *sorted(kept, key=lambda row: row["strategy"] != "linear-probe")]
    table = [row for at, row in enumerate(table) if at < len(before) or _cell(row) not in there]
    own: dict[str, str] = {} if ground is IMAGES else {"modality": ground.modality}
    text = _written(fitting(table, lambda rows: len(_written(rows, own)) <= most_bytes), own)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    print(f"{path}: {len(text):,} bytes")


if __name__ == "__main__":
    main()
