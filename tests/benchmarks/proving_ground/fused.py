"""What the product expects of every cell, fused from the outcomes of all other families, as a user's would be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log

import numpy as np

from recommender.fusion import Case, Fusion, Kind, covered_range
from recommender.strategies.cost import PRICE
from registry.catalog import read_catalog
from registry.home import catalog_folder
from tests.benchmarks.proving_ground.cells import Cell
from tests.benchmarks.proving_ground.design import TUNED_EPOCHS, TUNED_ROWS

__all__ = ["Expectation", "advised", "bundled", "expectations", "figures"]

JUDGED = {"block-probe": "linear-probe", "lp-ft": "lp-ft"}
"""Truths, with what the product calls their strategy."""
TRAINED = 1.0 + 3 * TUNED_EPOCHS
"""What a training took, in passes over its rows; a head takes one."""


@dataclass(frozen=True)
class Expectation:
    """What is expected of a case."""

    case: Case
    mean: float
    low: float
    high: float
    head: float | None = None
    """What the same probe's head is expected to score, where the case is a training."""
    added: float | None = None
    """What a training is expected to add to that on the same rows."""


def expectations(cases: Iterable[Case]) -> list[Expectation]:
    """Of every case, from the cases of other families alone."""
    cases = [*cases]
    collected = []
    for family in dict.fromkeys(case.family for case in cases):
        fusion = Fusion([case for case in cases if case.family != family])
        for case in cases:
            fused = fusion.expect(case) if case.family == family else None
            if fused is not None:
                mean = fused.score(case.anchor)
                low, high = covered_range(mean, fused.deviation(mean, float(np.sqrt(case.noise)))[0])
                head = fusion.head(case) if case.kind is Kind.TRAINING else None
                collected.append(Expectation(case, mean, low, high, head, fusion.added(case)))
    return collected


@lru_cache(maxsize=2)
def bundled(modality: str) -> tuple[Expectation, ...]:
    """Of the cells of a modality in catalog/outcomes/measured.csv."""
    cases = Fusion.of(read_catalog(catalog_folder()).outcomes).cases
    return tuple(expectations(case for case in cases if case.modality == modality))


def figures(design: Sequence[Cell], collected: Iterable[Expectation]) -> dict[str, dict[tuple[str, str], float]]:
    """Mean, low and high of every truth that is judged, by name and (weights, target)."""
    weights = {cell.digest[:8]: cell.weights for cell in design if cell.digest}
    by_name: dict[str, dict[tuple[str, str], float]] = {}
    most = {truth: max((c.rows for c in design if c.strategy == truth), default=0) for truth in JUDGED}
    for one in collected:
        for truth, strategy in JUDGED.items():
            if one.case.checkpoint in weights and _is_of(one.case, strategy, most[truth]):
                pair = weights[one.case.checkpoint], one.case.sample
                for end in ("mean", "low", "high"):
                    by_name.setdefault(f"product.{truth}.{end}", {})[pair] = getattr(one, end)
    return by_name


def advised(design: Sequence[Cell], collected: Iterable[Expectation]) -> dict[tuple[str, str], str]:
    """By pair, the strategy whose expectation is the best net of its passes, among all that were carried out there."""
    weights = {cell.digest[:8]: cell.weights for cell in design if cell.digest}
    nets: dict[tuple[str, str], dict[str, float]] = {}
    bodies: dict[tuple[str, str], str] = {}
    scratch: dict[tuple[str, str], float] = {}
    for one in collected:
        case = one.case
        score = one.mean if one.head is None or one.added is None else one.head + one.added
        net = score - PRICE * float(np.log2(1.0 if case.kind is Kind.HEAD else TRAINED))
        if case.kind is Kind.SCRATCH:
            scratch[case.body, case.sample] = net
        elif case.strategy != "linear-probe" and case.checkpoint in weights and _is_of(case, case.strategy, TUNED_ROWS):
            pair = weights[case.checkpoint], case.sample
            nets.setdefault(pair, {})[case.strategy] = net
            if one.head is not None:
                nets[pair]["linear-probe"] = one.head
            bodies[pair] = case.body
    for pair, body in bodies.items():
        if (body, pair[1]) in scratch:
            nets[pair]["scratch"] = scratch[body, pair[1]]
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
