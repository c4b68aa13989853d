"""Zoo: the checkpoints that the registry and the catalog know, their cards, and what brings others here."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import streamlit as st

from recommender.requests import AddRequest, FetchRequest, HoldingsRequest, RemoveRequest, SearchRequest
from registry.errors import TransferZooError
from registry.escapes import shown
from registry.forms import Json
from registry.zoo import Zoo
from ui import offers, render
from ui.strangers import markdown as literal
from ui.views.parts import followed, go, opened_zoo, outcomes_table, permitted_place, refused, requested, ticked
from ui.views.tables import table

__all__ = ["checkpoints_page"]

_MOST = 4
"""Cards beside one another."""
_MOST_LETTERS, _LETTERS = 96, 24
"""Of a name in the lineage, and of one of its lines."""
_COMPARED = (
    "modality",
    "architecture",
    "parameters",
    "input_size",
    "license",
    "domain",
    "source",
    "origin",
    "here",
    "bytes",
)


def checkpoints_page() -> None:
    """Draw everything; called by Streamlit on each interaction."""
    zoo = opened_zoo()
    st.title("Zoo", anchor=False)
    rows = [row for _, row in offers.listed(zoo)]
    kept = _filtered(rows)
    here = sum(bool(row["here"]) for row in kept)
    _brought(zoo)
    st.caption(f"{len(kept)} of {len(rows)} checkpoints, {here} of them here. Tick one for its card, more to compare.")
    names = _chosen(kept)
    cards = [row for row in rows if row["name"] in names]
    if len(cards) == 1:
        _card(zoo, cards[0])
    elif cards:
        _beside(cards)
    _bring(zoo)


def _filtered(rows: Sequence[Json]) -> list[Json]:
    words, kinds, task, license, here = st.columns([3, 2, 2, 2, 1], vertical_alignment="bottom")
    wanted = words.text_input("Search", placeholder="name, architecture, source").casefold().split()
    modality = kinds.selectbox("Modality", [None, *sorted({row["modality"] for row in rows})], format_func=_any)
    does = task.selectbox("Task", [None, *sorted({row["task"] for row in rows if row["task"]})], format_func=_any)
    stated = sorted({name for row in rows for name in row["licenses"].get("weights", ())})
    under = license.selectbox("License of weights", [None, *stated], format_func=_any)
    only = here.toggle("Here")
    return [
        row
        for row in rows
        if all(word in _text(row) for word in wanted)
        and modality in {None, row["modality"]}
        and does in {None, row["task"]}
        and (under is None or under in row["licenses"].get("weights", ()))
        and (row["here"] or not only)
    ]


def _any(name: str | None) -> str:
    return "any" if name is None else shown(name)


def _text(row: Json) -> str:
    return " ".join(str(row.get(key) or "") for key in ("name", "hub", "architecture", "source", "domain")).casefold()


def _chosen(rows: Sequence[Json]) -> list[str]:
    """The checkpoints that are ticked; where none is, those that the address names."""
    cells = [
        {
            "checkpoint": row["name"],
            "here": "yes" if row["here"] else "",
            "modality": row["modality"],
            "architecture": row["architecture"],
            "parameters (M)": None if row["parameters"] is None else round(row["parameters"] / 1e6, 3),
            "weights (MB)": None if row["bytes"] is None else round(row["bytes"] / 1e6, 1),
            "trained on": row["domain"] or row["source"] or "not stated",
            "license": row["license"],
        }
        for row in rows
    ]
    if not cells:
        st.markdown("None is left. Loosen the filters, or search the hub below.")
        return []
    chosen = [rows[at]["name"] for at in ticked(cells, "Look at checkpoints", _MOST, "checkpoints", height=320)]
    if chosen:
        st.query_params["card"] = ",".join(chosen)
        return chosen
    return st.query_params.get("card", "").split(",")[:_MOST]


def _card(zoo: Zoo, row: Json) -> None:
    """One checkpoint: what is known of it, where it comes from, what became of it here."""
    st.subheader(literal(row["name"]), anchor=False)
    facts, drawn = st.columns([3, 2], gap="large")
    with facts:
        facts_known = [pair for pair in render.card_rows(row) if pair[0] not in {"facts", "folder"}]
        st.markdown("\n".join(f"- **{literal(name)}:** {_indented(words)}" for name, words in facts_known))
    with drawn:
        st.markdown("**Lineage**")
        st.graphviz_chart(_lineage(row), width="stretch")
        licenses = ", ".join(f"{of.replace('_', ' ')}: {' / '.join(names)}" for of, names in row["licenses"].items())
        st.caption(literal(f"Licenses: {licenses or 'unknown'}"))
    if row["contradictions"]:
        st.warning(literal(f"Sources disagree on {', '.join(row['contradictions'])}."))
    outcomes = zoo.history(checkpoint=row["name"])
    if outcomes:
        st.markdown("**History here**")
        outcomes_table(outcomes, without=("checkpoint",))
    fetch, remove, _ = st.columns([1, 1, 3])
    if not row["here"] and fetch.button("Fetch its weights", icon=":material/download:"):
        _queue(zoo, FetchRequest(names=(row["name"],)), card=row["name"])
    if row["name"] in zoo and row["origin"] != "seedling":
        with remove.popover("Remove"):
            st.caption("It is forgotten; a folder that was added stays where it lies.")
            if st.button(f"Forget {literal(row['name'])}", type="primary"):
                _queue(zoo, RemoveRequest(name=row["name"]))


def _indented(words: str) -> str:
    """A value in a list: its lines, where there are several, below one another."""
    return "  \n  ".join(literal(line) for line in words.splitlines())


def _lineage(row: Json) -> str:
    """What shaped a checkpoint, as a graph in DOT; names are quoted."""
    before = [*(row.get("lineage") or row.get("base") or ()), *(row.get("data") or ())] or [
        row["domain"] or row["source"] or "unknown"
    ]
    chain = [*dict.fromkeys(before), row["name"]]
    nodes = "; ".join(f"{_quoted(name)} [shape=box, style=rounded]" for name in chain)
    edges = "; ".join(f"{_quoted(name)} -> {_quoted(row['name'])}" for name in chain[:-1])
    colors = 'bgcolor="transparent"; node [color="#3b7dd8", fontcolor="#3b7dd8"]; edge [color="#7d8796"]'
    return f"digraph {{ rankdir=LR; {colors}; {nodes}; {edges} }}"


def _quoted(name: object) -> str:
    lines = wrap(shown(name)[:_MOST_LETTERS], _LETTERS)
    bare = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return f'"{bare}"'


def _beside(cards: Sequence[Json]) -> None:
    """Several checkpoints, fact by fact."""
    st.subheader("Side by side", anchor=False)
    rows = []
    for key in _COMPARED:
        cells = {
            card["name"]: dict(render.card_rows({key: card.get(key)})).get(key.replace("_", " "), "-") for card in cards
        }
        rows.append({"fact": key.replace("_", " "), **cells})
    table(rows, "Side by side")


def _bring(zoo: Zoo) -> None:
    """Checkpoints of a hub or a folder."""
    st.subheader("Bring another one", anchor=False)
    hub, folder = st.tabs(["From the hub", "From a folder"])
    with hub, st.form("search", border=False):
        words = st.text_input("Words of its id", placeholder="resnet")
        if st.form_submit_button("Search"):
            _queue(zoo, SearchRequest(words=words.strip()))
    with hub, st.form("add-hub", border=False):
        name = st.text_input("Id on the hub", placeholder="organization/name")
        if st.form_submit_button("Add") and name.strip():
            _queue(zoo, AddRequest(hub=name.strip()))
    with folder, st.form("add-folder", border=False):
        path = st.text_input("Folder with config.json and safetensors weights", placeholder="/models/mine")
        source = st.text_input("Items it was trained on", placeholder="none; else its distance can be told")
        license = st.text_input("License", placeholder="as the folder says")
        if st.form_submit_button("Add") and path.strip():
            _add(zoo, path, source, license)


def _add(zoo: Zoo, path: str, source: str, license: str) -> None:
    try:
        data = permitted_place(source) if source.strip() else None
        request = AddRequest(folder=permitted_place(path), source_data=data, license=license.strip() or None)
    except TransferZooError as failure:
        refused(failure)
        return
    _queue(zoo, request)


def _queue(zoo: Zoo, request: HoldingsRequest, **place: str) -> None:
    """Have it done, and show how far that is."""
    job = requested(zoo, request)
    if job is not None:
        go("zoo", job=job.id, **place)


def _brought(zoo: Zoo) -> None:
    """What came of what was to be searched, fetched, added or removed last."""
    job = followed(zoo, st.query_params.get("job"))
    result: Mapping[str, Any] = (None if job is None else job.result) or {}
    if job is not None and "models" in result:
        _hits(str(job.spec.get("words", "")), result["models"])
    if "removed" in result:
        st.success(literal(f"{result['removed']} is forgotten."))
    if "checkpoint" in result:
        st.success(literal(f"{result['checkpoint']} is in the zoo."))
    for name in result.get("fetched", ()):
        st.success(literal(f"{name} is here, every checksum as it should be."))
    for failed in result.get("failed", ()):
        st.error(literal(f"{failed['checkpoint']}: {failed['why']}. {failed['remedy']}"))


def _hits(words: str, models: Sequence[Json]) -> None:
    """What a hub has, best first."""
    many = "1 model" if len(models) == 1 else f"{len(models)} models"
    st.markdown(
        literal(f"{many} on the hub for {words or 'no words'}, the most downloaded first. Add one by its id below.")
    )
    if models:
        table(
            [{key: cell for key, cell in row.items() if not isinstance(cell, (list, dict))} for row in models],
            "Models on the hub",
        )
