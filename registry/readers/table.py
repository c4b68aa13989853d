"""Tables about items: a CSV that says which belong together, or what their targets are.

Columns are ``file`` and ``group``, or ``file`` and ``target``; the usual other headings (``image,label``) are
understood. What the targets are is read off the whole column. A ``|``, or a cell left empty beside text, makes it
multi-label; a number with a fraction, or more than 20 different ones, regression; all else are classes.
"""

import csv
import math
import re
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from io import TextIOWrapper
from itertools import chain, takewhile
from pathlib import Path, PurePosixPath

from registry.cards import Task
from registry.errors import BadTable, PathMissing, printable
from registry.modalities import Words
from registry.readers.layout import ITEMS, Layout, counted, plain, tabled
from registry.readers.rows import known_suffixes

__all__ = ["LARGEST", "LabelTable", "read_groups", "read_labels"]

LARGEST = 1e100
"""The largest quantity: its square is a number still."""
_SEPARATOR = "|"
_CLASSES = 20
"""Different whole numbers up to which they are taken for classes."""
_WHOLE = re.compile(r"[+-]?\d+")
_WHOLE_FLOAT = re.compile(r"([+-]?\d+)\.0*")
"""How pandas writes whole numbers of a column that once had a gap."""
_ABSENT = frozenset({"nan", "na", "n/a", "none", "null", "<na>", "#n/a"})
_FILE = "file is the path below the folder, or the bare name where it is unique."
_COLUMNS = {
    "group": f"Give it the columns file and group: {_FILE}",
    "target": f"Give it the columns file and target (several joined by |): {_FILE}",
}
_HEADINGS = {
    "file": (
        "file",
        "filename",
        "file_name",
        "filepath",
        "file_path",
        "path",
        "image",
        "image_name",
        "image_path",
        "image_id",
        "img",
        "img_path",
        "id",
    ),
    "group": ("group", "groups", "group_id", "patient", "patient_id", "subject", "subject_id"),
    "target": ("target", "targets", "label", "labels", "class", "classes", "class_name", "classname", "category"),
}
"""What a column may be called, the first that is there counts."""
_MOST_ROWS = 1_000_000
_MOST_COLUMNS = 10_000
_MOST_TEXT = 1 << 27
"""Letters that are kept of a table."""
_LONGEST_LINE = 1 << 20
_SHOWN = 60
_UNREAD = frozenset({".avif", ".heic"})
"""Endings that tables have of files which were converted since."""
_NO_TEXT = re.compile("[\udc80-\udcff]")
_Row = tuple[int, str, str]
"""Line, file and cell."""


@dataclass(frozen=True)
class LabelTable:
    """The target of every file that a table names, as text: a class, label names joined by ``|``, or a number."""

    path: Path
    task: Task
    rows: tuple[_Row, ...]
    notes: tuple[str, ...] = ()

    def lay_out(self, place: Path, names: Sequence[str], words: Words = ITEMS) -> Layout:
        """The named files that it speaks of with their targets, as parts.

        Raises:
            BadTable: it names none of them, or one twice with two targets, or a row fits several.
        """
        found = _matched(self.path, self.rows, place, names, words)
        self._require_some(place, names, found, words)
        layout = tabled(names, found.cells, words, stratified=self.task is Task.CLASSIFICATION)
        return replace(layout, notes=(*layout.notes, *found.notes))

    def match(self, place: Path, names: Sequence[str], words: Words = ITEMS) -> dict[str, str]:
        """The target of each named file that it speaks of.

        Raises:
            BadTable: as above.
        """
        found = _matched(self.path, self.rows, place, names, words)
        self._require_some(place, names, found, words)
        return found.cells

    def _require_some(self, place: Path, names: Sequence[str], found: "_Matched", words: Words) -> None:
        if not found.cells:
            one, other = _cut(self.rows[0][1]), _cut(plain(min(names)))
            raise BadTable(
                self.path,
                f"no row names {words.article()} {words.one} below {place}: line {self.rows[0][0]} says {one!r}, "
                f"{words.article()} {words.one} there is {other!r}",
                _COLUMNS["target"],
            )


