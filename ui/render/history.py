"""Results of others, and how far expectations could be trusted."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from registry.escapes import shown
from registry.forms import Json
from ui.render.parts import Fitting, bullet, give_way, new_table
from ui.render.words import interval, percent, percentage_points, scored

_SHOWN = 40
"""Results that a screen has room for."""
_NAMED = 3
"""Names, or reasons, that a line has room for."""


def imported_report(imported: Json) -> RenderableType:
    """What was read, some of it, what is left out, and whether it is kept."""
    kept = "kept" if imported["written"] else "not written yet"
    counts = (
        f"{imported['outcomes']:,} new results of {imported['checkpoints']:,} checkpoints on {imported['samples']:,} "
        f"samples, {imported['status']}"
    )
    known = imported["known_before"]
    head = Text.assemble((f"{counts}; {kept}", "bold"), f" (import {imported['id']})" if imported["written"] else "")
    parts: list[RenderableType] = [head, Text(f"from {shown(imported['source'])}", "dim")]
    if imported["first"]:
        parts.append(results_table(imported["first"], of=imported["outcomes"]))
    notes = [f"{known:,} were known before"] if known else []
    if imported["unknown_checkpoints"]:
        some = ", ".join(map(shown, imported["unknown"]))
        count = f"{imported['unknown_checkpoints']:,} checkpoints are not known here"
        notes.append(f"{count} ({some}): they only show how others compare")
    if imported["taken_for"]:
        pairs = [f"{shown(theirs)} for {shown(ours)}" for theirs, ours in imported["taken_for"].items()]
        notes.append(f"by their names, {', '.join(pairs[:_NAMED])}{' ...' if len(pairs) > _NAMED else ''} are taken")
    if imported["left_out"]:
        reasons = "; ".join(f"{shown(row['row'])}: {shown(row['reason'])}" for row in imported["reasons"][:_NAMED])
        notes.append(f"{imported['left_out']:,} rows hold no result ({reasons})")
    if not imported["written"] and imported["outcomes"]:
        notes.append("--yes writes them; what is kept here now stays as it is")
    return Group(*parts, *(bullet(note, "yellow") for note in notes))


def results_table(rows: Sequence[Json], *, of: int | None = None) -> RenderableType:
    """Results of checkpoints, with what they were measured by and where that stands."""
    table = new_table("checkpoint", "sample", "strategy", ">score", "source")
    for row in rows[:_SHOWN]:
        cells = [shown(row[name]) for name in ("checkpoint", "sample_name", "strategy")]
        score = f"{scored(row['score'], row['metric'])} {row['metric']}"
        table.add_row(
            Text(cells[0], "bold"), cells[1], cells[2], score, Text(shown(row["citation"] or row["id"]), "dim")
        )
    more = (len(rows) if of is None else of) - min(len(rows), _SHOWN)
    return Group(table, Text(f"and {more:,} more", "dim")) if more > 0 else table


def sources_table(rows: Sequence[Json]) -> RenderableType:
    """Where results come from."""
    if not rows:
        return Text("There are no results yet.", "dim")
    cells: list[Mapping[str, RenderableType]] = [
        {
            "source": Text(row["id"], "bold"),
            "status": row["status"],
            ">results": f"{row['outcomes']:,}",
            ">checkpoints": f"{row['checkpoints']:,}",
            ">samples": f"{row['samples']:,}",
            "from": Text(shown(row["source"]), "dim"),
        }
        for row in rows
    ]

    def arrange(table: Table) -> None:
        for column in table.columns:
            column.no_wrap = True
        give_way(table, "from")

    return Fitting(cells, ("from", ">samples"), arrange)


def forgotten_line(source: Json) -> RenderableType:
    """What was forgotten."""
    return Text(f"{source['outcomes']:,} results of {shown(source['source'])} are forgotten.")


def record_report(record: Json) -> RenderableType:
    """How far expectations could be trusted."""
    if record["all"] is None:
        return Text("No run was made here of which something was expected.", "dim")
    coverage, apart = ">coverage,\n90 % interval\n(nominal 90 %)", ">realized\nminus expected"
    table = new_table("runs", ">number", ">within", coverage, apart, ">off by")
    table.add_row("all", *_summary(record["all"]))
    groups: Mapping[str, Json] = {**record["strategies"], **record["modalities"]}
    for name, summary in groups.items():
        table.add_row(Text(shown(name)), *_summary(summary))
    return table


def _summary(row: Json) -> tuple[str, ...]:
    reach = f"{percent(row['coverage'])}\n{interval(row['coverage_low'], row['coverage_high'])}"
    error = "" if row["bias_error"] is None else f" ± {100 * row['bias_error']:.1f}"
    off = f"{100 * row['off']:.1f} points"
    return str(row["runs"]), str(row["covered"]), reach, f"{percentage_points(row['bias'])}{error} points", off
