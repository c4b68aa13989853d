"""What the registry has and what it knows of: checkpoints here and listings of hubs as rows, their facts in words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from registry.cards import UNKNOWN_LICENSE, Checkpoint
from registry.escapes import shown
from registry.forms import to_json
from registry.licenses import Licenses
from registry.listings import Fact, Listing, hub_task
from ui import render
from ui.render.parts import cut, give_way, keep_ids, new_table

if TYPE_CHECKING:
    from registry.zoo import Zoo

__all__ = [
    "facts_report",
    "listed",
    "listing_json",
    "locked_report",
    "offers_table",
    "restored_report",
    "to_fetch",
    "unprobed_cells",
    "unprobed_report",
]

_ROWS = 5
"""Checkpoints that were not probed which a screen has room for."""
_LICENSES = "--license counts base model and training data, too; `zoo show NAME` tells all three licenses apart."


def listed(zoo: "Zoo") -> list[tuple[Checkpoint | Listing, dict[str, Any]]]:
    """Every checkpoint, then every listing that is none of them, each with its JSON form."""
    cards = zoo.checkpoints()
    rows: list[tuple[Checkpoint | Listing, dict[str, Any]]] = [(card, _checkpoint_json(zoo, card)) for card in cards]
    return rows + [(one, listing_json(zoo, one)) for one in zoo.unregistered()]


def listing_json(zoo: "Zoo", listing: Listing, *, here: bool = False) -> dict[str, Any]:
    """A listing as a checkpoint's JSON form has it, as far as it is known, with every fact."""
    stated = listing.facts.get("pretraining data", ())
    return {
        "name": listing.name,
        "modality": str(listing.modality),
        "architecture": listing.architecture,
        "parameters": listing.parameters,
        "license": " / ".join(listing.licenses),
        "domain": listing.data[-1] if listing.data else None,
        "source": " / ".join(str(fact.value) for fact in stated),
        "origin": "hub",
        **_more(zoo.licenses(listing), here=here, task=hub_task(listing.architecture)),
        "hub": listing.hub,
        "aliases": list(listing.aliases),
        "bytes": listing.bytes,
        "downloads": zoo.downloads().get(listing.hub),
        "data": list(listing.data),
        "base": list(listing.base),
        "facts": {kind: [asdict(fact) for fact in facts] for kind, facts in listing.facts.items()},
        "contradictions": list(listing.contradictions),
    }


def offers_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What is here, and what is known but not fetched; where neither is left, what to do about it."""
    if not rows:
        return Text("Nothing that is here or known fits: raise a limit, or leave out a filter.")
    here, known = ([row for row in rows if row["here"] is there] for there in (True, False))
    parts: list[RenderableType] = [render.checkpoint_table(here)] if here else [Text("None of these is here.", "dim")]
    if known:
        parts += [
            Text(),
            Text(f"Known, not fetched: {len(known)}, with about how much there is to fetch", "dim"),
            _known_table(known),
            Text(_LICENSES, "dim"),
        ]
    return Group(*parts)


def facts_report(row: Mapping[str, Any], domains: Sequence[Mapping[str, Any]]) -> RenderableType:
    """All that sources state of a listing, fact by fact; where they disagree, side by side."""
    there = "" if row["here"] else ", not fetched"
    lines: list[RenderableType] = [
        Text.assemble((shown(row["name"]), "bold"), f"  {shown(row['hub'])}, {row['modality']}{there}"),
        Text(f"{shown(row['architecture'])}; as it is: {row['task']}", "dim"),
    ]
    for kind, facts in row["facts"].items():
        disputed = kind in row["contradictions"]
        head = Text.assemble(
            (kind, "yellow" if disputed else "dim"), ("  sources disagree" if disputed else "", "yellow")
        )
        lines += [head, *(_fact_line(kind, Fact(**fact)) for fact in facts)]
    lines.append(Text("downloads", "dim"))
    count = row["downloads"]
    unknown = "unknown here; `zoo search` asks the hub"
    lines.append(_indented(unknown if count is None else f"{count:,}  (as the hub stated when it was asked last)"))
    lines.append(Text("licenses", "dim"))
    for of, names in row["licenses"].items():
        lines.append(_indented(f"{of.replace('_', ' ')}: {', '.join(map(shown, names))}"))
    for domain in domains:
        sketch = f"sketch of {domain['rows']:,} rows" if domain["rows"] else "no sketch"
        lines.append(_indented(f"trained on {shown(domain['name'])}: {shown(domain['title'])} ({sketch})"))
    return Group(*lines)


def unprobed_report(advice: Mapping[str, Any], *, everything: bool = False) -> RenderableType | None:
    """What is known but not here beside advice: a line, a few rows, what others would take; None where nothing is.

    With ``everything`` all rows, and why what does not fit is left out.
    """
    rows, left = advice.get("not_probed", []), advice.get("not_probed_left_out", [])
    if not rows and not left:
        return None
    out = f"; {len(left)} more do not fit" if left else ""
    line = f"Not here  {len(rows)} more are known and were not probed{out}. Best first by what is published:"
    if not rows:
        line = f"Not here  {len(left)} more are known, and none of them fits."
    parts: list[RenderableType] = [Text(line, "dim")]
    if rows:
        parts.append(_unprobed_table(rows if everything else rows[:_ROWS]))
    parts += [_indented(f"{row['checkpoint']}: {row['reason']}") for row in left if everything]
    parts.append(Text(_rivals(advice.get("rivals", [])), "dim"))
    if rows:
        parts.append(Text("--fetch ask fetches the best of them, to be probed like the others.", "dim"))
    return Group(*parts)


def unprobed_cells(row: Mapping[str, Any]) -> dict[str, str]:
    """The row of a checkpoint that was not probed, column by column."""
    far, first = row["distance"], next(iter(row["published"]), None)
    return {
        "not probed": row["checkpoint"],
        "parameters": UNKNOWN_LICENSE if row["parameters"] is None else render.amount(row["parameters"]),
        "to fetch": UNKNOWN_LICENSE if row["bytes"] is None else render.size(row["bytes"]),
        "distance": "no sketch" if far is None else f"{far['value']:.3f}",
        "published": "-" if first is None else f"{first['sample']} {render.scored(first['score'], first['metric'])}",
    }


def to_fetch(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What would be fetched, and how much it is in all."""
    whole = sum(row["bytes"] or 0 for row in rows)
    names = ", ".join(f"{shown(row['hub'])} ({render.size(row['bytes'] or 0)})" for row in rows)
    return Text(f"To fetch, about {render.size(whole)} in all: {names}")