def read_groups(path: Path, names: Sequence[str], place: Path | None = None) -> dict[str, str]:
    """The group of each named item that the table speaks of; rows about other files are passed over.

    A row's file is the path below the folder ``place``, any tail of it, or the bare name, as long as one item alone
    fits; it may begin above the folder, and end differently (0.jpg for 0.png) where one item alone is called so.

    Raises:
        PathMissing: there is no such file.
        BadTable: a missing column, an empty cell, a file that fits several items, or one that comes twice.
    """
    table = _read(path, "group")
    for line, _, group in table.rows:
        if not group:
            raise BadTable(path, f"line {line}: the cell 'group' is empty", _COLUMNS["group"])
    return _matched(path, table.rows, place or Path(), names).cells


def read_labels(path: Path, task: Task | None = None) -> LabelTable:
    """The table of targets; what they are follows from the column where ``task`` does not say it.

    Raises:
        PathMissing: there is no such file.
        BadTable: a missing column, no row, a cell that is no target of the task, or more than can be read.
    """
    table = _read(path, "target")
    rows, notes = table.rows, list(table.notes)
    if not rows:
        raise BadTable(path, "it has no row", _COLUMNS["target"])
    cells = {cell for _, _, cell in rows}
    found = _task_of(cells) if task is None else task
    whole = found is Task.CLASSIFICATION and all(_WHOLE.fullmatch(c) or _WHOLE_FLOAT.fullmatch(c) for c in cells if c)
    targets = tuple((line, file, _target(path, line, cell, found, whole=whole)) for line, file, cell in rows)
    notes += _doubts(rows, found, task)
    return LabelTable(path, found, targets, tuple(notes))


def _task_of(cells: set[str]) -> Task:
    numbers = [cell for cell in cells if _number(cell) is not None]
    if numbers and len(numbers) == sum(map(bool, cells)):
        floats = any(map(_WHOLE_FLOAT.fullmatch, numbers))
        whole = all(_WHOLE.fullmatch(cell) or _WHOLE_FLOAT.fullmatch(cell) for cell in numbers)
        if not whole or len(set(map(float, numbers))) > _CLASSES:
            return Task.REGRESSION
        if floats:
            return Task.CLASSIFICATION
    if any(_SEPARATOR in cell or not cell for cell in cells):
        return Task.MULTI_LABEL
    return Task.CLASSIFICATION


def _doubts(rows: Sequence[_Row], found: Task, task: Task | None) -> Iterator[str]:
    """Notes about targets that may have meant something else."""
    cells = {cell for _, _, cell in rows}
    if task is None and found is Task.REGRESSION and all(map(_WHOLE.fullmatch, cells)):
        yield f"{len(cells)} different whole numbers taken for quantities; --task classification makes them classes"
    if found is Task.REGRESSION:
        return
    if task is None and cells and all(map(_WHOLE_FLOAT.fullmatch, cells)):
        yield f"{len(cells)} different whole numbers taken for classes; --task regression makes them quantities"
    absent = sorted(cell for cell in cells if cell.casefold() in _ABSENT)
    if absent:
        count = sum(cell.casefold() in _ABSENT for _, _, cell in rows)
        yield (
            f"{counted(count, 'row')} whose target reads {', '.join(absent)}: taken for "
            f"{'a class' if len(absent) == 1 else 'classes'} of that name; remove them where no target is meant"
        )
    if found is Task.CLASSIFICATION:
        several = [cell for cell in cells if any(sign in cell and _parts(cell, sign) & cells for sign in ",;")]
        if several:
            yield f"{min(several)!r} is taken for one class: several labels are joined by {_SEPARATOR}"


def _parts(cell: str, sign: str) -> set[str]:
    return {part.strip() for part in cell.split(sign)}


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _target(path: Path, line: int, cell: str, task: Task, *, whole: bool) -> str:
    """A cell in the form that rows of the task have everywhere; ``whole``: 1.0 is the class 1."""
    if task is Task.MULTI_LABEL:
        names = {name.strip() for name in cell.split(_SEPARATOR)} - {""}
        return _SEPARATOR.join(sorted(map(plain, names)))
    if not cell:
        remedy = "Remove the row, or say --task multi-label where no label applies to it."
        raise BadTable(path, f"line {line}: the cell 'target' is empty", remedy)
    if task is Task.CLASSIFICATION:
        float_form = _WHOLE_FLOAT.fullmatch(cell) if whole else None
        return plain(float_form[1] if float_form else cell)
    value = _number(cell)
    if value is None or not math.isfinite(value):
        raise BadTable(path, f"line {line}: {_cut(cell)!r} is no finite number", "Correct it, or remove the row.")
    if abs(value) > LARGEST:
        raise BadTable(path, f"line {line}: {_cut(cell)} is larger than {LARGEST:g}", "Give it in a larger unit.")
    return repr(value)


