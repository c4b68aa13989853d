"""Tables about items: a CSV that says which belong together, or what their targets are.

Columns are ``file`` and ``group``, or ``file`` and ``target``; the usual other headings (``image,label``) are
understood. What the targets are is read off the whole column. A ``|``, or a cell left empty beside text, makes it
multi-label; a number with a fraction, or more than 20 different ones, regression; all else are classes.

Rows are read by Python's own `csv`, one after the other, not by pandas or pyarrow: these hold whole columns, name no
line of what is wrong, and take a NUL, bytes that are no UTF-8 or a line without an end for cells. Of a long table no
row is kept at first; once the items are known it is read again, and the rows that may be about them are kept: memory
grows with the items, and never with the table.
"""

import codecs
import csv
import re
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from io import TextIOWrapper
from itertools import chain, takewhile
from pathlib import Path, PurePosixPath

from registry.cards import Task
from registry.errors import BadTable, PathMissing, printable
from registry.modalities import Words
from registry.readers.cells import MOST_CELLS, TargetColumn, shortened, target_of
from registry.readers.layout import ITEMS, SPLIT_COLUMNS, Layout, counted, plain_name, role_of, tabled
from registry.readers.reservoir import reservoir_sample
from registry.readers.rows import known_suffixes

__all__ = ["LabelTable", "read_groups", "read_labels"]

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
_KEPT_ROWS = 200_000
"""Rows up to which a table is kept before the items are known."""
_MOST_NAMES = 1_000_000
"""Items that are looked up in a long table; of more a draw."""
_MOST_ROWS = 2 * _MOST_NAMES
"""Rows about these that are kept: each may be there twice."""
_MOST_COLUMNS = 10_000
_MOST_PARTS = 8
"""Different cells up to which a column may say of which part a row is."""
_MOST_TEXT = 1 << 28
"""Letters that are kept of a table."""
_LONGEST_LINE = 1 << 20
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
    first: _Row
    rows: tuple[_Row, ...]
    """All of them, or none where there are more than are kept before the items are known."""
    seen: int
    """How many there are."""
    whole: bool
    """Whether 1.0 is the class 1."""
    notes: tuple[str, ...] = ()
    missing: frozenset[str] = frozenset()
    """Cells that mean that there is no target."""

    def layout(self, place: Path, names: Sequence[str], words: Words = ITEMS) -> Layout:
        """The named files that have a row with their targets, as parts.

        Raises:
            BadTable: it names none of them, or one twice with two targets, or a row fits several.
        """
        looked_up = names if self.rows else reservoir_sample(sorted(names), _MOST_NAMES).entries
        matched = self._matched(place, looked_up, words)
        layout = tabled(looked_up, matched.cells, words, stratified=self.task is Task.CLASSIFICATION)
        notes = [*layout.notes, *matched.notes]
        if len(looked_up) < len(names):
            notes.append(f"{len(names):,} {words.many} there: a draw of {len(looked_up):,} was looked up in the table")
        return replace(layout, notes=tuple(notes))

    def match(self, place: Path, names: Sequence[str], words: Words = ITEMS) -> dict[str, str]:
        """The target of each named file that has a row.

        Raises:
            BadTable: as above.
        """
        return self._matched(place, names, words).cells

    def _matched(self, place: Path, names: Sequence[str], words: Words) -> "_Matched":
        kept = _Kept(self.rows) if self.rows else _read_again(self, names)
        matches = _matched(self.path, kept, place, names, words)
        if not matches.cells:
            one, other = shortened(self.first[1]), shortened(plain_name(min(names)))
            raise BadTable(
                self.path,
                f"no row names {words.article()} {words.one} below {place}: line {self.first[0]} says {one!r}, "
                f"{words.article()} {words.one} there is {other!r}",
                _COLUMNS["target"],
            )
        return matches


def read_groups(path: Path, names: Sequence[str], place: Path | None = None) -> dict[str, str]:
    """The group of each named item that has a row; rows about other files are passed over.

    A row's file is the path below the folder ``place``, any tail of it, or the bare name, as long as one item alone
    fits; it may begin above the folder, and end differently (0.jpg for 0.png) where one item alone is called so.

    Raises:
        PathMissing: there is no such file.
        BadTable: a missing column, an empty cell, a file that fits several items, or one that comes twice.
    """

    def checked(rows: Iterator[_Row]) -> Iterator[_Row]:
        for row in rows:
            if not row[2]:
                raise BadTable(path, f"line {row[0]}: the cell 'group' is empty", _COLUMNS["group"])
            yield row

    with _rows(path, "group") as rows:
        kept = _at_hand(path, checked(rows), names)
    return _matched(path, kept, place or Path(), names).cells


