"""Rows of a file, one after the other, each with its number: CSV and TSV, JSON lines, Parquet, CoNLL-like columns.

Encodings are known by their mark, or by what the bytes hold; nothing but one row is kept.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

from registry.errors import BadTable
from registry.readers.layout import counted

__all__ = ["ENDINGS", "TAGS", "TOKENS", "TableRecord", "is_listed", "is_sentences", "is_tagged", "stream_records"]

_TAGGED = frozenset({".bio", ".conll", ".iob", ".iob2", ".txt"})
"""A token a line, its tag in the last column, an empty line behind a sentence."""
ENDINGS = frozenset({".csv", ".jsonl", ".ndjson", ".parquet", ".tsv"}) | (_TAGGED - {".txt"})
_ARRAY = ".json"
"""Read where it is given itself: in a folder such files may be of anything."""
TOKENS, TAGS = "tokens", "tags"
"""What the first and the last column of such lines are called."""
TableRecord = Mapping[str, object]
"""Cells by column. What is wrong with the whole row, an exception, stands under the empty name."""
_LONGEST = 1 << 27
"""Letters of a cell, of a line of JSON, or of a whole array of it, which is held at once."""
_SIGNS = ",;\t|"
_MOST_LINES = 1000
"""Lines of a row with too few cells or too many, beyond which it is several rows behind a quote that was not closed."""
_END = "\0end"
"""What is read behind the last line of a CSV: a row of its own, unless a quote is open there."""
_QUOTES = "Double the quotes inside cells, and quote the cells that have them."
_ESCAPED, _BEYOND_ASCII = re.compile("[\udc80-\udcff]"), re.compile("[^\x00-\x7f]")
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"PK\x03\x04": "a zip, as spreadsheets are",
    b"PAR1": "Parquet",
}
"""Beginnings of files that hold no text, whatever they are called."""
_MOST_RATIO, _RATIO_FROM = 200, 1 << 26
"""How tightly a column of Parquet may be packed that has more bytes than so many, unpacked."""
_TEXTS = {"UTF8", "JSON", "ENUM"}
"""What Parquet calls them."""
_AT_ONCE, _NESTED_AT_ONCE = 4096, 256
"""Rows of Parquet that are read together, and where cells hold lists or files."""
_MOST_RECORDS = 100_000_000
_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))
_DOCUMENT = "-DOCSTART-"
_TAG = re.compile(r"O|[BIESLU]-\S+")
_LOOKED_AT = 1 << 16
_DAMAGED = "utf_8"
"""Python's other name of UTF-8: of a file that is not all of it."""
_NOTED = {
    "cp1252": "Windows-1252",
    _DAMAGED: "UTF-8 with broken letters",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
}


def stream_records(path: Path, notes: list[str]) -> Iterator[tuple[int, TableRecord]]:
    """Every row of the file with its number, from 1; what is unusual about the file is added to the notes.

    Raises:
        BadTable: it cannot be read.
    """
    try:
        if path.suffix.lower() == ".parquet":
            yield from _of_parquet(path)
        else:
            encoding = _encoding(path)
            if encoding in _NOTED:
                notes.append(f"{path.name} read as {_NOTED[encoding]}")
            yield from _reader(path.suffix.lower())(path, encoding)
    except OSError as cause:
        raise BadTable(path, cause.strerror or str(cause), "Give a file that can be read.") from cause
    except UnicodeDecodeError as cause:
        raise BadTable(path, f"it is not {cause.encoding} (byte {cause.start})", "Save it as UTF-8.") from cause


def is_listed(path: Path) -> bool:
    """Whether a file's name says that it holds rows."""
    return path.suffix.lower() in ENDINGS | {_ARRAY}


def is_sentences(path: Path) -> bool:
    """Whether a file's name says that each of its lines holds a word."""
    return path.suffix.lower() in _TAGGED


def is_tagged(path: Path) -> bool:
    """Whether a file's lines are tokens and their tags: several columns in each, the last one O, B-, I- or the like."""
    if not is_sentences(path):
        return False
    try:
        with path.open("rb") as file:
            start = file.read(_LOOKED_AT)
    except OSError:
        return False
    lines = start.decode("utf-8", "replace").splitlines()[: None if len(start) < _LOOKED_AT else -1]
    columns = [cells for line in lines if (cells := _cells(line)) and cells[0] != _DOCUMENT]
    same = bool(columns) and len(columns[0]) > 1 and all(len(cells) == len(columns[0]) for cells in columns)
    return same and all(_TAG.fullmatch(cells[-1]) for cells in columns)


def _reader(ending: str) -> Callable[[Path, str], Iterator[tuple[int, TableRecord]]]:
    if ending in _TAGGED:
        return _of_lines
    return _of_csv if ending in {".csv", ".tsv"} else _of_json


