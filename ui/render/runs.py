"""Runs: what a tuning gave against what was expected, what it costs, its export, the unfinished ones."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from registry.cards import Metric
from registry.escapes import shown
from registry.forms import Json
from ui.render.parts import Fitting, bullet, cut, give_way, keep_ids, new_table
from ui.render.words import about, duration, give_or_take, percent, scored, scored_difference, scored_interval, size


def run_report(run: Json, *, whole: float | None = None) -> RenderableType:
    """Expected against realized score of one tuning; ``whole`` are the seconds of all that was done for it."""
    metrics = run["metrics"]
    away = metrics.get("mean_absolute_error")
    metric = "" if away is None else str(Metric.R2)
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("run", Text(run["id"]))
    table.add_row("tuned", Text(f"{run['checkpoint']}, {run['strategy']}", "bold"))
    if "expected_mean" in metrics:
        reach = scored_interval(metrics["expected_low"], metrics["expected_high"], metric)
        table.add_row("expected", f"{scored(metrics['expected_mean'], metric)}  ({reach})")
    error = metrics.get("standard_error")
    spread = "" if error is None else give_or_take(error, metric)
    score_line = f"{scored(metrics['score'], metric)}{spread} on {metrics['rows_test']:.0f} held-out rows"
    stated = metric or str(run.get("sample", {}).get("metric", Metric.ACCURACY))
    table.add_row("realized", Text(score_line if stated == Metric.ACCURACY else f"{stated} {score_line}", "bold"))
    if "expected_mean" in metrics:
        table.add_row("", _expectation_met(metrics))
    if away is not None:
        table.add_row("off by", f"{away:.4g} on average")
    table.add_row("took", _beside(duration, metrics, "seconds"))
    if whole is not None:
        table.add_row("in all", f"{duration(whole)} for the whole command, reading and advice included")
    if "peak_memory_bytes" in metrics:
        table.add_row("memory", _beside(size, metrics, "peak_memory_bytes"))
    if "weight_change" in metrics:
        table.add_row("forgetting", _forgetting(metrics))
    if controls := _controls(metrics, metric):
        table.add_row("controls", controls)
    return Group(table, *(bullet(note, "yellow") for note in run["notes"]))


def _expectation_met(metrics: Json) -> Text:
    if metrics["score"] < metrics["expected_low"]:
        return Text("below the interval: the advice promised too much", "red")
    if metrics["score"] > metrics["expected_high"]:
        return Text("above the interval: the advice promised too little", "yellow")
    return Text("within the interval", "green")


def _forgetting(metrics: Json) -> str:
    """What is left of the checkpoint, and of what it knew of its source."""
    line = "the backbone is as it was"
    if metrics["weight_change"]:
        line = f"weights moved by {percent(metrics['weight_change'])}"
        if "cka_lowest" in metrics:
            line += f"; the block that changed most is {metrics['cka_lowest']:.2f} alike to its start (CKA)"
    source = "source not measured (--source-data)"
    if "source_before" in metrics:
        error = f" ± {100 * metrics['source_standard_error']:.1f}"
        source = f"source {percent(metrics['source_before'])} before, {percent(metrics['source_after'])} after{error}"
    return f"{line}; {source}"


def _controls(metrics: Json, metric: str) -> str:
    """What the same rows gave without transfer, and how far the run is from that."""
    names = (("no_transfer_score", "no transfer"), ("scratch_score", "from scratch"))
    return ", ".join(
        f"{name} {scored(metrics[key], metric)} (this run {scored_difference(metrics['score'] - metrics[key], metric)})"
        for key, name in names
        if key in metrics
    )


def cost_line(cost: Json, device: str) -> RenderableType:
    """What a tuning is estimated to take, before it begins."""
    line = f"{about(cost['seconds'])} and {size(cost['peak_memory_bytes'])} of memory on {device}"
    return Text(f"Estimated: {line}; {cost['trainable_parameters']:,} parameters learn.", "dim")


def _beside(worded: Callable[[float], str], metrics: Json, name: str) -> str:
    """What was realized, and what had been estimated."""
    estimated = metrics.get(f"estimated_{name}")
    return worded(metrics[name]) + ("" if estimated is None else f"  (estimated {worded(estimated)})")


def export_report(export: Json) -> RenderableType:
    """Where a run was exported to, as what, and how equal it is; how to open it."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row("run", Text(export["run"]))
    opener = str(export.get("opener"))
    file, opened = {
        "onnx": ("model.onnx", "onnxruntime.InferenceSession({!r})"),
        "scikit-learn": ("model.skops", "skops.io.load({!r}, trusted=[])"),
    }.get(export["form"], ("", f"{opener if '.' in opener else f'transformers.{opener}'}.from_pretrained({{!r}})"))
    form = file if export["form"] == "onnx" else export["architecture"]
    what = "probability or value" if export["form"] == "scikit-learn" else "logit"
    outputs = f"{len(export['classes'])} outputs" if export["classes"] else "1 output"
    table.add_row("written", Text(f"{export['folder']}  ({form}, {outputs})", "bold"))
    table.add_row("checked", f"opened again, no {what} differs by more than {export['largest_difference']:.1e}")
    if export.get("script"):
        opened, file = "runpy.run_path({!r})['logits']", export["script"]
    table.add_row("open", Text(opened.format(str(Path(export["folder"]) / file)), overflow="fold"))
    if export.get("card"):
        table.add_row("card", Text(str(Path(export["folder"]) / export["card"])))
    if export.get("pushed"):
        table.add_row("uploaded", Text(f"{export['pushed']}, private"))
    return Group(table, *(bullet(note, "yellow") for note in export["notes"]))