def read_labels(path: Path, task: Task | None = None) -> LabelTable:
    """The table of targets; what they are follows from the column where ``task`` does not say it.

    Raises:
        PathMissing: there is no such file.
        BadTable: a missing column, no row, a cell that is no target of the task, or more than can be read.
    """
    column, read, letters = TargetColumn(), 0, 0
    first: _Row | None = None
    kept: list[_Row] | None = []
    notes: list[str] = []
    with _rows(path, "target", notes) as rows:
        for row in rows:
            first = first or row
            read += 1
            column.add(row[2])
            if kept is not None:
                kept.append(row)
                letters += len(row[1]) + len(row[2])
                if read > _KEPT_ROWS or letters > _MOST_TEXT:
                    kept = None
    if first is None:
        raise BadTable(path, "it has no row", _COLUMNS["target"])
    task_of = column.task if task is None else task
    missing = column.missing(task_of)
    whole = task_of is Task.CLASSIFICATION and column.whole
    table = LabelTable(path, task_of, first, (), read, whole, missing=frozenset(missing))
    notes += column.doubts(task_of, task)
    if missing:
        notes.append(f"{counted(sum(missing.values()), 'row')} of the table without a target left out")
    if kept is None:
        notes.append(f"the table has {read:,} rows: those about what lies there were kept")
    return replace(table, rows=tuple(_targets(table, iter(kept or ()))), notes=tuple(notes))


def _read_again(table: LabelTable, names: Sequence[str]) -> "_Kept":
    """The rows of a long table that may be about the items."""
    with _rows(table.path, "target") as rows:
        return _at_hand(table.path, _targets(table, rows), names)


def _targets(table: LabelTable, rows: Iterator[_Row]) -> Iterator[_Row]:
    """Rows that have one, with their targets in the form that they have everywhere."""
    known: dict[str, str] = {}
    for line, file, cell in rows:
        if cell in table.missing:
            continue
        if cell not in known:
            if len(known) == MOST_CELLS:
                known.clear()
            known[cell] = target_of(table.path, f"line {line}", cell, table.task, whole=table.whole)
        yield line, file, known[cell]


@dataclass(frozen=True)
class _Kept:
    """Rows that may be about the items, and how many others there are, with the first of these."""

    rows: Sequence[_Row]
    others: int = 0
    other: _Row | None = None


def _at_hand(path: Path, rows: Iterator[_Row], names: Sequence[str]) -> _Kept:
    """The rows that may be about the items: they end in one's path, or in its name but for the ending.

    Raises:
        BadTable: they are more than can be kept.
    """
    endings = known_suffixes() | _UNREAD
    whole, bare = defaultdict(list), set()
    for name in names:
        parts = plain_name(name).split("/")
        whole[parts[-1]].append(parts[:-1])
        bare.add(_stem(parts[-1], endings))
    kept: list[_Row] = []
    others, letters = 0, 0
    other = None
    for row in rows:
        parts = plain_name(row[1]).split("/")
        last = parts.pop()
        if not any(_same_tail(its, parts) for its in whole.get(last, ())) and _stem(last, endings) not in bare:
            others, other = others + 1, other or row
            continue
        kept.append(row)
        letters += len(row[1]) + len(row[2])
        if len(kept) > _MOST_ROWS or letters > _MOST_TEXT:
            raise BadTable(
                path,
                f"line {row[0]}: more than {_MOST_ROWS:,} rows or {_MOST_TEXT >> 20} MiB fit what lies there",
                "Write files as paths below the folder, each once.",
            )
    return _Kept(kept, others, other)


@dataclass(frozen=True)
class _Matched:
    """The cell of each named item that has a row."""

    cells: dict[str, str]
    notes: tuple[str, ...]


def _matched(path: Path, kept: _Kept, place: Path, names: Sequence[str], words: Words = ITEMS) -> _Matched:
    """First by the whole name of a file; then, for files that nothing fits so far, by the name without its ending."""
    chosen = _Chosen(path)
    left, missing, height = _by(_base, path, kept.rows, place, names, chosen, 0)
    fitting = len(chosen.rows)
    free = [name for name in names if name not in chosen.rows]
    left, more, _ = _by(partial(_stem, endings=known_suffixes() | _UNREAD), path, left, place, free, chosen, height)
    notes = []
    if chosen.repeated:
        notes.append(f"{counted(chosen.repeated, 'row')} of the table repeated: each file counts once")
    if other := list(chosen.rows.items())[fitting:]:
        example = f"{shortened(other[0][1][1])} for {shortened(plain_name(other[0][0]))}"
        notes.append(f"{counted(len(other), 'row')} of the table fit by name but for the ending ({example})")
    absent = [*left, *missing, *more]
    if absent or kept.other:
        line, file, _ = min([*absent, *([kept.other] if kept.other else [])])
        count = counted(len(absent) + kept.others, "row")
        notes.append(f"{count} of the table without {words.article()} {words.one} (line {line}: {shortened(file)})")
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
            raise BadTable(
                self.path, f"line {row[0]}: {shortened(row[1])!r} is there twice", "Keep one row for each file."
            )
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
    rows_by = defaultdict(list)
    for name in names:
        parts = plain_name(name).split("/")
        rows_by[key(parts[-1])].append((parts, name))
    whole = place.absolute()
    above = tuple(map(plain_name, whole.parts if whole.is_dir() else (*whole.parts[:-1], whole.stem)))
    left: list[_Row] = []
    higher: list[tuple[int, str, _Row]] = []
    for row in rows:
        parts = plain_name(row[1]).split("/")
        same = [(its, name) for its, name in rows_by.get(key(parts[-1]), ()) if _same_tail(its[:-1], parts[:-1])]
        below = [name for its, name in same if len(parts) <= len(its)]
        exact = [name for its, name in same if len(parts) == len(its)]
        fitting = exact or below
        if len(fitting) > 1 and key is _base:
            remedy = f"Write it as a path: {_FILE}"
            why = f"line {row[0]}: {shortened(row[1])!r} fits {len(fitting)} items, {fitting[0]!r} for one"
            raise BadTable(path, why, remedy)
        if len(fitting) == 1:
            chosen.enter(fitting[0], row)
        elif fitting or not same:
            left.append(row)
        else:
            its, name = max(same, key=lambda one: len(one[0]))
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
    whole = name.casefold()
    stem, _, ending = whole.rpartition(".")
    return stem if stem and f".{ending}" in endings else whole


