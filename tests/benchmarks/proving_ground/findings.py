"""What the tables say: every method beside the baselines, and whether anything can be told at all.

For every truth (linear probe, tuned) and every scope (within groups of equal size and architecture, each group, all
checkpoints): the gate, the noise ceiling, and every method beside the baselines; then intervals and strategies.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
from jaxtyping import Bool, Float

from tests.benchmarks.proving_ground.cells import GONE, NO_TRANSFER, Cell, Figure, Result
from tests.benchmarks.proving_ground.fused import Expectation, advised, figures_name, first_of, from_scratch
from tests.benchmarks.proving_ground.fused import figures as fused_figures
from tests.benchmarks.proving_ground.intervals import Coverage, coverage, static_intervals, winkler
from tests.benchmarks.proving_ground.judge import (
    Judged,
    Method,
    Wins,
    ceilings,
    groups_of,
    judge,
    judge_chosen,
    judge_fixed,
    judge_random,
    wins,
)
from tests.benchmarks.proving_ground.rankers import by_figure, generalist, largest, plus_static, static
from tests.benchmarks.proving_ground.skill import Room, Skill, above_ceiling, family_means, room, skill
from tests.benchmarks.proving_ground.strategies import StrategyFigures, judge_strategies
from tests.benchmarks.proving_ground.truth import Truth, figures_of, kept_now, truth_of

__all__ = ["CHOSEN", "FromScratch", "Intervals", "Report", "Row", "Scope", "TruthReport", "report"]

JUDGED = ("linear-probe", "block-probe", "lp-ft")
"""Strategies whose outcomes rankings are held against."""
TRAINED = ("lp-ft",)
"""Those that are judged in each setting; heads are on the most rows."""
RIVALS = ("block-probe", "lp-ft", "scratch")
"""Strategies that are also judged where all of them have run."""
Fixed = Mapping[str, Callable[[Truth], Float[np.ndarray, "2 t"]]]
"""Choices from outside the ranking: among some of the checkpoints, what they reach on both halves, by target."""
PRODUCT, LARGEST, WITH_STATIC = "product", "largest", "logme + static"
CHOSEN = "score chosen on others"
"""The single score or distance that is best on the other families: what a user without this project could choose."""
WITHIN, ALL = "within groups of equal size and architecture", "all checkpoints"


@dataclass(frozen=True, eq=False)
class Row:
    """One method in one scope."""

    judged: Judged
    skill: Skill | None
    """None for a method that ranks nothing."""
    suspicious: bool
    """Leaks by the planted truth, or stands above the noise ceiling beyond chance."""


@dataclass(frozen=True, eq=False)
class Scope:
    """All methods among some of the checkpoints."""

    name: str
    checkpoints: int
    targets: int
    wins: tuple[Wins, ...]
    ceiling: float
    static: float
    room: Room
    rows: tuple[Row, ...]
    beyond: tuple[float, float, float] | None
    """The product's tau less that of the single score chosen on the other families: mean, and its 90 % interval."""

    @property
    def gate(self) -> str:
        """Whether rankings can be told apart here, in words."""
        if not self.rows or self.room.families < 2:
            return "SHUT: fewer than two families have three checkpoints to rank"
        if self.room.decidable:
            return f"OPEN: the list that never looks leaves {self.room.value:.3f} of tau to be gained"
        return f"SHUT: ceiling - static is {self.room.value:+.3f}, not above its standard error"


@dataclass(frozen=True, eq=False)
class Intervals:
    """Promised intervals beside static-with-residuals, on the same cells."""

    cells: int
    covered: Coverage
    score: float
    static_covered: Coverage
    static_score: float
    better: tuple[float, float, float]
    """Static's mean Winkler score minus ours: mean over families and its 90 % interval."""


@dataclass(frozen=True, eq=False)
class FromScratch:
    """What is expected of training from random weights, beside what it scored."""

    cells: int
    bias: float
    """By how much it scores more than expected, a mean."""
    error: float
    """Mean absolute error."""
    covered: Coverage
    score: float
    """Mean Winkler score of the intervals."""


