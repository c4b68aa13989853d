"""Jobs: what is queued, under way or over."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from registry.escapes import shown
from registry.forms import Json
from ui.render.parts import Fitting, give_way
from ui.render.words import progressed

STATES = {"running": "green", "failed": "red", "lost": "red", "cancelled": "yellow"}
"""How a job stands, and the color of it."""


def job_table(rows: Sequence[Json]) -> RenderableType:
    """What is queued, under way or over."""
    if not rows:
        return Text("Nothing is queued.", "dim")
    cells: list[Mapping[str, RenderableType]] = [
        {
            "job": row["id"],
            "what": Text(shown(f"{row['kind']} {Path(str(row['spec']['path'])).name}"), "bold"),
            "lane": row["lane"],
            "state": Text(row["state"], STATES.get(row["state"], "")),
            "stage": _stage(row),
            "asked for": f"{datetime.fromisoformat(row['created']).astimezone():%d %b %H:%M}",
        }
        for row in rows
    ]

    def arrange(table: Table) -> None:
        for column in table.columns:
            column.no_wrap = True
        give_way(table, "what", "stage")

    return Fitting(cells, ("asked for", "lane"), arrange)


def job_report(job: Json) -> RenderableType:
    """One job: what it does, how far it is, what came of it, what it said last."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    state = Text(job["state"], STATES.get(job["state"], "bold"))
    waits = f", behind {job['ahead']}" if job["ahead"] else ""
    table.add_row("job", job["id"])
    table.add_row("does", Text(job["command"], overflow="fold"))
    table.add_row("state", Text.assemble(state, f" on {job['lane']}{waits}"))
    if job["state"] == "running":
        table.add_row("stage", _stage(job))
    for name, value in (job["result"] or {}).items():
        table.add_row(name, str(value))
    if job["error"]:
        table.add_row("error", Text(job["error"], "red", overflow="fold"))
    if not job["said"]:
        return table
    return Group(table, Text(), Text("The last that it wrote", "dim"), Text(job["said"]))


def _stage(row: Json) -> str:
    if row["state"] != "running":
        return ""
    counted = progressed(row["stage"], row["done"], row["of"])
    step = f"step {row['step']} of {row['steps']}: " if row["step"] else ""
    stage = f"{step}{row['stage'] or 'starting'} {row['part']}".rstrip()
    return f"{stage}, {counted}" if counted else stage
