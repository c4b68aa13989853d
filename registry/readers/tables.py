"""The table that says which items belong together: a CSV with the columns ``file`` and ``group``."""

import csv
from collections import defaultdict
from collections.abc import Sequence
from io import StringIO
from pathlib import Path, PurePosixPath

from registry.errors import BadTable, PathMissing
from registry.readers.layout import plain

__all__ = ["read_groups"]

_COLUMNS = "Give it the columns file and group: file is the path below the folder, or the bare name where it is unique."


def read_groups(path: Path, names: Sequence[str]) -> dict[str, str]:
    """The group of each named item that the table speaks of; rows about other files are passed over.

    A row's file is the path below the folder, any tail of it, or the bare name, as long as one item alone fits.

    Raises:
        PathMissing: there is no such file.
        BadTable: a missing column, an empty cell, a file that fits several items, or one that comes twice.
    """
    by_ending = defaultdict(list)
    for name in names:
        by_ending[PurePosixPath(name).name].append(name)
    groups: dict[str, str] = {}
    for line, file, group in _rows(path):
        fitting = _fitting(file, by_ending)
        if len(fitting) > 1:
            raise BadTable(path, f"line {line}: {file!r} fits {len(fitting)} items, {fitting[0]!r} for one", _COLUMNS)
        for name in fitting:
            if name in groups:
                raise BadTable(path, f"line {line}: {file!r} is there twice", "Keep one row for each file.")
            groups[name] = group
    return groups


def _rows(path: Path) -> list[tuple[int, str, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as cause:
        raise PathMissing(path) from cause
    except UnicodeDecodeError as cause:
        raise BadTable(path, f"byte {cause.start} is not UTF-8", "Save it as UTF-8.") from cause
    except OSError as cause:
        raise BadTable(path, cause.strerror or str(cause), _COLUMNS) from cause
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    table = csv.DictReader(StringIO(text, newline=""), delimiter=delimiter)
    columns = {(name or "").strip().lower(): name for name in table.fieldnames or ()}
    missing = [name for name in ("file", "group") if name not in columns]
    if missing:
        raise BadTable(path, f"it has no column {missing[0]!r}", _COLUMNS)
    try:
        return [_row(path, table.line_num, row[columns["file"]], row[columns["group"]]) for row in table]
    except csv.Error as cause:
        raise BadTable(path, f"line {table.line_num}: {cause}", _COLUMNS) from cause


def _row(path: Path, line: int, file: str | None, group: str | None) -> tuple[int, str, str]:
    file, group = (file or "").strip(), (group or "").strip()
    if not file or not group:
        raise BadTable(path, f"line {line}: the cell {'group' if file else 'file'!r} is empty", _COLUMNS)
    return line, str(PurePosixPath(file.replace("\\", "/"))), group


def _fitting(file: str, by_ending: dict[str, list[str]]) -> list[str]:
    alike = by_ending.get(PurePosixPath(file).name, [])
    exact = [name for name in alike if plain(name) == plain(file)]
    return exact or [name for name in alike if plain(name).endswith(f"/{plain(file)}")]
