"""Tables about items: a CSV that says which belong together, or what their targets are.

Columns are ``file`` and ``group``, or ``file`` and ``target``. What the targets are is read off the whole column. A
``|``, or a cell left empty beside text, makes it multi-label; a number that is no plain integer, or more than 20
different ones, regression; all else are classes.
"""

import csv
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePosixPath

from registry.cards import Task
from registry.errors import BadTable, PathMissing
from registry.readers.layout import Layout, plain, tabled

__all__ = ["LabelTable", "read_groups", "read_labels"]

_SEPARATOR = "|"
_CLASSES = 20
"""Different whole numbers up to which they are taken for classes."""
_WHOLE = re.compile(r"[+-]?\d+")
_FILE = "file is the path below the folder, or the bare name where it is unique."
_COLUMNS = {
    "group": f"Give it the columns file and group: {_FILE}",
    "target": f"Give it the columns file and target (several joined by |): {_FILE}",
}
_Row = tuple[int, str, str]
"""Line, file and cell."""


@dataclass(frozen=True)
class LabelTable:
    """The target of every file that a table names, as text: a class, label names joined by ``|``, or a number."""

    path: Path
    task: Task
    rows: tuple[_Row, ...]
    notes: tuple[str, ...] = ()

    def lay_out(self, place: Path, names: Sequence[str]) -> Layout:
        """The named files that it speaks of with their targets, as parts.

        Raises:
            BadTable: it names none of them, or one twice, or a row fits several.
        """
        return tabled(names, self.match(place, names), stratified=self.task is Task.CLASSIFICATION)

    def match(self, place: Path, names: Sequence[str]) -> dict[str, str]:
        """The target of each named file that it speaks of.

        Raises:
            BadTable: as above.
        """
        labels = _matched(self.path, self.rows, names)
        if not labels:
            raise BadTable(self.path, f"no row names an image below {place}", _COLUMNS["target"])
        return labels


def read_groups(path: Path, names: Sequence[str]) -> dict[str, str]:
    """The group of each named item that the table speaks of; rows about other files are passed over.

    A row's file is the path below the folder, any tail of it, or the bare name, as long as one item alone fits.

    Raises:
        PathMissing: there is no such file.
        BadTable: a missing column, an empty cell, a file that fits several items, or one that comes twice.
    """
    rows = _rows(path, "group")
    for line, _, group in rows:
        if not group:
            raise BadTable(path, f"line {line}: the cell 'group' is empty", _COLUMNS["group"])
    return _matched(path, rows, names)


def read_labels(path: Path, task: Task | None = None) -> LabelTable:
    """The table of targets; what they are follows from the column where ``task`` does not say it.

    Raises:
        PathMissing: there is no such file.
        BadTable: a missing column, no row, or a cell that is no target of the task.
    """
    rows = _rows(path, "target")
    if not rows:
        raise BadTable(path, "it has no row", _COLUMNS["target"])
    found = _task_of([cell for _, _, cell in rows]) if task is None else task
    told = tuple((line, file, _target(path, line, cell, found)) for line, file, cell in rows)
    different = len({cell for _, _, cell in told})
    notes: tuple[str, ...] = ()
    if task is None and found is Task.REGRESSION and all(_WHOLE.fullmatch(cell) for _, _, cell in rows):
        notes = (f"{different} different whole numbers taken for quantities; --task classification makes them classes",)
    return LabelTable(path, found, told, notes)


def _task_of(cells: Sequence[str]) -> Task:
    numbers = [cell for cell in cells if _number(cell) is not None]
    if len(numbers) == sum(map(bool, cells)) and numbers:
        whole = all(_WHOLE.fullmatch(cell) for cell in numbers)
        if not whole or len(set(map(float, numbers))) > _CLASSES:
            return Task.REGRESSION
    if any(_SEPARATOR in cell or not cell for cell in cells):
        return Task.MULTI_LABEL
    return Task.CLASSIFICATION


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _target(path: Path, line: int, cell: str, task: Task) -> str:
    """A cell in the form that rows of the task have everywhere."""
    if task is Task.MULTI_LABEL:
        names = {name.strip() for name in cell.split(_SEPARATOR)} - {""}
        return _SEPARATOR.join(sorted(map(plain, names)))
    if not cell:
        remedy = "Remove the row, or say --task multi-label where no label applies to it."
        raise BadTable(path, f"line {line}: the cell 'target' is empty", remedy)
    if task is Task.CLASSIFICATION:
        return plain(cell)
    value = _number(cell)
    if value is None or not math.isfinite(value):
        raise BadTable(path, f"line {line}: {cell!r} is no finite number", "Correct it, or remove the row.")
    return repr(value)


def _matched(path: Path, rows: Sequence[_Row], names: Sequence[str]) -> dict[str, str]:
    by_ending = defaultdict(list)
    for name in names:
        by_ending[PurePosixPath(name).name].append(name)
    found: dict[str, str] = {}
    for line, file, cell in rows:
        fitting = _fitting(file, by_ending)
        if len(fitting) > 1:
            remedy = f"Write it as a path: {_FILE}"
            raise BadTable(path, f"line {line}: {file!r} fits {len(fitting)} items, {fitting[0]!r} for one", remedy)
        for name in fitting:
            if name in found:
                raise BadTable(path, f"line {line}: {file!r} is there twice", "Keep one row for each file.")
            found[name] = cell
    return found


def _rows(path: Path, column: str) -> list[_Row]:
    """Line, file and cell of each row; no file is empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as cause:
        raise PathMissing(path) from cause
    except UnicodeDecodeError as cause:
        raise BadTable(path, f"byte {cause.start} is not UTF-8", "Save it as UTF-8.") from cause
    except OSError as cause:
        raise BadTable(path, cause.strerror or str(cause), _COLUMNS[column]) from cause
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    table = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter)
    columns = {(name or "").strip().lower(): name for name in table.fieldnames or ()}
    missing = [name for name in ("file", column) if name not in columns]
    if missing:
        raise BadTable(path, f"it has no column {missing[0]!r}", _COLUMNS[column])
    try:
        return [_row(path, column, table.line_num, row[columns["file"]], row[columns[column]]) for row in table]
    except csv.Error as cause:
        raise BadTable(path, f"line {table.line_num}: {cause}", _COLUMNS[column]) from cause


def _row(path: Path, column: str, line: int, file: str | None, cell: str | None) -> _Row:
    file = (file or "").strip()
    if not file:
        raise BadTable(path, f"line {line}: the cell 'file' is empty", _COLUMNS[column])
    return line, str(PurePosixPath(file.replace("\\", "/"))), (cell or "").strip()


def _fitting(file: str, by_ending: dict[str, list[str]]) -> list[str]:
    alike = by_ending.get(PurePosixPath(file).name, [])
    exact = [name for name in alike if plain(name) == plain(file)]
    return exact or [name for name in alike if plain(name).endswith(f"/{plain(file)}")]
