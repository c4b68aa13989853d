"""Columns of a frame or a dataset: items (values, paths or bytes of files), their labels and groups, part by part."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from registry.errors import NoItems, UnknownName, UnusableArrays, UnusableLabels
from registry.modalities import modalities
from registry.readers.layout import role_of
from registry.readers.records import LABEL_NAMES

__all__ = ["Columns", "Parts", "read_dataset", "read_frame"]

_TEXTS = frozenset({"string", "large_string"})
_NAMES = "ner_tags"
"""Of several columns of tags the one that is meant."""
_PARTS = ("train", "test", "validation")


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns that count, row by row."""

    items: list[Any]
    labels: list[Any]
    groups: list[Any] | None

    def __add__(self, other: "Columns") -> "Columns":
        groups = None if self.groups is None or other.groups is None else [*self.groups, *other.groups]
        return Columns([*self.items, *other.items], [*self.labels, *other.labels], groups)


@dataclass(frozen=True, eq=False)
class Parts:
    """The training part and the test part where there is one; the modality where the columns say it."""

    train: Columns
    test: Columns | None
    modality: str | None = None
    notes: tuple[str, ...] = ()


def read_frame(
    frame: Any,  # noqa: ANN401 - whatever pandas makes a frame of
    item: str | tuple[str, str],
    label: str,
    *,
    groups: str | None = None,
    split: str | None = None,
    test: Any = None,  # noqa: ANN401 - as above
    root: Path | None = None,
) -> Parts:
    """The named columns of a frame; ``split`` is a column of train, test and validation, ``test`` another frame.

    Paths that are relative lie below ``root``. Two columns of items hold pairs of texts.

    Raises:
        UnknownName: there is no such column, or no such part.
        NoItems: there is no row, or none to train on.
        UnusableArrays: no frame can be made of it.
    """
    whole = _columns(_frame(frame), item, label, groups, root)
    held_out = None if test is None else _columns(_frame(test), item, label, groups, root)
    if split is None:
        return Parts(whole, held_out)
    parts: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(_column(_frame(frame), split)):
        role = role_of(str(name))
        if not role:
            raise UnknownName(f"part (row {row} of column {split!r})", str(name), _PARTS)
        parts[role].append(row)
    placed = _placed("the frame", {role: _taken(whole, rows) for role, rows in parts.items()})
    return placed if held_out is None else replace(placed, test=held_out)


def read_dataset(
    data: Any,  # noqa: ANN401 - a Dataset or DatasetDict; datasets takes a second to import
    *,
    item: str | tuple[str, str] | None = None,
    label: str | None = None,
    groups: str | None = None,
) -> Parts:
    """The columns of a ``datasets.Dataset``, or of the splits of a ``DatasetDict``.

    Without ``item`` it is the only column of a feature that is a modality (``Image`` ...), or else the only one of
    texts; without ``label`` the only ``ClassLabel``, or sequence of them, and where there is none a column of texts
    that is called as labels are.

    Raises:
        UnknownName: there is no such column.
        NoItems: there is no row, or none to train on.
        UnusableArrays: it is no dataset, or several columns could be meant.
    """
    splits = dict(data) if isinstance(data, Mapping) else {"train": data}
    if not splits or not all(type(part).__module__.startswith("datasets.") for part in splits.values()):
        raise UnusableArrays(type(data).__name__, (), f"a {type(data).__name__} is no datasets.Dataset or DatasetDict")
    first = next(iter(splits.values()))
    features = dict(first.features)
    modal = [name for name, feature in features.items() if _modality(feature) is not None]
    texts = [name for name, feature in features.items() if getattr(feature, "dtype", "") in _TEXTS and name != label]
    listed = [name for name, feature in features.items() if _holds_texts(feature) and name != label]
    classes = [name for name, feature in features.items() if type(_inner(feature)).__name__ == "ClassLabel"]
    classes = [name for name in classes if name == _NAMES] or classes
    if label is None and not classes:
        classes = [name for name in LABEL_NAMES if name in texts][:1]
        texts = [name for name in texts if name not in classes]
    target = _only("labels", label, classes, features)
    tagged = _inner(features[target]) is not features[target]
    if tagged and len(listed) == 1 and not modal and item is None:  # words, whose tags are listed too
        texts = listed
    wanted = item if isinstance(item, tuple) else (item,)
    chosen = tuple(_only("items", name, modal or texts, features) for name in wanted)
    parts: dict[str, Columns] = {}
    notes = []
    for name, part in splits.items():
        role = role_of(name)
        if role:
            columns = _of_dataset(part, chosen, target, groups)
            parts[role] = parts[role] + columns if role in parts else columns
        else:
            notes.append(f"split {name!r} ({len(part)} rows) not read: no part for training, validation or test")
    placed = _placed("the dataset", parts)
    return replace(placed, modality=_modality(features[chosen[0]]), notes=(*notes, *placed.notes))


