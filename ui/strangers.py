"""The one door for strangers' text: names, cards and messages of others on their way to a terminal, page, CSV or JSON.

Whatever a card, a file name or a class is called, it is shown and never acted on: no control sequence moves the cursor
or colors the screen, no override turns what is read around, no markup, Markdown, HTML or formula is carried out. What
cannot be shown is escaped as Python escapes it; what a terminal's encoding lacks is, too.
"""

import codecs
import csv
import io
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from registry.escapes import UNSAFE, escaped, shown

__all__ = [
    "StrangersConsole",
    "cell",
    "markdown",
    "mistakes_csv",
    "novelty_csv",
    "pacify",
    "pairs_csv",
    "printable_streams",
    "safe_json",
    "suspects_csv",
    "table_csv",
    "unbroken",
]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""
_PLAIN = {
    "█": "#",
    "▒": "%",
    "·": ".",
    "◆": "*",
    "●": "*",
    "○": "o",
    "◇": "<",
    "✔": "+",
    "✘": "x",
    "→": "->",
    "•": "-",
    "…": "...",
    "±": "+-",
    "²": "2",
    "─": "-",
    "━": "-",
    "╸": "-",
    "╺": "-",
    "—": "-",
    "\u2019": "'",
}
"""Our own signs where the encoding lacks them."""
_ERRORS = "transferzoo"
_JOINER = "\u2060"
_ADDRESS = re.compile(r"(?<=www)(?=\.)|(?<=@)(?=[-\w]+\.)|(?<=:)(?=//)", re.IGNORECASE)
"""Where an address of the web or of mail is cut."""
_UNIT = re.compile(r"(?<=\d) (?=%|(?:ms|s|min|h|B|[KMG]iB|[kMG])(?![\w.]))|(?<=±) (?=\d)")
_POWER = re.compile(r"(?<![\w.-])(\d+(?:\.\d+)?e)-(?=\d)")
"""What no line ends behind: a number before its unit, and the hyphen of 1e-3."""


def unbroken(text: str) -> str:
    """Text whose figures stay on one line with their units, and powers of ten in one piece."""
    return _POWER.sub("\\1\u2011", _UNIT.sub("\u00a0", text))


def markdown(text: object) -> str:
    """Text as it is on a page: no Markdown, HTML or directive in a name is acted on, and no address becomes a link.

    Streamlit's renderer links addresses whatever is escaped in them, but not across a word joiner, which nobody sees.
    """
    unlinked = _ADDRESS.sub(_JOINER, unbroken(escaped(str(text))))
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])", r"\\\1", unlinked)


def cell(text: object) -> str:
    """Text as a cell of a CSV that no spreadsheet takes for a formula."""
    plain = str(text)
    return f"'{shown(plain)}" if plain.lstrip(" ").startswith(_FORMULA) else shown(plain)


def table_csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """Rows as CSV: numbers bare, texts as cells that nothing acts on, what is missing left empty."""
    written = io.StringIO()
    sheet = csv.writer(written, lineterminator="\n")
    sheet.writerow(map(cell, columns))
    sheet.writerows([_bare(row.get(name)) for name in columns] for row in rows)
    return written.getvalue()


def suspects_csv(rows: Iterable[Mapping[str, object]], hardest: Iterable[Mapping[str, object]] = ()) -> str:
    """A table of labels in doubt, in their order, then of the hardest of the other rows; ``kind`` tells which."""
    columns = ("file", "label", "suggested", "probability", "suggested_probability", "kind")
    parts = (("in doubt", rows), ("hardest", hardest))
    return table_csv(columns, ({"file": row["item"], "kind": kind, **row} for kind, part in parts for row in part))


def pairs_csv(rows: Iterable[Mapping[str, object]]) -> str:
    """A table of rows that are the same or alike, two on a line."""
    columns = ("likeness", "file", "label", "other_file", "other_label")
    return table_csv(columns, ({**row, "file": row["item"], "other_file": row["other"]} for row in rows))


def novelty_csv(rows: Iterable[Mapping[str, object]]) -> str:
    """A table of the rows that are least like a source domain."""
    return table_csv(("file", "label", "distance", "farther_than"), ({"file": row["item"], **row} for row in rows))


def mistakes_csv(rows: Iterable[Mapping[str, object]]) -> str:
    """A table of test rows of which a run says something wrong."""
    columns = ("file", "label", "predicted", "confidence", "off")
    return table_csv(columns, ({"file": row["item"], **row} for row in rows))


def _bare(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6f}"
    return "" if value is None else str(value) if isinstance(value, bool | int) else cell(value)


def safe_json(text: str) -> str:
    """JSON that a terminal shows as it is: what it would act on stands in JSON's own escapes, and means the same."""
    return UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


class StrangersConsole(Console):
    """A console that shows whatever it is handed: no markup in a text, no control in it, nothing turned around."""

    def __init__(self, file: IO[str]) -> None:
        super().__init__(file=file, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **how: Any) -> Text:  # noqa: ANN401 - Rich's own settings, handed on
        """A bare text, as every cell and heading is."""
        return super().render_str(escaped(text), **{**how, "markup": False, "emoji": False})

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Whatever is printed passes here, and so does every part of it."""
        return super().render(_safe(renderable) if isinstance(renderable, Text) else renderable, options)


def printable_streams() -> None:
    """Have stdout and stderr write what their encoding lacks in other signs or escapes, and never fail for it."""
    codecs.register_error(_ERRORS, _instead)
    for stream in (sys.stdout, sys.stderr):
        with suppress(AttributeError, ValueError):  # somebody's own stream, which has no encoding to lack anything
            stream.reconfigure(errors=_ERRORS)  # type: ignore[union-attr]  # a TextIOWrapper; else the line above


def pacify() -> None:
    """Nobody reads stdout any more: what is still to be written there is written to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
            continue
        with suppress(OSError, ValueError):
            os.dup2(nowhere, stream.fileno())


def _instead(failure: UnicodeError) -> tuple[str | bytes, int]:
    """What is written instead of characters that the encoding lacks."""
    if not isinstance(failure, UnicodeEncodeError):
        raise failure
    lacking = failure.object[failure.start : failure.end]
    return "".join(_PLAIN.get(one) or one.encode("unicode_escape").decode("ascii") for one in lacking), failure.end


def _safe(text: Text) -> Text:
    """The same text and styles, its unsafe characters escaped."""
    if not UNSAFE.search(text.plain):
        return text
    cuts = sorted({at for match in UNSAFE.finditer(text.plain) for at in match.span()} - {0, len(text.plain)})
    copy = text.blank_copy()
    for part in text.divide(cuts):
        whole = escaped(part.plain)
        if whole != part.plain:
            styles = [span.style for span in part.spans]
            part.plain = whole
            part.spans = []
            for style in styles:
                part.stylize(style)
        copy.append_text(part)
    return copy
