"""How advice is worded and drawn: numbers, sentences and bars for every surface; tables and progress for a terminal.

Everything here reads the JSON forms (`to_dict()`), so that advice just made and advice kept look the same.
"""

import json
import logging
import os
import shlex
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import asdict
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.progress import Task as BarTask
from rich.table import Table
from rich.text import Text

from registry.cards import Checkpoint, Domain, Metric, Outcome, Task
from registry.errors import PluginWarning
from registry.home import Home
from registry.progress import Event, Phase, Progress, silent
from ui.glossary import terms_of
from ui.strangers import StrangersConsole, safe_json, shown

__all__ = [
    "Bars",
    "Json",
    "advice_report",
    "amount",
    "answer_report",
    "benefit_report",
    "block_roles",
    "card_report",
    "checkpoint_table",
    "command",
    "console",
    "converted_words",
    "cost_line",
    "doctor_report",
    "duration",
    "export_report",
    "interval",
    "job_report",
    "job_table",
    "mlflow_command",
    "outcome_table",
    "percent",
    "plain",
    "planted_report",
    "points",
    "print_json",
    "program",
    "quiet",
    "run_report",
    "sample_report",
    "sample_words",
    "say_error",
    "say_next",
    "scored",
    "scored_interval",
    "size",
    "synced_table",
    "unfinished_table",
]

Json = Mapping[str, Any]
"""The JSON form of a verdict, as `to_dict()` gives it or the registry kept it."""

SCALE = 60
"""Characters of a drawn scale."""
BAR = 28
NEAREST = 8
ROWS = 5
"""Choices that a screen has room for."""
REASONS, WIDE = 5, 74
"""Lines that a screen has room for with reasons of the best, and the letters on each."""
LISTED = 20
ROLES = {"frozen": "blue", "learns": "red", "not used": "bright_black"}
"""What a plan does with a block, and the color of it."""
ARMS = {"plan": ("●", "blue"), "scratch": ("○", "yellow"), "no_transfer": ("◇", "magenta")}
"""What a benefit compares, and the mark and color of it."""
STATES = {"running": "green", "failed": "red", "lost": "red", "cancelled": "yellow"}
"""How a job stands, and the color of it."""
CHATTY = ("alembic", "huggingface_hub", "mlflow", "sqlalchemy", "transformers")


# ---------------------------------------------------------------- numbers in words


def percent(share: float) -> str:
    """A score of 0 to 1 as people read it: ``84.2 %``."""
    return f"{100 * share:.1f} %"


def interval(low: float, high: float) -> str:
    """The bounds of a score: ``80.1 to 88.4 %``."""
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def points(difference: float) -> str:
    """A difference of two scores in percentage points, with its sign: ``+16.0``."""
    return f"{100 * difference:+.1f}"


def scored(value: float, metric: str) -> str:
    """A score as its metric is read: R squared as a number, all else in percent."""
    return f"{value:.3f}" if metric == Metric.R2 else percent(value)


def scored_interval(low: float, high: float, metric: str) -> str:
    """The bounds of a score as its metric is read."""
    return f"{low:.2f} to {high:.2f}" if metric == Metric.R2 else interval(low, high)


def amount(number: float) -> str:
    """A count in the shortest form: ``1.3 M``."""
    for unit, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:.1f}{letter}"
    return f"{number:.0f}"


def size(bytes_: float) -> str:
    """Memory in the shortest form: ``310 MiB``."""
    return f"{bytes_ / 2**30:.1f} GiB" if bytes_ >= 2**30 else f"{bytes_ / 2**20:.0f} MiB"