def outcome_table(rows: Sequence[Json], *, checkpoint: bool = True) -> RenderableType:
    """What became of earlier fine-tunings; without ``checkpoint`` it is the same in all of them."""
    names = ("sample", *(["checkpoint"] if checkpoint else []), "strategy")
    if not rows:
        return new_table("run", *names, ">expected", ">realized", ">time")

    def arrange(table: Table) -> None:
        keep_ids(table, [shown(row["id"]) for row in rows])
        give_way(table, "sample", "strategy")
        give_way(table, "checkpoint", least=13)

    return Fitting([_outcome(row, checkpoint=checkpoint) for row in rows], (">time", "strategy", "sample"), arrange)


def _outcome(row: Json, *, checkpoint: bool) -> Mapping[str, RenderableType]:
    expected = row["conditions"].get("expected")
    return {
        "run": cut(shown(row["id"])),
        "sample": cut(shown(row["sample_name"])),
        **({"checkpoint": cut(shown(row["checkpoint"]), "bold")} if checkpoint else {}),
        "strategy": cut(shown(row["strategy"])),
        ">expected": scored(expected["mean"], row["metric"]) if expected is not None else "-",
        ">realized": scored(row["score"], row["metric"]),
        ">time": duration(row["seconds"]) if row["seconds"] else "-",
    }


def unfinished_table(rows: Sequence[Json]) -> RenderableType:
    """Runs that go on, failed or were interrupted, and what to do about it."""
    cells: list[Mapping[str, RenderableType]] = [
        {
            "run": Text(row["id"]),
            "sample": Text(shown(row["sample_name"] or "-")),
            "checkpoint": Text(shown(row["checkpoint"] or "-")),
            "strategy": Text(shown(row["strategy"] or "-")),
            "state": Text(row["state"], "yellow"),
            "because": Text(row["reason"] or "-"),
        }
        for row in rows
    ]

    def arrange(table: Table) -> None:
        table.columns[0].no_wrap = True
        give_way(table, "sample", "checkpoint", "strategy", "because")

    return Fitting(cells, ("strategy", "sample"), arrange)


def synced_table(rows: Sequence[Json]) -> RenderableType:
    """What MLflow got of each run, and what it still lacks."""
    if not rows:
        return Text("No run was made under MLflow here.", "dim")
    table = new_table("run", "MLflow", ">carried", ">left", "trouble")
    for row in rows:
        left = Text(str(row["left"]), "yellow" if row["left"] else "green")
        table.add_row(Text(row["run"]), Text(row["place"]), str(row["carried"]), left, Text(row["trouble"] or "-"))
    return table
