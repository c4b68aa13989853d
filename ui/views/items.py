"""Items as pages show them: pictures, rows of text or players, alone or two beside one another.

Rows that are labelled position by position are shown as these, what belongs together on colored ground.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import streamlit as st

from recommender.changes import change_of, last_change
from registry.cards import Task
from registry.errors import TransferZooError
from registry.forms import Json
from registry.modalities import Preview, modalities
from registry.readers.anywhere import read_named
from registry.readers.records import RecordColumns
from registry.spans import OUTSIDE, Span, spans_of
from registry.zoo import Zoo
from ui import access
from ui.strangers import markdown as literal
from ui.uploads import is_of
from ui.views.parts import viewer

__all__ = [
    "Shown",
    "changed_since",
    "draw_previews",
    "draw_tagged",
    "gallery",
    "is_readable",
    "items_at",
    "marked",
    "previews_of",
    "side_by_side",
]

_SIDE = 84
"""Pixels of a thumbnail."""
_PAIRS_A_PAGE = 10
_LOOKED_AT = 10.0
"""Seconds for which a look at the files' times holds."""
_MARKED = 60
"""Positions of a row that are shown."""

Shown = Mapping[str, Preview]
"""Previews by the names of items."""


def previews_of(zoo: Zoo, sample: Json, names: Sequence[str], *, of_test: bool = False) -> Shown:
    """The named rows of a sample, or of its test part, as far as they can be read still and the page may."""
    place = (sample.get("test_from") if of_test else None) or sample["origin"]
    return {} if changed_since(zoo, sample) else items_at(zoo, sample, place, names)


def items_at(zoo: Zoo, sample: Json, place: str, names: Sequence[str]) -> Shown:
    """The named items at a place, read as those of a sample are, as far as the page may."""
    if not names or not is_readable(zoo, sample, Path(place)):
        return {}
    read = _read(json.dumps(sample, sort_keys=True, default=str), place, tuple(dict.fromkeys(names)))
    return {name: preview for name, (preview, _) in read.items()}


def is_readable(zoo: Zoo, sample: Json, place: Path | None = None) -> bool:
    """Whether this page may read where a sample lies, for who looks: of uploads only their own."""
    where = place or Path(sample["origin"])
    return is_of(where, zoo.home, viewer()) and access.is_inside(
        where, zoo.home.root / "uploads", zoo.home.root / "datasets"
    )


def changed_since(zoo: Zoo, sample: Json) -> str | None:
    """What has changed of a sample that this page may read; None where nothing has, as far as it may know."""
    if not all(is_readable(zoo, sample, Path(place)) for key in ("origin", "test_from") if (place := sample.get(key))):
        return None
    kept = json.dumps(sample, sort_keys=True, default=str)
    return _change(zoo, kept, _last_change(kept))


@st.cache_data(show_spinner=False, ttl=_LOOKED_AT, max_entries=50)
def _last_change(kept: str) -> float | None:
    return last_change(json.loads(kept))


@st.cache_data(show_spinner="Looking whether these are still the rows", max_entries=50)
def _change(_zoo: Zoo, kept: str, last: float | None) -> str | None:
    return change_of(_zoo, json.loads(kept), last)


@st.cache_data(show_spinner="Reading some of the rows", max_entries=50)
def _read(kept: str, place: str, names: tuple[str, ...]) -> dict[str, tuple[Preview, tuple[str, ...]]]:
    """Previews, and the positions where these are labelled."""
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
    kind = modality.positions if sample["task"] == Task.TOKEN_CLASSIFICATION else None
    return {name: (modality.preview(item), () if kind is None else kind.of(item)) for name, item in items.items()}


def gallery(zoo: Zoo, sample: Json, rows: Sequence[Json], words: Mapping[str, str], *, of_test: bool = False) -> None:
    """Rows of a sample, each with a few words by its name; nothing where they cannot be shown.

    Where positions are labelled they are shown with their labels and, where a row has ``predicted``, with these below.
    """
    noun = modalities[sample["modality"]].words.one
    if sample["task"] == Task.TOKEN_CLASSIFICATION:
        _tagged_gallery(zoo, sample, rows, words, of_test=of_test)
        return
    shown = previews_of(zoo, sample, [row["item"] for row in rows], of_test=of_test)
    there = [row["item"] for row in rows if row["item"] in shown]
    draw_previews([(words[name], shown[name]) for name in there], noun)


def _tagged_gallery(zoo: Zoo, sample: Json, rows: Sequence[Json], words: Mapping[str, str], *, of_test: bool) -> None:
    place = (sample.get("test_from") if of_test else None) or sample["origin"]
    if not is_readable(zoo, sample, Path(place)) or changed_since(zoo, sample):
        return
    kept = json.dumps(sample, sort_keys=True, default=str)
    read = _read(kept, place, tuple(dict.fromkeys(row["item"] for row in rows)))
    for row in rows:
        if row["item"] in read:
            _, positions = read[row["item"]]
            tagged = [(positions, row[key]) for key in ("label", "predicted") if row.get(key)]
            draw_tagged(tagged, words[row["item"]])


def draw_tagged(rows: Sequence[tuple[Sequence[str], str]], caption: str = "") -> None:
    """Rows of positions, each with its tags (parted by white space), one below the other."""
    st.markdown("\n".join(f"- {marked(positions, tags.split())}" for positions, tags in rows))
    if caption:
        st.caption(literal(caption))


def marked(positions: Sequence[str], tags: Sequence[str]) -> str:
    """Positions as Markdown: what belongs together on colored ground, its kind behind it; a plain tag's each alone.

    Nothing in a position or a tag is acted on. Of more than 60 positions the first are shown.
    """
    alone = (Span(tag, place, place + 1) for place, tag in enumerate(tags) if tag != OUTSIDE)
    spans = spans_of(tags) or tuple(alone)
    parts: list[str] = []
    done, most = 0, min(len(positions), _MARKED)
    for kind, start, end in spans:
        if start >= most:
            break
        parts += map(literal, positions[done:start])
        parts.append(f":blue-background[{literal(' '.join(positions[start:end]))}] *{literal(kind)}*")
        done = end
    parts += map(literal, positions[done:most])
    return " ".join([*parts, *(["…"] if max(done, most) < len(positions) else [])])


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