def duration(seconds: float) -> str:
    """A time span: ``12 s``, ``3 min``, ``1.5 h``."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def about(seconds: float) -> str:
    """A time span that is estimated: ``about 12 s``, ``under 1 s``."""
    return duration(seconds) if seconds < 1 else f"about {duration(seconds)}"


def block_roles(choice: Json) -> list[tuple[str, float, str]]:
    """For every block, input side first: its name, its score, and what the plan does with it.

    That is ``frozen``, ``learns``, or (beyond the block that the head reads) ``not used``.
    """
    plan = choice["plan"]
    learning = {block for stage in plan["stages"] for block in stage["train"]}
    names = [row["block"] for row in choice["blocks"]]
    used = names[: names.index(plan["read"]) + 1]
    return [
        (
            row["block"],
            row["score"],
            "not used" if row["block"] not in used else "learns" if row["block"] in learning else "frozen",
        )
        for row in choice["blocks"]
    ]


def converted_words(health: Json) -> str | None:
    """What was turned to RGB, where anything was."""
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in health["converted"].items())
    return f"converted to RGB: {kinds}" if kinds else None


def sample_words(sample: Json) -> str:
    """Rows, classes (or labels, or the quantity), balance, test part, groups, metric in one line."""
    parts = [f"{sample['rows']:,} rows", _target_words(sample)]
    if sample["groups"] is not None:
        parts.append(f"{sample['groups']} groups")
    if sample["test_rows"] is not None:
        parts.append(f"{sample['test_rows']:,} test rows")
    return ", ".join([*parts, f"judged by {sample['metric']}"])


def _target_words(sample: Json) -> str:
    if sample["task"] == Task.REGRESSION:
        values = sample["values"]
        return f"a quantity of {values['lowest']:.4g} to {values['highest']:.4g} (median {values['median']:.4g})"
    counts = sample["counts"].values()
    spread = f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"
    if sample["task"] == Task.MULTI_LABEL:
        labels = f"{sample['classes']} labels" if sample["classes"] != 1 else "1 label"
        return f"{labels} on {spread} rows each" if len(counts) > 1 else f"{labels} on {spread} rows"
    classes = f"{sample['classes']} classes" if sample["classes"] != 1 else "1 class"
    return f"{classes} of {spread}"


def command(verb: str, *words: object, **options: object) -> str:
    """A command of ours to type, quoted for a shell; options that are None are left out."""
    given = [
        part
        for name, value in options.items()
        if value is not None
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]
    return shlex.join([program("transferzoo"), *verb.split(), *map(str, words), *given])


def mlflow_command(home: Home) -> str:
    """The command that opens MLflow's page: of ``MLFLOW_TRACKING_URI``, else on a registry's tracking store."""
    from registry.addresses import sqlite_url  # noqa: PLC0415 - loads SQLAlchemy

    place = os.environ.get("MLFLOW_TRACKING_URI") or sqlite_url(home.tracking_database)
    if place.startswith("http"):
        parts = urlsplit(place)
        page = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # without user name and password
        return shlex.join([program("python"), "-m", "webbrowser", page])
    return shlex.join([program("mlflow"), "ui", "--workers", "1", "--backend-store-uri", place])


def program(name: str) -> str:
    """How a program of this environment is typed: its name where the shell finds it, else where it lies."""
    beside = Path(sys.executable).with_name(name)
    if shutil.which(name) is not None or not beside.exists():
        return name
    return str(beside.relative_to(Path.cwd()) if beside.is_relative_to(Path.cwd()) else beside)


def plain(card: Checkpoint | Domain | Outcome) -> dict[str, Any]:
    """The JSON form of a card."""
    return {name: str(value) if isinstance(value, (Enum, Path)) else value for name, value in asdict(card).items()}


def print_json(content: object) -> None:
    """Write JSON, and nothing but JSON, to stdout; NaN is an error and never silently printed."""
    sys.stdout.write(safe_json(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)) + "\n")


# ---------------------------------------------------------------- a terminal


def console(*, stderr: bool = False) -> Console:
    """A console on today's stdout or stderr; plain text where it is not a terminal; see `ui.strangers`."""
    return StrangersConsole(sys.stderr if stderr else sys.stdout)


def quiet(*, loud: bool = False) -> None:
    """Keep other libraries' logs, bars and warnings off the command line, unless a fault is being looked for."""
    if loud:
        return
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("TQDM_DISABLE", "1")
    warnings.simplefilter("ignore")
    warnings.simplefilter("default", PluginWarning)
    warnings.showwarning = _say_warning
    for library in CHATTY:
        logging.getLogger(library).setLevel(logging.ERROR)


