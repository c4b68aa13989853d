"""Spans: what a row of tags says, each a kind and where it begins and ends; and the schemes that tags are written in.

Ramshaw & Marcus, "Text chunking using transformation-based learning" (1995); Tjong Kim Sang & De Meulder, "Introduction
to the CoNLL-2003 shared task" (2003), whose conlleval reads a tag that cannot follow the one before as a beginning.
"""

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from registry.errors import UnusableLabels

__all__ = ["OUTSIDE", "Scheme", "Span", "astray", "scheme_of", "spans_of"]

OUTSIDE = "O"
_TAG = re.compile(r"([BIESLUM])-(\S+)")
_ENDS = frozenset("ESLU")
_STARTS = frozenset("BSU")
_SHOWN = 3


class Scheme(StrEnum):
    """How tags say where a span begins and ends."""

    IOB1 = "IOB1"
    """I- inside, B- only where a span follows one of its kind."""
    IOB2 = "IOB2"
    """B- first, I- behind it; often called BIO."""
    BIOES = "BIOES"
    """E- at the end, S- alone; as BILOU with L- and U-."""


class Span(NamedTuple):
    """Positions that belong together, from the first to the one behind the last."""

    kind: str
    start: int
    end: int


def scheme_of(tags: Iterable[str]) -> Scheme | None:
    """The scheme of the tags that occur; None where they are plain classes, none of them B-, I- or the like.

    Raises:
        UnusableLabels: some are of a scheme and some of none.
    """
    known = set(tags) - {OUTSIDE}
    parts = {tag: match for tag in known if (match := _TAG.fullmatch(tag))}
    if not parts:
        return None
    plain = sorted(known - set(parts))
    if plain:
        listed = ", ".join(map(repr, plain[:_SHOWN]))
        raise UnusableLabels(f"tags of no known scheme ({listed}) beside {min(parts)!r}: write O, B-, I- (E-, S-)")
    prefixes = {match[1] for match in parts.values()}
    if prefixes & _ENDS:
        return Scheme.BIOES
    begun = {match[2] for match in parts.values() if match[1] == "B"}
    return Scheme.IOB2 if all(match[2] in begun for match in parts.values()) else Scheme.IOB1


def spans_of(tags: Iterable[str]) -> tuple[Span, ...]:
    """The spans of a row of tags, in order; whatever the scheme, as conlleval reads them."""
    spans: list[Span] = []
    kind, start = "", 0
    for place, (prefix, of) in enumerate([*map(_parted, tags), ("", "")]):
        if kind and (of != kind or prefix in _STARTS):
            spans.append(Span(kind, start, place))
            kind = ""
        if of and not kind:
            kind, start = of, place
        if kind and prefix in _ENDS:
            spans.append(Span(kind, start, place + 1))
            kind = ""
    return tuple(spans)


def astray(rows: Iterable[Iterable[str]]) -> int:
    """How many tags go on with a span that was not begun: I- behind O, or behind another kind."""
    return sum(_strays(tags) for tags in rows)


def _strays(tags: Iterable[str]) -> int:
    before: Iterator[tuple[str, str]] = map(_parted, ["", *tags])
    pairs = zip(before, map(_parted, tags), strict=False)
    return sum(prefix in "IELM" and (last in _ENDS or of != kind) for (last, kind), (prefix, of) in pairs if of)


def _parted(tag: str) -> tuple[str, str]:
    """Prefix and kind; of a tag outside of spans, both empty."""
    match = _TAG.fullmatch(tag)
    return (match[1], match[2]) if match else ("", "")