@dataclass(frozen=True)
class _Matched:
    """The cell of each named item that a table speaks of."""

    cells: dict[str, str]
    notes: tuple[str, ...]


def _matched(path: Path, rows: Sequence[_Row], place: Path, names: Sequence[str], words: Words = ITEMS) -> _Matched:
    """First by the whole name of a file; then, for files that nothing fits so far, by the name without its ending."""
    chosen = _Chosen(path)
    left, missing, height = _by(_base, path, rows, place, names, chosen, 0)
    fitting = len(chosen.rows)
    free = [name for name in names if name not in chosen.rows]
    left, more, _ = _by(partial(_stem, endings=known_suffixes() | _UNREAD), path, left, place, free, chosen, height)
    notes = []
    if chosen.repeated:
        notes.append(f"{counted(chosen.repeated, 'row')} of the table repeated: each file counts once")
    if other := list(chosen.rows.items())[fitting:]:
        example = f"{_cut(other[0][1][1])} for {_cut(plain(other[0][0]))}"
        notes.append(f"{counted(len(other), 'row')} of the table fit by name but for the ending ({example})")
    if absent := sorted([*left, *missing, *more]):
        example = f"line {absent[0][0]}: {_cut(absent[0][1])}"
        notes.append(f"{counted(len(absent), 'row')} of the table without {words.article()} {words.one} ({example})")
    return _Matched({name: row[2] for name, row in chosen.rows.items()}, tuple(notes))


@dataclass
class _Chosen:
    """The row of each named item so far."""

    path: Path
    rows: dict[str, _Row] = field(default_factory=dict)
    repeated: int = 0

    def enter(self, name: str, row: _Row) -> None:
        before = self.rows.setdefault(name, row)
        if before[2] != row[2]:
            raise BadTable(self.path, f"line {row[0]}: {_cut(row[1])!r} is there twice", "Keep one row for each file.")
        self.repeated += before is not row


def _by(
    key: Callable[[str], str],
    path: Path,
    rows: Sequence[_Row],
    place: Path,
    names: Sequence[str],
    chosen: _Chosen,
    height: int,
) -> tuple[list[_Row], list[_Row], int]:
    """Choose rows by a key of their file's name; what is left over, what lies elsewhere, and how far above all begin.

    A row's path is a tail of an item's path below the folder. Or it begins above the folder: then it ends with the
    item's path, and rows count that share the longest tail with it and the folder's own path.

    Raises:
        BadTable: a row fits several items by their whole names.
    """
    shelf = defaultdict(list)
    for name in names:
        parts = plain(name).split("/")
        shelf[key(parts[-1])].append((parts, name))
    whole = place.absolute()
    above = tuple(map(plain, whole.parts if whole.is_dir() else (*whole.parts[:-1], whole.stem)))
    left: list[_Row] = []
    higher: list[tuple[int, str, _Row]] = []
    for row in rows:
        parts = plain(row[1]).split("/")
        alike = [(its, name) for its, name in shelf.get(key(parts[-1]), ()) if _same_tail(its[:-1], parts[:-1])]
        below = [name for its, name in alike if len(parts) <= len(its)]
        exact = [name for its, name in alike if len(parts) == len(its)]
        fitting = exact or below
        if len(fitting) > 1 and key is _base:
            remedy = f"Write it as a path: {_FILE}"
            why = f"line {row[0]}: {_cut(row[1])!r} fits {len(fitting)} items, {fitting[0]!r} for one"
            raise BadTable(path, why, remedy)
        if len(fitting) == 1:
            chosen.enter(fitting[0], row)
        elif fitting or not alike:
            left.append(row)
        else:
            its, name = max(alike, key=lambda one: len(one[0]))
            higher.append((_shared((*above, *its[:-1]), parts[:-1]) - len(its) + 1, name, row))
    height = max([height, *(depth for depth, _, _ in higher)])
    elsewhere = []
    for depth, name, row in higher:
        if depth == height:
            chosen.enter(name, row)
        else:
            elsewhere.append(row)
    return left, elsewhere, height


def _base(name: str) -> str:
    return name


