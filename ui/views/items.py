"""Items as pages show them: pictures, rows of text or players, alone or two beside one another."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from registry.cards import Task
from registry.errors import TransferZooError
from registry.forms import Json
from registry.modalities import Preview, modalities
from registry.readers.anywhere import read_named
from registry.readers.records import RecordColumns
from registry.zoo import Zoo
from ui import access
from ui.strangers import markdown as literal
from ui.uploads import is_of
from ui.views.parts import viewer

__all__ = ["Shown", "draw_previews", "gallery", "is_readable", "previews_of", "side_by_side"]

_SIDE = 84
"""Pixels of a thumbnail."""
_PAIRS_A_PAGE = 10

Shown = Mapping[str, Preview]
"""Previews by the names of items."""


def previews_of(zoo: Zoo, sample: Json, names: Sequence[str], *, of_test: bool = False) -> Shown:
    """The named rows of a sample, or of its test part, as far as they can be read still and the page may."""
    place = (sample.get("test_from") if of_test else None) or sample["origin"]
    if not names or not is_readable(zoo, sample, Path(place)):
        return {}
    return _read(json.dumps(sample, sort_keys=True, default=str), place, tuple(dict.fromkeys(names)))


def is_readable(zoo: Zoo, sample: Json, place: Path | None = None) -> bool:
    """Whether this page may read where a sample lies, for who looks: of uploads only their own."""
    where = place or Path(sample["origin"])
    return is_of(where, zoo.home, viewer()) and access.is_inside(
        where, zoo.home.root / "uploads", zoo.home.root / "datasets"
    )


@st.cache_data(show_spinner="Reading some of the rows", max_entries=50)
def _read(kept: str, place: str, names: tuple[str, ...]) -> dict[str, Preview]:
    sample = json.loads(kept)
    modality = modalities[sample["modality"]]
    columns = {role: name for role, name in (sample.get("columns") or {}).items() if role in {"text", "text2"}}
    try:
        items = read_named(
            Path(place),
            names,
            modality=modality,
            reading=sample.get("scale") or {},
            columns=RecordColumns(**columns),
            task=Task(sample["task"]),
            follow_links=sample.get("follow_links", False),
        )
    except (TransferZooError, OSError):
        return {}
    return {name: modality.preview(item) for name, item in items.items()}


def gallery(zoo: Zoo, sample: Json, rows: Sequence[Json], words: Mapping[str, str], *, of_test: bool = False) -> None:
    """Rows of a sample, each with a few words by its name; nothing where they cannot be shown."""
    noun = modalities[sample["modality"]].words.one
    shown = previews_of(zoo, sample, [row["item"] for row in rows], of_test=of_test)
    there = [row["item"] for row in rows if row["item"] in shown]
    draw_previews([(words[name], shown[name]) for name in there], noun)


def draw_previews(previews: Sequence[tuple[str, Preview]], noun: str) -> None:
    """Previews with their captions: pictures beside one another, texts in a list, players below one another.

    ``noun`` is what an item is called.
    """
    pictures = [(literal(words), one.content) for words, one in previews if one.mime.startswith("image/")]
    if pictures:
        captions = [words for words, _ in pictures]
        st.image(
            [content for _, content in pictures],
            caption=captions,
            width=_SIDE,
            alt=[f"{noun}: {words}" for words in captions],
        )
    texts = [(words, one.content) for words, one in previews if one.mime.startswith("text/")]
    if texts:
        lines = (f"- {literal(content.decode('utf-8', 'replace'))} — *{literal(words)}*" for words, content in texts)
        st.markdown("\n".join(lines))
    for words, one in previews:
        if one.mime.startswith("audio/"):
            st.caption(literal(words))
            st.audio(one.content, one.mime)


def side_by_side(pairs: Sequence[tuple[tuple[str, Preview | None], tuple[str, Preview | None]]], key: str) -> None:
    """Pairs of rows with what is written below each; ten at a time."""
    pages = -(-len(pairs) // _PAIRS_A_PAGE)
    page = 0
    if pages > 1:
        numbers = range(pages)
        page = st.selectbox("Page", numbers, format_func=lambda number: f"{number + 1} of {pages}", key=key)
    for one, other in pairs[page * _PAIRS_A_PAGE : (page + 1) * _PAIRS_A_PAGE]:
        with st.container(border=True, horizontal=True):
            for words, preview in (one, other):
                with st.container(width="stretch", gap=None):
                    _one(words, preview)


def _one(words: str, preview: Preview | None) -> None:
    if preview is not None and preview.mime.startswith("image/"):
        st.image(preview.content, width=_SIDE, alt=literal(words))
    elif preview is not None and preview.mime.startswith("audio/"):
        st.audio(preview.content, preview.mime)
    elif preview is not None:
        st.markdown(literal(preview.content.decode("utf-8", "replace")))
    st.caption(literal(words))