def _say_warning(message: Warning | str, *_where: object, **_file: object) -> None:
    """One yellow line on stderr; where in the code it was met helps nobody who asks for advice."""
    console(stderr=True).print(Text(str(message), "yellow"), soft_wrap=True)


def say_error(what: str, remedy: str) -> None:
    """One red line on stderr, and what to do."""
    terminal = console(stderr=True)
    terminal.print(Text.assemble(("error: ", "bold red"), (what, "red")), soft_wrap=True)
    terminal.print(Text.assemble(("  → ", "dim"), remedy), soft_wrap=True)


def sample_report(sample: Json) -> RenderableType:
    """What the sample is, and how healthy."""
    head = Text.assemble(("Sample  ", "dim"), (str(sample["name"]), "bold"), f": {sample_words(sample)}")
    told = [_bullet(line, "yellow") for line in sample["health"]["warnings"]] or [Text("Health  nothing amiss", "dim")]
    converted = converted_words(sample["health"])
    return Group(head, *told, *([] if converted is None else [_bullet(converted, "dim")]))


def advice_report(advice: Json, *, explain: bool = False) -> RenderableType:
    """A screen: verdict, ranked table with *no transfer*, the first reasons of the best, and what the words mean.

    With ``explain`` every row and reason, the curve over blocks, all scores, distances and what was skipped.
    """
    choices, skipped = advice["choices"], advice["skipped"]
    parts: list[RenderableType] = [_podium(advice["verdict"]), *_shift(advice.get("shift")), Text()]
    if not choices:
        parts.append(_distances(advice["domains"]))
    else:
        rows = choices if explain else choices[:ROWS]
        parts += [_ranking(advice, rows), _terms([choice["strategy"] for choice in rows]), Text()]
        parts += [_reasons(choices)] if explain else [_best_reasons(choices[0])]
    if explain and choices:
        parts += [Text(), _curve(choices[0]), Text(), _scores(choices), Text(), _distances(advice["domains"])]
    if explain and skipped:
        parts += [Text(), _skipped(skipped)]
    elif not explain:
        parts.append(_left_out(len(choices) - ROWS, len(skipped)))
    return Group(*parts)


def say_next(terminal: Console, lines: Iterable[str]) -> None:
    """What to type next, one command a line; a long one is left whole, so that it can be copied."""
    terminal.print(Text("Next", "dim"))
    for line in lines:
        terminal.print(Text.assemble(("  $ ", "dim"), (line, "cyan")), soft_wrap=True)


def gained(gain: Json, metric: str) -> tuple[str, str]:
    """A gain and its bounds as its metric is read: R squared as numbers, all else in points."""
    if metric == Metric.R2:
        return f"{gain['mean']:+.3f}", f"{gain['low']:+.2f} to {gain['high']:+.2f}"
    return points(gain["mean"]), f"{points(gain['low'])} to {points(gain['high'])}"


def _spread(error: float, metric: str) -> str:
    """A standard error as its metric is read."""
    return f" ± {error:.3f}" if metric == Metric.R2 else f" ± {100 * error:.1f}"


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
    spread = "" if error is None else _spread(error, metric)
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
    return Group(table, *(_bullet(note, "yellow") for note in run["notes"]))


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


def answer_report(told: Json, *, listed: bool) -> RenderableType:
    """What a run says of images (the first of them, where they are to be listed), and how often it is right."""
    parts: list[RenderableType] = []
    if listed:
        parts.append(_predictions(told))
    if told["judged"] is not None:
        parts += [Text(), _judgment(told["judged"])]
    skipped = [f"skipped {row['file']}: {row['reason']}" for row in told["skipped"]]
    return Group(*parts, *(_bullet(note, "yellow") for note in (*told["notes"], *skipped)))


def benefit_report(found: Json) -> RenderableType:
    """Scores by number of labels, as numbers and on a scale, and what is true in words."""
    scores = [point[arm]["mean"] for point in found["points"] for arm in ARMS]
    low, high, metric = min(scores), max(scores), found["sample"]["metric"]
    heads = (f">{arm.replace('_', ' ')} {mark}" for arm, (mark, _) in ARMS.items())
    table = _table(">labels", *heads, f"{scored(low, metric)} to {scored(high, metric)}")
    for point in found["points"]:
        pairs = ((point[arm]["mean"], point[arm]["standard_error"]) for arm in ARMS)
        cells = (f"{scored(mean, metric)}{_spread(error, metric)}" for mean, error in pairs)
        table.add_row(f"{point['labels']:,}", *cells, _marks(point, low, high))
    claims = "It is often said that transfer saves up to 90 % of the labels and takes 5 to 20 times fewer epochs."
    return Group(table, Text(), *(_bullet(line) for line in found["sentences"]), _bullet(claims, "dim"))


