"""The zoo: checkpoints, domains, one card, what a run was promoted to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from registry.escapes import shown
from registry.forms import Json
from ui.render.parts import Fitting, bullet, cut, give_way, keep_ids, new_table
from ui.render.runs import outcome_table
from ui.render.words import amount


def checkpoint_table(rows: Sequence[Json]) -> RenderableType:
    """What the registry offers."""
    headings = ("checkpoint", "source", ">parameters", "license", "origin")
    if not rows:
        return new_table(*headings)

    def arrange(table: Table) -> None:
        keep_ids(table, [shown(row["name"]) for row in rows])
        give_way(table, "source", "license", most=24)

    cells = [dict(zip(headings, _checkpoint(row), strict=True)) for row in rows]
    return Fitting(cells, ("origin", "license"), arrange)


def _checkpoint(row: Json) -> tuple[RenderableType, ...]:
    return (
        cut(shown(row["name"]), "bold"),
        cut(shown(row["source"] or row["domain"] or "not stated")),
        amount(row["parameters"]),
        cut(shown(row["license"])),
        row["origin"],
    )


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
    for name, words in card_rows(card["checkpoint"]):
        table.add_row(Text(name, "dim"), Text(words, overflow="fold"))
    if card["domain"] is not None:
        domain = card["domain"]
        known = f"{domain['title']} ({domain['rows']:,} rows, {domain['license']})"
        table.add_row(Text("source domain", "dim"), Text(known))
    if not card["outcomes"]:
        return table
    return Group(table, Text(), outcome_table(card["outcomes"], checkpoint=False))


def card_rows(checkpoint: Json) -> list[tuple[str, str]]:
    """What is known of a checkpoint, fact by fact, in words."""
    stated = ((name, value) for name, value in checkpoint.items() if value not in (None, "", {}, [], ()))
    return [(name.replace("_", " "), _CARD_WORDS.get(name, _card_value)(value)) for name, value in stated]


def _card_value(value: Any) -> str:  # noqa: ANN401 - whatever a card holds
    """A value of a card in words: numbers as they are read, what lies within others in lines."""
    if isinstance(value, Mapping):
        lines = (f"{shown(str(name).replace('_', ' '))}: {_card_value(inner)}" for name, inner in value.items())
        return "\n".join(lines)
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_card_value, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else shown(value)


def _measured(value: Json) -> str:
    """What was measured, line by line; what was measured on several sets beside one another."""
    sets = {
        name: "; ".join(f"{of} {_card_value(on)}" for of, on in inner.items())
        for name, inner in value.items()
        if isinstance(inner, Mapping)
    }
    return _card_value({**value, **sets})


def _locator(value: Json) -> str:
    """Where it comes from, and how that stands."""
    size = sum(file["bytes"] for file in value["files"])
    upstream = f", upstream {shown(value['upstream'])}" if value["upstream"] else ""
    where = f"{shown(value['hub'])} @ {value['commit']} ({shown(value['revision'])})"
    return f"{where}\n{len(value['files'])} files, {size:,} bytes; {value['state']}{upstream}"


def _claims(rows: Sequence[Json]) -> str:
    """What its card claims, a line each."""
    lines = (f"{shown(row['metric'])} {_card_value(row['value'])} on {shown(row['data'])}" for row in rows)
    return "\n".join(lines)


_CARD_WORDS: Mapping[str, Callable[[Any], str]] = {"locator": _locator, "claims": _claims, "measured": _measured}
"""Fields of a card that are said in words of their own."""


def promoted_report(promoted: Json) -> RenderableType:
    """A checkpoint that a run became."""
    card = {"checkpoint": promoted["checkpoint"], "domain": promoted["domain"], "outcomes": []}
    return Group(card_report(card), *(bullet(note, "yellow") for note in promoted["notes"]))
