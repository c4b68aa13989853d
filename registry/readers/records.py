"""Records: a CSV, TSV, JSON-lines or Parquet file whose rows hold a text and its label; or a folder of such parts.

A row may hold a list of words and one of their tags; CoNLL-like files, a word and its tag a line, are read as such.
Fields of an object in a cell are columns of their own, by dotted names.

Where a file ends in train and another in test or validation, they are parts. Columns are named, or recognized by what
they are called; what was taken is noted. Rows are read one after the other: of very long files a draw is kept.
"""

import math
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from itertools import islice
from pathlib import Path

from registry.cards import Task
from registry.errors import BadTable, OtherTask, UnknownName, printable
from registry.home import is_home
from registry.modalities import Item, Modality, Reading, Undecodable, Words, modalities
from registry.progress import Progress, silent
from registry.readers.cells import TargetColumn, shortened, target_of
from registry.readers.layout import (
    SPLIT_COLUMNS,
    Layout,
    LayoutPart,
    counted,
    is_litter,
    plain_name,
    read_parts,
    role_of,
    sampled,
)
from registry.readers.reservoir import reservoir_sample
from registry.readers.rows import TOLERATED, Rows, keep_items
from registry.readers.streams import (
    ENDINGS,
    TAGS,
    TOKENS,
    TableRecord,
    is_listed,
    is_sentences,
    is_tagged,
    stream_records,
)

__all__ = ["LABEL_NAMES", "RecordColumns", "is_records", "read_records"]

_TEXTS = ("text", "sentence", "content", "document", "review", "tweet", "utterance", "comment", "message", "body")
LABEL_NAMES = (
    "label",
    "labels",
    "target",
    "class",
    "category",
    "label_text",
    "sentiment",
    "intent",
    "emotion",
    "topic",
)
_TOKENS = (TOKENS, "words", "token", "tokenized", "sentence", "text")
_TAGS = (TAGS, "ner_tags", "ner", "labels", "label", "entities", "pos_tags", "pos", "upos", "chunk_tags")
_WRITTEN = (
    ("prompt", "completion"),
    ("instruction", "output"),
    ("chosen", "rejected"),
    ("messages",),
    ("conversations",),
)
"""Columns of records for who is to write texts."""
_PAIRS = (
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("text", "text_pair"),
)
_IN_LISTS = (None, Task.TOKEN_CLASSIFICATION)
"""What is said of the task where the words of a row may be a list."""
_MOST = 200_000
"""Rows of a file that are kept; of more a draw."""
_LOOKED_AT = 100
_SHOWN = 8
_HELD_OUT = 0.25
"""Share of the rows, the latest ones, that are the test part where a column of times is named."""
_NUMBERS = (
    "Tabular data are not for this tool: gradient boosting (HistGradientBoostingClassifier of scikit-learn) or a "
    "tabular foundation model is. Where a column holds texts all the same, name it: --text COLUMN --label COLUMN."
)
_TAG_THEM = "Write a word and its tag in each line, an empty line behind a sentence."
_FLATTEN = (
    "Its cells hold lists of objects: make columns of their fields first (pandas.json_normalize), and write a row for "
    "each text."
)
_MOST_NESTED = 4
"""How deep in objects a column may lie."""
_ALIKE = "Give the columns of every part the same names."
_NAME_THEM = "Name the columns: --text COLUMN --label COLUMN (text=, label= in Python)."


@dataclass(frozen=True)
class RecordColumns:
    """Names of the columns that count; None where they are to be recognized, or there are none."""

    text: str | None = None
    label: str | None = None
    text2: str | None = None
    """The second text of a pair."""
    group: str | None = None
    """Rows with the same value are never parted."""
    time: str | None = None
    """The test part is what comes last."""

    @property
    def named(self) -> dict[str, str]:
        """Those that have a name."""
        return {role: name for role, name in asdict(self).items() if name is not None}


