"""The report's two pictures: skill by method with whiskers, and predicted against realized accuracy."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.proving_ground.findings import Report, Scope, TruthReport

__all__ = ["draw"]

WIDEST = 2.0
INK, ACCENT, GRAY = "#1f2933", "#c2410c", "#9aa5b1"


def draw(result: Report, folder: Path) -> list[Path]:
    """Write skill.png and predicted.png where there is something to draw."""
    folder.mkdir(parents=True, exist_ok=True)
    mpl.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    written = []
    ranked = [one for one in result.truths if any(np.isfinite(scope.room.value) for scope in one.scopes[:2])]
    shown = [(one, scope) for one in ranked for scope in one.scopes[:2]]
    if shown:
        written.append(_skills(shown, folder / "skill.png"))
    promised = [one for one in result.truths if one.intervals is not None]
    if promised:
        written.append(_predictions(promised, folder / "predicted.png"))
    return written


def _skills(shown: list[tuple[TruthReport, Scope]], path: Path) -> Path:
    """One row of panels a truth: within groups, and over all checkpoints."""
    tallest = max(len(_drawn(scope)) for _, scope in shown)
    lines = -(-len(shown) // 2)
    figure = Figure(figsize=(10.4, lines * (1.2 + 0.24 * tallest)), layout="constrained")
    for place, (one, scope) in enumerate(shown):
        axes = figure.add_subplot(lines, 2, place + 1)
        _skill_panel(axes, scope)
        axes.set_title(f"{one.title}\n{scope.name}", fontsize=9)
    figure.savefig(path, dpi=110)
    return path


def _drawn(scope: Scope) -> list[tuple[str, float, float, float]]:
    rows = [(r.judged.name, r.skill.value, r.skill.low, r.skill.high) for r in scope.rows if r.skill is not None]
    return sorted(rows, key=lambda row: row[1])


def _skill_panel(axes: Axes, scope: Scope) -> None:
    """Whiskers are 90 % intervals; what lies beyond the axis sits at its edge. Gray where nothing can be decided."""
    rows = _drawn(scope)
    for height, (name, value, low, high) in enumerate(rows):
        color = (ACCENT if name == "product" else INK) if scope.room.decidable else GRAY
        axes.plot(np.clip([low, high], -WIDEST, WIDEST), [height, height], color=color, lw=1.4)
        marker = "o" if abs(value) < WIDEST else ("<" if value < 0 else ">")
        axes.plot(np.clip(value, -WIDEST, WIDEST), height, marker, color=color, ms=5, clip_on=False)
    axes.axvline(0, color=GRAY, lw=1, ls="--")
    axes.axvline(1, color=GRAY, lw=1)
    axes.set_yticks(range(len(rows)), [row[0] for row in rows])
    axes.set_xlim(-WIDEST, WIDEST)
    room = f"room {scope.room.value:+.2f} ± {scope.room.standard_error:.2f}"
    unclear = "" if scope.room.decidable else "; NOT DECIDABLE"
    axes.set_xlabel(f"skill: 0 static list, 1 noise ceiling\n{room}{unclear}")


def _predictions(promised: list[TruthReport], path: Path) -> Path:
    figure = Figure(figsize=(4.6 * len(promised), 4.6), layout="constrained")
    for place, one in enumerate(promised):
        axes = figure.add_subplot(1, len(promised), place + 1)
        _prediction_panel(axes, one)
    figure.savefig(path, dpi=110)
    return path


def _prediction_panel(axes: Axes, one: TruthReport) -> None:
    truth = one.truth
    mean, low, high = (truth.figures[f"{one.product}.{end}"] for end in ("mean", "low", "high"))
    known = np.isfinite(mean) & np.isfinite(truth.whole)
    real, predicted = truth.whole[known], mean[known]
    inside = (low[known] <= real) & (real <= high[known])
    axes.plot([0, 1], [0, 1], color=GRAY, lw=1)
    for mask, color, label in ((inside, INK, "inside its interval"), (~inside, ACCENT, "outside")):
        axes.errorbar(
            predicted[mask],
            real[mask],
            xerr=np.stack([predicted - low[known], high[known] - predicted])[:, mask],
            fmt="o",
            ms=3,
            lw=0.5,
            color=color,
            alpha=0.6,
            label=f"{label}: {int(mask.sum())}",
        )
    axes.set_xlabel("expected accuracy, with its interval")
    axes.set_ylabel("realized accuracy")
    axes.set_title(one.title, fontsize=9)
    axes.legend(frameon=False, fontsize=8)
