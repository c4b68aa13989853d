"""Records: a CSV, TSV, JSON-lines or Parquet file whose rows hold a text and its label; or a folder of such parts.

Where a file ends in train and another in test or validation, they are parts. Columns are found by what they are called;
what was taken is noted. Rows are read one after the other: of very long files a draw is kept.
"""

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from registry.errors import BadTable, printable
from registry.modalities import Modality, Reading, modalities
from registry.progress import Progress, silent
from registry.readers.layout import Layout, LayoutPart, counted, plain_name, read_parts, role_of, sampled
from registry.readers.rows import TOLERATED, Rows, read_items

__all__ = ["ENDINGS", "is_records", "read_records"]

ENDINGS = frozenset({".csv", ".jsonl", ".ndjson", ".parquet", ".tsv"})
_TEXTS = ("text", "sentence", "content", "document", "review", "tweet", "utterance", "comment", "message", "body")
_LABELS = ("label", "labels", "target", "class", "category", "label_text", "sentiment", "intent", "emotion", "topic")
_MOST = 200_000
"""Rows of a file that are kept; of more a draw."""
_LONGEST = 1 << 27
_SIGNS = ",;\t|"
_MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"\xef\xbb\xbf", "utf-8-sig"))
_CLASSES = 20
_NAME_THEM = "Call the columns text and label, or read it with pandas and give Sample.from_frame the columns' names."
_Record = Mapping[str, object]


@dataclass(frozen=True)
class _Kept:
    """Rows of one file, each by its number; and what is to be said of it."""

    rows: Mapping[int, _Record]
    total: int
    notes: tuple[str, ...] = ()


def is_records(path: Path) -> bool:
    """Whether a file holds records, or a folder nothing but parts of them, one of them to train on."""
    if not path.is_dir():
        return path.suffix.lower() in ENDINGS
    return "train" in _parts(path) and not any(one.is_dir() for one in path.iterdir() if one.name[0] != ".")


def read_records(
    path: Path,
    *,
    labelled: bool = True,
    limit: int,
    seed: int = 0,
    modality: Modality | None = None,
    reading: Reading | None = None,
    progress: Progress = silent,
) -> Rows:
    """Rows of a file, or of the parts in a folder; not ``labelled``, of every part, in no class.

    Raises:
        BadTable: it cannot be read, has no row, or no column that is plainly the text or the label.
        TooManyUnreadable: more than one row in five holds no text.
    """
    kind = modality or next(each for each in modalities.each() if each.text_is_item)
    files = _parts(path) if path.is_dir() else {"train": path}
    kept = {role: _kept(file, seed) for role, file in files.items()}
    first = files["train"]
    text, label, notes = _columns(first, kept["train"], labelled=labelled)
    texts: dict[str, object] = {}
    labels: dict[str, str] = {}
    for role, file in files.items():
        notes += kept[role].notes
        missing = 0
        for number, record in kept[role].rows.items():
            name = f"{file.name}:{number}"
            value = _label(file, number, record, label) if label else ""
            if value is None:
                missing += 1
                continue
            texts[name], labels[name] = _text(record, text), value
        if missing:
            notes.append(f"{counted(missing, 'row')} of {file.name} without a label left out")
    if label:
        _refuse_quantities(first, label, labels)

    def part(*roles: str) -> LayoutPart:
        names = [name for name in texts if any(name.startswith(f"{files[role].name}:") for role in roles)]
        return LayoutPart(tuple(names), tuple(labels[name] for name in names), stratified=bool(label))

    def fetch(name: str) -> tuple[bytes, None]:
        value = texts[name]
        if not isinstance(value, str):
            raise ValueError(str(value) if isinstance(value, Exception) else f"a {type(value).__name__}, no text")
        return value.encode("utf-8", "surrogatepass"), None

    def read(chosen: LayoutPart, as_read: Reading | None) -> Rows:
        drawn = sampled(chosen, limit, seed)
        tolerated = TOLERATED if label else 1.0
        rows = read_items(
            path,
            drawn.names,
            drawn.labels,
            fetch,
            modality=kind,
            progress=progress,
            tolerated=tolerated,
            reading=as_read,
        )
        return replace(rows, total=len(chosen.names))

    held_out = "test" if "test" in files else "validation"
    if not labelled:
        layout = Layout(part(*files), None, ())
    elif held_out in files:
        layout = Layout(part(*(set(files) - {held_out})), part(held_out), tuple(_of_validation(files)))
    else:
        layout = Layout(part("train"), None, ())
    return read_parts(layout, read, reading, notes)