def _stem(name: str, endings: frozenset[str]) -> str:
    """A file's name in small letters without an item's ending."""
    path = PurePosixPath(name.casefold())
    return path.stem if path.suffix in endings else path.name


def _same_tail(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether the shorter of two paths is how the longer one ends."""
    return _shared(one, other) == min(len(one), len(other))


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many folders two paths have in common at their ends."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


@dataclass(frozen=True)
class _Table:
    rows: tuple[_Row, ...]
    notes: tuple[str, ...]


def _read(path: Path, column: str) -> _Table:
    """Line, file and cell of each row; no file is empty. Read line by line, and never more than can be kept."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            what = "it is a folder" if path.is_dir() else "it is a pipe, a device or a socket"
            raise BadTable(path, what, "Give a CSV file.")
        with path.open("rb") as file:
            text = TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
            return _parsed(path, column, text)
    except FileNotFoundError as cause:
        raise PathMissing(path) from cause
    except OSError as cause:
        raise BadTable(path, cause.strerror or str(cause), _COLUMNS[column]) from cause


def _parsed(path: Path, column: str, text: TextIOWrapper) -> _Table:
    lines = _lines(path, text)
    first = next(lines, "")
    delimiter = max(",;\t", key=first.count)
    table = csv.reader(chain([first], lines), delimiter=delimiter)
    rows: list[_Row] = []
    kept = 0
    try:
        heading = next(table, [])
        places, note = _columns(path, column, heading)
        if _is_headless(heading):
            rows.append(_row(path, column, 1, heading, places))
        for cells in table:
            if not cells:
                continue
            row = _row(path, column, table.line_num, cells, places)
            rows.append(row)
            kept += len(row[1]) + len(row[2])
            if len(rows) > _MOST_ROWS or kept > _MOST_TEXT:
                raise BadTable(
                    path,
                    f"line {row[0]}: it goes on beyond {_MOST_ROWS:,} rows or {_MOST_TEXT >> 20} MiB of names",
                    "Keep the rows of the items at hand, and the columns that are needed.",
                )
    except csv.Error as cause:
        raise BadTable(path, f"line {table.line_num}: {cause}", _COLUMNS[column]) from cause
    return _Table(tuple(rows), (note,) if note else ())


def _lines(path: Path, text: TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise BadTable(path, f"line {number} is longer than {_LONGEST_LINE:,} letters", "Give a CSV, row by row.")
        if "\0" in line:
            raise BadTable(path, f"line {number} holds a NUL byte", "Save it as plain UTF-8 text.")
        if _NO_TEXT.search(line):
            raise BadTable(path, f"line {number} is not UTF-8", "Save it as UTF-8.")
        yield line


def _columns(path: Path, column: str, heading: list[str]) -> tuple[tuple[int, int], str]:
    """Where the file and the cell stand, and a note where they go by another name."""
    if len(heading) > _MOST_COLUMNS:
        raise BadTable(path, f"it has {len(heading):,} columns, more than {_MOST_COLUMNS:,}", _COLUMNS[column])
    if _is_headless(heading):
        return (0, 1), f"it has no line of headings: its columns are read as file and {column}"
    names = [name.strip().lower() for name in heading]
    chosen: list[str] = []
    for wanted in ("file", column):
        known = [name for name in _HEADINGS[wanted] if name in names]
        if not known:
            shown = ", ".join(_cut(printable(name)) or "(empty)" for name in heading[:5]) or "nothing"
            raise BadTable(path, f"it has no column {wanted!r}; its first line says {shown}", _COLUMNS[column])
        chosen.append(known[0])
    note = f"columns {chosen[0]!r} and {chosen[1]!r} read as file and {column}" if chosen != ["file", column] else ""
    return (names.index(chosen[0]), names.index(chosen[1])), note


def _is_headless(heading: list[str]) -> bool:
    """Whether a table of two columns begins with an item at once."""
    return len(heading) == 2 and PurePosixPath(heading[0].strip().lower()).suffix in known_suffixes()


def _row(path: Path, column: str, line: int, cells: list[str], places: tuple[int, int]) -> _Row:
    file, cell = (cells[place].strip() if place < len(cells) else "" for place in places)
    if not file:
        raise BadTable(path, f"line {line}: the cell 'file' is empty", _COLUMNS[column])
    return line, str(PurePosixPath(file.replace("\\", "/"))), cell


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} ... {text[-_SHOWN // 2 :]}"
