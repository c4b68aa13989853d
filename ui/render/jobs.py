"""Jobs: what is queued, under way or over."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ui.render.parts import new_table
from ui.render.words import Json
from ui.strangers import shown

STATES = {"running": "green", "failed": "red", "lost": "red", "cancelled": "yellow"}
"""How a job stands, and the color of it."""


def job_table(rows: Sequence[Json]) -> RenderableType:
    """What is queued, under way or over."""
    if not rows:
        return Text("Nothing is queued.", "dim")
    table = new_table("job", "what", "lane", "state", "stage", "asked for")
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