def _parts(folder: Path) -> dict[str, Path]:
    """The file of each part; none where two could be the same part."""
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        role = role_of(file.stem) if file.suffix.lower() in ENDINGS and file.is_file() else ""
        if role and role in files:
            return {}
        if role:
            files[role] = file
    return files


def _of_validation(files: Mapping[str, Path]) -> Iterator[str]:
    if "validation" in files:
        joined = "joined to the training part" if "test" in files else "used as test part: there is none of that name"
        yield f"{files['validation'].name} {joined}"


def _kept(path: Path, seed: int) -> _Kept:
    """All rows, or a draw of so many that each was as likely as any other (Vitter 1985, algorithm R)."""
    notes: list[str] = []
    random = np.random.default_rng(seed)
    kept: list[tuple[int, _Record]] = []
    total = 0
    for number, record in _records(path, notes):
        total += 1
        if len(kept) < _MOST:
            kept.append((number, record))
        elif (place := int(random.integers(total))) < _MOST:
            kept[place] = (number, record)
    if not total:
        raise BadTable(path, "it has no row", "Give a file with a line of headings and a row for each text.")
    if total > _MOST:
        notes.append(f"{path.name} has {total:,} rows: a draw of {_MOST:,} was read")
    return _Kept(dict(sorted(kept, key=lambda row: row[0])), total, tuple(notes))


def _records(path: Path, notes: list[str]) -> Iterator[tuple[int, _Record]]:
    try:
        if path.suffix.lower() == ".parquet":
            yield from _of_parquet(path)
        else:
            encoding = _encoding(path)
            if encoding in {"cp1252", "utf-16"}:
                notes.append(f"{path.name} read as {'Windows-1252' if encoding == 'cp1252' else 'UTF-16'}")
            yield from (_of_csv if path.suffix.lower() in {".csv", ".tsv"} else _of_json)(path, encoding)
    except OSError as cause:
        raise BadTable(path, cause.strerror or str(cause), "Give a file that can be read.") from cause
    except UnicodeDecodeError as cause:
        raise BadTable(path, f"it is not {cause.encoding} (byte {cause.start})", "Save it as UTF-8.") from cause


def _encoding(path: Path) -> str:
    """By its mark; else UTF-8 where the whole file is, else one byte a letter."""
    with path.open("rb") as file:
        start = file.read(4)
    marked = next((encoding for mark, encoding in _MARKS if start.startswith(mark)), None)
    if marked is not None:
        return marked
    try:
        with path.open(encoding="utf-8", newline="") as text:
            while text.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _of_csv(path: Path, encoding: str) -> Iterator[tuple[int, _Record]]:
    errors = "replace" if encoding == "cp1252" else "strict"
    before = csv.field_size_limit(_LONGEST)
    try:
        with path.open(encoding=encoding, errors=errors, newline="") as file:
            first = file.readline()
            sign = "\t" if path.suffix.lower() == ".tsv" else max(_SIGNS, key=first.count)
            file.seek(0)
            rows = csv.reader(file, delimiter=sign)
            heading = [name.strip() for name in next(rows, [])]
            for number, cells in enumerate(rows, start=1):
                if len(cells) == len(heading):
                    yield number, dict(zip(heading, cells, strict=True))
                elif cells:
                    why = ValueError(f"{counted(len(cells), 'cell')} where the headings are {len(heading)}")
                    yield number, {"": why, **dict(zip(heading, cells, strict=False))}
    except csv.Error as cause:
        raise BadTable(path, str(cause), "Save it as CSV once more.") from cause
    finally:
        csv.field_size_limit(before)


