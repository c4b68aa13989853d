"""Dialect: what differs from one database to another: SQLite here, PostgreSQL by way of `registry.store.postgres`.

Engines and their transactions (SQLite's are taken with BEGIN IMMEDIATE, so that two writers queue), what an error
means, a database's own check of itself and its own numbers of rows.
"""

import os
import re
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from registry.errors import DiskFull, HomeUnusable, RegistryCorrupt
from registry.store.locks import FileLocks, Locks
from registry.store.postgres import (
    ServerLocks,
    alone,
    displayed,
    is_away,
    is_conflict,
    make_server_engine,
    name_server_error,
)
from registry.store.schema import raw

WRITE = "transferzoo_write"
"""The execution option of a transaction that writes."""

ALONE = "transferzoo_alone"
"""The execution option of a transaction beside which no other of its kind runs: a migration."""
ROW_NUMBER = sa.literal_column("rowid", sa.Integer)
"""SQLite's own number of a row."""
_SERVER_ROW = sa.literal_column(
    "((ctid::text::point)[0]::bigint * 65536 + (ctid::text::point)[1]::bigint)", sa.BigInteger
)
"""PostgreSQL's page of a row and its place there, until the row is written again."""
_BUSY_SECONDS = 0.25
_CHECKED_BYTES = 64 << 20
"""The largest database that is checked from end to end whenever it is opened: a few hundredths of a second."""
_INDEX_ONLY = re.compile(r"missing from index|wrong # of entries in index|non-unique entry in index|of index \S+$")
"""What SQLite says of an index that differs from its table, whose rows are all there."""
_ROW_ONLY = re.compile(r"^(NULL value in|CHECK constraint failed)")
"""What SQLite says of a single row; its seal tells that too."""


def sqlite_file(path: Path, *, writable: bool = True) -> sa.URL:
    """A SQLite file, given apart from all that has a meaning in a URL.

    In a folder that cannot be written SQLite opens a file of ours only if it may take it to be immutable; where a
    writer's log lies beside it, it must be read with it.
    """
    if writable:
        return sa.URL.create("sqlite", database=str(path))
    waits = path.with_name(f"{path.name}-wal")
    logged = waits.exists() and waits.stat().st_size > 0
    how: dict[str, Sequence[str] | str] = {"uri": "true", **({"mode": "ro"} if logged else {"immutable": "1"})}
    return sa.URL.create("sqlite", database=f"file:{quote(os.fsencode(path.absolute()))}", query=how)


