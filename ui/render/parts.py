"""Parts that several reports are made of."""

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

BAR = 28
NEAREST = 8


def bullet(line: str, style: str = "") -> RenderableType:
    """One line of a list."""
    return Padding(Text(f"• {line}", style), (0, 0, 0, 2))


def new_table(*headings: str) -> Table:
    """A table of these headings; a column whose heading begins with ``>`` is set to the right."""
    table = Table(box=box.SIMPLE_HEAD, header_style="dim", padding=(0, 1, 0, 0), show_edge=False)
    for heading in headings:
        right = heading.startswith(">")
        table.add_column(heading.lstrip(">"), justify="right" if right else "left", overflow="fold")
    return table