def _encoding(path: Path) -> str:
    """By its mark; else UTF-8 where the whole file is, or most of what is no ASCII in it; else one byte a letter."""
    with path.open("rb") as file:
        start = file.read(1 << 12)
    packed = next((kind for mark, kind in _PACKED.items() if start.startswith(mark)), None)
    if packed is not None:
        raise BadTable(path, f"it is no text but {packed}", "Unpack it, or name it by what it is.")
    marked = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)
    if marked is not None:
        return marked
    for encoding, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if len(start) > 3 and 2 * zeros.count(0) > len(zeros):  # as text of few letters beyond Latin-1 has it
            return encoding
    broken = letters = 0
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
        while part := text.read(1 << 20):
            if not part.isascii():
                strange = len(_ESCAPED.findall(part))
                broken, letters = broken + strange, letters + len(_BEYOND_ASCII.findall(part)) - strange
    return "utf-8" if not broken else _DAMAGED if broken < letters else "cp1252"


def _errors(encoding: str) -> str:
    """What is done about bytes that are no letters: known before, each costs one; else the file is refused."""
    return "replace" if encoding in {"cp1252", _DAMAGED} else "strict"


def _of_csv(path: Path, encoding: str) -> Iterator[tuple[int, TableRecord]]:
    errors = _errors(encoding)
    before = csv.field_size_limit(_LONGEST)
    try:
        with path.open(encoding=encoding, errors=errors, newline="") as file:
            first = file.readline(_LONGEST)
            sign = "\t" if path.suffix.lower() == ".tsv" else max(_SIGNS, key=first.count)
            file.seek(0)
            rows = csv.reader(chain(file, [_END]), delimiter=sign)
            headings = next(rows)
            if headings == [_END]:
                return
            if headings and headings[-1].endswith(_END):
                raise BadTable(path, "a quote of its first line is never closed", _QUOTES)
            heading, line = _heading(path, headings), rows.line_num
            for number, cells in enumerate(rows, start=1):
                began, line = line, rows.line_num
                if cells == [_END]:
                    return
                if cells and cells[-1].endswith(_END):
                    raise BadTable(path, f"a quote that opens behind line {began:,} is never closed", _QUOTES)
                if len(cells) == len(heading):
                    yield number, dict(zip(heading, cells, strict=True))
                elif line - began > _MOST_LINES:
                    quote = f"a quote that opens behind line {began:,} closes {line - began:,} lines later"
                    raise BadTable(path, quote, _QUOTES)
                elif cells:
                    over = f" of lines {began + 1:,} to {line:,}" if line - began > 1 else ""
                    why = ValueError(f"{counted(len(cells), 'cell')}{over} where the headings are {len(heading)}")
                    yield number, {"": why, **dict(zip(heading, cells, strict=False))}
    except csv.Error as cause:
        raise BadTable(path, str(cause), "Save it as CSV once more.") from cause
    finally:
        csv.field_size_limit(before)


def _heading(path: Path, cells: list[str]) -> list[str]:
    """A name for each column; those without one (pandas leaves its index so) are called after their place.

    Raises:
        BadTable: two have the same.
    """
    names = [cell.strip() or f"column {place}" for place, cell in enumerate(cells, start=1)]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise BadTable(path, f"two columns are called {twice!r}", "Give each column a name of its own.")
    return names


def _of_json(path: Path, encoding: str) -> Iterator[tuple[int, TableRecord]]:
    """Of a line each, or the members of one array."""
    with path.open(encoding=encoding, errors=_errors(encoding)) as file:
        if path.suffix.lower() == _ARRAY and file.read(_LOOKED_AT).lstrip().startswith("["):
            file.seek(0)
            if len(content := file.read(_LONGEST + 1)) > _LONGEST:
                raise BadTable(path, f"an array of more than {_LONGEST >> 20} MiB", "Write one object a line (.jsonl).")
            yield from _of_array(path, content)
            return
        file.seek(0)
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST + 1), ""), start=1):
            if len(line) > _LONGEST:
                raise BadTable(path, f"line {number} has more than {_LONGEST >> 20} MiB", "Write one object a line.")
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as cause:
                raise BadTable(path, f"line {number} is no JSON ({cause})", "Write one object a line.") from cause
            if not isinstance(record, dict):
                raise BadTable(path, f"line {number} holds no object", "Write one object a line.")
            yield number, _named(record)


def _of_array(path: Path, content: str) -> Iterator[tuple[int, TableRecord]]:
    try:
        members = json.loads(content)
    except (ValueError, RecursionError) as cause:
        raise BadTable(path, f"it is no JSON ({cause})", "Write an array of objects, or one object a line.") from cause
    for number, record in enumerate(members, start=1):
        if not isinstance(record, dict):
            raise BadTable(path, f"member {number} of its array is no object", "Write an object for each row.")
        yield number, _named(record)


def _named(record: TableRecord) -> TableRecord:
    """Without a cell whose name is empty: a fault would stand there."""
    return {name: cell for name, cell in record.items() if name}


