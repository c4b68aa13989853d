"""A table that is read and not operated: its cells wrap, its numbers align, and where it is narrow its rows are lists.

Streamlit's own table is drawn on a canvas as wide as its cells, so that a phone shows two columns of seven. What a page
lets somebody tick is that one where the screen is wide, and a list to choose from where it is not (`parts.ticked`).
"""

import html
import re
from collections.abc import Mapping, Sequence

import streamlit as st

from registry.escapes import shown
from ui.strangers import unbroken

__all__ = ["NARROW", "STYLE", "WIDE", "table"]

WIDE, NARROW = "wide", "narrow"
"""Beginnings of the keys of containers that are seen on such screens alone."""
_LONG = re.compile(r"[^\s<>&;]{17,}")
_BREAKS = re.compile(r"(?<=[-_/.:@])(?=.)|(?<=[^-_/.:@]{16})(?=.)")
"""Where a word that is longer than others may end a line."""
_NUMBER = re.compile(r"^(under )?[-+±]?\d")
_ROWS_AT_ONCE = 10
"""Rows above which a table scrolls within itself."""
_LINE = "color-mix(in srgb, currentColor 18%, transparent)"
_NARROWER = {"some": "24rem", "wide": "34rem", "many": "54rem"}
"""Widths below which a table of three columns, of more and of many is a list."""
_FEW, _MANY = 3, 8


def _as_lists(kind: str, width: str) -> str:
    """How a table of that kind looks where it has no more room than that."""
    of = f".tz-{kind}"
    return f"""@container (max-width: {width}) {{
  {of} thead {{position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden}}
  {of} table, {of} tbody, {of} tr {{display: block}}
  {of} tr {{padding: .4rem 0; border-bottom: 1px solid {_LINE}}}
  {of} tr:last-child {{border-bottom: 0}}
  {of} td, {of} .n {{display: flex; gap: 1rem; justify-content: space-between; text-align: right;
    padding: .1rem .6rem; border: 0; white-space: normal; overflow-wrap: anywhere}}
  {of} td:first-child {{font-weight: 600}}
  {of} td:empty {{display: none}}
  {of} td::before {{content: attr(data-label); font-weight: 400; text-align: left; flex: none; max-width: 50%}}
}}"""


STYLE = f"""<style>
.tz {{container-type: inline-size; font-size: .875rem; border: 1px solid {_LINE}; border-radius: 8px; overflow: auto}}
.tz-long {{max-height: 24rem}}
.tz table {{width: 100%; margin: 0; border-collapse: collapse}}
.tz th, .tz td {{padding: .4rem .6rem; text-align: left; vertical-align: top; overflow-wrap: break-word}}
.tz th, .tz td {{border: 0; border-bottom: 1px solid {_LINE}}}
.tz th {{font-weight: 600}}
.tz .n {{text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap}}
.tz tr:last-child td {{border-bottom: 0}}
.tz [title] {{text-decoration: underline dotted; cursor: help}}
{"".join(_as_lists(*one) for one in _NARROWER.items())}
[class*="st-key-{NARROW}-"] {{display: none}}
@media (max-width: 40rem) {{
  [class*="st-key-{WIDE}-"] {{display: none}}
  [class*="st-key-{NARROW}-"] {{display: flex}}
  [data-testid="stHeading"] h1 {{font-size: 1.75rem}}
}}
[data-testid="stSidebar"] button[kind="tertiary"] p {{text-align: left}}
[role="tablist"] {{flex-wrap: wrap; overflow: visible}}
</style>"""
"""How they look, in light and in dark; once a page."""


def table(rows: Sequence[Mapping[str, object]], name: str, helped: Mapping[str, str] | None = None) -> None:
    """Rows as a table of that name; every cell is text, and no markup in it is carried out.

    The columns are those of the first row; ``helped`` explains some of them on hover.
    """
    columns = [*rows[0]]
    cells = [[_words(row.get(column)) for column in columns] for row in rows]
    aligned = [_are_numbers(column) for column in zip(*cells, strict=True)]
    heads = "".join(_head(*one, (helped or {}).get(one[0], "")) for one in zip(columns, aligned, strict=True))
    body = "".join(f'<tr role="row">{_row(columns, line, aligned)}</tr>' for line in cells)
    long = len(rows) > _ROWS_AT_ONCE
    kind = f"tz{_kind_of(len(columns))}{' tz-long' if long else ''}"
    reached = f' tabindex="0" role="region" aria-label="{html.escape(name)}"' if long else ""
    st.html(
        f'<div class="{kind}"{reached}><table role="table" aria-label="{html.escape(name)}">'
        f'<thead role="rowgroup"><tr role="row">{heads}</tr></thead><tbody role="rowgroup">{body}</tbody></table></div>'
    )


def _kind_of(columns: int) -> str:
    if columns < _FEW:
        return ""
    return " tz-some" if columns == _FEW else " tz-wide" if columns <= _MANY else " tz-many"


def _breakable(text: str) -> str:
    """Text as HTML whose long words may end a line within: behind a sign, else after so many letters."""
    return _LONG.sub(lambda word: _BREAKS.sub("<wbr/>", word[0]), html.escape(text))


def _words(cell: object) -> str:
    return "" if cell is None else unbroken(shown(cell))


def _are_numbers(cells: Sequence[str]) -> bool:
    """Whether there are numbers in a column and nothing else."""
    stated = [cell for cell in cells if cell not in {"", "-"}]
    return bool(stated) and all(_NUMBER.match(cell) for cell in stated)


def _head(name: str, number: bool, help: str) -> str:
    title = f' title="{html.escape(help)}"' if help else ""
    return f'<th role="columnheader" scope="col"{_kind(number)}{title}>{_breakable(name)}</th>'


def _row(columns: Sequence[str], cells: Sequence[str], aligned: Sequence[bool]) -> str:
    return "".join(
        f'<td role="cell" data-label="{html.escape(column)}"{_kind(number)}>{_breakable(cell)}</td>'
        for column, cell, number in zip(columns, cells, aligned, strict=True)
    )


def _kind(number: bool) -> str:
    return ' class="n"' if number else ""