def _marks(point: Json, low: float, high: float) -> Text:
    """A scale with each arm's mark on it; where two meet, the first stands."""
    line = [("·", "dim")] * BAR
    for arm in reversed(ARMS):
        line[round((BAR - 1) * (point[arm]["mean"] - low) / ((high - low) or 1.0))] = ARMS[arm]
    return Text.assemble(*line)


def _predictions(told: Json) -> RenderableType:
    value = told["task"] == "regression"
    table = _table("file", ">value" if value else "prediction", *([] if value else [">confidence"]))
    for row in told["rows"][:LISTED]:
        sure = [] if row["confidence"] is None else [percent(row["confidence"])]
        table.add_row(Text(shown(row["file"])), Text(shown(row["prediction"]), "bold"), *sure)
    more = len(told["rows"]) - LISTED
    return Group(table, Text(f"and {more:,} more: --csv prints all", "dim")) if more > 0 else table


def _judgment(judged: Json) -> RenderableType:
    """The run's own metric, accuracy where that is another, what is least often recognized, the confusions."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    told = f"{scored(judged['score'], judged['metric'])}{_spread(judged['standard_error'], judged['metric'])}"
    table.add_row(judged["metric"], Text(f"{told} on {judged['rows']:,} images", "bold"))
    if judged["metric"] != "accuracy" and judged["accuracy"] is not None:
        table.add_row("accuracy", percent(judged["accuracy"]))
    if judged["unknown"]:
        table.add_row("not judged", f"{judged['unknown']:,} of which nothing is known that the run could name")
    shares = {label: row["right"] / row["rows"] for label, row in judged["recall"].items()}
    for place, label in enumerate(sorted(shares, key=lambda label: (shares[label], label))[:NEAREST]):
        row = judged["recall"][label]
        first = "" if place else "least recognized" if len(shares) > NEAREST else "recognized"
        table.add_row(first, Text(f"{shown(label)}  {row['right']:,} of {row['rows']:,}  ({percent(shares[label])})"))
    for place, row in enumerate(judged["confusions"][:NEAREST]):
        told = f"{shown(row['class'])} taken for {shown(row['taken_for'])}  {row['rows']:,}"
        table.add_row("" if place else "confusions", Text(told))
    return table


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
    return Group(table, *(_bullet(note, "yellow") for note in told["notes"]))


def planted_report(told: Json) -> RenderableType:
    """A checkpoint that a run became."""
    card = {"checkpoint": told["checkpoint"], "domain": told["domain"], "outcomes": []}
    return Group(card_report(card), *(_bullet(note, "yellow") for note in told["notes"]))


def checkpoint_table(rows: Sequence[Json]) -> RenderableType:
    """What the registry offers."""
    table = _table("checkpoint", "source", ">parameters", "license", "origin")
    table.columns[0].min_width = min(24, max((len(row["name"]) for row in rows), default=0))
    for column, most in ((table.columns[1], 24), (table.columns[3], 16)):
        column.no_wrap, column.overflow, column.max_width = True, "ellipsis", most
    for row in rows:
        table.add_row(
            Text(shown(row["name"]), "bold"),
            Text(shown(row["source"] or row["domain"] or "not stated")),
            amount(row["parameters"]),
            Text(shown(row["license"])),
            row["origin"],
        )
    return table


def domain_table(rows: Sequence[Json]) -> RenderableType:
    """The known source domains."""
    table = _table("domain", "title", "family", ">rows", "license")
    for row in rows:
        name, title, family, license_ = (shown(row[key]) for key in ("name", "title", "family", "license"))
        table.add_row(Text(name, "bold"), title, family, f"{row['rows']:,}" if row["rows"] else "no sketch", license_)
    return table


def near_table(rows: Sequence[Json]) -> RenderableType:
    """Domains by distance, nearest first."""
    table = _table("domain", ">distance", "90 % interval", ">nearer than", ">same source")
    for row in rows:
        reach = "-" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
        percentile = "-" if row["percentile"] is None else f"{row['percentile']:.0f} % of pairs"
        same = "-" if row["p_same"] is None else f"p {row['p_same']:.3f}"
        table.add_row(Text(shown(row["domain"]), "bold"), f"{row['value']:.3f}", reach, percentile, same)
    return table


def distance_report(found: Json, one: str, other: str) -> RenderableType:
    """One distance, with the band in which it would lie if both were one source."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row(Text(str(found["metric"]), "dim"), Text(f"{found['value']:.4f}  {one} to {other}", "bold"))
    if found["low"] is not None:
        table.add_row(Text("90 % interval", "dim"), f"{found['low']:.4f} to {found['high']:.4f}")
    if found["p_same"] is not None:
        table.add_row(Text("same source", "dim"), f"p = {found['p_same']:.4f}")
    for name, value in found["details"].items():
        if not name.startswith("null_"):
            table.add_row(Text(name, "dim"), f"{value:.4g}")
    if "null_high" not in found["details"]:
        return table
    return Group(table, Text(), _null_band(found["statistic"], found["details"]))


