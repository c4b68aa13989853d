"""The zoo: checkpoints, domains, one card, what a run was promoted to."""

from collections.abc import Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from registry.escapes import shown
from ui.render.parts import bullet, new_table
from ui.render.runs import outcome_table
from ui.render.words import Json, amount


def checkpoint_table(rows: Sequence[Json]) -> RenderableType:
    """What the registry offers."""
    table = new_table("checkpoint", "source", ">parameters", "license", "origin")
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
    table = new_table("domain", "title", "family", ">rows", "license")
    for row in rows:
        name, title, family, license_ = (shown(row[key]) for key in ("name", "title", "family", "license"))
        table.add_row(Text(name, "bold"), title, family, f"{row['rows']:,}" if row["rows"] else "no sketch", license_)
    return table


def card_report(card: Json) -> RenderableType:
    """One checkpoint's card, its domain's, and its outcomes."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in card["checkpoint"].items():
        if value not in (None, "", {}, [], ()):
            table.add_row(Text(name.replace("_", " "), "dim"), Text(_card_value(value), overflow="fold"))
    if card["domain"] is not None:
        domain = card["domain"]
        known = f"{domain['title']} ({domain['rows']:,} rows, {domain['license']})"
        table.add_row(Text("source domain", "dim"), Text(known))
    if not card["outcomes"]:
        return table
    return Group(table, outcome_table(card["outcomes"]))


def _card_value(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{shown(name)} {shown(inner)}" for name, inner in value.items())
    return ", ".join(map(shown, value)) if isinstance(value, (list, tuple)) else shown(value)


def promoted_report(promoted: Json) -> RenderableType:
    """A checkpoint that a run became."""
    card = {"checkpoint": promoted["checkpoint"], "domain": promoted["domain"], "outcomes": []}
    return Group(card_report(card), *(bullet(note, "yellow") for note in promoted["notes"]))