def _of_json(path: Path, encoding: str) -> Iterator[tuple[int, _Record]]:
    with path.open(encoding=encoding) as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as cause:
                raise BadTable(path, f"line {number} is no JSON ({cause})", "Write one object a line.") from cause
            if not isinstance(record, dict):
                raise BadTable(path, f"line {number} holds no object", "Write one object a line.")
            yield number, record


def _of_parquet(path: Path) -> Iterator[tuple[int, _Record]]:
    from pyarrow import ArrowException  # noqa: PLC0415 - a third of a second to import
    from pyarrow.parquet import ParquetFile  # noqa: PLC0415 - as above

    try:
        with ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(4096):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except ArrowException as cause:
        raise BadTable(path, f"it is no Parquet ({cause})", "Write it once more.") from cause


def _columns(path: Path, kept: _Kept, *, labelled: bool) -> tuple[str, str, list[str]]:
    """Names of the columns of texts and of labels, and a note."""
    sound = (record for record in kept.rows.values() if "" not in record)
    names = list(dict.fromkeys(name for _, record in zip(range(100), sound, strict=False) for name in record))
    shown = ", ".join(printable(str(name))[:40] for name in names[:8]) or "nothing"
    text = _named(names, _TEXTS)
    label = _named(names, _LABELS)
    if text is None:
        others = [name for name in names if name != label and _is_written(kept, name)]
        text = others[0] if len(others) == 1 else None
    if text is None:
        raise BadTable(path, f"no column is plainly that of the texts among {shown}", _NAME_THEM)
    if not labelled:
        return text, "", [f"column {text!r} read as text"] if text != "text" else []
    others = [name for name in names if name != text]
    if label is None and len(others) == 1:
        label = others[0]
    if label is None:
        raise BadTable(path, f"no column is plainly that of the labels among {shown}", _NAME_THEM)
    note = [f"columns {text!r} and {label!r} read as text and label"] if (text, label) != ("text", "label") else []
    return text, label, note


def _named(names: Sequence[str], known: Sequence[str]) -> str | None:
    lowered = {str(name).strip().lower(): name for name in reversed(names)}
    return next((lowered[name] for name in known if name in lowered), None)


def _is_written(kept: _Kept, name: str) -> bool:
    """Whether a column holds words, several in a cell."""
    cells = [record.get(name) for _, record in zip(range(100), kept.rows.values(), strict=False)]
    words = [len(cell.split()) for cell in cells if isinstance(cell, str)]
    return 2 * len(words) > len(cells) and sum(words) > 2 * len(words)


def _text(record: _Record, column: str) -> object:
    return record.get("", record.get(column))


def _label(path: Path, number: int, record: _Record, column: str) -> str | None:
    value = record.get(column)
    if isinstance(value, list | dict | tuple):
        raise BadTable(path, f"row {number} has a {type(value).__name__} as its label", _NAME_THEM)
    if isinstance(value, float):
        value = None if math.isnan(value) else int(value) if value.is_integer() else value
    return None if value is None else plain_name(str(value).strip()) or None


def _refuse_quantities(path: Path, column: str, labels: Mapping[str, str]) -> None:
    """Numbers with fractions are no classes."""
    cells = set(labels.values())
    if (
        len(cells) > _CLASSES
        and all(_is_number(cell) for cell in cells)
        and not all(c.lstrip("+-").isdigit() for c in cells)
    ):
        raise BadTable(
            path,
            f"column {column!r} holds {len(cells)} different numbers, which are no classes",
            "Read it with pandas, and give Sample.from_frame task='regression'.",
        )


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False