@dataclass(frozen=True)
class _File:
    """Rows of one file, each by its number."""

    path: Path
    rows: Mapping[int, TableRecord]
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> list[str]:
        """Columns that the first rows have."""
        sound = (record for record in self.rows.values() if "" not in record)
        return list(dict.fromkeys(name for row in islice(sound, _LOOKED_AT) for name in row))

    @property
    def first_rows(self) -> list[TableRecord]:
        """The rows that columns are recognized by."""
        return [*islice(self.rows.values(), _LOOKED_AT)]

    def row_name(self, number: int) -> str:
        """What the item of a row is called."""
        return f"{self.path.name}:{number}"


@dataclass(frozen=True)
class _Table:
    """What the rows of all files hold that count, by name."""

    cells: Mapping[str, tuple[object, ...]]
    """The text of each, or both of a pair; or what is wrong with the row."""
    labels: Mapping[str, str]
    groups: Mapping[str, str]
    task: Task | None
    notes: tuple[str, ...]


def is_records(path: Path) -> bool:
    """Whether a file holds records, or a folder nothing but parts of them, one of them to train on."""
    try:
        if not path.is_dir():
            return is_listed(path) or is_tagged(path)
        return "train" in _parts(path) and not any(map(_holds_more, path.iterdir()))
    except (OSError, ValueError):  # a name that is too long, or holds a NUL; a folder that cannot be listed
        return False


def _holds_more(entry: Path) -> bool:
    """Whether what lies beside the parts is a folder that may hold items."""
    return entry.is_dir() and not (entry.name.startswith(".") or is_litter(entry.name) or is_home(entry))


def read_records(  # noqa: PLR0913 - each says how they are read
    path: Path,
    *,
    columns: RecordColumns | None = None,
    task: Task | None = None,
    labelled: bool = True,
    limit: int,
    seed: int = 0,
    modality: Modality | None = None,
    reading: Reading | None = None,
    progress: Progress = silent,
) -> Rows:
    """Rows of a file, or of the parts in a folder; not ``labelled``, of every part, in no class.

    What the labels are is read off the whole column where ``task`` does not say it, as in a table of labels: several
    of a row are joined by ``|``, or a list. Rows without a label are left out and counted. With a column of times, and
    no test part, the latest quarter of the rows is one.

    Raises:
        BadTable: it cannot be read, has no row, or no column that is plainly the text or the label; a cell is no
            label, or no time.
        UnknownName: there is no column of a name that was given.
        TooManyUnreadable: more than one row in five holds no text.
    """
    kind = modality or next(each for each in modalities.each() if each.text_is_item)
    places = _parts(path) if path.is_dir() else {"train": path}
    files = {role: _opened(place, seed) for role, place in places.items()}
    wanted = columns or RecordColumns()
    listed = _listed_columns(files["train"], wanted, labelled=labelled) if task in _IN_LISTS else None
    chosen, notes = listed or _columns(files["train"], wanted, labelled=labelled)
    task = Task.TOKEN_CLASSIFICATION if listed else task
    positions = kind.positions if task is Task.TOKEN_CLASSIFICATION else None
    if positions is None:
        table = _table(files, chosen, task, labelled=labelled)
    else:
        table = _tagged_table(files, chosen, positions.words, labelled=labelled)
    notes += [note for file in files.values() for note in file.notes] + list(table.notes)

    def part(names: Sequence[str]) -> LayoutPart:
        stratified = labelled and table.task is Task.CLASSIFICATION
        return LayoutPart(tuple(names), tuple(table.labels[name] if labelled else "" for name in names), stratified)

    def of(*roles: str) -> list[str]:
        whose = {files[role].path.name for role in roles}
        return [name for name in table.cells if name.rpartition(":")[0] in whose]

    def decode(name: str) -> Item | Undecodable:
        fault = next((cell for cell in table.cells[name] if isinstance(cell, Exception)), None)
        if fault:
            return Undecodable(str(fault))
        return (kind.from_cells if positions is None else positions.item)(printable(name), table.cells[name])

    def read(wanted: LayoutPart, as_read: Reading | None) -> Rows:
        drawn = sampled(wanted, limit, seed)
        rows = keep_items(
            path,
            drawn.names,
            drawn.labels,
            decode,
            modality=kind,
            progress=progress,
            tolerated=TOLERATED if labelled else 1.0,
            reading=as_read,
        )
        by_item = {printable(name): name for name in drawn.names}
        names = [by_item[item.name] for item in rows.items]
        return replace(
            rows,
            total=len(wanted.names),
            task=table.task if labelled else None,
            groups=tuple(table.groups[name] for name in names) if table.groups else None,
            columns=chosen.named,
            truths={} if labelled else {by: table.labels[name] for by, name in by_item.items() if name in table.labels},
        )

    if not labelled:
        layout = Layout(part(of(*files)), None, ())
    else:
        train, test, more = _divided(files, chosen.time, table, of)
        layout = Layout(part(train), part(test) if test else None, ())
        notes += more
    return read_parts(layout, read, reading, notes)


