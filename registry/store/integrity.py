"""Integrity: the seal of a row (SHA-256 of its content), and which rows are not as they were written.

SQLite's own integrity check says ok after payload bytes were overwritten. Of a job only that is sealed which does not
change while it is carried out.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from registry.cards import JobState
from registry.store import schema
from registry.store.schema import Row, counted_columns, key_of

_KINDS: Mapping[type[sa.types.TypeEngine[Any]], type | tuple[type, ...]] = {
    sa.Text: str,
    sa.LargeBinary: (bytes, memoryview),
    sa.Boolean: (bool, int),
    sa.Integer: int,
    sa.Float: (int, float),
}


@dataclass(frozen=True)
class Damage:
    """One row that is not as it was written."""

    table: str
    key: str
    why: str
    row: int | None = None
    """SQLite's own number of the row, for its key may not be readable."""

    def __str__(self) -> str:
        return f"row {self.key!r} of {self.table} {self.why}"


def sealed(table: sa.Table, row: Mapping[str, object]) -> dict[str, object]:
    """A row with its seal."""
    return {**row, "seal": seal_of(table, row)}


def seal_of(table: sa.Table, row: Mapping[str, object]) -> str:
    """SHA-256 over the row's content, column by column, each with its length."""
    total = sha256()
    for column, boolean in _sealed_columns(table):
        value = bool(row[column]) if boolean else row[column]
        content = bytes(value) if isinstance(value, bytes | memoryview) else _bytes(str(value))
        total.update(f"{column}:{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()


@cache
def _sealed_columns(table: sa.Table) -> tuple[tuple[str, bool], ...]:
    """By name, and whether they hold booleans."""
    sealed = schema.LASTING if table is schema.jobs else {c.name for c in table.c} - {"seal"} - counted_columns(table)
    if table is schema.checkpoints:
        sealed -= schema.CHOSEN_BY
    return tuple((name, isinstance(table.c[name].type, sa.Boolean)) for name in sorted(sealed))


def damage_of(table: sa.Table, row: Row) -> Damage | None:
    """What is wrong with a row; None where it is as it was written."""
    why = _misfit(table, row)
    if not why:
        return None
    number = row.get("_row", row.get("id") if isinstance(table.c[key_of(table)].type, sa.Integer) else None)
    return Damage(table.name, str(row[key_of(table)]), why, number)


def _misfit(table: sa.Table, row: Row) -> str:
    for column in table.c:
        value = row[column.name]
        if value is None and not column.nullable:
            return f"lacks its {column.name}"
        kind = next(kind for known, kind in _KINDS.items() if isinstance(column.type, known))
        if value is not None and not isinstance(value, kind):
            return f"has a {column.name} of the wrong kind"
    if "seal" in table.c and seal_of(table, row) != row["seal"]:
        return "does not match its seal"
    return _misread(table, row)


def _misread(table: sa.Table, row: Row) -> str:
    """Why a row cannot be read that is what it was sealed as, or that no seal vouches for."""
    for name in schema.JSON_COLUMNS & set(row):
        try:
            if row[name] is not None and not isinstance(json.loads(row[name]), dict):
                return f"has a {name} that is no JSON object"
        except (ValueError, RecursionError):
            return f"has a {name} that is no JSON"
    if table is schema.checkpoints and any(
        row[name] != value for name, value in schema.chosen_by(json.loads(row["card"])).items()
    ):
        return "is chosen by what its card does not say"
    if table is schema.jobs and (row["state"] not in set(JobState) or not _is_moment(row["heartbeat"])):
        return "has no known state or time"
    if table is schema.points and not math.isfinite(row["value"]):
        return "has a value that is no number"
    return ""


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
