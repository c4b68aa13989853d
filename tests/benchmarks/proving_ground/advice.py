"""The product's own ranking and plans on every target, with the outcomes of all *other* families as its history."""

import json
from collections.abc import Mapping, Sequence

from recommender.history import History
from recommender.results import Expected, Ranked
from registry.cards import Metric, Origin, Outcome, Task
from registry.errors import NotOffered
from tests.benchmarks.proving_ground.bench import Bench
from tests.benchmarks.proving_ground.cells import Cell, Figure, Result
from tests.benchmarks.proving_ground.design import TUNED_ROWS
from tests.benchmarks.proving_ground.evidence import choice_of, ranked
from tests.benchmarks.proving_ground.scoring import commit
from tests.benchmarks.proving_ground.targets import FAMILIES

__all__ = ["advice_figures", "history_without"]

PRODUCTS_NAME = {"block-probe": "linear-probe", "lp-ft": "lp-ft", "scratch": "scratch"}
"""What the product calls the strategies whose outcomes it learns from."""


def history_without(family: str, design: Sequence[Cell], results: Mapping[int, Result]) -> History:
    """Every outcome on targets of other families, as the product's registry would hold it."""
    measured = []
    for cell in design:
        if cell.cell in results and cell.strategy in PRODUCTS_NAME and cell.family != family:
            result, record = results[cell.cell], json.loads(results[cell.cell].conditions)
            measured.append(
                Outcome(
                    str(cell.cell),
                    cell.checkpoint,
                    PRODUCTS_NAME[cell.strategy],
                    cell.target,
                    cell.target,
                    Task.CLASSIFICATION,
                    Metric.ACCURACY,
                    result.accuracy,
                    None,
                    result.rows_train,
                    result.rows_test,
                    result.seconds,
                    Origin.OURS,
                    result.created,
                    conditions={"probe": record["probe"]},
                )
            )
    return History(tuple(measured))


def advice_figures(target: str, design: Sequence[Cell], results: Mapping[int, Result], bench: Bench) -> list[Figure]:
    """What the product expects of every probed pair of a target, told on the pair's linear-probe cell.

    Probes are expected at the rows of the probes; ``lp-ft`` and the strategy advised, at those of the tunings.
    """
    measured = [c for c in design if c.target == target and c.cell in results and c.strategy == "linear-probe"]
    most = bench.ground.probe_rows
    pairs = {c.weights: c.cell for c in measured if c.rows == most}
    history = history_without(FAMILIES[target], design, results)
    result: list[Figure] = []
    for rows, report in ((most, _of_probes), (TUNED_ROWS, _of_tuning)):
        cells = {c.cell: c for c in measured if c.rows == rows and c.weights in pairs and bench.has(c)}
        ranks = ranked([*cells.values()], bench, history) if cells else {}
        for number, row in ranks.items():
            predicted = report(cells[number], row, bench, history)
            at = pairs[cells[number].weights]
            result += [Figure(at, "", f"product.{name}", value, commit()) for name, value in predicted.items()]
    return result


def _of_probes(cell: Cell, row: Ranked, bench: Bench, history: History) -> dict[str, str]:
    """What is expected of the block that the product reads; of the last block, as much more or less as its probe."""
    at_read, blocks = row.transferability.read, row.transferability.blocks
    expected = choice_of(cell, bench, "linear-probe", history, row).expected
    return {**_ends("block-probe", expected), **_ends("linear-probe", expected, blocks[-1].score - at_read.score)}


def _of_tuning(cell: Cell, row: Ranked, bench: Bench, history: History) -> dict[str, str]:
    by_name = {"strategy": choice_of(cell, bench, None, history, row).plan.strategy}
    try:
        return {**by_name, **_ends("lp-ft", choice_of(cell, bench, "lp-ft", history, row).expected)}
    except NotOffered:
        return by_name


def _ends(name: str, expected: Expected, shift: float = 0.0) -> dict[str, str]:
    ends = {end: getattr(expected, end) + shift for end in ("mean", "low", "high")}
    return {f"{name}.{end}": f"{min(max(value, 0.0), 1.0):.6f}" for end, value in ends.items()}
