"""Parts that several reports are made of."""

from collections.abc import Sequence

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

BAR = 28
NEAREST = 8
_ID, _LEAST = 31, 9
"""Columns of the screen that an id has at least, and what gives way before it."""


def bullet(line: str, style: str = "") -> RenderableType:
    """One line of a list."""
    return Padding(Text(f"• {line}", style), (0, 0, 0, 2))


def keep_ids(table: Table, names: Sequence[str], least: int = _ID) -> None:
    """Have the first column hold these names unbroken, for they are copied; on a narrow screen long ones are cut."""
    for column in table.columns:
        column.no_wrap = True
    longest = max(map(len, names), default=0)
    table.columns[0].overflow, table.columns[0].min_width = "ellipsis", min(least, longest)
    table.columns[0].no_wrap = longest <= least


def give_way(table: Table, *columns: int, most: int | None = None) -> None:
    """Have these columns be cut first where there is no room for all; their cells are `cut` text."""
    for column in columns:
        table.columns[column].no_wrap, table.columns[column].max_width = False, most
        table.columns[column].min_width = _LEAST


def cut(text: str, style: str = "") -> Text:
    """A cell on one line, which ends with an ellipsis where it is cut."""
    return Text(text, style, no_wrap=True, overflow="ellipsis")


def new_table(*headings: str) -> Table:
    """A table of these headings; a column whose heading begins with ``>`` is set to the right."""
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", padding=(0, 1, 0, 0), show_edge=False)
    for heading in headings:
        right = heading.startswith(">")
        table.add_column(heading.lstrip(">"), justify="right" if right else "left", overflow="fold")
    return table