def _divided(
    files: Mapping[str, _File], time: str | None, table: _Table, parts: Callable[..., list[str]]
) -> tuple[list[str], list[str], list[str]]:
    """Names of the training rows and of the test rows, and notes."""
    held_out = next((role for role in ("test", "validation") if role in files), None)
    if held_out is None:
        return _by_time(files["train"], time, table) if time is not None else (parts("train"), [], [])
    notes = []
    if "validation" in files:
        joined = "joined to the training part" if "test" in files else "used as test part: there is none of that name"
        notes.append(f"{files['validation'].path.name} {joined}")
    if time is not None:
        notes.append(f"column {time!r} not used: {files[held_out].path.name} is the test part")
    return parts(*(set(files) - {held_out})), parts(held_out), notes


def _by_time(file: _File, column: str, table: _Table) -> tuple[list[str], list[str], list[str]]:
    """The latest quarter of the rows, and those of the same time, as test part; classes that begin there are left out.

    Raises:
        BadTable: a cell is no time, or all are the same.
    """
    numbers = {file.row_name(number): number for number in file.rows}
    names = list(table.cells)
    times = _times(file.path, column, {name: file.rows[numbers[name]].get(column) for name in names})
    order = sorted(names, key=lambda name: (times[name], numbers[name]))
    first = times[order[-max(1, round(_HELD_OUT * len(order)))]]
    if first == times[order[0]]:
        remedy = "Give times that differ, or leave --time out."
        raise BadTable(
            file.path, f"too many rows have the first time in column {column!r} to hold the rest out", remedy
        )
    train, test = ([n for n in names if (times[n] >= first) is late] for late in (False, True))
    notes = [f"by column {column!r}: the {len(test)} latest of {len(names)} rows are the test part"]
    if table.task is Task.CLASSIFICATION:
        known = {table.labels[name] for name in train}
        new = sorted({table.labels[name] for name in test} - known)
        if new:
            gone = [name for name in test if table.labels[name] not in known]
            test = [name for name in test if table.labels[name] in known]
            listed = ", ".join(map(shortened, new[:_SHOWN]))
            notes.append(f"{counted(len(gone), 'row')} of classes that begin only then left out: {listed}")
    return train, test, notes


def _times(path: Path, column: str, cells: Mapping[str, object]) -> dict[str, float]:
    """Each row's time, as a number.

    Raises:
        BadTable: a cell is neither a number nor a date.
    """
    try:
        return {name: _finite(cell) for name, cell in cells.items()}
    except ValueError:
        import pandas as pd  # noqa: PLC0415 - half a second to import

        dates = pd.to_datetime(pd.Series(list(cells.values()), dtype=object), errors="coerce", utc=True, format="mixed")
        bad = [name for name, missing in zip(cells, dates.isna(), strict=True) if missing]
        if bad:
            why = f"{shortened(repr(cells[bad[0]]))} of row {bad[0]} in column {column!r} is no time"
            raise BadTable(path, why, "Write dates as 2026-01-31, or times as numbers.") from None
        return {name: date.timestamp() for name, date in zip(cells, dates, strict=True)}


def _finite(cell: object) -> float:
    value = float(cell) if isinstance(cell, str | int | float) else math.nan
    if not math.isfinite(value):
        raise ValueError(cell)
    return value


def _parts(folder: Path) -> dict[str, Path]:
    """The file of each part; none where two could be the same part."""
    parts: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        holds = (file.suffix.lower() in ENDINGS or is_tagged(file)) and file.is_file()
        role = role_of(file.stem) if holds else ""
        if role and role in parts:
            return {}
        if role:
            parts[role] = file
    return parts


