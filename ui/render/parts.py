"""Parts that several reports are made of."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

BAR = 28
NEAREST = 8
_ID, _LEAST = 31, 9
"""Columns of the screen that an id has at least, and what gives way before it."""


@dataclass(frozen=True)
class Id:
    """An id on as many lines as it takes, whole where there is room, else parted behind ``/ - _ .`` alone."""

    name: str
    style: str = ""

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[Text]:
        lines = [""]
        for part in self._parts:
            if lines[-1] and len(lines[-1]) + len(part) > options.max_width:
                lines.append("")
            lines[-1] += part
        yield Text("\n".join(lines), self.style, overflow="fold")

    def __rich_measure__(self, _console: Console, options: ConsoleOptions) -> Measurement:
        least = max(map(len, self._parts), default=0)
        return Measurement(least, len(self.name)).with_maximum(options.max_width)

    @property
    def _parts(self) -> list[str]:
        return re.findall(r"[^/_.-]*[/_.-]|[^/_.-]+", self.name)


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
