"""Items and labels that Python holds already: arrays, lists or texts; or the paths or bytes of files."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from registry.errors import LengthMismatch, PathMissing, UnusableArrays, UnusableLabels, printable
from registry.modalities import Item, Modality, Reading, Undecodable, modalities
from registry.progress import Progress, silent
from registry.readers.folder import content
from registry.readers.rows import Rows, known_suffixes, prevailing, read_items

__all__ = ["label_values", "plain_labels", "read_positions", "read_values"]

_EXACT = 2**53
"""Up to here every whole number has its own float."""
_SHOWN = 60


def read_values(
    values: Any,  # noqa: ANN401 - whatever a modality takes
    labels: Sequence[str],
    *,
    modality: Modality | None = None,
    reading: Reading | None = None,
    progress: Progress = silent,
) -> Rows:
    """Rows of values with their labels: items as `Modality.from_memory` takes them, or paths or bytes of files.

    Without ``modality`` it is the first that takes the values, and of paths that of most. Paths name their items; bytes
    and values are numbered.

    Raises:
        UnusableArrays: no modality takes the values, or some are files and some are not.
        PathMissing: no file lies at one of the paths.
        TooManyUnreadable: more than one file in five cannot be read.
        LengthMismatch: not one label a value.
    """
    held = values.tolist() if isinstance(values, np.ndarray) and values.dtype.kind in "OU" else values
    if isinstance(held, Sequence) and not isinstance(held, str | bytes) and held and _are_files(held, modality):
        if len(held) != len(labels):
            raise LengthMismatch("items and labels", len(held), len(labels))
        return _read_files(held, labels, modality, reading, progress)
    kind, items = _taken(held, modality)
    if len(items) != len(labels):
        raise LengthMismatch(f"{kind.words.many} and labels", len(items), len(labels))
    settled, settled_reading = kind.settled(items, reading or {})
    return Rows(kind, settled, tuple(labels), total=len(items), reading=settled_reading)


def read_positions(
    values: Any,  # noqa: ANN401 - a sequence of sequences
    labels: Sequence[str],
    *,
    modality: Modality | None = None,
    reading: Reading | None = None,
) -> Rows:
    """Rows of items that are given position by position, a tag of the label for each.

    Raises:
        UnusableArrays: a row has no position, or none that the modality knows; the modality knows none.
        LengthMismatch: not one label a row.
        UnusableLabels: not one tag a position.
    """
    kinds = [modality] if modality is not None else [each for each in modalities.each() if each.positions is not None]
    kind = kinds[0]
    held, positions = label_values(values), kind.positions
    if positions is None:
        raise UnusableArrays(type(values).__name__, (), f"{kind.words.many} are not labelled position by position")
    if len(held) != len(labels):
        raise LengthMismatch(f"{kind.words.many} and labels", len(held), len(labels))
    items = []
    for row, (value, label) in enumerate(zip(held, labels, strict=True)):
        listed = list(value) if isinstance(value, list | tuple | np.ndarray) else str(value).split()
        item = positions.item(str(row), listed)
        if isinstance(item, Undecodable):
            raise UnusableArrays(type(value).__name__, (), f"{kind.words.one} {row} cannot be used: {item.reason}")
        parts, tags = len(positions.of(item)), len(label.split())
        if parts != tags:
            raise UnusableLabels(f"{positions.words.count(parts)} and {tags} tags", [row])
        items.append(item)
    settled, settled_reading = kind.settled(items, reading or {})
    return Rows(kind, settled, tuple(labels), total=len(items), reading=settled_reading)


def plain_labels(labels: Any) -> tuple[str, ...]:  # noqa: ANN401 - a sequence, an array or a tensor
    """Labels as text; whole numbers lose nothing by it, and bytes that are no text are escaped.

    Raises:
        UnusableLabels: None, an empty text, a fraction, a number too large to be exact, or labels of mixed kinds, with
            the rows.
    """
    values = label_values(labels)
    kinds = [_kind(value) for value in values]
    bad = [row for row, kind in enumerate(kinds) if kind is None]
    if bad:
        raise UnusableLabels(f"{_cut(values[bad[0]])} is neither text nor a whole number", bad)
    mixed = [row for row, kind in enumerate(kinds) if kind != kinds[0]]
    if mixed:
        raise UnusableLabels(f"some are {kinds[0]}s, some {kinds[mixed[0]]}s", mixed)
    return tuple(str(int(value)) if isinstance(value, float) else printable(str(value)) for value in values)


def label_values(labels: Any) -> list[object]:  # noqa: ANN401 - as above
    """Labels as a list of Python's own values: of arrays and tensors, too; what is masked is None, a decimal a float.

    Raises:
        UnusableLabels: one value, or what cannot be counted through.
    """
    try:
        whole = getattr(labels, "tolist", None)
        listed = list(labels) if whole is None else whole()
    except TypeError as cause:
        raise UnusableLabels(f"{_cut(labels)} is no sequence") from cause
    if not isinstance(listed, list):
        raise UnusableLabels(f"{_cut(labels)} is one value")
    return [_own(value) for value in listed]


def _own(value: object) -> object:
    """Python's number for a decimal, or for a tensor that holds one; else the value itself."""
    if isinstance(value, Decimal):
        return float(value)
    alone = getattr(value, "tolist", None)
    return value if alone is None or isinstance(value, np.ndarray | np.generic) else alone()


