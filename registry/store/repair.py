"""Repair: every damaged row, taking one out, and saving what can be read of a database that is broken."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from registry.errors import RegistryCorrupt
from registry.store import dialect, schema
from registry.store.database import Database
from registry.store.integrity import Damage, damage_of
from registry.store.schema import Row, counted_columns, key_of, raw

_LOOKED_UP = 100_000
"""Rows that a rescue looks for one by one, between the last readable from the start and the first from the end."""


def damaged_rows(database: Database) -> tuple[Damage, ...]:
    """Every row that is not as it was written; the database's own complaints under ``file``."""
    try:
        about_file = [Damage("file", database.where, line) for line in database.run(dialect.complaints)]
        rows = [one for table in schema.CONTENT for one in database.run(partial(_broken, table=table))]
    except RegistryCorrupt as cause:
        return (Damage("file", cause.path, cause.why),)
    return (*about_file, *rows)


def quarantine(database: Database, damage: Damage, keep: Callable[[Sequence[tuple[str, Row]]], object]) -> None:
    """Remove one row, and what cannot be without it; ``keep`` is handed them, by table, before they are gone."""
    table = schema.metadata.tables[damage.table]

    def work(connection: sa.Connection) -> None:
        same = _this_row(connection, table, damage)
        there = connection.execute(raw(table).where(same)).mappings().all()
        rows = [(table.name, row) for row in there if damage_of(table, row) is not None]
        if not rows:  # gone, or written anew, since it was looked at
            return
        for other in (t for t in schema.CONTENT if any(key.column.table is table for key in t.foreign_keys)):
            (key,) = other.foreign_keys
            with suppress(UnicodeEncodeError):  # what refers to no name that can be written refers to another row
                depends = raw(other).where(key.parent == damage.key)
                rows += [(other.name, row) for row in connection.execute(depends).mappings()]
        keep(rows)
        connection.execute(sa.delete(table).where(same))

    database.run(work, write=True)
    database.forget(damage)


def salvage(database: Database, damaged: Path) -> dict[str, tuple[int, int]]:
    """Copy into a database every sound row of a damaged one that can still be read.

    For each table: how many were taken over, and how many more could be read but are not sound.
    """
    source = Database(dialect.make_engine(dialect.sqlite_file(damaged)), str(damaged), database.patience)
    read = {table: _readable(source, table) for table in schema.CONTENT}
    return {
        table.name: (database.write(partial(_take_over, table=table, rows=rows)), unsound)
        for table, (rows, unsound) in read.items()
    }


def _broken(connection: sa.Connection, table: sa.Table) -> list[Damage]:
    """The damaged rows of a table, read from its first page to its last: a damaged index hides none."""
    numbered = dialect.with_row_numbers(connection, table).with_hint(table, "NOT INDEXED", "sqlite")
    with connection.execution_options(yield_per=100).execute(numbered) as result:
        return [damage for row in result.mappings() if (damage := damage_of(table, row)) is not None]


def _this_row(connection: sa.Connection, table: sa.Table, damage: Damage) -> sa.ColumnElement[bool]:
    if damage.row is not None:
        return dialect.is_row(connection, damage.row)
    column = table.c[key_of(table)]
    return column == (int(damage.key) if isinstance(column.type, sa.Integer) else damage.key)


def _readable(source: Database, table: sa.Table) -> tuple[list[dict[str, object]], int]:
    """The sound rows of a table that can be read from its start, from its end, and one by one between.

    And how many more can be read, but are not sound.
    """
    rows: dict[int, dict[str, object] | None] = {}

    def take(row: Row) -> None:
        sound = damage_of(table, row) is None
        rows[int(row["_row"])] = {name: row[name] for name in row if name != "_row"} if sound else None

    def read(connection: sa.Connection, which: Callable[..., Any]) -> None:
        ordered = dialect.with_row_numbers(connection, table).order_by(which(dialect.ROW_NUMBER))
        for row in connection.execute(ordered).mappings():
            take(row)

    def look_up(connection: sa.Connection, number: int) -> None:
        one = dialect.with_row_numbers(connection, table).where(dialect.is_row(connection, number))
        for row in connection.execute(one).mappings():
            take(row)

    reached = {}
    for which in (sa.asc, sa.desc):
        before = set(rows)
        with suppress(RegistryCorrupt):
            source.run(partial(read, which=which))
        reached[which] = set(rows) - before
    first, last = max(reached[sa.asc], default=0), min(reached[sa.desc], default=0)
    for number in range(first + 1, min(last, first + _LOOKED_UP)):
        with suppress(RegistryCorrupt):
            source.run(partial(look_up, number=number))
    sound = [row for _, row in sorted(rows.items()) if row is not None]
    return sound, len(rows) - len(sound)


def _take_over(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> int:
    """Insert rows of another database where their place is free and what they refer to is there."""
    taken = 0
    for row in rows:
        fresh = {name: value for name, value in row.items() if name not in counted_columns(table)}
        for column in table.c:
            if isinstance(column.type, sa.Boolean):
                fresh[column.name] = bool(fresh[column.name])
        unique = ["domain", "lens"] if table is schema.sketches else [column.name for column in table.primary_key]
        unique = ["id"] if table is schema.recommendations else unique
        there = sa.select(sa.literal(1)).select_from(table).where(*(table.c[name] == row[name] for name in unique))
        owners = [sa.select(sa.literal(1)).where(key.column == row[key.parent.name]) for key in table.foreign_keys]
        if connection.scalar(there) is None and all(connection.scalar(owner) for owner in owners):
            connection.execute(sa.insert(table).values(fresh))
            taken += 1
    return taken
