"""Parts that several reports are made of."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

BAR = 28
NEAREST = 8
_ID, _LEAST = 31, 10
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


@dataclass(frozen=True)
class Fitting:
    """A table that leaves columns out where there is no room for all, so that none is cut off at the edge."""

    rows: Sequence[Mapping[str, RenderableType]]
    """Cells by their headings, which are those of `new_table`; the same in every row."""
    spare: Sequence[str]
    """Headings of what is left out, the first of them first."""
    arrange: Callable[[Table], None]
    """Has columns keep their cells whole, or give way."""

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> Iterator[Table]:
        tables = (self._without(self.spare[:count]) for count in range(len(self.spare) + 1))
        for table in tables:
            if (room := options.max_width - _least_width(table)) >= 0:
                break
        _share(table, max(room, 0))
        yield table

    def _without(self, left_out: Sequence[str]) -> Table:
        headings = [heading for heading in self.rows[0] if heading not in left_out]
        table = new_table(*headings)
        for row in self.rows:
            table.add_row(*(row[heading] for heading in headings))
        self.arrange(table)
        return table


def _least_width(table: Table) -> int:
    """Columns of the screen that a table takes at least: what is cut or folded by its least, all else whole."""
    gaps = 2 * len(table.columns) - 1
    return gaps + sum(column.min_width or _longest(column) for column in table.columns)


def _share(table: Table, room: int) -> None:
    """Give what gives way its least and as much of the room as it needs, the first column first."""
    for column in table.columns:
        if column.min_width is not None:
            wanted = min(_longest(column), column.max_width or _longest(column)) - column.min_width
            column.width = column.min_width + min(wanted, room)
            room -= min(wanted, room)


def _longest(column: Column) -> int:
    return max(map(_width, (column.header, *column.cells)))


def _width(cell: RenderableType) -> int:
    return cell_len(cell.plain if isinstance(cell, Text) else str(cell))


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


def give_way(table: Table, *headings: str, least: int = _LEAST, most: int | None = None) -> None:
    """Have the columns of these headings be cut or folded first where there is no room for all; the rows are there."""
    for column in table.columns:
        if column.header in headings:
            column.no_wrap, column.max_width, column.min_width = False, most, min(least, _longest(column))


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