def _frame(frame: Any) -> pd.DataFrame:  # noqa: ANN401 - as above
    try:
        table = frame if isinstance(frame, pd.DataFrame) else pd.DataFrame(frame)
    except (ValueError, TypeError) as cause:
        raise UnusableArrays(type(frame).__name__, (), f"a {type(frame).__name__} is no frame: {cause}") from cause
    if not len(table):
        raise NoItems("the frame", "row", remedy="Give a frame with a row for each item.")
    return table


def _column(frame: pd.DataFrame, name: str) -> list[Any]:
    if name not in frame.columns:
        raise UnknownName("column", name, [str(column) for column in frame.columns])
    column = frame[name]
    if isinstance(column, pd.DataFrame):
        raise UnusableArrays("frame", column.shape, f"{column.shape[1]} columns are named {name!r}")
    return [None if value is pd.NA or value is pd.NaT else value for value in column.tolist()]


def _columns(
    frame: pd.DataFrame, item: str | tuple[str, str], label: str, groups: str | None, root: Path | None
) -> Columns:
    if isinstance(item, tuple):
        items: list[Any] = list(zip(*(_column(frame, name) for name in item), strict=True))
    else:
        items = _column(frame, item)
    if root is not None:
        items = [root / value if isinstance(value, str | Path) else value for value in items]
    return Columns(items, _column(frame, label), None if groups is None else _column(frame, groups))


def _taken(columns: Columns, rows: Sequence[int]) -> Columns:
    groups = None if columns.groups is None else [columns.groups[row] for row in rows]
    return Columns([columns.items[row] for row in rows], [columns.labels[row] for row in rows], groups)


def _placed(what: str, parts: Mapping[str, Columns]) -> Parts:
    """Validation joins the training part where there is a test part, and is the test part where there is none."""
    if "train" not in parts or not parts["train"].items:
        raise NoItems(what, "row to train on", there=f"parts {', '.join(sorted(parts)) or 'of no name that is known'}")
    train, test, validation = (parts.get(role) for role in _PARTS)
    assert train is not None  # noqa: S101 - it is there
    if validation is None:
        return Parts(train, test)
    if test is None:
        return Parts(train, validation, notes=("no test part: the validation part is used as one",))
    joined = f"validation part ({len(validation.items)} rows) joined to the training part"
    return Parts(train + validation, test, notes=(joined,))


def _inner(feature: Any) -> Any:  # noqa: ANN401 - a feature of datasets'
    """What a sequence is of, else the feature itself."""
    return feature.feature if type(feature).__name__ in {"List", "LargeList", "Sequence"} else feature


def _holds_texts(feature: Any) -> bool:  # noqa: ANN401 - as above
    inner = _inner(feature)
    return inner is not feature and getattr(inner, "dtype", "") in _TEXTS


def _modality(feature: Any) -> str | None:  # noqa: ANN401 - as above
    """The modality that a feature is named as, if any."""
    name = type(feature).__name__.lower()
    return name if name in modalities else None


def _only(what: str, wanted: str | None, fitting: Sequence[str], features: Mapping[str, Any]) -> str:
    """The named column, else the only one that fits."""
    if wanted is not None:
        if wanted not in features:
            raise UnknownName("column", wanted, tuple(features))
        return wanted
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(f"{name} ({type(feature).__name__})" for name, feature in features.items())
    among = f"{len(fitting)} columns could hold the {what}" if fitting else f"no column is plainly one of {what}"
    raise UnusableArrays("dataset", (), f"{among}: name one of {known}")


def _of_dataset(
    data: Any,  # noqa: ANN401 - a Dataset
    columns: tuple[str, ...],
    label: str,
    groups: str | None,
) -> Columns:
    for name in (*columns, label, groups):
        if name is not None and name not in data.features:
            raise UnknownName("column", name, tuple(data.features))
    if not len(data):
        raise NoItems("the dataset", "row", remedy="Give a dataset with a row for each item.")
    item, feature = columns[0], data.features[columns[0]]
    if len(columns) > 1:
        items: list[Any] = list(zip(*(data[name] for name in columns), strict=True))
    elif _modality(feature) is None:
        items = list(data[item])
    else:
        stored = data.cast_column(item, type(feature)(decode=False))[item]
        items = [value and (Path(value["path"]) if value["bytes"] is None else value["bytes"]) for value in stored]
    return Columns(
        items, _named(list(data[label]), data.features[label]), None if groups is None else list(data[groups])
    )


def _named(values: list[Any], feature: Any) -> list[Any]:  # noqa: ANN401 - as above
    """Labels by their names, and lists of them as tuples."""
    inner = _inner(feature)
    several = inner is not feature
    if type(inner).__name__ == "ClassLabel":
        bad = [row for row, value in enumerate(values) if value is None or (not several and value < 0)]
        if bad:
            raise UnusableLabels(f"row {bad[0]} has no class", bad)
        if several:
            return [tuple(inner.int2str(number) for number in value) for value in values]
        return [inner.int2str(int(value)) for value in values]
    return [tuple(value) if several and value is not None else value for value in values]
