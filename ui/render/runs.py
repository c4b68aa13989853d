"""Runs: what a tuning gave against what was expected, what it costs, its export, the unfinished ones."""

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from registry.cards import Metric
from ui.render.parts import bullet, new_table
from ui.render.words import Json, about, duration, give_or_take, percent, scored, scored_interval, size
from ui.strangers import shown


def run_report(run: Json, *, expected: Json | None, whole: float | None = None) -> RenderableType:
    """Expected against realized score of one tuning; ``whole`` are the seconds of all that was done for it."""
    found = run["metrics"]
    away = found.get("mean_absolute_error")
    metric = "" if away is None else str(Metric.R2)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("run", Text(run["id"]))
    table.add_row("tuned", Text(f"{run['checkpoint']}, {run['strategy']}", "bold"))
    if expected is not None:
        reach = scored_interval(expected["low"], expected["high"], metric)
        table.add_row("expected", f"{scored(expected['mean'], metric)}  ({reach})")
    error = found.get("standard_error")
    spread = "" if error is None else give_or_take(error, metric)
    told = f"{scored(found['score'], metric)}{spread} on {found['rows_test']:.0f} held-out rows"
    table.add_row("realized", Text(f"r2 {told}" if metric else told, "bold"))
    if expected is not None:
        table.add_row("", _verdict_on(found["score"], expected))
    if away is not None:
        table.add_row("off by", f"{away:.4g} on average")
    table.add_row("took", _beside(duration, found, "seconds"))
    if whole is not None:
        table.add_row("in all", f"{duration(whole)} for the whole command, reading and advice included")
    if "peak_memory_bytes" in found:
        table.add_row("memory", _beside(size, found, "peak_memory_bytes"))
    if "weight_change" in found:
        table.add_row("forgetting", _forgetting(found))
    if controls := _controls(found):
        table.add_row("controls", controls)
    return Group(table, *(bullet(note, "yellow") for note in run["notes"]))


def _verdict_on(score: float, expected: Json) -> Text:
    if score < expected["low"]:
        return Text("below the interval: the advice promised too much", "red")
    if score > expected["high"]:
        return Text("above the interval: the advice promised too little", "yellow")
    return Text("within the interval", "green")


def _forgetting(found: Json) -> str:
    """What is left of the checkpoint, and of what it knew of its source."""
    told = "the backbone is as it was"
    if found["weight_change"]:
        told = f"weights moved by {percent(found['weight_change'])}"
        if "cka_lowest" in found:
            told += f"; the block that changed most is {found['cka_lowest']:.2f} alike to its start (CKA)"
    source = "source not measured (--source-data)"
    if "source_before" in found:
        error = f" ± {100 * found['source_standard_error']:.1f}"
        source = f"source {percent(found['source_before'])} before, {percent(found['source_after'])} after{error}"
    return f"{told}; {source}"


def _controls(found: Json) -> str:
    """What the same rows gave without transfer."""
    names = (("no_transfer_score", "no transfer"), ("scratch_score", "from scratch"))
    return ", ".join(f"{name} {percent(found[key])}" for key, name in names if key in found)


def cost_line(cost: Json, device: str) -> RenderableType:
    """What a tuning is estimated to take, before it begins."""
    told = f"{about(cost['seconds'])} and {size(cost['peak_memory_bytes'])} of memory on {device}"
    return Text(f"Estimated: {told}; {cost['trainable_parameters']:,} parameters learn.", "dim")


def _beside(worded: Callable[[float], str], metrics: Json, name: str) -> str:
    """What was realized, and what had been estimated."""
    estimated = metrics.get(f"estimated_{name}")
    return worded(metrics[name]) + ("" if estimated is None else f"  (estimated {worded(estimated)})")


def export_report(told: Json) -> RenderableType:
    """Where a run was exported to, as what, and how equal it is; how to open it."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("run", Text(told["run"]))
    opener = str(told.get("opener"))
    file, opened = {
        "onnx": ("model.onnx", "onnxruntime.InferenceSession({!r})"),
        "scikit-learn": ("model.skops", "skops.io.load({!r}, trusted=[])"),
    }.get(told["form"], ("", f"{opener if '.' in opener else f'transformers.{opener}'}.from_pretrained({{!r}})"))
    form = file if told["form"] == "onnx" else told["architecture"]
    what = "probability or value" if told["form"] == "scikit-learn" else "logit"
    table.add_row("written", Text(f"{told['folder']}  ({form}, {len(told['classes'])} outputs)", "bold"))
    table.add_row("checked", f"opened again, no {what} differs by more than {told['largest_difference']:.1e}")
    table.add_row("open", Text(opened.format(str(Path(told["folder"]) / file)), overflow="fold"))
    if told.get("card"):
        table.add_row("card", Text(str(Path(told["folder"]) / told["card"])))
    if told.get("pushed"):
        table.add_row("uploaded", Text(f"{told['pushed']}, private"))
    return Group(table, *(bullet(note, "yellow") for note in told["notes"]))


def outcome_table(rows: Sequence[Json]) -> RenderableType:
    """What became of earlier fine-tunings."""
    table = new_table("run", "sample", "checkpoint", "strategy", ">expected", ">realized", ">time")
    for row in rows:
        expected = row["conditions"].get("expected")
        table.add_row(
            Text(shown(row["id"])),
            Text(shown(row["sample_name"])),
            Text(shown(row["checkpoint"]), "bold"),
            shown(row["strategy"]),
            scored(expected["mean"], row["metric"]) if expected is not None else "-",
            scored(row["score"], row["metric"]),
            duration(row["seconds"]),
        )
    return table


def unfinished_table(rows: Sequence[Json]) -> RenderableType:
    """Runs that go on, failed or were interrupted, and what to do about it."""
    table = new_table("run", "sample", "checkpoint", "strategy", "state", "because")
    for row in rows:
        names = [Text(shown(row[key] or "-")) for key in ("sample_name", "checkpoint", "strategy")]
        table.add_row(Text(row["id"]), *names, Text(row["state"], "yellow"), Text(row["reason"] or "-"))
    return table


def synced_table(rows: Sequence[Json]) -> RenderableType:
    """What MLflow got of each run, and what it still lacks."""
    if not rows:
        return Text("No run was made under MLflow here.", "dim")
    table = new_table("run", "MLflow", ">carried", ">left", "trouble")
    for row in rows:
        left = Text(str(row["left"]), "yellow" if row["left"] else "green")
        table.add_row(Text(row["run"]), Text(row["place"]), str(row["carried"]), left, Text(row["trouble"] or "-"))
    return table