def _opened(path: Path, seed: int) -> _File:
    """All rows, or a draw of them."""
    notes: list[str] = []
    drawn = reservoir_sample(stream_records(path, notes), _MOST, seed)
    if not drawn.seen:
        raise BadTable(path, "it has no row", "Give a file with a line of headings and a row for each text.")
    if all("" in row for _, row in drawn.entries):
        number, row = drawn.entries[0]
        quotes = "Put cells that hold a comma between quotes, or part cells by tabs (.tsv)."
        raise BadTable(path, f"row {number} has {row['']}, and so it is in every row", quotes)
    if drawn.note:
        notes.append(f"{path.name} has {drawn.seen:,} rows: {drawn.note} was read")
    return _File(path, _flattened(dict(drawn.entries)), tuple(notes))


def _flattened(rows: Mapping[int, TableRecord]) -> Mapping[int, TableRecord]:
    """With columns of the fields, ``review.text``, for a column whose first cells are all objects.

    One stays whole where another's name begins as its fields' would.
    """
    for _ in range(_MOST_NESTED):
        kinds: dict[str, set[bool]] = {}
        for row in islice(rows.values(), _LOOKED_AT):
            for name, cell in row.items():
                if cell is not None:
                    kinds.setdefault(name, set()).add(isinstance(cell, dict))
        opened = {
            name
            for name, objects in kinds.items()
            if objects == {True} and not any(other.startswith(f"{name}.") for other in kinds)
        }
        if not opened:
            break
        rows = {number: _unfolded(row, opened) for number, row in rows.items()}
    return rows


def _unfolded(row: TableRecord, opened: Collection[str]) -> TableRecord:
    flat: dict[str, object] = {}
    for name, cell in row.items():
        if name in opened and isinstance(cell, dict):
            flat |= {f"{name}.{field}": inner for field, inner in cell.items()}
        else:
            flat[name] = cell
    return flat


def _columns(file: _File, wanted: RecordColumns, *, labelled: bool) -> tuple[RecordColumns, list[str]]:
    """The columns that count, and a note on those that were recognized.

    Raises:
        UnknownName: there is no column of a name that was given.
        BadTable: no column is plainly the text, or the label.
        OtherTask: they are for who is to write texts.
    """
    names = file.names
    if not labelled:
        there = {role: name for role, name in wanted.named.items() if name in names}
        wanted = RecordColumns(there.get("text"), there.get("label"), there.get("text2"))
    for name in wanted.named.values():
        if name not in names:
            raise UnknownName("column", name, names)
    written = next((pair for pair in _WRITTEN if set(pair) <= {str(name).strip().lower() for name in names}), None)
    if written is not None and labelled and wanted.label is None and _first_of(names, LABEL_NAMES) is None:
        remedy = "To classify texts name the columns: --text TEXT --label LABEL (text=, label=)."
        raise OtherTask(file.path, "generation", "texts to be written", f"column {written[-1]}", remedy)
    _refuse_twice(file.path, wanted)
    text, text2 = wanted.text, wanted.text2
    others = [name for name in names if name not in wanted.named.values()]
    if text is None and text2 is None:
        text, text2 = _pair(others)
    text = (
        text or _first_of(others, _TEXTS) or _only_writing(file, others, wanted.label or _first_of(others, LABEL_NAMES))
    )
    shown = ", ".join(printable(str(name))[:40] for name in names[:_SHOWN]) or "nothing"
    if text is None and _is_numeric(file, [name for name in others if name != wanted.label]):
        raise BadTable(file.path, f"it holds numbers, and no texts, in {shown}", _NUMBERS)
    if labelled and names == [TOKENS] and is_sentences(file.path):
        raise BadTable(file.path, "its lines hold a word and no tag", _TAG_THEM)
    if text is None:
        rows = file.first_rows
        nested = any(
            isinstance(member, dict) for row in rows for cell in row.values() for member in (cell, *_members(cell))
        )
        remedy = _FLATTEN if nested else _such_as(file, others, None, wanted.label or _first_of(others, LABEL_NAMES))
        raise BadTable(file.path, f"no column is plainly that of the texts among {shown}", remedy)
    others = [name for name in others if name not in {text, text2}]
    label = wanted.label or _first_of(others, LABEL_NAMES) or (others[0] if len(others) == 1 and labelled else None)
    if label is None and labelled:
        remedy = _such_as(file, others, text, None)
        raise BadTable(file.path, f"no column is plainly that of the labels among {shown}", remedy)
    columns = replace(wanted, text=text, text2=text2, label=label)
    new = {role: name for role, name in columns.named.items() if role not in wanted.named and role != name}
    if not labelled:
        new.pop("label", None)
    listed = ", ".join(f"{name!r} as {role}" for role, name in new.items())
    notes = [f"{file.path.name}: column {listed}"] if new else []
    if not labelled:
        return columns, notes
    if "label" in new and any(row.get(str(label)) == label for row in file.rows.values()):
        notes.append(f"{file.path.name}: its first line is taken for headings, and {label!r} of it is a label, too")
    return columns, [*notes, *_of_parts(file, [name for name in others if name not in columns.named.values()])]