def make_engine(url: sa.URL, *, writable: bool = True) -> sa.Engine:
    """An engine; on SQLite it keeps no connection open, begins transactions itself and reads text as it lies.

    Raises:
        ExtraMissing: the driver of a server is not installed.
    """
    if url.get_backend_name() != "sqlite":
        return make_server_engine(url)
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": _BUSY_SECONDS})

    logged = not writable

    @sa.event.listens_for(engine, "connect")
    def connected(driver: Any, _record: object) -> None:  # noqa: ANN401 - SQLite's own connection
        nonlocal logged
        driver.isolation_level = None
        driver.text_factory = _as_it_lies
        cursor = driver.cursor()
        if not logged:  # the file remembers it
            cursor.execute("PRAGMA journal_mode=WAL")
            logged = True
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        write = connection.get_execution_options().get(WRITE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def transaction_options(engine: sa.Engine, *, write: bool, alone: bool = False) -> dict[str, Any]:
    """Execution options of a transaction: on a server, which of what others do meanwhile it sees."""
    if is_file(engine):
        return {WRITE: write}
    if alone:
        return {WRITE: write, ALONE: True, "isolation_level": "READ COMMITTED"}
    if write:
        return {WRITE: write, "isolation_level": "SERIALIZABLE"}
    return {WRITE: write, "isolation_level": "REPEATABLE READ", "postgresql_readonly": True}


def begin_alone(connection: sa.Connection) -> None:
    """Wait until no other migration of the same database is under way; SQLite has one writer at a time anyway."""
    if not is_file(connection.engine):
        alone(connection)


def is_file(engine: sa.Engine) -> bool:
    """Whether the database is a file of this machine."""
    return engine.dialect.name == "sqlite"


def place_of_database(url: sa.URL) -> str:
    """Where a database is, as it is shown: a path, or a URL without its password."""
    return url.database or "" if url.get_backend_name() == "sqlite" else displayed(url)


def locks_of(engine: sa.Engine, folder: Path, patience: float) -> Locks:
    """Locks that hold for everybody who uses the database."""
    return FileLocks(folder) if is_file(engine) else ServerLocks(engine, patience)


def _as_it_lies(text: bytes) -> str:
    """Text of the database; bytes that are no UTF-8 stay apart from all text, so that its seal tells."""
    return text.decode("utf-8", "surrogateescape")


def name_error(cause: DBAPIError, where: str, size: int | None) -> Exception:
    """A database's error as one of `registry.errors`; ``size`` bytes were to be written."""
    if not isinstance(cause.orig, sqlite3.Error):
        return name_server_error(cause, where)
    message, folder = str(cause.orig), Path(where).parent
    opened = "readonly" in message or "unable to open" in message or "disk I/O" in message
    if "disk is full" in message or (opened and _is_full(folder)):
        return DiskFull(where, shutil.disk_usage(folder).free, size)
    if isinstance(cause, OperationalError) and opened:
        return HomeUnusable(folder, message)
    corrupt = isinstance(cause.orig, sqlite3.DatabaseError) and not isinstance(cause.orig, sqlite3.ProgrammingError)
    return RegistryCorrupt(where, message) if corrupt else cause


def _is_full(folder: Path) -> bool:
    """Whether there is not even room for what SQLite needs beside a database to open it."""
    try:
        return shutil.disk_usage(folder).free < 64 << 10
    except OSError:
        return False


def is_busy(cause: DBAPIError) -> bool:
    """Whether another process holds the database, so that it is worth another try."""
    return "locked" in str(cause.orig) if isinstance(cause.orig, sqlite3.Error) else is_conflict(cause)


def is_gone(cause: DBAPIError) -> bool:
    """Whether a server does not answer, so that it is worth waiting for one that has answered before."""
    return not isinstance(cause.orig, sqlite3.Error) and is_away(cause)


def is_small(engine: sa.Engine, where: str) -> bool:
    """Whether checking all of it takes no time to speak of."""
    if not is_file(engine):
        return False
    try:
        return Path(where).stat().st_size <= _CHECKED_BYTES
    except OSError:
        return False


def complaints(connection: sa.Connection) -> list[str]:
    """What SQLite's own check finds wrong with its file, single rows aside: their seals tell that too."""
    if not is_file(connection.engine):
        return []
    lines = [str(row[0]) for row in connection.execute(sa.text("PRAGMA integrity_check(20)")) if row[0] != "ok"]
    return [line for line in lines if not _ROW_ONLY.search(line)]


def is_of_index(complaint: str) -> bool:
    """Whether a complaint is of an index that differs from its table, whose rows are all there."""
    return _INDEX_ONLY.search(complaint) is not None


def rebuild_indexes(connection: sa.Connection) -> None:
    """Make every index anew from its table."""
    connection.exec_driver_sql("REINDEX")


def is_row(connection: sa.Connection, number: int) -> sa.ColumnElement[bool]:
    """The condition of the row to which the database gave that number."""
    if is_file(connection.engine):
        return sa.literal_column("rowid", sa.Integer) == number
    return sa.literal_column("ctid::text") == f"({number >> 16},{number & 0xFFFF})"


def with_row_numbers(connection: sa.Connection, table: sa.Table) -> sa.Select[Any]:
    """Raw rows, with the database's own numbers of them."""
    number = ROW_NUMBER if is_file(connection.engine) else _SERVER_ROW
    return raw(table).add_columns(number.label("_row"))