@dataclass(frozen=True, eq=False)
class TruthReport:
    """Everything about one truth."""

    title: str
    product: str
    """Prefix of the product's own figures for this truth."""
    truth: Truth
    scopes: tuple[Scope, ...]
    intervals: Intervals | None


@dataclass(frozen=True, eq=False)
class Report:
    """The whole report."""

    cells: int
    measured: int
    missing: Mapping[str, int]
    """Cells without a result that may have one yet, by strategy."""
    never: Mapping[str, int]
    """Those that can never be carried out, by the reason."""
    left_out: tuple[str, ...]
    """Targets whose family the lens grew on."""
    gone: tuple[str, ...]
    """Checkpoints that no ranking holds, for their scores cannot be computed anew without weights."""
    truths: tuple[TruthReport, ...]
    strategies: Mapping[str, StrategyFigures]
    """By setting, and of all settings together where there are several."""
    scratch: Mapping[str, FromScratch]
    """By setting."""


def report(
    design: Sequence[Cell],
    results: Mapping[int, Result],
    scores: Mapping[tuple[int, str, str], Figure],
    expected: Sequence[Expectation] = (),
    never: Mapping[int, str] = MappingProxyType({}),
) -> Report:
    """Judge what is there; what is not is counted, and what can never be is told apart.

    ``expected`` are the product's expectations of now; without them those count that the scores hold.
    """
    left_out = _lens_families(design, scores)
    kept = [cell for cell in design if cell.family not in left_out]
    gone = _weights_gone(design, scores)
    held = [cell for cell in kept if cell.weights not in gone]
    figures = {**figures_of(design, scores), **fused_figures(design, expected)}
    settings = {strategy: dict.fromkeys(c.setting for c in held if c.strategy == strategy) for strategy in JUDGED}
    truths = []
    for strategy, of in settings.items():
        for setting in of if strategy in TRAINED else sorted(of, key=first_of)[:1]:
            truth = truth_of(held, results, figures, strategy=strategy, setting=setting)
            if np.isfinite(truth.whole).any():
                raw = _no_transfer(truth, held, results)
                probe = truth_of(held, results, figures, strategy="linear-probe", setting=setting)
                fixed: Fixed = {"no transfer": lambda _, raw=raw: raw}
                if np.isfinite(probe.whole).any():
                    fixed = {"best generalist + linear head": partial(_generalist, probe=probe), **fixed}
                name = figures_name(strategy, setting, of)
                truths.append(_truth_report(f"{strategy}, {setting}", truth, fixed, name))
    unmeasured = [c for c in design if c.cell not in results]
    missing = Counter(c.strategy for c in unmeasured if c.cell not in never)
    out = tuple(dict.fromkeys(c.target for c in design if c.family in left_out))
    return Report(
        len(design),
        len(design) - len(unmeasured),
        missing,
        Counter(never[c.cell] for c in unmeasured if c.cell in never),
        out,
        tuple(weights.split("@")[0] for weights in gone),
        tuple(truths),
        _strategies(kept, results, scores, expected),
        _from_scratch(kept, expected),
    )


def _strategies(
    design: Sequence[Cell],
    results: Mapping[int, Result],
    scores: Mapping[tuple[int, str, str], Figure],
    expected: Sequence[Expectation],
) -> dict[str, StrategyFigures]:
    settings = [*dict.fromkeys(c.setting for c in design if c.strategy in TRAINED and c.cell in results)]
    now = {setting: advised(design, expected, setting) for setting in settings}
    of = {str(setting): [setting] for setting in settings}
    if len(settings) > 1:
        of["all settings"] = settings
    judged = {name: judge_strategies(design, results, scores, ours, now) for name, ours in of.items()}
    kept = kept_now(design, results)
    for name, ours in of.items():
        now_kept = judge_strategies(design, kept, scores, ours, now)
        if now_kept != judged[name]:
            judged[f"{name}, heads kept as plans now do"] = now_kept
    for name, ours in of.items():
        judged[f"{name}, {' and '.join(RIVALS)} alike"] = judge_strategies(design, kept, scores, ours, now, RIVALS)
    return {name: figures for name, figures in judged.items() if figures is not None}