def _such_as(file: _File, names: Sequence[str], text: str | None, label: str | None) -> str:
    """To name the columns, and which they may be: the longest cells for the text, the fewest values for the label."""
    rows = file.first_rows
    cells = {name: [str(row[name]) for row in rows if row.get(name) is not None] for name in names}
    others = [name for name in names if name != label]
    text = text or max(others, key=lambda name: sum(map(len, cells[name])), default=None)
    values = {name: len({*cells[name]}) for name in others if name != text}
    few = [name for name, count in values.items() if 2 <= count <= len(cells[name]) / 2]
    label = label or min(few, key=lambda name: values[name], default=None)
    if text is None or label is None:
        return _NAME_THEM
    text, label = (shlex.quote(printable(str(name))) for name in (text, label))
    return f"Name the columns, perhaps --text {text} --label {label} (text=, label= in Python)."


def _of_parts(file: _File, names: Sequence[str]) -> list[str]:
    """A note where a column that is not used says which rows are to train on, and which to test on."""
    for name in names:
        if str(name).strip().lower() in SPLIT_COLUMNS:
            cells = {str(row.get(name)) for row in file.rows.values()}
            if len(cells) > 1 and all(map(role_of, cells)):
                shown = ", ".join(sorted(cells))
                return [f"column {name!r} ({shown}) is not used: write its parts to train.csv and test.csv for that"]
    return []


def _refuse_twice(path: Path, wanted: RecordColumns) -> None:
    """Raise BadTable where a column is named both as a text and as another one, or as the label."""
    roles: dict[str, str] = {}
    for role, name in wanted.named.items():
        if role in {"text", "text2", "label"} and (other := roles.setdefault(name, role)) != role:
            raise BadTable(path, f"column {name!r} is named as {other} and as {role}", "Name a column of its own each.")


def _pair(names: Sequence[str]) -> tuple[str | None, str | None]:
    """Two columns that are named as the two texts of a pair are."""
    lowered = {str(name).strip().lower(): name for name in reversed(names)}
    pairs = [(lowered[one], lowered[other]) for one, other in _PAIRS if one in lowered and other in lowered]
    return pairs[0] if pairs else (None, None)


def _first_of(names: Sequence[str], known: Sequence[str]) -> str | None:
    lowered = {str(name).strip().lower().rpartition(".")[2]: name for name in reversed(names)}
    lowered |= {str(name).strip().lower(): name for name in reversed(names)}
    return next((lowered[name] for name in known if name in lowered), None)


def _listed_columns(file: _File, wanted: RecordColumns, *, labelled: bool) -> tuple[RecordColumns, list[str]] | None:
    """The columns of words and of their tags, and a note on those that were recognized; None where no row is a list.

    Raises:
        UnknownName: there is no column of a name that was given.
    """
    rows = file.first_rows
    lists = [name for name in file.names if any(isinstance(row.get(name), list) for row in rows)]
    words = [name for name in lists if all(isinstance(word, str) for row in rows for word in _members(row.get(name)))]
    text = wanted.text if wanted.text is not None else _first_of(words, _TOKENS)
    if text not in words or wanted.text2 is not None:
        return None
    others = [name for name in lists if name != text]
    label = wanted.label or _first_of(others, _TAGS) or (others[0] if len(others) == 1 else None)
    if not labelled:
        return RecordColumns(text, label if label in file.names else None), []
    for name in wanted.named.values():
        if name not in file.names:
            raise UnknownName("column", name, file.names)
    if label is None:
        return None
    columns = replace(wanted, text=text, label=label)
    new = [f"{name!r} as {role}" for role, name in (("words", text), ("tags", label)) if name not in (TOKENS, TAGS)]
    return columns, [f"{file.path.name}: column {', '.join(new)}"] if new and len(wanted.named) < len(
        columns.named
    ) else []


