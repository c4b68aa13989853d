"""Figures as PNG: of a run (curve, confusions, score, what transfer and training did), of the benefit of transfer.

Drawn without pyplot, so that a caller's own figures and backend are left alone.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator

from recommender.results import Benefit, Expected
from recommender.runs.event_log import EventLog
from recommender.runs.job import Job
from recommender.tuning.feature_drift import RECOGNIZED, BlockChange, Forgetting, SourceProbe
from registry.cards import Task
from registry.metrics import Z

__all__ = [
    "benefit_curves",
    "confusion_matrix",
    "draw",
    "draw_learning_curve",
    "intervals",
    "transferred_and_learned",
]

_FOLDER = "figures"
_NUMBERED = 20
"""Classes up to which a cell shows its number; beyond twice as many the axes show no names."""
_FEW_BLOCKS = 4
"""Blocks for which there is room at least, so that few bars are not broad ones."""
_ARMS = {"plan": "tab:blue", "scratch": "tab:orange", "no transfer": "tab:gray"}


def draw(
    job: Job,
    truth: np.ndarray,
    predicted: np.ndarray,
    metrics: Mapping[str, float],
    forgetting: Forgetting | None = None,
) -> tuple[Path, ...]:
    """The figures of a run, into its folder; the learning curve is read from its journal."""
    folder = job.folder / _FOLDER
    folder.mkdir(exist_ok=True)
    drawn: list[Path] = []
    curves = {name: curve for name, curve in EventLog(job.folder).curves.items() if not name.startswith("system/")}
    if any(len(curve) > 1 for curve in curves.values()):
        drawn.append(draw_learning_curve(curves, folder / "learning-curve.png"))
    if job.sample.task is Task.CLASSIFICATION:
        drawn.append(confusion_matrix(truth, predicted, job.sample.classes, folder / "confusion-matrix.png"))
    if job.expected is not None:
        score, error = metrics["score"], metrics["standard_error"]
        drawn.append(intervals(job.expected, score, error, folder / "expected-and-realized.png"))
    if forgetting is not None and forgetting.blocks:
        drawn.append(transferred_and_learned(forgetting, folder / "transferred-and-learned.png"))
    return tuple(drawn)


def draw_learning_curve(curves: Mapping[str, Mapping[int, float]], file: Path) -> Path:
    """Losses above, the metric on the validation rows below, by epoch; values that are no numbers leave a gap."""
    losses = {name: curve for name, curve in curves.items() if name.endswith("loss")}
    scores = {name: c for name, c in curves.items() if name.startswith("validation ") and name not in losses}
    parts = [(what, curves_of) for what, curves_of in (("loss", losses), ("score", scores)) if curves_of]
    figure = Figure(figsize=(7, 3 * max(1, len(parts))), layout="constrained")
    for place, (what, curves_of) in enumerate(parts, start=1):
        axes = figure.add_subplot(len(parts), 1, place)
        for name, curve in sorted(curves_of.items()):
            values = np.array([curve[epoch] for epoch in sorted(curve)])
            axes.plot(
                sorted(curve), np.where(np.isfinite(values), values, np.nan), marker="o", markersize=3, label=name
            )
        axes.set(xlabel="epoch", ylabel=what)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return _saved(figure, file)


def confusion_matrix(
    truth: Int[np.ndarray, " n"], predicted: Int[np.ndarray, " n"], classes: tuple[str, ...], file: Path
) -> Path:
    """Rows of each class by what they were taken for; colored by the share of the class."""
    counts = np.zeros((len(classes), len(classes)), np.int64)
    np.add.at(counts, (truth, predicted), 1)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = float(np.clip(2.5 + 0.35 * len(classes), 4, 14))
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.add_subplot()
    figure.colorbar(axes.imshow(shares, cmap="Blues", vmin=0, vmax=1), label="share of the class")
    axes.set(xlabel="taken for", ylabel="class")
    if len(classes) <= 2 * _NUMBERED:
        axes.set_xticks(range(len(classes)), classes, rotation=90)
        axes.set_yticks(range(len(classes)), classes)
    if len(classes) <= _NUMBERED:
        for row, column in zip(*counts.nonzero(), strict=True):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(counts[row, column]), ha="center", va="center", color=color, fontsize=8)
    return _saved(figure, file)


def intervals(expected: Expected, score: float, standard_error: float, file: Path) -> Path:
    """What was expected (nominal 90 %) above what was realized (its 90 % interval by the bootstrap's error)."""
    reach = Z * standard_error
    figure = Figure(figsize=(7, 2), layout="constrained")
    axes = figure.add_subplot()
    _whisker(axes, 1, (expected.low, expected.mean, expected.high), "tab:blue")
    _whisker(axes, 0, (score - reach, score, score + reach), "tab:orange")
    axes.set_yticks([1, 0], ["expected", "realized"])
    axes.set(xlabel=str(expected.metric), ylim=(-0.6, 1.6))
    axes.grid(axis="x", alpha=0.3)
    return _saved(figure, file)


def transferred_and_learned(forgetting: Forgetting, file: Path) -> Path:
    """For each block how much of what it saw is as it began, and how far its weights moved; the source, if probed."""
    blocks, source = forgetting.blocks, forgetting.source
    figure = Figure(figsize=(7.5 if source is None else 9.5, 4.8), layout="constrained")
    grid = figure.add_gridspec(2, 1 if source is None else 2, width_ratios=[1] if source is None else [3, 1])
    kept, learned = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
    _bars(kept, blocks, [block.cka for block in blocks], "{:.2f}", "tab:blue")
    kept.axhline(RECOGNIZED, color="tab:red", linewidth=1, linestyle="--")
    kept.annotate(
        "below: beyond\nrecognition",
        (1, RECOGNIZED),
        (3, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color="tab:red",
        fontsize=8,
        va="center",
    )
    kept.set(ylim=(0, 1.15), ylabel="CKA to the start", title="What was transferred: features as they began")
    _bars(learned, blocks, [100 * block.weights for block in blocks], "{:.1f} %", "tab:orange")
    learned.set(ylabel="% of the weights' length", title="What was learned: how far the weights moved")
    learned.set_ylim(0, 1.2 * max(100 * block.weights for block in blocks) or 1)
    if source is not None:
        _probes(figure.add_subplot(grid[:, 1]), source)
    return _saved(figure, file)


def _bars(axes: Axes, blocks: Sequence[BlockChange], heights: Sequence[float | None], form: str, color: str) -> None:
    drawn = axes.bar(range(len(blocks)), [max(0.0, height or 0.0) for height in heights], color=color, width=0.7)
    axes.bar_label(drawn, ["not measured" if h is None else form.format(h) for h in heights], padding=2, fontsize=8)
    axes.set_xticks(range(len(blocks)), [block.block for block in blocks])
    room = max(0, _FEW_BLOCKS - len(blocks)) / 2
    axes.set_xlim(-0.5 - room, len(blocks) - 0.5 + room)
    axes.spines[["top", "right"]].set_visible(False)


def _probes(axes: Axes, source: SourceProbe) -> None:
    """What a linear head reads of the source; the whisker is the error of the paired difference."""
    drawn = axes.bar([0, 1], [source.before, source.after], color=["tab:gray", "tab:blue"], width=0.6)
    axes.errorbar(1, source.after, Z * source.standard_error, color="black", capsize=4)
    axes.bar_label(drawn, [f"{source.before:.3f}", f"{source.after:.3f}"], label_type="center", color="white")
    axes.set_xticks([0, 1], ["before", "after"])
    axes.set(ylim=(0, 1.05), ylabel="score of a linear head", title="What is left\nof the source")
    axes.spines[["top", "right"]].set_visible(False)


def benefit_curves(benefit: Benefit, file: Path) -> Path:
    """Test score against number of labels, with the labels saved; beside it validation score by epoch at all labels."""
    drawn = {name: curve for name, curve in benefit.curves.items() if curve}
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    _against_labels(figure.add_subplot(1, 2, 1), benefit)
    axes = figure.add_subplot(1, 2, 2)
    for name, curve in drawn.items():
        values = [curve[epoch] for epoch in sorted(curve)]
        axes.plot(sorted(curve), values, marker="o", markersize=3, color=_ARMS[name], label=name)
    if not benefit.epochs["plan"]:
        axes.plot([], [], color=_ARMS["plan"], label="plan: no epochs, only a head is fitted")
    axes.axhline(benefit.to_equal[0].target, color="black", linewidth=0.8, linestyle=":", label="best of scratch")
    axes.set(xlabel=f"epoch, at all {benefit.points[-1].labels:,} labels", ylabel="score on validation rows")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return _saved(figure, file)


def _against_labels(axes: Axes, benefit: Benefit) -> None:
    labels = [point.labels for point in benefit.points]
    names = {
        "plan": f"{benefit.strategy} on {benefit.checkpoint}",
        "scratch": "the same net from scratch",
        "no transfer": "no transfer, on raw features",
    }
    for arm, color in _ARMS.items():
        values = [getattr(point, arm.replace(" ", "_")) for point in benefit.points]
        mean, error = (np.array([getattr(row, what) for row in values]) for what in ("mean", "standard_error"))
        axes.plot(labels, mean, marker="o", color=color, label=names[arm])
        axes.fill_between(labels, mean - Z * error, mean + Z * error, color=color, alpha=0.15, linewidth=0)
    target, at = benefit.points[-1].scratch.mean, benefit.saving.labels
    if at is not None:
        axes.plot([at, labels[-1]], [target, target], color="black", linewidth=0.8, linestyle=":")
        axes.plot([at], [target], marker="|", markersize=14, color="black", linestyle="")
    axes.set(xscale="log", xlabel="labels", ylabel=f"test {benefit.sample['metric']}")
    axes.set_xticks(labels, [f"{number:,}" for number in labels])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)


def _whisker(axes: Axes, height: int, ends: tuple[float, float, float], color: str) -> None:
    low, middle, high = ends
    axes.plot([low, high], [height, height], color=color, linewidth=3, solid_capstyle="butt")
    axes.plot([middle], [height], "o", color=color)
    axes.annotate(
        f"{middle:.3f} ({low:.3f} to {high:.3f})", (middle, height), (0, 8), textcoords="offset points", ha="center"
    )


def _saved(figure: Figure, file: Path) -> Path:
    FigureCanvasAgg(figure)
    figure.savefig(file, format="png")
    return file
