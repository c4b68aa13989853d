"""What a hub of checkpoints says, as it is shown: rows of a search, how repositories stand, what the cache holds."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from registry.escapes import shown
from ui import render

__all__ = [
    "added_report",
    "changes_report",
    "models_table",
    "removed_line",
    "unfetched_report",
    "usage_report",
]


def models_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What a search gave, numbered for ``--add``."""
    if not rows:
        return Text("The hub has none of these.", "dim")
    table = _table(">#", "checkpoint", "task", ">parameters", "license", ">downloads", "usable here")
    for number, row in enumerate(rows, start=1):
        why = shown(row["objection"])
        fine = "in the registry" if row["in_zoo"] else "yes, gated" if row["gated"] else "yes"
        table.add_row(
            str(number),
            Text(shown(row["hub"]), "bold"),
            shown(row["task"] or "-"),
            "unknown" if row["parameters"] is None else render.amount(row["parameters"]),
            shown(row["license"] or "unknown"),
            f"{row['downloads']:,}",
            Text(f"no: {why}", "yellow") if why else fine,
        )
    table.columns[1].no_wrap = True  # an id is copied
    table.columns[1].min_width = max(len(shown(row["hub"])) for row in rows)
    return table


def added_report(row: Mapping[str, Any], *, here: bool, size: int) -> RenderableType:
    """A checkpoint of a hub that was added: what it is, pinned to what, and whether its weights are here."""
    locator = row["locator"]
    lines = [
        Text.assemble((shown(row["name"]), "bold"), f"  {shown(locator['hub'])} @ {locator['commit'][:12]}"),
        Text(
            f"{shown(row['architecture'])}, {render.amount(row['parameters'])} parameters"
            f" ({row['measured']['dtype']}),"
            f" license {shown(row['license'])}, trained on {shown(row['domain'] or row['source'] or 'unknown data')}"
        ),
    ]
    if row["claims"]:
        stated = [
            f"{shown(claim['metric'])} {claim['value']:g} on {shown(claim['data'])}" for claim in row["claims"][:3]
        ]
        lines.append(Text(f"claimed, not measured here: {'; '.join(stated)}", "dim"))
    state = "its weights are here, every checksum as it should be" if here else f"not fetched: {_bytes(size)}"
    lines.append(Text(state, "green" if here else "yellow"))
    return Group(*lines)


def unfetched_report(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What could not be fetched, each with its remedy."""
    lines = (f"{shown(row['checkpoint'])}: {shown(row['why'])}. {shown(row['remedy'])}" for row in rows)
    return Group(*(Text(line, "red", overflow="fold") for line in lines))


def removed_line(row: Mapping[str, Any]) -> RenderableType:
    """A checkpoint that is forgotten."""
    return Text(f"{shown(row['checkpoint'])} is forgotten; {row['freed']:,} bytes were freed.")


def changes_report(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """How the repository of each checkpoint stands upstream; nothing was changed."""
    if not rows:
        return Text("No checkpoint of a hub is registered.", "dim")
    styles = {"ok": "green", "moved": "yellow", "renamed": "yellow", "gated": "yellow", "deleted": "red"}
    table = _table("checkpoint", "pinned", "state", "upstream")
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row["unknown"]:
            state, more = Text("not known", "dim"), ""
            reasons.setdefault(row["unknown"], []).append(shown(row["checkpoint"]))
        else:
            state, more = (
                Text(row["state"], styles[row["state"]]),
                shown(row["upstream"] if "/" in row["upstream"] else row["upstream"][:12]),
            )
        if row["changed"]:
            more = f"{more[:12]}: {', '.join(map(shown, row['changed']))}"
        pinned = f"{shown(row['hub'])} @ {row['commit'][:12]}"
        table.add_row(Text(shown(row["checkpoint"]), "bold"), pinned, state, Text(more, overflow="fold"))
    unknown = [
        Text(f"Nothing could be learned of {', '.join(names)}: {shown(reason)}", "yellow")
        for reason, names in reasons.items()
    ]
    return Group(table, *unknown, Text("What is pinned stays; to take what is new: zoo add ORG/NAME --name NEW", "dim"))


def usage_report(rows: Sequence[Mapping[str, Any]], cache: str) -> RenderableType:
    """What the cache of the hub holds, and what of it may go."""
    if not rows:
        return Text(f"{shown(cache)} holds nothing.", "dim")
    table = _table("repository", ">bytes", ">may go", "checkpoints")
    for row in rows:
        names = ", ".join(map(shown, row["checkpoints"])) or "-"
        table.add_row(Text(shown(row["hub"]), "bold"), f"{row['bytes']:,}", f"{row['removable']:,}", names)
    total = sum(row["bytes"] for row in rows)
    return Group(table, Text(f"{total:,} bytes in {shown(cache)}", "dim"))


def _bytes(count: int) -> str:
    return f"{count:,} bytes" if count < 10 << 20 else render.size(count)


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", padding=(0, 1, 0, 0), show_edge=False)
    for heading in headings:
        table.add_column(heading.lstrip(">"), justify="right" if heading.startswith(">") else "left")
    return table