def _members(cell: object) -> list[object]:
    return cell if isinstance(cell, list) else []


def _tagged_table(files: Mapping[str, _File], chosen: RecordColumns, words: Words, *, labelled: bool) -> _Table:
    """Positions, tags and groups of all rows that have tags; a cell of text is parted by white space.

    Raises:
        BadTable: no row has tags; a row has no group.
    """
    cells: dict[str, tuple[object, ...]] = {}
    labels: dict[str, str] = {}
    groups: dict[str, str] = {}
    gone: Counter[str] = Counter()
    for file in files.values():
        for number, record in file.rows.items():
            name = file.row_name(number)
            tags = _parted(record.get(chosen.label) if chosen.label else None)
            if labelled and tags is None:
                gone[file.path.name] += 1
                continue
            parts = _parted(record.get(str(chosen.text)))
            cells[name] = (record[""],) if "" in record else _fitting(parts, tags, words)
            if tags is not None:
                labels[name] = " ".join(map(str, tags))
            if chosen.group is not None and labelled:
                groups[name] = _group(file.path, number, record.get(chosen.group), chosen.group)
    if labelled and not cells:
        raise BadTable(files["train"].path, f"no row has tags in column {chosen.label!r}", _NAME_THEM)
    notes = [f"{counted(count, 'row')} of {name} without tags left out" for name, count in gone.items()]
    return _Table(cells, labels, groups, Task.TOKEN_CLASSIFICATION, tuple(notes))


def _fitting(parts: Sequence[object] | None, tags: Sequence[object] | None, words: Words) -> tuple[object, ...]:
    """A row's positions; or the exception that says why it cannot be used."""
    if not parts:
        return (ValueError(f"it has no {words.one}"),)
    if tags is not None and len(tags) != len(parts):
        return (ValueError(f"{words.count(len(parts))} and {counted(len(tags), 'tag')}"),)
    odd = [tag for tag in tags or () if isinstance(tag, bool) or not isinstance(tag, str | int) or _has_space(tag)]
    return (ValueError(f"{shortened(repr(odd[0]))} is no tag"),) if odd else tuple(parts)


def _has_space(tag: str | int) -> bool:
    return len(str(tag).split()) != 1


def _parted(cell: object) -> Sequence[object] | None:
    """The members of a list, or the words of a text; None of anything else."""
    if isinstance(cell, str):
        return cell.split()
    return cell if isinstance(cell, list) else None


