"""Which strategy: how often the recommended one is within one paired standard error of the best, and what it loses."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from tests.benchmarks.proving_ground.cells import Cell, Figure, Result, Setting
from tests.benchmarks.proving_ground.intervals import Coverage, coverage

__all__ = ["StrategyFigures", "judge_strategies", "right_rows"]


NAMED = {"linear-probe": "block-probe"}
"""What cells call the strategies of the product: its linear probe reads the block that it likes best."""


@dataclass(frozen=True)
class StrategyFigures:
    """Over pairs of checkpoint and target on which at least two strategies have run at the same rows."""

    pairs: int
    measured: Mapping[str, int]
    """Pairs on which each strategy has run."""
    best: Mapping[str, int]
    recommended: Mapping[str, int]
    good: Coverage | None
    """Share of pairs where the recommended strategy is within one paired standard error of the best."""
    always: Mapping[str, Coverage]
    """The same for recommending one strategy everywhere, on the pairs where it has run."""
    lost: float | None
    """By how much the recommended strategy scores less than the best, a mean."""


def judge_strategies(
    design: Sequence[Cell],
    results: Mapping[int, Result],
    scores: Mapping[tuple[int, str, str], Figure],
    settings: Sequence[Setting],
    now: Mapping[Setting, Mapping[tuple[str, str], str]],
    among: Collection[str] = (),
) -> StrategyFigures | None:
    """The strategy is chosen by the product beforehand, never on the test rows; the best is chosen on one half.

    ``now`` is what it chooses by setting and pair; without it that counts which the scores hold. ``among`` are the
    strategies of which all have to have run on a pair, where not any two will do.
    """
    pairs = {
        (setting, *pair): right
        for setting in settings
        for pair, right in _pairs(design, results, setting).items()
        if {*among} <= {*right}
    }
    if not pairs:
        return None
    held = _advised(design, scores)
    good: dict[str, list[tuple[bool, str]]] = {}
    best, recommended = Counter[str](), Counter[str]()
    lost = []
    for (setting, weights, target, family), right in pairs.items():
        best[max(right, key=lambda name: right[name].mean())] += 1
        for name in right:
            good.setdefault(f"always {name}", []).append((_good(name, right), family))
        predicted = (now.get(setting) or held).get((weights, target))
        if predicted in right:
            recommended[predicted] += 1
            good.setdefault("recommended", []).append((_good(predicted, right), family))
            lost.append(_lost(predicted, right))
    shares = {name: coverage(np.array([g for g, _ in rows]), tuple(f for _, f in rows)) for name, rows in good.items()}
    measured = Counter(name for right in pairs.values() for name in right)
    of = best, recommended, shares.pop("recommended", None), shares
    return StrategyFigures(len(pairs), measured, *of, float(np.mean(lost)) if lost else None)


def right_rows(result: Result) -> Bool[np.ndarray, " n"]:
    """Which test rows were told rightly, in order of (label, digest)."""
    return np.unpackbits(np.frombuffer(bytes.fromhex(result.right), np.uint8))[: result.rows_test].astype(bool)


def _pairs(
    design: Sequence[Cell], results: Mapping[int, Result], setting: Setting
) -> dict[tuple[str, str, str], dict[str, Bool[np.ndarray, " n"]]]:
    ran = [cell for cell in design if cell.cell in results and setting.has(cell) and cell.digest]
    bare = {(c.group, c.target): right_rows(results[c.cell]) for c in ran if c.strategy == "scratch"}
    result: dict[tuple[str, str, str], dict[str, Bool[np.ndarray, " n"]]] = {}
    for cell in ran:
        if cell.strategy != "scratch":
            right = result.setdefault((cell.weights, cell.target, cell.family), {})
            right[cell.strategy] = right_rows(results[cell.cell])
            if (cell.group, cell.target) in bare:
                right["scratch"] = bare[cell.group, cell.target]
    return {pair: right for pair, right in result.items() if len(right) > 1}


def _advised(design: Sequence[Cell], scores: Mapping[tuple[int, str, str], Figure]) -> dict[tuple[str, str], str]:
    """By pair; the product's linear probe reads the block that it likes best, which cells call ``block-probe``."""
    cells = {cell.cell: cell for cell in design}
    return {
        (cells[number].weights, cells[number].target): NAMED.get(figure.value, figure.value)
        for (number, _, name), figure in scores.items()
        if name == "product.strategy" and number in cells
    }


def _good(name: str, right: Mapping[str, Bool[np.ndarray, " n"]]) -> bool:
    """Within one paired standard error of the best."""
    return bool(np.mean([gap.mean() - gap.std() / np.sqrt(len(gap)) for gap in _gaps(name, right)]) <= 0)


def _lost(name: str, right: Mapping[str, Bool[np.ndarray, " n"]]) -> float:
    return float(np.mean([gap.mean() for gap in _gaps(name, right)]))


def _gaps(name: str, right: Mapping[str, Bool[np.ndarray, " n"]]) -> list[Float[np.ndarray, " m"]]:
    """What a strategy misses of the best by row: chosen on one half, compared on the other, both ways round."""
    gaps = []
    for chosen, compared in ((slice(0, None, 2), slice(1, None, 2)), (slice(1, None, 2), slice(0, None, 2))):
        best = max(right, key=lambda other: right[other][chosen].mean())
        gaps.append(right[best][compared].astype(float) - right[name][compared].astype(float))
    return gaps
