"""Distances of domains and of samples."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from registry.escapes import shown
from registry.forms import Json
from ui.render.parts import new_table

SCALE = 60
"""Characters of a drawn scale."""


def near_table(rows: Sequence[Json]) -> RenderableType:
    """Domains by distance, nearest first."""
    table = new_table("domain", ">distance", "90 % interval", ">nearer than", ">same source")
    for row in rows:
        reach = "-" if row["low"] is None else f"{row['low']:.3f} to {row['high']:.3f}"
        percentile = "-" if row["percentile"] is None else f"{row['percentile']:.0f} % of pairs"
        same = "-" if row["p_same"] is None else f"p {row['p_same']:.3f}"
        table.add_row(Text(shown(row["domain"]), "bold"), f"{row['value']:.3f}", reach, percentile, same)
    return table


def distance_report(distance: Json, one: str, other: str) -> RenderableType:
    """One distance, with the band in which it would lie if both were one source."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_row(Text(str(distance["metric"]), "dim"), Text(f"{distance['value']:.4f}  {one} to {other}", "bold"))
    if distance["low"] is not None:
        table.add_row(Text("90 % interval", "dim"), f"{distance['low']:.4f} to {distance['high']:.4f}")
    if distance["p_same"] is not None:
        table.add_row(Text("same source", "dim"), f"p = {distance['p_same']:.4f}")
    for name, value in distance["details"].items():
        if not name.startswith("null_"):
            table.add_row(Text(name, "dim"), f"{value:.4g}")
    if "null_high" not in distance["details"]:
        return table
    return Group(table, Text(), _null_band(distance["statistic"], distance["details"]))


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
    where = "inside" if inside else "outside"
    return Group(Text("".join(marks)), Text(f"▒ where one source would lie (90 %)   ◆ measured, {where} it", "dim"))