def _is_numeric(file: _File, names: Sequence[str]) -> bool:
    """Whether most cells of the columns are numbers."""
    rows = file.first_rows
    cells = [str(cell) for row in rows for name in names if (cell := row.get(name)) is not None and str(cell)]
    return bool(cells) and 2 * sum(_is_number(cell) for cell in cells) > len(cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _only_writing(file: _File, names: Sequence[str], label: str | None) -> str | None:
    """The only column that holds words, several in a cell."""
    rows = file.first_rows
    written = []
    for name in names:
        words = [len(cell.split()) for row in rows if isinstance(cell := row.get(name), str)]
        if name != label and 2 * len(words) > len(rows) and sum(words) > 2 * len(words):
            written.append(name)
    return written[0] if len(written) == 1 else None


def _table(files: Mapping[str, _File], chosen: RecordColumns, task: Task | None, *, labelled: bool) -> _Table:
    """Texts, labels and groups of all rows that have a label, labels in the form that they have everywhere.

    Raises:
        BadTable: a cell is no label, or labels are of several kinds, or a row has no group.
    """
    rows = [(file, number, record) for file in files.values() for number, record in file.rows.items()]
    for file in files.values() if labelled else ():
        if chosen.text not in file.names:
            trained = files["train"].path.name
            raise BadTable(file.path, f"it has no column {chosen.text!r}, where {trained} has its texts", _ALIKE)
    cells = {
        file.row_name(number): _label(file.path, number, record.get(chosen.label) if chosen.label else None)
        for file, number, record in rows
    }
    first = files["train"].path
    labels: dict[str, str] = {}
    notes: list[str] = []
    try:
        labels, task, notes = _labels(first, cells, task)
    except BadTable:
        if labelled:
            raise
    texts: dict[str, tuple[object, ...]] = {}
    groups: dict[str, str] = {}
    gone: Counter[str] = Counter()
    for file, number, record in rows:
        name = file.row_name(number)
        if labelled and name not in labels:
            gone[file.path.name] += 1
            continue
        wanted = (chosen.text, *([chosen.text2] if chosen.text2 else []))
        texts[name] = (record[""],) if "" in record else tuple(record.get(str(column)) for column in wanted)
        if chosen.group is not None and labelled:
            groups[name] = _group(file.path, number, record.get(chosen.group), chosen.group)
    if labelled and not texts:
        raise BadTable(first, f"no row has a label in column {chosen.label!r}", _NAME_THEM)
    if labelled:
        notes += [f"{counted(count, 'row')} of {name} without a label left out" for name, count in gone.items()]
    return _Table(texts, labels, groups, task, tuple(notes if labelled else []))


def _labels(path: Path, cells: Mapping[str, "_Cell"], task: Task | None) -> tuple[dict[str, str], Task, list[str]]:
    """Labels of the rows that have one, what they are, and notes."""
    several = task is Task.MULTI_LABEL or any(cell.several for cell in cells.values())
    there = {name: cell for name, cell in cells.items() if cell.text or (several and cell.text is not None)}
    kinds = {cell.kind: name for name, cell in reversed(there.items()) if cell.kind}
    if len(kinds) > 1:
        among = " and ".join(
            f"{kind}s ({shortened(str(there[name].text))} in row {name})" for kind, name in kinds.items()
        )
        raise BadTable(path, f"its labels are {among}", "Write all of them as texts, or all as numbers.")
    column = TargetColumn(joined=several)
    for cell in there.values():
        column.add(cell.text or "")
    kind = task or (Task.MULTI_LABEL if several else column.task)
    whole = kind is Task.CLASSIFICATION and column.whole
    missing = column.missing(kind)
    known: dict[str, str] = {}
    labels = {}
    for name, cell in there.items():
        text = cell.text or ""
        if text in missing:
            continue
        if text not in known:
            known[text] = target_of(path, f"row {name}", text, kind, whole=whole)
        labels[name] = known[text]
    return labels, kind, list(column.doubts(kind, task))


@dataclass(frozen=True)
class _Cell:
    """A cell of labels: its text, None where it is none; what JSON has for it; whether it may hold several."""

    text: str | None
    kind: str = ""
    several: bool = False


def _label(path: Path, number: int, value: object) -> _Cell:
    match value:
        case None:
            return _Cell(None)
        case float() | Decimal() if math.isnan(value):
            return _Cell(None)
        case str():
            text = value.strip()
            return _Cell(text, "text" if text and path.suffix.lower() not in {".csv", ".tsv"} else "", "|" in text)
        case bool():
            return _Cell(str(value), "truth value")
        case int() | float() | Decimal():
            return _Cell(f"{value:f}" if isinstance(value, Decimal) else str(value), "number")
        case list() | tuple() if all(isinstance(name, str | int) and "|" not in str(name) for name in value):
            return _Cell("|".join(map(str, value)), "list", several=True)
    why = f"row {number} has {shortened(repr(value))} as its label"
    raise BadTable(path, why, "Give a text, a number, or a list of names without |.")


def _group(path: Path, number: int, value: object, column: str) -> str:
    text = "" if value is None or value != value else plain_name(str(value).strip())  # noqa: PLR0124 - NaN
    if not text:
        raise BadTable(path, f"row {number} has no group in column {column!r}", "Give every row one.")
    return text
