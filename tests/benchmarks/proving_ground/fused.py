"""What the product's fusion expects of every cell, fitted on the outcomes of all other families, as a user's would be."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log

import numpy as np

from recommender.fusion import Case, Fusion, Kind
from recommender.plan import PRICE
from registry.catalog import read_catalog
from registry.home import catalog_folder
from registry.metrics import Z
from tests.benchmarks.proving_ground.cells import Cell
from tests.benchmarks.proving_ground.design import TUNED_EPOCHS, TUNED_ROWS
from tests.benchmarks.proving_ground.targets import PROBE_ROWS

__all__ = ["Expectation", "advised", "expectations", "figures"]

JUDGED = {"block-probe": ("linear-probe", PROBE_ROWS), "lp-ft": ("lp-ft", TUNED_ROWS)}
"""Truths, with the strategy and the most rows of their cells."""
PASSES = {"lp-ft": 1.0 + 3 * TUNED_EPOCHS, "scratch": 1.0 + 3 * TUNED_EPOCHS}
"""What a cell took, in passes over its rows; one where nothing is trained."""


@dataclass(frozen=True)
class Expectation:
    """What is expected of a case."""

    case: Case
    mean: float
    low: float
    high: float


def expectations(cases: Iterable[Case]) -> list[Expectation]:
    """Of every case, from the cases of other families alone."""
    cases = [*cases]
    found = []
    for family in dict.fromkeys(case.family for case in cases):
        fusion = Fusion([case for case in cases if case.family != family])
        for case in cases:
            fused = fusion.expect(case) if case.family == family else None
            if fused is not None:
                mean = fused.score(case.anchor)
                reach = Z * fused.deviation(mean, float(np.sqrt(case.noise)))[0]
                low, high = min(mean, max(0.0, mean - reach)), max(mean, min(1.0, mean + reach))
                found.append(Expectation(case, mean, low, high))
    return found


@lru_cache(maxsize=1)
def bundled() -> tuple[Expectation, ...]:
    """Of the cells in catalog/outcomes/measured.csv."""
    return tuple(expectations(Fusion.of(read_catalog(catalog_folder()).outcomes).cases))


def figures(design: Sequence[Cell], found: Iterable[Expectation]) -> dict[str, dict[tuple[str, str], float]]:
    """Mean, low and high of every truth that is judged, by name and (weights, target)."""
    weights = {cell.digest[:8]: cell.weights for cell in design if cell.digest}
    told: dict[str, dict[tuple[str, str], float]] = {}
    for one in found:
        for truth, (strategy, rows) in JUDGED.items():
            if one.case.checkpoint in weights and _is_of(one.case, strategy, rows):
                pair = weights[one.case.checkpoint], one.case.sample
                for end in ("mean", "low", "high"):
                    told.setdefault(f"product.{truth}.{end}", {})[pair] = getattr(one, end)
    return told


def advised(design: Sequence[Cell], found: Iterable[Expectation]) -> dict[tuple[str, str], str]:
    """By pair, the strategy with the best expectation net of its passes, of those that all pairs have."""
    weights = {cell.digest[:8]: cell.weights for cell in design if cell.digest}
    nets: dict[tuple[str, str], dict[str, float]] = {}
    probes = {(c.weights, c.target): c for c in design if c.strategy == "block-probe" and c.rows == TUNED_ROWS}
    del probes
    for one in found:
        case = one.case
        if case.checkpoint in weights and case.kind is not Kind.SCRATCH and case.strategy in {"linear-probe", "lp-ft"}:
            pair = weights[case.checkpoint], case.sample
            if case.strategy == "linear-probe" or _is_of(case, "lp-ft", TUNED_ROWS):
                net = one.mean - PRICE * np.log2(PASSES.get(case.strategy, 1.0))
                nets.setdefault(pair, {})[case.strategy] = float(net)
    return {pair: max(of, key=lambda name: of[name]) for pair, of in nets.items()}


def _is_of(case: Case, strategy: str, rows: int) -> bool:
    """Whether a case is a cell of the design: of that strategy, on at most so many rows, by its epochs."""
    epochs = case.features.get("epochs")
    fewest = rows / 2 / (rows / 2 + 600)
    return (
        case.strategy == strategy
        and case.features["rows"] > fewest
        and (epochs is None or abs(epochs - log(TUNED_EPOCHS)) < 1e-6)
    )


_ = Mapping
