"""What a hub of checkpoints says, as it is shown: rows of a search, how repositories stand, what the cache holds."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from registry.escapes import shown
from ui import render
from ui.render.parts import Fitting, Id, cut, give_way, keep_ids, new_table

__all__ = [
    "added_report",
    "changes_report",
    "data_report",
    "data_words",
    "fetches_report",
    "models_table",
    "removed_line",
    "unfetched_report",
    "usage_report",
]

_ID, _LEAST_ID = 40, 31
"""Columns of the screen that an id of a hub has at least, and where it stands beside its number."""


def models_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What a search gave, numbered for ``--add``; on a narrow screen what is usable stays, and other columns go."""
    if not rows:
        return Text("The hub has none of these.", "dim")
    alike = len({row["task"] for row in rows}) == 1
    longest = max(len(shown(row["hub"])) for row in rows)

    def arrange(table: Table) -> None:
        for column in table.columns:
            column.no_wrap = column.header != "checkpoint"
        give_way(table, "license", "task")
        table.columns[1].min_width = min(longest, _LEAST_ID)

    cells = [_model(number, row, task=not alike) for number, row in enumerate(rows, start=1)]
    notes = [
        Text(f"{number}: {shown(row['objection'])}", "yellow")
        for number, row in enumerate(rows, start=1)
        if row["objection"]
    ]
    if any(row["parameters"] is not None and not row["counted"] for row in rows):
        notes.append(Text("~: as the hub counts, with numbers that never learn; `zoo add` counts parameters.", "dim"))
    if alike and rows[0]["task"]:
        notes.append(Text(f"All of them do {shown(rows[0]['task'])}.", "dim"))
    return Group(Fitting(cells, ("task", ">downloads", "license"), arrange), *notes)


def _model(number: int, row: Mapping[str, Any], *, task: bool) -> Mapping[str, RenderableType]:
    """A model of a hub, cell by cell."""
    fine = "here" if row["in_zoo"] else "gated" if row["gated"] else "yes"
    return {
        ">#": str(number),
        "checkpoint": Id(shown(row["hub"]), "bold"),
        ">parameters": _count(row),
        "license": cut(shown(row["license"] or "unknown")),
        ">downloads": f"{row['downloads']:,}",
        "usable": Text("no", "yellow") if row["objection"] else fine,
        **({"task": cut(shown(row["task"] or "-"))} if task else {}),
    }


def _count(row: Mapping[str, Any]) -> str:
    """The parameters of a hub's model; with a tilde where only the hub counted them."""
    if row["parameters"] is None:
        return "unknown"
    return f"{'' if row['counted'] else '~'}{render.amount(row['parameters'])}"


def added_report(row: Mapping[str, Any], *, here: bool, size: int) -> RenderableType:
    """A checkpoint of a hub that was added: what it is, pinned to what, and whether its weights are here."""
    locator = row["locator"]
    lines = [
        Text(shown(row["name"]), "bold"),
        Text(f"{shown(locator['hub'])} @ {locator['commit'][:12]}", "dim"),
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
    """A checkpoint that is forgotten, or a repository of the cache that nothing used."""
    name = shown(row["checkpoint"])
    what = f"What nothing used of {name} is removed" if "/" in name else f"{name} is forgotten"
    return Text(f"{what}; {row['freed']:,} bytes were freed.")


def data_report(data: Mapping[str, Any]) -> RenderableType:
    """A data set that was fetched: its license, what each part is, its columns."""
    lines = [
        Text.assemble((shown(data["hub"]), "bold"), f" at {data['commit'][:12]}, license {shown(data['license'])}")
    ]
    lines += [Text(words) for words in data_words(data)]
    return Group(*lines, Text(shown(data["path"]), "dim", overflow="fold"))


def data_words(data: Mapping[str, Any]) -> list[str]:
    """What each part of a fetched data set is, and the columns that it has, a line each."""
    lines = []
    for part, rows in sorted(data["rows"].items(), reverse=True):  # train, then test
        drawn = "" if rows == data["of"][part] else f", a draw of {data['of'][part]:,}"
        lines.append(f"{part}: {rows:,} rows of the split {shown(data['splits'][part])}{drawn}")
    return [*lines, f"columns: {', '.join(map(shown, data['columns']))}"]


def changes_report(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """How the repository of each checkpoint stands upstream; nothing was changed."""
    if not rows:
        return Text("No checkpoint of a hub is registered.", "dim")
    styles = {"ok": "green", "moved": "yellow", "renamed": "yellow", "gated": "yellow", "deleted": "red"}
    table = new_table("checkpoint", "pinned at", "state", "upstream")
    keep_ids(table, [shown(row["checkpoint"]) for row in rows], _ID)
    table.columns[3].no_wrap = False
    reasons: dict[str, list[str]] = {}
    for row in rows:
        more = shown(row["upstream"] if "/" in row["upstream"] else row["upstream"][:12])
        if row["unknown"]:
            state = Text(f"was {row['state']}", "dim")
            reasons.setdefault(row["unknown"], []).append(shown(row["checkpoint"]))
        else:
            state = Text(row["state"], styles[row["state"]])
        if row["changed"]:
            more = f"{more[:12]}: {', '.join(map(shown, row['changed']))}"
        table.add_row(cut(shown(row["checkpoint"]), "bold"), row["commit"][:12], state, Text(more, overflow="fold"))
    unknown = [
        Text(f"Nothing could be learned of {', '.join(names)}: {shown(reason)}", "yellow")
        for reason, names in reasons.items()
    ]
    pinned = "What is pinned stays; to take what is new: transferzoo zoo add ORG/NAME --name NEW"
    newer = any(row["state"] in {"moved", "renamed"} for row in rows)
    return Group(table, *unknown, *([Text(pinned, "dim")] if newer else []))


def usage_report(rows: Sequence[Mapping[str, Any]], cache: str) -> RenderableType:
    """What the cache of the hub holds, and what of it may go."""
    if not rows:
        return Text(f"{shown(cache)} holds nothing.", "dim")
    table = new_table("repository", ">bytes", ">may go", "checkpoints")
    keep_ids(table, [shown(row["hub"]) for row in rows], _ID)
    for row in rows:
        names = ", ".join(map(shown, row["checkpoints"])) or "-"
        table.add_row(cut(shown(row["hub"]), "bold"), f"{row['bytes']:,}", f"{row['removable']:,}", cut(names))
    give_way(table, "checkpoints")
    total, free = (sum(row[of] for row in rows) for of in ("bytes", "removable"))
    lines = [Text(f"{total:,} bytes in {shown(cache)}", "dim")]
    if free:
        lines.append(Text("What may go goes with: transferzoo zoo remove ORG/NAME --weights", "dim"))
    return Group(table, *lines)


def _bytes(count: int) -> str:
    return f"{count:,} bytes" if count < 10 << 20 else render.size(count)


def fetches_report(cache: Mapping[str, Any]) -> RenderableType:
    """What lies here of shared objects, the least recently used first, and how much may."""
    table = new_table("fetched", ">bytes", "used last")
    for row in cache["folders"]:
        used = datetime.fromtimestamp(row["used"], UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(cut(shown(row["name"] or "half fetched"), "bold"), f"{row['bytes']:,}", used)
    words = f"{cache['bytes']:,} of {cache['bound']:,} bytes in {shown(cache['folder'])}, of {shown(cache['url'])}"
    return Group(*([table] if cache["folders"] else []), Text(words, "dim"))
