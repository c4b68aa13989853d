"""What the product expects of every cell, fused from the outcomes of all other families, as a user's would be."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import log
from pathlib import Path

import numpy as np

from recommender.fusion import Case, Fusion, Kind, covered_range
from recommender.plan import UNSURE
from recommender.strategies.cost import PRICE
from registry.catalog import read_catalog
from registry.home import catalog_folder
from tests.benchmarks.proving_ground.cells import HERE, Cell, Setting

__all__ = [
    "JUDGED",
    "Expectation",
    "advised",
    "bundled",
    "expectations",
    "figures",
    "figures_name",
    "first_of",
    "from_scratch",
]

JUDGED = "judged"
"""Folder of a modality whose outcomes are all that is measured, where the catalog's are fewer."""
TRUTHS = {"block-probe": "linear-probe", "lp-ft": "lp-ft"}
"""Truths that are judged, with what the product calls their strategy."""
PROBE = "block-probe"
"""What cells call the product's linear probe."""


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


def expectations(cases: Iterable[Case], known: Iterable[Case] | None = None) -> list[Expectation]:
    """Of every case, from the cases of other families alone; ``known`` are those, where not the cases themselves."""
    cases = [*cases]
    known = cases if known is None else [*known]
    collected = []
    for family in dict.fromkeys(case.family for case in cases):
        fusion = Fusion([case for case in known if case.family != family])
        for case in cases:
            fused = fusion.expect(case) if case.family == family else None
            if fused is not None:
                mean = fused.score(case.anchor)
                low, high = covered_range(mean, fused.deviation(mean, float(np.sqrt(case.noise)))[0])
                head = fusion.head(case) if case.kind is Kind.TRAINING else None
                collected.append(Expectation(case, mean, low, high, head, fusion.added(case)))
    return collected


@lru_cache(maxsize=2)
def bundled(modality: str, catalog: Path | None = None) -> tuple[Expectation, ...]:
    """Of all measured cells of a modality, by what the bundled outcomes, or those of another ``catalog``, tell."""
    bundled_ones, judged = catalog or catalog_folder(), HERE / modality / JUDGED
    cases, known = (
        [case for case in Fusion.of(read_catalog(folder).outcomes).cases if case.modality == modality]
        for folder in (judged if judged.is_dir() else bundled_ones, bundled_ones)
    )
    return tuple(expectations(cases, known))


def figures_name(strategy: str, setting: Setting, settings: Collection[Setting]) -> str:
    """What figures of a truth are called; of several settings of a strategy the first alone bears its name."""
    return f"product.{strategy}" if setting == min(settings, key=first_of) else f"product.{strategy}, {setting}"


def first_of(setting: Setting) -> tuple[int, int, int]:
    """The earliest draw first, of that the one of most rows."""
    return setting.seed, -setting.rows, setting.epochs


def figures(design: Sequence[Cell], collected: Iterable[Expectation]) -> dict[str, dict[tuple[str, str], float]]:
    """Mean, low and high of every truth that is judged, by name and (weights, target)."""
    weights = {cell.digest[:8]: cell.weights for cell in design if cell.digest}
    by_name: dict[str, dict[tuple[str, str], float]] = {}
    settings = {truth: {c.setting for c in design if c.strategy == truth} for truth in TRUTHS}
    for one in collected:
        for truth, strategy in TRUTHS.items():
            for setting in settings[truth]:
                if one.case.checkpoint in weights and one.case.strategy == strategy and _is_of(one.case, setting):
                    pair = weights[one.case.checkpoint], one.case.sample
                    name = figures_name(truth, setting, settings[truth])
                    for end in ("mean", "low", "high"):
                        by_name.setdefault(f"{name}.{end}", {})[pair] = getattr(one, end)
    return by_name


def advised(design: Sequence[Cell], collected: Iterable[Expectation], setting: Setting) -> dict[tuple[str, str], str]:
    """By pair, the strategy whose expectation is the best net of its passes, among all that were carried out there."""
    weights = {cell.digest[:8]: cell.weights for cell in design if cell.digest}
    carried_out = {(cell.weights, cell.target, cell.strategy) for cell in design if setting.has(cell)}
    nets: dict[tuple[str, str], dict[str, float]] = {}
    bodies: dict[tuple[str, str], str] = {}
    scratch: dict[tuple[str, str], float] = {}
    passes = 1.0 + 3 * setting.epochs
    for one in collected:
        case = one.case
        if not _is_of(case, setting):
            continue
        score = one.mean if one.head is None or one.added is None else one.head + one.added
        if case.kind is Kind.SCRATCH:
            score -= UNSURE * (one.mean - one.low)
        net = score - PRICE * float(np.log2(1.0 if case.kind is Kind.HEAD else passes))
        if case.kind is Kind.SCRATCH:
            scratch[case.body, case.sample] = net
        elif case.strategy in TRUTHS.values() and case.kind is Kind.HEAD:
            continue
        elif (weights.get(case.checkpoint, ""), case.sample, case.strategy) in carried_out:
            pair = weights[case.checkpoint], case.sample
            nets.setdefault(pair, {})[case.strategy] = net
            if one.head is not None:
                nets[pair][PROBE] = one.head
            bodies[pair] = case.body
    for pair, body in bodies.items():
        if (body, pair[1]) in scratch:
            nets[pair]["scratch"] = scratch[body, pair[1]]
    return {pair: max(of, key=lambda name: of[name]) for pair, of in nets.items()}


def from_scratch(collected: Iterable[Expectation], setting: Setting) -> list[Expectation]:
    """Those of training from random weights in a setting."""
    return [one for one in collected if one.case.kind is Kind.SCRATCH and _is_of(one.case, setting)]


def _is_of(case: Case, setting: Setting) -> bool:
    """Whether a case is of a setting: on more than half of its rows, and by its epochs."""
    epochs, share = case.features.get("epochs"), case.features["rows"]
    least, most = (rows / (rows + 600) for rows in (setting.rows / 2, setting.rows))
    return least < share < most + 1e-6 and (epochs is None or abs(epochs - log(max(setting.epochs, 1))) < 1e-6)