def _null_band(statistic: float, details: Json) -> RenderableType:
    """A scale with the band of one source shaded and the measured statistic marked."""
    low, high = details["null_low"], details["null_high"]
    start, end = min(low, statistic, 0.0), max(high, statistic)
    width = (end - start) or 1.0

    def at(value: float) -> int:
        return int((SCALE - 1) * (value - start) / width + 0.5)

    marks = list("·" * SCALE)
    marks[at(low) : at(high) + 1] = "▒" * (at(high) - at(low) + 1)
    marks[at(statistic)] = "◆"
    inside = low <= statistic <= high
    told = "inside" if inside else "outside"
    return Group(Text("".join(marks)), Text(f"▒ where one source would lie (90 %)   ◆ measured, {told} it", "dim"))


def card_report(told: Json) -> RenderableType:
    """One checkpoint's card, its domain's, and its outcomes."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in told["checkpoint"].items():
        if value not in (None, "", {}, [], ()):
            table.add_row(Text(name.replace("_", " "), "dim"), Text(_card_value(value), overflow="fold"))
    if told["domain"] is not None:
        domain = told["domain"]
        known = f"{domain['title']} ({domain['rows']:,} rows, {domain['license']})"
        table.add_row(Text("source domain", "dim"), Text(known))
    if not told["outcomes"]:
        return table
    return Group(table, outcome_table(told["outcomes"]))


def _card_value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{shown(name)} {shown(inner)}" for name, inner in value.items())
    return ", ".join(map(shown, value)) if isinstance(value, (list, tuple)) else shown(value)


def outcome_table(rows: Sequence[Json]) -> RenderableType:
    """What became of earlier fine-tunings."""
    table = _table("run", "sample", "checkpoint", "strategy", ">expected", ">realized", ">time")
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
    table = _table("run", "sample", "checkpoint", "strategy", "state", "because")
    for row in rows:
        names = [Text(shown(row[key] or "-")) for key in ("sample_name", "checkpoint", "strategy")]
        table.add_row(Text(row["id"]), *names, Text(row["state"], "yellow"), Text(row["reason"] or "-"))
    return table


def synced_table(rows: Sequence[Json]) -> RenderableType:
    """What MLflow got of each run, and what it still lacks."""
    if not rows:
        return Text("No run was made under MLflow here.", "dim")
    table = _table("run", "MLflow", ">carried", ">left", "trouble")
    for row in rows:
        left = Text(str(row["left"]), "yellow" if row["left"] else "green")
        table.add_row(Text(row["run"]), Text(row["place"]), str(row["carried"]), left, Text(row["trouble"] or "-"))
    return table


def job_table(rows: Sequence[Json]) -> RenderableType:
    """What is queued, under way or over."""
    if not rows:
        return Text("Nothing is queued.", "dim")
    table = _table("job", "what", "lane", "state", "stage", "asked for")
    for row in rows:
        what = shown(f"{row['kind']} {Path(str(row['spec']['path'])).name}")
        style = STATES.get(row["state"], "")
        asked = f"{datetime.fromisoformat(row['created']).astimezone():%d %b %H:%M}"
        table.add_row(row["id"], Text(what, "bold"), row["lane"], Text(row["state"], style), _stage(row), asked)
    return table


def job_report(told: Json) -> RenderableType:
    """One job: what it does, how far it is, what came of it, what it said last."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    state = Text(told["state"], STATES.get(told["state"], "bold"))
    waits = f", behind {told['ahead']}" if told["ahead"] else ""
    table.add_row("job", told["id"])
    table.add_row("does", Text(told["command"], overflow="fold"))
    table.add_row("state", Text.assemble(state, f" on {told['lane']}{waits}"))
    if told["state"] == "running":
        table.add_row("stage", _stage(told))
    for name, value in (told["result"] or {}).items():
        table.add_row(name, str(value))
    if told["error"]:
        table.add_row("error", Text(told["error"], "red", overflow="fold"))
    if not told["said"]:
        return table
    return Group(table, Text(), Text("The last that it wrote", "dim"), Text(told["said"]))