def _of_lines(path: Path, encoding: str) -> Iterator[tuple[int, TableRecord]]:
    """Sentences, each by the number of its first line, a list a column: that of the tokens, others by place, tags."""
    first, document, rows, width = 1, 0, list[list[str]](), 0
    with path.open(encoding=encoding, errors=_errors(encoding)) as file:
        for number, line in enumerate([*file, ""], start=1):
            cells = _cells(line)
            if cells and cells[0] == _DOCUMENT:
                document += 1
            elif cells:
                width = width or len(cells)
                if len(cells) != width:
                    why = f"line {number} has {counted(len(cells), 'column')} where those before have {width}"
                    raise BadTable(path, why, "Write a token and its tag in each line, an empty one behind a sentence.")
                first = number if not rows else first
                rows.append(cells)
            elif rows:
                yield first, _of_sentence(rows, document)
                rows = []


def _of_sentence(rows: list[list[str]], document: int) -> TableRecord:
    names = [TOKENS, *(f"column {place}" for place in range(2, len(rows[0]))), TAGS]
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=False))
    return {**columns, "document": str(document)} if document else columns


def _cells(line: str) -> list[str]:
    """Columns of a line, parted by tabs or by any white space; none of an empty line or of a comment."""
    if line.startswith("# ") and " = " in line:
        return []
    return [cell.strip() for cell in line.rstrip().split("\t")] if "\t" in line.strip() else line.split()


def _of_parquet(path: Path) -> Iterator[tuple[int, TableRecord]]:
    from pyarrow import ArrowException, DictionaryArray  # noqa: PLC0415 - a third of a second to import
    from pyarrow.parquet import ParquetFile  # noqa: PLC0415 - as above

    try:
        with ParquetFile(path) as file:
            texts = _texts_of(path, file.metadata)
        with ParquetFile(path, read_dictionary=texts) as file:
            number, named = 0, _class_names((file.schema_arrow.metadata or {}).get(b"huggingface"))
            flat = len(file.schema_arrow) == file.metadata.num_columns
            for batch in file.iter_batches(_AT_ONCE if flat else _NESTED_AT_ONCE):
                columns = (_shared(one) if isinstance(one, DictionaryArray) else one.to_pylist() for one in batch)
                for cells in zip(*columns, strict=True):
                    number += 1
                    record = dict(zip(batch.schema.names, cells, strict=True))
                    yield number, {**record, **{name: _by_name(record[name], names) for name, names in named.items()}}
    except ArrowException as cause:
        raise BadTable(path, f"it is no Parquet ({cause})", "Write it once more.") from cause


def _texts_of(path: Path, about: Any) -> list[str]:  # noqa: ANN401 - pyarrow has no types
    """The columns that are texts, by the metadata of a file of which nothing explodes when it is unpacked.

    Raises:
        BadTable: it states that it would, or too many rows.
    """
    if about.num_rows > _MOST_RECORDS:
        raise BadTable(path, f"{about.num_rows:,} rows; at most {_MOST_RECORDS:,}", "Give a part of it.")
    for group in range(about.num_row_groups):
        for place in range(about.num_columns):
            column = about.row_group(group).column(place)
            unpacked, packed = column.total_uncompressed_size, max(1, column.total_compressed_size)
            if unpacked > max(_RATIO_FROM, _MOST_RATIO * packed):
                why = f"column {column.path_in_schema!r} unpacks {unpacked // packed}:1; at most {_MOST_RATIO}:1"
                raise BadTable(path, why, "Write it once more where it can be trusted, with shorter cells.")
    leaves = [about.schema.column(place) for place in range(about.num_columns)]
    return [one.path for one in leaves if one.name == one.path and one.converted_type in _TEXTS]


def _shared(column: Any) -> list[object]:  # noqa: ANN401 - as above
    """The cells of a column with a dictionary; those that are alike are one object, however often they come."""
    values = column.dictionary.to_pylist()
    return [None if place is None else values[place] for place in column.indices.to_pylist()]


def _class_names(stated: bytes | None) -> dict[str, list[str]]:
    """Names of the classes of columns, and of those of lists, as the library datasets states them in what it writes."""
    with suppress(ValueError, KeyError, TypeError, AttributeError):
        features = json.loads(stated or b"{}")["info"]["features"]
        inner = {name: feature.get("feature", feature) for name, feature in features.items()}
        return {name: of["names"] for name, of in inner.items() if isinstance(of, dict) and "names" in of}
    return {}


def _by_name(numbers: object, names: list[str]) -> object:
    if isinstance(numbers, int) and 0 <= numbers < len(names):
        return names[numbers]
    if not isinstance(numbers, list) or not all(isinstance(n, int) and 0 <= n < len(names) for n in numbers):
        return numbers
    return [names[number] for number in numbers]
