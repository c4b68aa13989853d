"""Database: opening and migrating, transactions, and the damaged rows that were met.

A write is one transaction. Text is read as the bytes that lie there, so that a damaged row is one that fails its seal
and is left out, named, and nothing else fails.
"""

import random
import re
import time
import uuid
import weakref
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa
import sqlalchemy.orm  # core looks into it: it is whole before a thread of MLflow's imports it
from sqlalchemy.exc import DBAPIError, IntegrityError

from registry.errors import HomeUnusable, RegistryBusy, RegistryCorrupt, RegistryNewer
from registry.store import dialect, migrations, schema
from registry.store.integrity import Damage, damage_of
from registry.store.locks import Locks
from registry.store.postgres import server_url
from registry.store.schema import Row

Result = TypeVar("Result")
_LOOKS = 5
"""How often a write looks again where another process wrote the same row in between."""
_RESTORE = "Restore it from a backup (pg_restore), or name another database with TRANSFERZOO_REGISTRY."


class Database:
    """One database. ``Database.open`` makes or migrates it."""

    def __init__(
        self, engine: sa.Engine, where: str, patience: float, *, writable: bool = True, beside: Path | None = None
    ) -> None:
        self._engine = engine
        weakref.finalize(self, engine.dispose)
        self.where = where
        self.home = "" if dialect.is_file(engine) or beside is None else str(beside)
        """Whose jobs are carried out here, where several homes share a server; empty where one has its own file."""
        self.patience = patience
        self.writable = writable
        self._reached = False
        """Whether a server has answered before: then it is waited for."""
        self._left_out: dict[tuple[str, str], Damage] = {}

    @property
    def left_out(self) -> tuple[Damage, ...]:
        """Damaged rows that were met so far, and left out of what was read."""
        return tuple(self._left_out.values())

    @classmethod
    def open(
        cls,
        place: Path | str,
        *,
        patience: float = 15.0,
        writable: bool = True,
        mend: bool = True,
        beside: Path | None = None,
    ) -> "Database":
        """The database at that path (SQLite) or URL (PostgreSQL, SQLite), made or brought up to date if need be.

        A small file is checked from end to end. An index that differs from its table is made anew where ``mend``
        allows. Where it is not ``writable`` it is only read: what is not there or out of date is refused. ``beside`` is
        the home that it is used from.

        Raises:
            UnusableRegistry: it is no such URL, or its database does not keep text as UTF-8.
            ExtraMissing: the server's driver is not installed.
            RegistryAway: the server does not answer.
            RegistryRefused: it lets nobody in, or does not let write.
            RegistryCorrupt: it is no registry, or damaged.
            RegistryNewer: a later transferzoo wrote it.
            RegistryBusy: another process held it for longer than ``patience`` seconds.
            HomeUnusable: it cannot be read, or not be written where that is needed.
            DiskFull: there is no room.
        """
        url = server_url(place) if isinstance(place, str) else dialect.sqlite_file(place, writable=writable)
        where = str(place) if isinstance(place, Path) else dialect.place_of_database(url)
        engine = dialect.make_engine(url, writable=writable)
        database = cls(engine, where, patience, writable=writable, beside=beside)
        revision = database.run(_revision)
        if revision == migrations.HEAD:
            database._require_sound(mend=mend and writable)
        elif writable:
            database._prepare()
        elif revision in migrations.REVISIONS:
            raise HomeUnusable(Path(where).parent, "its registry must be brought up to date, and it is read-only")
        else:
            raise database._unknown_revision(revision)
        return database

    @property
    def is_file(self) -> bool:
        """Whether it is a file of this machine, which can be copied, moved and set aside."""
        return dialect.is_file(self._engine)

    def locks(self) -> Locks:
        """Locks by name, for everybody who uses it; of a file, they lie beside it."""
        return dialect.locks_of(self._engine, Path(self.where).parent / "jobs", self.patience)

    def run(
        self,
        work: Callable[[sa.Connection], Result],
        *,
        write: bool = False,
        size: int | None = None,
        alone: bool = False,
    ) -> Result:
        """What ``work`` gives, in one transaction: all of it or none; waits its turn, with jitter.

        ``size`` is the number of bytes that it writes, where that is known; ``alone`` is for migrations.

        Raises:
            RegistryAway: the server does not answer.
            RegistryRefused: it lets nobody in, or does not let write.
            RegistryBusy: the turn did not come.
            RegistryCorrupt: the database is damaged.
            HomeUnusable: it cannot be read, or not be written.
            DiskFull: there is no room; nothing was written.
        """
        if write and not self.writable:
            raise HomeUnusable(Path(self.where).parent, "it is read-only, and this must be written")
        deadline = time.monotonic() + self.patience
        while True:
            try:
                options = dialect.transaction_options(self._engine, write=write, alone=alone)
                with self._engine.connect().execution_options(**options) as connection, connection.begin():
                    self._reached = True
                    return work(connection)
            except IntegrityError:
                raise
            except UnicodeDecodeError as cause:  # what SQLite complains of quotes the damaged schema
                raise RegistryCorrupt(self.where, "its schema is no UTF-8") from cause
            except DBAPIError as cause:
                busy = dialect.is_busy(cause)
                waited = time.monotonic() > deadline
                if not busy and (waited or not (self._reached and dialect.is_gone(cause))):
                    raise dialect.name_error(cause, self.where, size) from cause
                if waited:
                    raise RegistryBusy(self.where, self.patience) from cause
                time.sleep(random.uniform(0.005, 0.1))  # noqa: S311 - jitter, not a secret

    @property
    def checked_when_opened(self) -> bool:
        """Whether it is so small that checking all of it takes no time to speak of."""
        return dialect.is_small(self._engine, self.where)

    def _prepare(self) -> None:
        """Make or migrate the schema; the first of several processes does it."""

        def work(connection: sa.Connection) -> None:
            dialect.begin_alone(connection)
            revision = _revision(connection)
            if revision is not None and revision not in migrations.REVISIONS:
                raise self._unknown_revision(revision)
            if revision is None and sa.inspect(connection).get_table_names():
                raise self._corrupt("it is a database, but not a registry")
            if revision != migrations.HEAD:
                migrations.migrate(connection)
            if revision is None:
                connection.execute(sa.insert(schema.notes).values(key="registry", value=uuid.uuid4().hex))

        self.run(work, write=True, alone=True)

    def write(self, work: Callable[[sa.Connection], Result], size: int | None = None) -> Result:
        """Write; where another process wrote the same row in between, look again."""
        for _ in range(_LOOKS - 1):
            with suppress(IntegrityError):
                return self.run(work, write=True, size=size)
        return self.run(work, write=True, size=size)

    def _require_sound(self, *, mend: bool) -> None:
        """Raise `RegistryCorrupt` where tables are missing, or (in a small database) pages damaged."""
        there = set(self.run(lambda c: sa.inspect(c).get_table_names()))
        missing = [table.name for table in (schema.notes, *schema.CONTENT) if table.name not in there]
        if missing:
            raise self._corrupt(f"it lacks the table {', '.join(missing)}")
        if not self.checked_when_opened:
            return
        if mend and self.index_differs():
            self.reindex()
        wrong = [line for line in self.run(dialect.complaints) if not dialect.is_of_index(line)]
        if wrong:
            raise RegistryCorrupt(self.where, "; ".join(wrong[:3]))

    def index_differs(self, known: Sequence[str] = ()) -> bool:
        """Whether all that SQLite has to complain of is indexes that differ from their tables: `reindex` mends that.

        What is ``known`` to be wrong with the file counts, too.
        """
        complaints = (*self.run(dialect.complaints), *known)
        return bool(complaints) and all(dialect.is_of_index(line) for line in complaints)

    def reindex(self) -> None:
        """Make every index anew from its table.

        Raises:
            RegistryCorrupt: two rows of a table claim the same place.
        """
        try:
            self.run(dialect.rebuild_indexes, write=True)
        except IntegrityError as cause:
            raise RegistryCorrupt(self.where, str(cause.orig)) from cause

    def sound(self, table: sa.Table, row: Row) -> Row | None:
        """The row if it is as it was written; a damaged one is remembered, and None."""
        damage = damage_of(table, row)
        if damage is None:
            return row
        self._left_out[damage.table, damage.key] = damage
        return None

    def forget(self, damage: Damage) -> None:
        """A damaged row is gone, and no longer left out."""
        self._left_out.pop((damage.table, damage.key), None)

    def require_no_damage(self, table: sa.Table, key: str) -> None:
        """Raise `RegistryCorrupt` where the row of that key was met, and is damaged."""
        if (table.name, key) in self._left_out:
            raise RegistryCorrupt(self.where, str(self._left_out[table.name, key]))

    def _corrupt(self, why: str) -> RegistryCorrupt:
        """What is wrong with all of it; a server's database is no file that could be set aside and made anew."""
        return RegistryCorrupt(self.where, why) if self.is_file else RegistryCorrupt(self.where, why, _RESTORE)

    def _unknown_revision(self, revision: str | None) -> RegistryNewer | RegistryCorrupt:
        """A later version's schema, or none at all."""
        if revision is not None and re.fullmatch(r"\d{4}[\w-]*", revision) and revision > migrations.HEAD:
            return RegistryNewer(self.where, revision)
        return self._corrupt("it is no registry" if revision is None else f"there is no schema {revision!r}")


def _revision(connection: sa.Connection) -> str | None:
    """The schema's revision; None where there is no schema yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return None if revision is None else str(revision)