def _same_tail(one: Sequence[str], other: Sequence[str]) -> bool:
    """Whether the shorter of two paths is how the longer one ends."""
    return _shared(one, other) == min(len(one), len(other))


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many folders two paths have in common at their ends."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


@contextmanager
def _rows(path: Path, column: str, notes: list[str] | None = None) -> Iterator[Iterator[_Row]]:
    """Line, file and cell of each row, read line by line; no file is empty.

    Notes about the columns and what else is unusual are added once all were read.

    Raises:
        PathMissing: there is no such file.
        BadTable: it cannot be read, or has no such columns.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            what = "it is a folder" if path.is_dir() else "it is a pipe, a device or a socket"
            raise BadTable(path, what, "Give a CSV file.")
        with path.open("rb") as file:
            wide = file.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}
            file.seek(0)
            encoding = "utf-16" if wide else "utf-8-sig"
            text = TextIOWrapper(file, encoding=encoding, errors="surrogateescape", newline="")
            noted: list[str] = ["the table of labels is read as UTF-16"] if wide and column == "target" else []
            yield _parsed(path, column, text, noted)
            if notes is not None:
                notes += noted
    except FileNotFoundError as cause:
        raise PathMissing(path) from cause
    except OSError as cause:
        raise BadTable(path, cause.strerror or str(cause), _COLUMNS[column]) from cause
    except UnicodeDecodeError as cause:
        raise BadTable(path, f"it is not {cause.encoding} (byte {cause.start})", "Save it as UTF-8.") from cause


def _parsed(path: Path, column: str, text: TextIOWrapper, notes: list[str]) -> Iterator[_Row]:
    lines = _lines(path, text)
    first = next(lines, "")
    delimiter = max(",;\t", key=first.count)
    table = csv.reader(chain([first], lines), delimiter=delimiter)

    def refused(cause: csv.Error) -> BadTable:
        return BadTable(path, f"line {table.line_num}: {cause}", _COLUMNS[column])

    try:
        heading = next(table, [])
    except csv.Error as cause:
        raise refused(cause) from cause
    places, note = _columns(path, column, heading)
    notes += [note] if note else []
    split = next((place for place, name in enumerate(heading) if name.strip().lower() in SPLIT_COLUMNS), None)
    parts: set[str] = set()

    def rows() -> Iterator[_Row]:
        try:
            if _is_headless(heading):
                yield _row(path, column, 1, heading, places)
            for cells in table:
                if cells:
                    yield _row(path, column, table.line_num, cells, places)
                    if split is not None and split < len(cells) and len(parts) <= _MOST_PARTS:
                        parts.add(cells[split].strip())
        except csv.Error as cause:
            raise refused(cause) from cause
        if split is not None and 1 < len(parts) <= _MOST_PARTS and all(map(role_of, parts)):
            shown = f"column {heading[split]!r} ({', '.join(sorted(parts))}) of the table is not used"
            notes.append(f"{shown}: move the files of its parts below train/ and test/ for that")

    return rows()


def _lines(path: Path, text: TextIOWrapper) -> Iterator[str]:
    number = 0
    while line := text.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise BadTable(path, f"line {number} is longer than {_LONGEST_LINE:,} letters", "Give a CSV, row by row.")
        if "\0" in line:
            raise BadTable(path, f"line {number} holds a NUL byte", "Save it as plain UTF-8 text.")
        if not line.isascii() and _NO_TEXT.search(line):
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
            shown = ", ".join(shortened(printable(name)) or "(empty)" for name in heading[:5]) or "nothing"
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
    if "\\" in file or "./" in file or "//" in file or file.endswith(("/", "/.")):
        file = str(PurePosixPath(file.replace("\\", "/")))
    return line, file, cell