def _from_scratch(design: Sequence[Cell], expected: Sequence[Expectation]) -> dict[str, FromScratch]:
    """Of what is expected of targets of the design."""
    targets = {cell.target for cell in design}
    figures = {}
    for setting in dict.fromkeys(cell.setting for cell in design if cell.strategy == "scratch"):
        of = [one for one in from_scratch(expected, setting) if one.case.sample in targets]
        if of:
            low, mean, high, real = np.array([(one.low, one.mean, one.high, one.case.score or 0.0) for one in of]).T
            covered = coverage((low <= real) & (real <= high), tuple(one.case.family for one in of))
            off = real - mean
            apart = float(off.mean()), float(np.abs(off).mean())
            figures[str(setting)] = FromScratch(len(of), *apart, covered, float(winkler(low, high, real).mean()))
    return figures


def _lens_families(design: Sequence[Cell], scores: Mapping[tuple[int, str, str], Figure]) -> set[str]:
    """Families on which a lens in use has grown: distances to them are not honest."""
    lenses = {figure.value for (_, _, name), figure in scores.items() if name == "lens"}
    lineage = {source for cell in design if cell.checkpoint in lenses for source in cell.lineage.split(";")}
    return {cell.family for cell in design if cell.target in lineage}


def _weights_gone(design: Sequence[Cell], scores: Mapping[tuple[int, str, str], Figure]) -> tuple[str, ...]:
    cells = {number for (number, _, _), figure in scores.items() if figure.value == GONE}
    return tuple(dict.fromkeys(cell.weights for cell in design if cell.cell in cells))


def _truth_report(title: str, truth: Truth, fixed: Fixed, product: str) -> TruthReport:
    groups = groups_of(truth)
    everyone = np.ones(len(truth.checkpoints), dtype=bool)
    named = {WITHIN: list(groups.values()), ALL: [everyone]}
    if len(groups) > 1:
        named |= {f"group {name}": [mask] for name, mask in groups.items()}
    scopes = tuple(_scope(name, truth, fixed, masks, product) for name, masks in named.items())
    return TruthReport(title, product, truth, scopes, _intervals(truth, product))


def _scope(
    name: str,
    truth: Truth,
    fixed: Fixed,
    masks: Sequence[Bool[np.ndarray, " k"]],
    product: str,
) -> Scope:
    base = judge(truth, Method("static", static), masks)
    top = ceilings(truth, masks)
    judged = [judge(truth, method, masks) for method in _methods(truth, product)]
    singles = [one for one in judged if one.name not in {PRODUCT, LARGEST, WITH_STATIC}]
    ours, chosen = judged[0], judge_chosen(CHOSEN, singles, truth.families)
    judged += [chosen, base, judge_random(truth, masks)]
    judged += [judge_fixed(truth, title, halves_of, masks) for title, halves_of in fixed.items()]
    rows = tuple(_row(one, base, top, truth.families) for one in judged if np.isfinite(one.regret_1).any())
    inside = np.any(masks, axis=0) if masks else np.zeros(len(truth.checkpoints), dtype=bool)
    return Scope(
        name,
        int(inside.sum()),
        int(np.isfinite(top).sum()),
        tuple(wins(truth.of(mask)) for mask in masks),
        _mean(top, truth.families),
        _mean(base.tau, truth.families),
        room(base.tau, top, truth.families),
        rows,
        _gain(ours.tau - chosen.tau, truth.families) if np.isfinite(ours.tau - chosen.tau).any() else None,
    )