def locked_report(rows: Sequence[Mapping[str, Any]], file: Path) -> RenderableType:
    """What a lock holds."""
    if not rows:
        return Text(f"{file}: no checkpoint but those that came with transferzoo, which need no lock.", "dim")
    table = new_table("checkpoint", ">files", ">bytes", "weights")
    for row in rows:
        name = Text(shown(row["checkpoint"]), "bold")
        table.add_row(name, str(row["files"]), f"{row['bytes']:,}", row["digest"][:12])
    return Group(table, Text(f"Locked in {file}"))


def restored_report(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    """What became of each checkpoint of a lock."""
    styles = {"as locked": "green", "restored": "green", "changed": "red", "missing": "yellow"}
    table = new_table("checkpoint", "state", "why")
    for row in rows:
        state = Text(row["state"], styles[row["state"]])
        table.add_row(Text(shown(row["checkpoint"]), "bold"), state, Text(shown(row["why"]), overflow="fold"))
    return table


def _unprobed_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    table = new_table("not probed", ">parameters", ">to fetch", ">distance", "published")
    keep_ids(table, [shown(row["checkpoint"]) for row in rows], least=26)
    for row in rows:
        name, *cells, published = map(shown, unprobed_cells(row).values())
        table.add_row(cut(name), *cells, cut(published))
    return table


def _rivals(rows: Sequence[Mapping[str, Any]]) -> str:
    """What others would take, in a sentence."""
    of: dict[str, list[str]] = {}
    for row in rows:
        if row["checkpoint"] is None:
            of.setdefault(row["of"], []).append(row["because"])
            continue
        score = "" if row["expected"] is None else f", expected {render.percent(row['expected']['mean'])}"
        of.setdefault(row["of"], []).append(f"{shown(row['checkpoint'])}{'' if row['here'] else ' (not here)'}{score}")
    return "Others would take  " + "; ".join(f"{name}: {', '.join(taken)}" for name, taken in of.items())


def _checkpoint_json(zoo: "Zoo", card: Checkpoint) -> dict[str, Any]:
    return {
        **to_json(card),
        **_more(zoo.licenses(card), here=zoo.here(card), task=hub_task(card.architecture)),
        "bytes": zoo.weights_bytes(card) if card.locator is None else sum(file.bytes for file in card.locator.weights),
        "contradictions": [],
    }


def _more(licenses: Licenses, *, here: bool, task: str) -> dict[str, Any]:
    """What both forms say beside the card."""
    of = {"weights": licenses.weights, "base_model": licenses.base, "training_data": licenses.data}
    return {"here": here, "task": task, "licenses": {name: list(stated) for name, stated in of.items() if stated}}


def _known_table(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    table = new_table("checkpoint", "trained on", ">parameters", ">about", "license")
    keep_ids(table, [shown(row["name"]) for row in rows])
    for row in rows:
        table.add_row(
            cut(shown(row["name"]), "bold"),
            cut(shown(row["source"] or UNKNOWN_LICENSE)),
            UNKNOWN_LICENSE if row["parameters"] is None else render.amount(row["parameters"]),
            UNKNOWN_LICENSE if row["bytes"] is None else render.size(row["bytes"]),
            cut(shown(row["license"]), "yellow" if "license" in row["contradictions"] else ""),
        )
    give_way(table, "trained on", "license", most=13)
    return table


def _fact_line(kind: str, fact: Fact) -> RenderableType:
    held = "; config computes the same" if fact.witness == "config" else ""
    read = f"read {fact.checked}" if fact.checked else fact.witness or "cited from memory"
    numbers = kind in {"parameters", "width", "depth"} and not fact.witness
    value = f"{fact.value:,}" if isinstance(fact.value, int) else shown(fact.value)
    return _indented(f"{value}  ({shown(fact.source)}; {read}{held}{'; no witness' if numbers else ''})")


def _indented(line: str) -> RenderableType:
    return Padding(Text(line, overflow="fold"), (0, 0, 0, 2))