def _stage(row: Json) -> str:
    if row["state"] != "running":
        return ""
    counted = f" {row['done']} of {row['of']}" if row["of"] else ""
    step = f"step {row['step']} of {row['steps']}: " if row["step"] else ""
    return f"{step}{row['stage'] or 'starting'} {row['part']}".rstrip() + counted


def doctor_report(report: Json) -> RenderableType:
    """What is wrong, and what was done about it or is left to do."""
    aside = [Text("Kept aside, found damaged now or before", "dim")] if report["quarantined"] else []
    kept = [*aside, *(_bullet(place, "dim") for place in report["quarantined"])]
    if not report["findings"]:
        return Group(Text("Nothing is wrong.", "green"), *kept)
    parts: list[RenderableType] = []
    for finding in report["findings"]:
        subject = (shown(finding["subject"]), "bold")
        parts.append(Text.assemble((f"{finding['kind']}  ", "yellow"), subject, f": {finding['what']}"))
        parts.append(_bullet(finding["done"] or finding["remedy"], "green" if finding["done"] else ""))
    return Group(*parts, *kept)


class Bars:
    """Progress for a person: live bars where stderr is a terminal, one line a stage where it is not.

    ``with bars as progress:`` surrounds the work, as often as there is some; what libraries print to stdout meanwhile
    goes to stderr. ``also`` is told everything too. A stage that is done leaves, and a bar without end stands in until
    the next begins.
    """

    def __init__(self, terminal: Console, *, also: Progress = silent) -> None:
        self._terminal = terminal
        self._also = also
        self._tasks: dict[tuple[Phase, str], TaskID] = {}
        self._working = False
        self._between: TaskID | None = None
        self._at_work = ExitStack()
        self._bars = self._new()

    def __enter__(self) -> "Bars":
        self._working = True
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._working = False
        self._at_work.close()

    def _begin(self) -> None:
        self._tasks, self._bars, self._between = {}, self._new(), None
        self._at_work.enter_context(redirect_stdout(self._terminal.file))
        self._at_work.enter_context(self._bars)

    def _new(self) -> RichProgress:
        return RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(BAR),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=self._terminal,
            transient=True,
            disable=not self._terminal.is_terminal,
        )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Off the screen while something else is written; outside of any work this does nothing."""
        if not self._working:
            yield
            return
        self._at_work.close()
        try:
            yield
        finally:
            self._begin()

    def report(self, event: Event) -> None:
        """Show how much is finished; a finished stage leaves the screen."""
        stage = event.phase, event.part
        new = stage not in self._tasks
        self._also.report(event)
        if new:
            self._hide_open_ended()
            self._tasks[stage] = self._bars.add_task(event.words, total=event.of or None)
            if not self._terminal.is_terminal:
                self._terminal.print(Text(f"· {event.words}", "dim"))
        total = event.of or None
        self._bars.update(self._tasks[stage], completed=event.done, total=total, visible=not event.finished)
        if event.finished:
            self._stand_in(f"{event.words}: done, computing on")
        elif self._between is not None:
            self._bars.update(self._between, visible=False)

    def cancelled(self) -> bool:
        """Whatever the second listener answers: who sits before a terminal interrupts the process itself."""
        return self._also.cancelled()

    @property
    def tasks(self) -> list[BarTask]:
        """What is on the screen or was."""
        return self._bars.tasks

    def _stand_in(self, text: str) -> None:
        """A bar without end for the time until the next stage begins."""
        if self._between is None:
            self._between = self._bars.add_task(text, total=None)
        self._bars.update(self._between, description=text, visible=True)

    def _hide_open_ended(self) -> None:
        for task in self._bars.tasks:
            if task.total is None:
                self._bars.update(task.id, visible=False)


# ---------------------------------------------------------------- parts of the report


def _podium(verdict: Json) -> RenderableType:
    mark, style = ("✔ ", "bold green") if verdict["transfer"] else ("✘ ", "bold yellow")
    return Text.assemble((mark, style), (verdict["sentence"], "bold"))


def _shift(shift: Json | None) -> list[RenderableType]:
    """Whether the test part is another source, in a line; nothing where there is no test part."""
    if shift is None:
        return []
    return [Text.assemble(("Shift  ", "dim"), (shift["sentence"], "yellow" if shift["detected"] else "dim"))]


def _ranking(advice: Json, choices: Sequence[Json]) -> RenderableType:
    metric = advice["sample"]["metric"]
    gain, distance = "gain over\nno transfer", "distance,\nnearer than"
    cost = f">cost\non {choices[0]['cost'].get('device', 'cpu')}" if choices else ">cost"
    table = _table("tier", "checkpoint", f"expected\n{metric}", gain, distance, cost)
    for choice in choices:
        table.add_row(*_choice_cells(choice))
    base = advice["baseline"]
    table.add_row(
        "",
        Group(Text("no transfer", "italic"), Text(base["model"], "dim")),
        Group(
            Text(scored(base["mean"], metric), "italic"),
            Text(scored_interval(base["low"], base["high"], metric), "dim"),
        ),
        "",
        "",
        "",
    )
    return table


def _choice_cells(choice: Json) -> tuple[RenderableType, ...]:
    expected, gain, cost, distance = choice["expected"], choice["gain"], choice["cost"], choice["distance"]
    metric = expected["metric"]
    more, reach = gained(gain, metric)
    nearer = None if distance is None else distance["percentile"]
    style = "green" if gain["low"] > 0 else "red" if gain["high"] < 0 else "yellow"
    return (
        Text(str(choice["tier"]), "dim"),
        Group(Text(choice["checkpoint"], "bold"), Text(choice["strategy"], "cyan"), *_remarks(choice)),
        Group(
            Text(scored(expected["mean"], metric), "bold"),
            Text(scored_interval(expected["low"], expected["high"], metric), "dim"),
        ),
        Group(Text(more, style), Text(reach, "dim")),
        Group(
            Text("-" if distance is None else f"{distance['value']:.3f}"),
            Text("no sketch" if distance is None else "" if nearer is None else f"{nearer:.0f} %", "dim"),
        ),
        Group(Text(duration(cost["seconds"])), Text(size(cost["peak_memory_bytes"]), "dim")),
    )


def _remarks(choice: Json) -> list[Text]:
    """What was realized of the checkpoint on this sample, and whether it has seen rows of it before."""
    metric, marks = choice["expected"]["metric"], []
    marks += [
        Text(f"{row['strategy']} realized {scored(row['score'], metric)}", "green")
        for row in choice.get("realized", ())[-1:]
    ]
    known = choice.get("exposure")
    if known is not None:
        judged = f"judged on {known['rows_judged']:,} others" if known["probe_believed"] else "probe not believed"
        marks.append(Text(f"saw these rows: {judged}", "yellow"))
    return marks


def _terms(strategies: list[str]) -> RenderableType:
    """What the words of a ranking mean, right below it."""
    told = "; ".join(f"{name}: {meaning}" for name, meaning in terms_of(strategies))
    return Text(f"{told}; intervals: nominal 90 %", "dim")


def _best_reasons(choice: Json) -> RenderableType:
    """Why this checkpoint, then why this plan; as many as a screen has room for."""
    of_plan = choice["plan"]["because"]
    first = [reason for reason in choice["because"] if reason not in of_plan]
    shown: list[str] = []
    room = REASONS
    for reason in (*first, *(one for one in choice["because"] if one in of_plan)):
        room -= -(-len(reason) // WIDE)
        if room >= 0 or not shown:
            shown.append(reason)
    head = Text.assemble(("Because  ", "dim"), (choice["checkpoint"], "bold"), ", ", choice["strategy"])
    return Group(head, *(_bullet(reason) for reason in shown))


def _left_out(choices: int, skipped: int) -> RenderableType:
    """What a screen has no room for."""
    parts = [f"{choices} more choices"] if choices > 0 else []
    parts += ["all reasons", "the curve over blocks"]
    parts += [f"why {skipped} were skipped"] if skipped else []
    return Text(f"--explain shows {', '.join(parts[:-1])} and {parts[-1]}.", "dim")


def _reasons(choices: Iterable[Json]) -> RenderableType:
    parts: list[RenderableType] = []
    for choice in choices:
        parts.append(Text.assemble(("Because  ", "dim"), (choice["checkpoint"], "bold"), ", ", choice["strategy"]))
        parts += [_bullet(reason) for reason in choice["because"]]
    return Group(*parts)


def _curve(choice: Json) -> RenderableType:
    rows = block_roles(choice)
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for name, score, role in rows:
        filled = round(BAR * max(0.0, min(1.0, score)))
        told = f"{role}, head reads here" if name == choice["plan"]["read"] else role
        bar = Text("█" * filled, ROLES[role]) + Text("·" * (BAR - filled), "dim")
        table.add_row(Text(name), bar, scored(score, choice["expected"]["metric"]), told)
    title = Text.assemble(
        ("Blocks  ", "dim"), (choice["checkpoint"], "bold"), " from input to output: score of a linear head after each"
    )
    return Group(title, Padding(table, (0, 0, 0, 2)))


def _scores(choices: Sequence[Json]) -> RenderableType:
    """Every score of every choice; those of plug-ins among them."""
    names = list(dict.fromkeys(name for choice in choices for name in choice["scores"]))
    table = _table("score", *(f">{place}." for place in range(1, len(choices) + 1)))
    for name in names:
        values = [choice["scores"].get(name) for choice in choices]
        table.add_row(Text(name), *("-" if value is None else f"{value:.3f}" for value in values))
    title = Text("Scores of the last block, of each checkpoint in its place; higher is better", "dim")
    return Group(title, Padding(table, (0, 0, 0, 2)))


def _skipped(rows: Sequence[Json]) -> RenderableType:
    return Group(Text("Skipped", "dim"), *(_bullet(f"{row['checkpoint']}: {row['reason']}") for row in rows))


def _distances(rows: Sequence[Json]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    longest = max((row["value"] for row in rows), default=0.0) or 1.0
    for row in rows[:NEAREST]:
        filled = round(BAR * row["value"] / longest)
        brought = ", ".join(f"{name} {value:.3f}" for name, value in row.get("plugins", {}).items())
        table.add_row(Text(row["domain"]), Text("█" * filled, "blue"), f"{row['value']:.3f}", Text(brought, "dim"))
    return Group(Text("Distance to the nearest source domains", "dim"), Padding(table, (0, 0, 0, 2)))


def _verdict_on(score: float, expected: Json) -> Text:
    if score < expected["low"]:
        return Text("below the interval: the advice promised too much", "red")
    if score > expected["high"]:
        return Text("above the interval: the advice promised too little", "yellow")
    return Text("within the interval", "green")


def _bullet(line: str, style: str = "") -> RenderableType:
    return Padding(Text(f"• {line}", style), (0, 0, 0, 2))


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", padding=(0, 1, 0, 0), show_edge=False)
    for heading in headings:
        right = heading.startswith(">")
        table.add_column(heading.lstrip(">"), justify="right" if right else "left", overflow="fold")
    return table