def _are_files(values: Sequence[object], modality: Modality | None) -> bool:
    """Whether the values are paths or bytes of files: a text is a path where no modality takes it for an item.

    Raises:
        UnusableArrays: some are files and some are not.
    """
    if _texts_are_items(values, modality):
        return False
    files = [isinstance(value, str | Path | bytes) for value in values]
    if any(files) and not all(files):
        row = files.index(not files[0])
        was, now = type(values[0]).__name__, type(values[row]).__name__
        raise UnusableArrays(now, (), f"value 0 is a {was}, value {row} a {now}: some are files and some are not")
    return all(files)


def _texts_are_items(values: Sequence[object], modality: Modality | None) -> bool:
    """Whether texts among the values are items themselves: their modality says so, or they do not end as files do."""
    if modality is not None:
        return modality.text_is_item
    if not any(each.text_is_item for each in modalities.each()) or not all(isinstance(v, str) for v in values):
        return False
    known = known_suffixes()
    return not all(PurePosixPath(str(value)).suffix.lower() in known for value in values)


def _read_files(
    files: Sequence[Any],
    labels: Sequence[str],
    modality: Modality | None,
    reading: Reading | None,
    progress: Progress,
) -> Rows:
    named = {str(row) if isinstance(file, bytes) else str(file): file for row, file in enumerate(files)}
    missing = [file for file in named.values() if not isinstance(file, bytes) and not _is_there(Path(file))]
    if missing:
        raise PathMissing(missing[0])
    names = [str(row) if isinstance(file, bytes) else str(file) for row, file in enumerate(files)]

    def fetch(name: str) -> tuple[bytes, Path | None]:
        file = named[name]
        return (file, None) if isinstance(file, bytes) else content(Path(file).expanduser().absolute())

    kind, mixed = prevailing(names, modality)
    if mixed and modality is None:
        raise UnusableArrays("path", (), f"the paths are those of files of more than one kind: {'; '.join(mixed)}")
    return read_items(Path("memory"), names, labels, fetch, modality=kind, progress=progress, reading=reading)


def _is_there(path: Path) -> bool:
    try:
        return path.expanduser().exists()
    except (OSError, ValueError):  # a name that is too long, or holds a NUL
        return False


def _taken(values: Any, modality: Modality | None) -> tuple[Modality, tuple[Item, ...]]:  # noqa: ANN401 - as above
    """The items of the named modality, or of the first that takes the values."""
    refused = None
    for kind in [modality] if modality is not None else modalities.each():
        try:
            return kind, kind.from_memory(values)
        except UnusableArrays as fault:
            refused = refused or fault
    assert refused is not None  # noqa: S101 - there is a modality
    raise refused


def _cut(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]} ..."


def _kind(value: object) -> str | None:
    match value:
        case bool() | np.bool_():
            return "truth value"
        case int() | np.integer():
            return "whole number"
        case float() if value.is_integer() and abs(value) <= _EXACT:
            return "whole number"
        case str() if value.strip():
            return "text"
        case _:
            return None