def _methods(truth: Truth, product: str) -> list[Method]:
    """The product, every score and distance for which there are figures, and the baselines that rank."""
    scores = [name for name in truth.figures if name.startswith("score.")]
    distances = [name for name in truth.figures if name.startswith("distance.")]
    methods = [Method(PRODUCT, by_figure(f"{product}.mean"), probes=True)]
    methods += [Method(name.removeprefix("score."), by_figure(name), probes=True) for name in scores]
    methods += [Method(WITH_STATIC, plus_static("score.logme"), probes=True)] if "score.logme" in scores else []
    methods += [Method(f"nearest domain ({name.removeprefix('distance.')})", by_figure(name, -1)) for name in distances]
    return [*methods, Method(LARGEST, largest)]


def _row(judged: Judged, base: Judged, top: Float[np.ndarray, " t"], families: tuple[str, ...]) -> Row:
    if not np.isfinite(judged.tau).any():
        return Row(judged, None, suspicious=False)
    suspicious = judged.leaks or above_ceiling(judged.tau, top, families)
    return Row(judged, skill(judged.tau, base.tau, top, families), suspicious)


def _generalist(truth: Truth, probe: Truth) -> Float[np.ndarray, "2 t"]:
    """By target, the halves of the linear head on whichever of these checkpoints is best on the other families."""
    own = probe.of(np.isin(probe.checkpoints, truth.checkpoints))
    halves = np.full((2, len(truth.targets)), np.nan)
    for t, target in enumerate(own.targets):
        predicted = generalist(own.case(t))
        if target in truth.targets and np.isfinite(predicted).any():
            halves[:, truth.targets.index(target)] = own.halves[
                :, np.flatnonzero(own.rows(t))[np.nanargmax(predicted)], t
            ]
    return halves


def _no_transfer(truth: Truth, design: Sequence[Cell], results: Mapping[int, Result]) -> Float[np.ndarray, "2 t"]:
    """By target, the halves of what raw pixels reach."""
    halves = np.full((2, len(truth.targets)), np.nan)
    for cell in design:
        if cell.strategy == NO_TRANSFER and cell.cell in results and cell.target in truth.targets:
            result = results[cell.cell]
            halves[:, truth.targets.index(cell.target)] = result.half_a, result.half_b
    return halves


def _intervals(truth: Truth, product: str) -> Intervals | None:
    """Coverage and Winkler score of the product's intervals, cell by cell beside static-with-residuals."""
    if f"{product}.low" not in truth.figures:
        return None
    low, high = truth.figures[f"{product}.low"], truth.figures[f"{product}.high"]
    _, base_low, base_high = static_intervals(truth.whole, truth.families)
    known = np.isfinite(truth.whole) & np.isfinite(low) & np.isfinite(base_low)
    if not known.any():
        return None
    families = tuple(np.array(truth.families)[np.nonzero(known)[1]])
    real = truth.whole[known]
    ours, theirs = winkler(low[known], high[known], real), winkler(base_low[known], base_high[known], real)
    return Intervals(
        len(real),
        coverage((low[known] <= real) & (real <= high[known]), families),
        float(ours.mean()),
        coverage((base_low[known] <= real) & (real <= base_high[known]), families),
        float(theirs.mean()),
        _gain(theirs - ours, families),
    )


def _gain(difference: Float[np.ndarray, " n"], families: tuple[str, ...]) -> tuple[float, float, float]:
    means = family_means(difference, families)
    means = means[np.isfinite(means)]
    picks = np.random.default_rng(len(means)).integers(0, len(means), (2000, len(means)))
    low, high = np.quantile(means[picks].mean(axis=1), [0.05, 0.95])
    return float(means.mean()), float(low), float(high)


def _mean(figures: Float[np.ndarray, " t"], families: tuple[str, ...]) -> float:
    means = family_means(figures, families)
    return float(means[np.isfinite(means)].mean()) if np.isfinite(means).any() else float("nan")
