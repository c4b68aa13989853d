"""Store: what the registry remembers, in SQL: cards, sketches, outcomes, advice, jobs. Nothing else speaks SQL.

Every row of value carries a seal, the SHA-256 of its content (a job's, of what does not change while it is carried
out): SQLite's own integrity check says ok after payload bytes were overwritten. Text is read as the bytes that lie
there, so that a damaged row is one that fails its seal and is left out, named, and nothing else fails. A write is one
transaction; SQLite's are taken with BEGIN IMMEDIATE, so that two writers queue.
"""

import json
import math
import os
import random
import re
import shutil
import socket
import sqlite3
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote_to_bytes

import numpy as np
import sqlalchemy as sa
from filelock import FileLock, Timeout
from jaxtyping import Float32, Int64
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from registry import migrations
from registry.cards import FIRST_MODALITY, Checkpoint, Domain, Keepable, Metric, Origin, Outcome, Task
from registry.errors import (
    AlreadyThere,
    DiskFull,
    HomeUnusable,
    NotFinite,
    RegistryBusy,
    RegistryCorrupt,
    RegistryNewer,
    UnknownName,
    UnusableName,
)
from registry.files import is_locked
from registry.progress import Event, Phase
from registry.sketch import RowKeys, Sketch

__all__ = ["Damage", "Entries", "JobRecord", "Jobs", "State", "Store", "now", "sqlite_path", "sqlite_url"]

Result = TypeVar("Result")
Card = Checkpoint | Domain | Outcome
Row = Mapping[Any, Any]

_BUSY_SECONDS = 0.25
_SILENT_MINUTES = 5
_LOOKED = 1.0
"""Seconds to wait for a job's lock: long enough for one who only looks whether it is taken."""
_WRITE = "transferzoo_write"
_CHECKED_BYTES = 64 << 20
"""The largest database that is checked from end to end whenever it is opened: a few hundredths of a second."""
_LOOKED_UP = 100_000
"""Rows that a rescue looks for one by one, between the last readable from the start and the first from the end."""
_INDEX_ONLY = re.compile(r"missing from index|wrong # of entries in index|non-unique entry in index|of index \S+$")
"""What SQLite says of an index that differs from its table, whose rows are all there."""
_ROW_ONLY = re.compile(r"^(NULL value in|CHECK constraint failed)")
"""What SQLite says of a single row; its seal tells that too."""
_KINDS: Mapping[type[sa.types.TypeEngine[Any]], type | tuple[type, ...]] = {
    sa.Text: str,
    sa.LargeBinary: (bytes, memoryview),
    sa.Boolean: (bool, int),
    sa.Integer: int,
    sa.Float: (int, float),
}


@dataclass(frozen=True)
class Entries:
    """What is written together or not at all."""

    checkpoints: tuple[Checkpoint, ...] = ()
    domains: tuple[Domain, ...] = ()
    sketches: tuple[Sketch, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    rows: tuple[RowKeys, ...] = ()


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


class Store:
    """One database. ``Store.open`` makes or migrates it."""

    def __init__(self, engine: sa.Engine, where: str, patience: float, *, writable: bool = True) -> None:
        self._engine = engine
        self.where = where
        self._patience = patience
        self.writable = writable
        self._left_out: dict[tuple[str, str], Damage] = {}

    @property
    def left_out(self) -> tuple[Damage, ...]:
        """Damaged rows that were met so far, and left out of what was read."""
        return tuple(self._left_out.values())

    @classmethod
    def open(cls, database: Path | str, *, patience: float = 15.0, writable: bool = True, mend: bool = True) -> "Store":
        """The database at that path (SQLite) or SQLAlchemy URL, made or brought up to date if need be.

        A small one is checked from end to end. An index that differs from its table is made anew where ``mend`` allows.
        Where it is not ``writable`` it is only read: what is not there or out of date is refused.

        Raises:
            RegistryCorrupt: it is no registry, or damaged.
            RegistryNewer: a later transferzoo wrote it.
            RegistryBusy: another process held it for longer than ``patience`` seconds.
            HomeUnusable: it cannot be read, or not be written where that is needed.
            DiskFull: there is no room.
        """
        url = sa.make_url(database) if isinstance(database, str) else _sqlite(database, writable=writable)
        where = str(database) if isinstance(database, Path) else url.database or url.render_as_string()
        store = cls(_engine(url, writable=writable), where, patience, writable=writable)
        found = store.run(_revision)
        if found == migrations.HEAD:
            store._require_sound(mend=mend and writable)
        elif writable:
            store._prepare()
        elif found in migrations.REVISIONS:
            raise HomeUnusable(Path(where).parent, "its registry must be brought up to date, and it is read-only")
        else:
            raise _unknown_revision(where, found)
        return store

    @property
    def folder(self) -> Path:
        """Where files about it may lie: beside SQLite's file; a server's are this machine's own affair."""
        beside = self._engine.dialect.name == "sqlite"
        return Path(self.where).parent if beside else Path(tempfile.gettempdir()) / "transferzoo"

    def run(self, work: Callable[[sa.Connection], Result], *, write: bool = False, size: int | None = None) -> Result:
        """What ``work`` gives, in one transaction: all of it or none; waits its turn, with jitter.

        ``size`` is the number of bytes that it writes, where that is known.

        Raises:
            RegistryBusy: the turn did not come.
            RegistryCorrupt: the database is damaged.
            HomeUnusable: it cannot be read, or not be written.
            DiskFull: there is no room; nothing was written.
        """
        if write and not self.writable:
            raise HomeUnusable(Path(self.where).parent, "it is read-only, and this must be written")
        deadline = time.monotonic() + self._patience
        while True:
            try:
                with self._engine.connect().execution_options(**{_WRITE: write}) as connection, connection.begin():
                    return work(connection)
            except IntegrityError:
                raise
            except UnicodeDecodeError as cause:  # what SQLite complains of quotes the damaged schema
                raise RegistryCorrupt(self.where, "its schema is no UTF-8") from cause
            except DBAPIError as cause:
                if "locked" not in str(cause.orig):
                    raise _named(cause, self.where, size) from cause
                if time.monotonic() > deadline:
                    raise RegistryBusy(self.where, self._patience) from cause
                time.sleep(random.uniform(0.005, 0.1))  # noqa: S311 - jitter, not a secret

    def note(self, key: str) -> str | None:
        """What was noted under that key."""
        return self.run(lambda c: c.scalar(sa.select(_notes.c.value).where(_notes.c.key == key)))

    def checkpoints(self, modality: str | None = None, *, name: str | None = None) -> tuple[Checkpoint, ...]:
        """All checkpoints, or one modality's, or the one of that name, by name; damaged ones are left out.

        Raises:
            RegistryCorrupt: the one of that name is damaged.
        """
        found = self._cards(_checkpoints, _of(_checkpoints, modality=modality, name=name))
        if name is not None and not found:
            self._require_no_damage(_checkpoints, name)
        return tuple(Checkpoint.from_dict(card) for card in found)

    def domains(self, modality: str | None = None, *, names: Sequence[str] | None = None) -> tuple[Domain, ...]:
        """All domains, or one modality's, or those of these names, by name; damaged ones are left out."""
        wanted = _of(_domains, modality=modality) + ([] if names is None else [_domains.c.name.in_(names)])
        return tuple(_domain(card) for card in self._cards(_domains, wanted))

    def outcomes(self, *, checkpoint: str | None = None, sample_digest: str | None = None) -> tuple[Outcome, ...]:
        """All outcomes, or those of a checkpoint or a sample, by id; damaged ones are left out."""
        wanted = _of(_outcomes, checkpoint=checkpoint, sample_digest=sample_digest)
        return tuple(_outcome(card) for card in self._cards(_outcomes, wanted))

    def outcome_ids(self) -> frozenset[str]:
        """The ids of all outcomes."""
        return frozenset(str(name) for name in self.run(lambda c: c.scalars(sa.select(_outcomes.c.id)).all()))

    def sketch(self, domain: str, lens: str) -> Sketch | None:
        """What is kept of a domain as seen through that lens; None where there is nothing, or it is damaged."""
        wanted = _raw(_sketches).where(_sketches.c.domain == domain, _sketches.c.lens == lens)
        row = self.run(lambda c: c.execute(wanted).mappings().first())
        sound = None if row is None else self._sound(_sketches, row)
        return None if sound is None else Sketch.unpack(sound["packed"], f"sketch of {domain}")

    def rows(self, owner: str) -> RowKeys | None:
        """Which rows a domain, or a sample, consists of; None where that was never kept, or is damaged."""
        wanted = _raw(_rows).where(_rows.c.name == owner)
        row = self.run(lambda c: c.execute(wanted).mappings().first())
        sound = None if row is None else self._sound(_rows, row)
        return None if sound is None else RowKeys.unpack(sound["packed"], owner)

    def sketched(self) -> tuple[tuple[int, str, str], ...]:
        """Number, domain and lens of every sketch; a number is never used again."""
        wanted = _raw(_sketches, "id", "domain", "lens").order_by(_sketches.c.id)
        return self.run(lambda c: tuple((int(i), str(d), str(s)) for i, d, s in c.execute(wanted)))

    def sketch_count(self, lens: str) -> tuple[int, int]:
        """How many sketches there are in that lens, and the newest's number: while both stay, so do the sketches."""
        counted = sa.select(sa.func.count(), sa.func.max(_sketches.c.id)).where(_sketches.c.lens == lens)
        count, newest = self.run(lambda c: c.execute(counted).one())
        return int(count), int(newest or 0)

    def sketch_numbers(self, lens: str, *, after: int = 0) -> Int64[np.ndarray, " n"]:
        """Numbers of the sketches in that lens that came after a number."""
        wanted = sa.select(_sketches.c.id).where(_sketches.c.lens == lens, _sketches.c.id > after)
        return np.array(self.run(lambda c: c.scalars(wanted.order_by(_sketches.c.id)).all()), dtype=np.int64)

    def sketch_domains(self, numbers: Sequence[int]) -> dict[int, str]:
        """Whose the sketches of those numbers are; damaged ones are left out."""
        return {number: str(row["domain"]) for number, row in self._sound_sketches(numbers)}

    def embeddings(self, numbers: Sequence[int]) -> dict[int, Float32[np.ndarray, " e"]]:
        """The embeddings of the sketches of those numbers, in that order; damaged ones are left out."""
        read = {number: np.frombuffer(row["embedding"], "<f4") for number, row in self._sound_sketches(numbers)}
        return {number: read[number] for number in numbers if number in read}

    def write(self, entries: Entries) -> None:
        """Add what is new, all or nothing; what is there already and the same is left alone.

        Raises:
            AlreadyThere: a name belongs to something else.
        """
        self._twice(lambda c: _write(c, entries, bundled=False), _size(entries))

    def write_bundled(self, entries: Entries, notes: Mapping[str, str]) -> None:
        """Replace all that came with the catalog; a user's own entry of the same name stays."""

        def work(connection: sa.Connection) -> None:
            _forget_bundled(connection, entries)
            _write(connection, entries, bundled=True)
            for key, value in notes.items():
                connection.execute(sa.delete(_notes).where(_notes.c.key == key))
                connection.execute(sa.insert(_notes).values(key=key, value=value))

        self._twice(work, _size(entries))

    def renew(self, card: Checkpoint) -> None:
        """Put a user's checkpoint in the place of the one of its name: what is known of it has changed."""

        def work(connection: sa.Connection) -> None:
            same_name = (_checkpoints.c.name == card.name, sa.not_(_checkpoints.c.bundled))
            row = _card_row(_checkpoints, card, bundled=False)
            connection.execute(sa.update(_checkpoints).where(*same_name).values(row))

        self.run(work, write=True)

    def forget(self, checkpoint: str) -> None:
        """Remove a user's checkpoint; what became of it stays history."""
        ours = (_checkpoints.c.name == checkpoint, sa.not_(_checkpoints.c.bundled))
        self.run(lambda c: c.execute(sa.delete(_checkpoints).where(*ours)), write=True)

    def keep(self, advice: Keepable) -> None:
        """Keep advice under its id; once is enough."""
        told = advice.to_dict()
        sample = told.get("sample")
        digest = str(sample.get("digest", "")) if isinstance(sample, Mapping) else ""
        content = {"id": advice.id, "created": now(), "sample_digest": digest, "body": _text(told)}

        def work(connection: sa.Connection) -> None:
            there = _raw(_recommendations, "number").where(_recommendations.c.id == advice.id)
            if connection.scalar(there) is None:
                connection.execute(sa.insert(_recommendations).values(_sealed(_recommendations, content)))

        self._twice(work, len(content["body"]))

    def advice(self, name: str | None = None, *, sample_digest: str | None = None) -> dict[str, Any] | None:
        """The advice of that id, or the newest sound one (for a sample); None where there is none.

        Raises:
            RegistryCorrupt: the advice of that id is damaged.
        """
        wanted = _raw(_recommendations).where(*_of(_recommendations, id=name, sample_digest=sample_digest))
        found = self._bodies(wanted, 1)
        if not found and name is not None:
            self._require_no_damage(_recommendations, name)
        return found[0][1] if found else None

    def kept(self, most: int) -> tuple[tuple[str, dict[str, Any]], ...]:
        """The newest advice, newest first, each with the time when it was kept."""
        return tuple(self._bodies(_raw(_recommendations), most))

    def damage(self) -> tuple[Damage, ...]:
        """Every row that is not as it was written; SQLite's own complaints under ``file``."""
        try:
            about_file = [Damage("file", self.where, line) for line in self.run(_complaints)]
            rows = [one for table in _ROWS for one in self.run(partial(_broken, table=table))]
        except RegistryCorrupt as cause:
            return (Damage("file", cause.path, cause.why),)
        return (*(one for one in about_file if not _ROW_ONLY.search(one.why)), *rows)

    def index_differs(self) -> bool:
        """Whether all that SQLite has to complain of is indexes that differ from their tables: `reindex` mends that."""
        found = [line for line in self.run(_complaints) if not _ROW_ONLY.search(line)]
        return bool(found) and all(_INDEX_ONLY.search(line) for line in found)

    def reindex(self) -> None:
        """Make every index anew from its table.

        Raises:
            RegistryCorrupt: two rows of a table claim the same place.
        """
        try:
            self.run(lambda c: c.exec_driver_sql("REINDEX"), write=True)
        except IntegrityError as cause:
            raise RegistryCorrupt(self.where, str(cause.orig)) from cause

    def quarantine(self, damage: Damage, keep: Callable[[Sequence[tuple[str, Row]]], object]) -> None:
        """Remove one row, and what cannot be without it; ``keep`` is handed them, by table, before they are gone."""
        table = _schema.tables[damage.table]
        same = _this_row(table, damage)

        def work(connection: sa.Connection) -> None:
            rows = [(table.name, row) for row in connection.execute(_raw(table).where(same)).mappings()]
            for other in (t for t in _ROWS if any(key.column.table is table for key in t.foreign_keys)):
                (key,) = other.foreign_keys
                with suppress(UnicodeEncodeError):  # what refers to no name that can be written refers to another row
                    depends = _raw(other).where(key.parent == damage.key)
                    rows += [(other.name, row) for row in connection.execute(depends).mappings()]
            keep(rows)
            connection.execute(sa.delete(table).where(same))

        self.run(work, write=True)
        self._left_out.pop((damage.table, damage.key), None)

    def salvage(self, damaged: Path) -> dict[str, tuple[int, int]]:
        """Copy every sound row of a damaged database that can still be read.

        For each table: how many were taken over, and how many more could be read but are not sound.
        """
        source = Store(_engine(_sqlite(damaged), writable=True), str(damaged), self._patience)
        read = {table: _readable(source, table) for table in _ROWS}
        return {
            table.name: (self._twice(partial(_take_over, table=table, rows=rows)), unsound)
            for table, (rows, unsound) in read.items()
        }

    def drop_sketch(self, number: int) -> None:
        """Forget the sketch of that number."""
        self.run(lambda c: c.execute(sa.delete(_sketches).where(_sketches.c.id == number)), write=True)

    def _prepare(self) -> None:
        """Make or migrate the schema; the first of several processes does it."""

        def work(connection: sa.Connection) -> None:
            found = _revision(connection)
            if found is not None and found not in migrations.REVISIONS:
                raise _unknown_revision(self.where, found)
            if found is None and sa.inspect(connection).get_table_names():
                raise RegistryCorrupt(self.where, "it is a database, but not a registry")
            if found != migrations.HEAD:
                migrations.upgrade(connection)
            if found is None:
                connection.execute(sa.insert(_notes).values(key="registry", value=uuid.uuid4().hex))

        self.run(work, write=True)

    def _twice(self, work: Callable[[sa.Connection], Result], size: int | None = None) -> Result:
        """Write; where another process wrote the same row in between, look again."""
        try:
            return self.run(work, write=True, size=size)
        except IntegrityError:
            return self.run(work, write=True, size=size)

    def _require_sound(self, *, mend: bool) -> None:
        """Raise `RegistryCorrupt` where tables are missing, or (in a small database) pages damaged."""
        there = set(self.run(lambda c: sa.inspect(c).get_table_names()))
        missing = [table.name for table in (_notes, *_ROWS) if table.name not in there]
        if missing:
            raise RegistryCorrupt(self.where, f"it lacks the table {', '.join(missing)}")
        if not self.checked_when_opened:
            return
        found = [line for line in self.run(_complaints) if not _ROW_ONLY.search(line)]
        if mend and found and all(_INDEX_ONLY.search(line) for line in found):
            self.reindex()
            found = [line for line in self.run(_complaints) if not _ROW_ONLY.search(line)]
        if any(not _INDEX_ONLY.search(line) for line in found):
            raise RegistryCorrupt(self.where, "; ".join(found[:3]))

    @property
    def checked_when_opened(self) -> bool:
        """Whether it is so small that checking all of it takes no time to speak of."""
        if self._engine.dialect.name != "sqlite":
            return False
        try:
            return Path(self.where).stat().st_size <= _CHECKED_BYTES
        except OSError:
            return False

    def _sound_sketches(self, numbers: Sequence[int]) -> Iterator[tuple[int, Row]]:
        for start in range(0, len(numbers), 500):
            some = _raw(_sketches).where(_sketches.c.id.in_(numbers[start : start + 500]))
            for row in self.run(partial(_mappings, wanted=some)):
                if self._sound(_sketches, row) is not None:
                    yield int(row["id"]), row

    def _cards(self, table: sa.Table, wanted: Sequence[sa.ColumnElement[bool]]) -> list[dict[str, Any]]:
        """The cards of the sound rows, by key."""
        ordered = _raw(table).where(*wanted).order_by(table.c[_key(table)])
        rows = self.run(lambda c: c.execute(ordered).mappings().all())
        return [json.loads(row["card"]) for row in rows if self._sound(table, row) is not None]

    def _bodies(self, wanted: sa.Select[Any], most: int) -> list[tuple[str, dict[str, Any]]]:
        """The newest sound advice of a selection, with its time."""
        newest = wanted.order_by(_recommendations.c.number.desc())

        def read(connection: sa.Connection) -> list[tuple[str, dict[str, Any]]]:
            found: list[tuple[str, dict[str, Any]]] = []
            for row in connection.execution_options(yield_per=20).execute(newest).mappings():
                if self._sound(_recommendations, row) is not None:
                    found.append((row["created"], json.loads(row["body"])))
                if len(found) == most:
                    break
            return found

        return self.run(read)

    def _sound(self, table: sa.Table, row: Row) -> Row | None:
        """The row if it is as it was written; a damaged one is remembered, and None."""
        damage = _damage(table, row)
        if damage is None:
            return row
        self._left_out[damage.table, damage.key] = damage
        return None

    def _require_no_damage(self, table: sa.Table, key: str) -> None:
        """Raise `RegistryCorrupt` where the row of that key was met, and is damaged."""
        if (table.name, key) in self._left_out:
            raise RegistryCorrupt(self.where, str(self._left_out[table.name, key]))


class State(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """Its process died; starting it again under the same key resumes it."""


@dataclass(frozen=True)
class JobRecord:
    """One job as the registry knows it."""

    id: str
    kind: str
    spec: Mapping[str, object]
    state: State
    key: str
    created: str
    heartbeat: str
    stage: str = ""
    """The phase of the newest event; empty before the first."""
    done: int = 0
    of: int = 0
    host: str = ""
    pid: int = 0
    result: Mapping[str, object] | None = None
    error: str | None = None
    lane: str = "cpu"
    """What it waits for: one job of a lane is carried out at a time."""
    curve: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    """Learning curves: series -> (step, value), by step."""
    part: str = ""
    step: int = 0
    steps: int = 0

    @property
    def event(self) -> Event | None:
        """How far it is; None before anything was reported."""
        if self.stage not in set(Phase):
            return None
        return Event(Phase(self.stage), self.part, self.done, self.of, self.step, self.steps)

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        curve = {series: [list(point) for point in points] for series, points in self.curve.items()}
        return {**asdict(self), "state": str(self.state), "curve": curve}


class Jobs:
    """Work that outlives who asked for it: the worker says `claim`, `report` and `point`, then `finish` or `fail`.

    Who has claimed a job holds its lock until it is over; the system drops the lock of a process that dies, so that no
    clock is asked whether a job lives. Jobs queue in lanes, the oldest first. What is queued is done on the machine
    where it was asked for.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks = store.folder / "jobs"
        self._held: dict[str, FileLock] = {}

    def start(self, kind: str, spec: Mapping[str, object], key: str, *, lane: str = "cpu") -> JobRecord:
        """A job queued under an idempotency key; the same key gives the same job.

        One that had gone wrong is queued anew, behind all others.
        """

        def work(connection: sa.Connection) -> str:
            fresh = {
                "kind": kind,
                "spec": _text(spec),
                "state": State.QUEUED,
                "created": now(),
                "heartbeat": now(),
                "error": None,
                "stage": "",
                "done": 0,
                "of": 0,
                "part": "",
                "step": 0,
                "steps": 0,
                "lane": lane,
                **_here(),
            }
            there = connection.execute(_raw(_jobs, "id", "state").where(_jobs.c.key == key)).first()
            if there is None:
                name = uuid.uuid4().hex[:12]
                connection.execute(sa.insert(_jobs).values(_sealed(_jobs, {"id": name, "key": key, **fresh})))
                return name
            if there.state in (State.FAILED, State.CANCELLED, State.LOST):
                renewed = _sealed(_jobs, {"id": there.id, "key": key, **fresh})
                connection.execute(sa.update(_jobs).where(_jobs.c.id == there.id).values(renewed))
            return str(there.id)

        return self.get(self._store._twice(work))

    def next(self, lane: str) -> JobRecord | None:
        """The job of a lane that is being carried out here, else the one queued longest; None where there is none."""
        found = self._read(_jobs.c.lane == lane, _ours, _jobs.c.state.in_([State.QUEUED, State.RUNNING]))
        return min(found, key=lambda job: (job.state is not State.RUNNING, job.created, job.id), default=None)

    def lanes(self) -> tuple[str, ...]:
        """The lanes that have work queued or under way here."""
        found = self._read(_ours, _jobs.c.state.in_([State.QUEUED, State.RUNNING]))
        return tuple(sorted({job.lane for job in found}))

    def ahead(self, job: str) -> int:
        """How many jobs come before one that is queued."""
        one = self.get(job)
        if one.state is not State.QUEUED:
            return 0
        sooner = sa.and_(_jobs.c.state == State.QUEUED, _jobs.c.created < one.created)
        return len(self._read(_jobs.c.lane == one.lane, _ours, sa.or_(_jobs.c.state == State.RUNNING, sooner)))

    def mind(self, lane: str) -> None:
        """Say that somebody will come to what is queued in a lane: a job that nobody minds is lost after a while."""
        queued = (_jobs.c.lane == lane, _ours, _jobs.c.state == State.QUEUED)
        self._store.run(lambda c: c.execute(sa.update(_jobs).where(*queued).values(heartbeat=now())), write=True)

    def claim(self, job: str) -> bool:
        """Take a queued (or lost) job for this process; False where another has it or it is over."""
        free = _jobs.c.state.in_([State.QUEUED, State.LOST])
        if not self._hold(job):
            return False
        taken = self._change(job, free, state=State.RUNNING, heartbeat=now(), **_here()) > 0
        if not taken:
            self._release(job)
        return taken

    def report(self, job: str, event: Event) -> State:
        """How far the work has come, said by the process that does it; gives how the job stands."""
        self._hold(job)
        told = {"stage": str(event.phase)} | {name: getattr(event, name) for name in _EVENT}
        values = {**told, "heartbeat": now(), **_here()}
        alive = _jobs.c.state.in_([State.QUEUED, State.RUNNING, State.LOST])
        self._change(job, alive, state=State.RUNNING, **values)
        return self.get(job).state

    def point(self, job: str, series: str, step: int, value: float) -> None:
        """One point of a learning curve; a point said again is replaced.

        Raises:
            NotFinite: the value is NaN or infinite.
        """
        if not math.isfinite(value):
            raise NotFinite(series, step)

        def work(connection: sa.Connection) -> None:
            at = (_points.c.job == job, _points.c.series == series, _points.c.step == step)
            connection.execute(sa.delete(_points).where(*at))
            connection.execute(sa.insert(_points).values(job=job, series=series, step=step, value=value))

        self._store._twice(work)

    def finish(self, job: str, result: Mapping[str, object]) -> JobRecord:
        """The work came to its end; a cancelled job stays cancelled."""
        self._change(job, _jobs.c.state != State.CANCELLED, state=State.FINISHED, result=_text(result), error=None)
        self._release(job)
        return self.get(job)

    def fail(self, job: str, error: str) -> JobRecord:
        """The work broke, and why; a cancelled or finished job stays as it is."""
        self._change(job, _jobs.c.state.in_(_OPEN), state=State.FAILED, error=error)
        self._release(job)
        return self.get(job)

    def cancel(self, job: str) -> JobRecord:
        """Ask the worker to stop, who looks how the job stands between batches."""
        self._change(job, _jobs.c.state.in_(_OPEN), state=State.CANCELLED)
        return self.get(job)

    def lose(self, job: str) -> JobRecord:
        """Its process is gone without a word; it can be started again."""
        self._change(job, _jobs.c.state.in_([State.QUEUED, State.RUNNING]), state=State.LOST)
        return self.get(job)

    def get(self, job: str) -> JobRecord:
        """The job of that id.

        Raises:
            UnknownName: there is none.
            RegistryCorrupt: it is damaged.
        """
        found = self._read(_jobs.c.id == job)
        if not found:
            self._store._require_no_damage(_jobs, job)
            raise UnknownName("job", job, [row.id for row in self.list()])
        return found[0]

    def list(self) -> tuple[JobRecord, ...]:
        """All jobs, newest first."""
        return self._read(sa.true())

    def dead(self) -> tuple[JobRecord, ...]:
        """Jobs that count as running although their process is gone."""
        return tuple(job for job in self._read(_jobs.c.state.in_([State.QUEUED, State.RUNNING])) if self._gone(job))

    def reap(self) -> tuple[JobRecord, ...]:
        """Mark every dead job as lost, and give them."""
        dead = self.dead()
        for job in dead:
            self._change(job.id, _jobs.c.heartbeat == job.heartbeat, state=State.LOST)
        return tuple(self.get(job.id) for job in dead)

    def _hold(self, job: str) -> bool:
        """Hold a job's lock, here and until it is over; False where another process holds it."""
        if job not in self._held:
            self._locks.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self._lock(job), thread_local=False)
            try:
                lock.acquire(timeout=_LOOKED)
            except Timeout:
                return False
            self._held[job] = lock
        return True

    def _release(self, job: str) -> None:
        lock = self._held.pop(job, None)
        if lock is not None:
            lock.release()

    def _lock(self, job: str) -> Path:
        return self._locks / f"{job}.lock"

    def _gone(self, job: JobRecord) -> bool:
        """Whether nobody is at it any more (here), or none was heard of for long (elsewhere).

        What is queued here waits for a worker, whom whoever looks after the queue starts: it is never gone.
        """
        if job.host != socket.gethostname():
            return datetime.now(UTC) - datetime.fromisoformat(job.heartbeat) > timedelta(minutes=_SILENT_MINUTES)
        return job.state is State.RUNNING and not is_locked(self._lock(job.id))

    def _change(self, job: str, when: sa.ColumnElement[bool], **values: object) -> int:
        order = sa.update(_jobs).where(_jobs.c.id == job, when).values(**values)
        return self._store.run(lambda c: c.execute(order).rowcount, write=True)

    def _read(self, *wanted: sa.ColumnElement[bool]) -> tuple[JobRecord, ...]:
        def work(connection: sa.Connection) -> tuple[JobRecord, ...]:
            newest = _raw(_jobs).where(*wanted).order_by(_jobs.c.created.desc(), _jobs.c.id)
            rows = [row for row in connection.execute(newest).mappings().all() if self._store._sound(_jobs, row)]
            chosen = _raw(_points).where(_points.c.job.in_([row["id"] for row in rows]))
            ordered = connection.execute(chosen.order_by(_points.c.series, _points.c.step)).mappings().all()
            curves: dict[str, list[Row]] = {}
            for point in ordered:
                if self._store._sound(_points, point):
                    curves.setdefault(point["job"], []).append(point)
            return tuple(_job(row, curves.get(row["id"], ())) for row in rows)

        return self._store.run(work)


def now() -> str:
    """The present moment, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


_schema = sa.MetaData()
_notes = sa.Table(
    "notes", _schema, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
)


def _card_table(name: str, key: str, *columns: str) -> sa.Table:
    texts = [sa.Column(column, sa.Text, nullable=False) for column in (*columns, "card", "seal")]
    bundled = sa.Column("bundled", sa.Boolean, nullable=False)
    return sa.Table(name, _schema, sa.Column(key, sa.Text, primary_key=True), bundled, *texts)


_checkpoints = _card_table("checkpoints", "name", "modality", "digest")
_domains = _card_table("domains", "name", "modality", "family")
_outcomes = _card_table("outcomes", "id", "checkpoint", "sample_digest", "created")
sa.Index("outcomes_by_checkpoint", _outcomes.c.checkpoint)
sa.Index("outcomes_by_sample", _outcomes.c.sample_digest)
_sketches = sa.Table(
    "sketches",
    _schema,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("domain", sa.Text, sa.ForeignKey("domains.name", ondelete="CASCADE"), nullable=False),
    sa.Column("lens", sa.Text, nullable=False),
    sa.Column("seal", sa.Text, nullable=False),
    sa.Column("embedding", sa.LargeBinary, nullable=False),
    sa.Column("packed", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("domain", "lens"),
    sqlite_autoincrement=True,
)
sa.Index("sketches_by_lens", _sketches.c.lens)
_recommendations = sa.Table(
    "recommendations",
    _schema,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("created", "sample_digest", "body", "seal")),
    sqlite_autoincrement=True,
)
_jobs = sa.Table(
    "jobs",
    _schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    *(
        sa.Column(name, sa.Text, nullable=False)
        for name in ("kind", "spec", "state", "created", "heartbeat", "stage", "host")
    ),
    *(sa.Column(name, sa.Integer, nullable=False) for name in ("done", "of", "pid")),
    sa.Column("part", sa.Text, nullable=False, server_default=""),
    *(sa.Column(name, sa.Integer, nullable=False, server_default="0") for name in ("step", "steps")),
    sa.Column("result", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("lane", sa.Text, nullable=False, server_default="cpu"),
    sa.Column("seal", sa.Text, nullable=False, server_default=""),
)
_points = sa.Table(
    "points",
    _schema,
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("series", sa.Text, primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
)
_rows = sa.Table(
    "rows",
    _schema,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("packed", sa.LargeBinary, nullable=False),
    sa.Column("seal", sa.Text, nullable=False),
)
_ROWS = (_checkpoints, _domains, _sketches, _outcomes, _recommendations, _rows, _jobs, _points)
"""All that a user would miss; those that others refer to come first."""
_EVENT = ("part", "done", "of", "step", "steps")
"""Of an event, beside its phase."""
_LASTING = {"id", "key", "kind", "spec", "created", "lane"}
"""Of a job, what stays as it is while it is carried out: that is sealed."""
_BODIES = {"card", "body", "spec", "result"}
"""Columns that hold a JSON object."""
_ours = _jobs.c.host == socket.gethostname()
_OPEN = [State.QUEUED, State.RUNNING, State.LOST]


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file that SQLAlchemy, and MLflow by way of it, open as that file, whatever its name.

    A plain path is written as everybody writes it. Any other is a SQLite URI, whose percent-encoding holds any byte;
    MLflow makes folders of what follows ``sqlite:///`` before it is decoded, therefore the driver's name is told, too.
    """
    if re.fullmatch(r"[\w./ :\\+@,=~-]+", str(path)) and str(path).isprintable():
        return f"sqlite:///{path}"
    database = f"file:{quote(os.fsencode(path.absolute()))}"
    return sa.URL.create("sqlite+pysqlite", database=database, query={"uri": "true"}).render_as_string()


def sqlite_path(address: str) -> Path | None:
    """The file that a URL as `sqlite_url` makes it, or a plain one, stands for; None of another database."""
    if not address.startswith(("sqlite:///", "sqlite+pysqlite:///")):
        return None
    database = sa.make_url(address).database or ""
    encoded = database.removeprefix("file:")
    return Path(database if encoded == database else os.fsdecode(unquote_to_bytes(encoded)))


def _sqlite(path: Path, *, writable: bool = True) -> sa.URL:
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


def _engine(url: sa.URL, *, writable: bool = True) -> sa.Engine:
    """An engine that keeps no connection open; on SQLite it begins transactions itself and reads text as it lies."""
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, poolclass=sa.NullPool)
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": _BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def connected(raw: Any, _record: object) -> None:  # noqa: ANN401 - SQLite's own connection
        raw.isolation_level = None
        raw.text_factory = _as_it_lies
        cursor = raw.cursor()
        if writable:
            cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        write = connection.get_execution_options().get(_WRITE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _as_it_lies(text: bytes) -> str:
    """Text of the database; bytes that are no UTF-8 stay apart from all text, so that its seal tells."""
    return text.decode("utf-8", "surrogateescape")


def _revision(connection: sa.Connection) -> str | None:
    """The schema's revision; None where there is no schema yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def _unknown_revision(where: str, found: str | None) -> RegistryNewer | RegistryCorrupt:
    """A later version's schema, or none at all."""
    if found is not None and re.fullmatch(r"\d{4}[\w-]*", found) and found > migrations.HEAD:
        return RegistryNewer(where, found)
    return RegistryCorrupt(where, "it is no registry" if found is None else f"there is no schema {found!r}")


def _named(cause: DBAPIError, where: str, size: int | None) -> Exception:
    """The error of ours that a database's error stands for; ``size`` bytes were to be written."""
    said, folder = str(cause.orig), Path(where).parent
    opened = "readonly" in said or "unable to open" in said or "disk I/O" in said
    if "disk is full" in said or (opened and _is_full(folder)):
        return DiskFull(where, shutil.disk_usage(folder).free, size)
    if isinstance(cause, OperationalError) and opened:
        return HomeUnusable(folder, said)
    sqlite = isinstance(cause.orig, sqlite3.DatabaseError) and not isinstance(cause.orig, sqlite3.ProgrammingError)
    return RegistryCorrupt(where, said) if sqlite else cause


def _is_full(folder: Path) -> bool:
    """Whether there is not even room for what SQLite needs beside a database to open it."""
    try:
        return shutil.disk_usage(folder).free < 64 << 10
    except OSError:
        return False


def _mappings(connection: sa.Connection, wanted: sa.Select[Any]) -> Sequence[Row]:
    return connection.execute(wanted).mappings().all()


def _raw(table: sa.Table, *names: str) -> sa.Select[Any]:
    """Rows as they lie in the database: no type's own reading chokes on a damaged value."""
    columns = [table.c[name] for name in names] or list(table.c)
    asked: list[Any] = [sa.type_coerce(column, sa.types.NullType()).label(column.name) for column in columns]
    selected: sa.Select[Any] = sa.select(*asked)
    return selected


def _size(entries: Entries) -> int:
    """About how many bytes they take, without the database's own."""
    cards: tuple[Card, ...] = (*entries.checkpoints, *entries.domains, *entries.outcomes)
    sketches = sum(2 * sketch.embedding.nbytes + sketch.rows.vectors.nbytes for sketch in entries.sketches)
    return sum(len(_text(_plain(card))) for card in cards) + sketches


def _write(connection: sa.Connection, entries: Entries, *, bundled: bool) -> None:
    for domain in entries.domains:
        _add(connection, _domains, domain, bundled)
    for checkpoint in entries.checkpoints:
        _add(connection, _checkpoints, checkpoint, bundled)
    for outcome in entries.outcomes:
        _add(connection, _outcomes, outcome, bundled)
    for sketch in entries.sketches:
        _add_sketch(connection, sketch)
    for rows in entries.rows:
        _add_rows(connection, rows)


def _add(connection: sa.Connection, table: sa.Table, card: Card, bundled: bool) -> None:
    """Insert a card, or replace one of the same content; the catalog's gives way to a user's of the same name.

    Raises:
        AlreadyThere: the name belongs to something else.
    """
    row = _card_row(table, card, bundled)
    if not _is_utf8(str(row[_key(table)])):
        raise UnusableName(table.name.removesuffix("s"), str(row[_key(table)]))
    same_name = table.c[_key(table)] == row[_key(table)]
    there = connection.execute(_raw(table).where(same_name)).mappings().first()
    damage = None if there is None else _damage(table, there)
    if damage is not None:
        raise RegistryCorrupt(str(connection.engine.url.database), str(damage))
    if there is None:
        connection.execute(sa.insert(table).values(row))
    elif not bundled and not _same(json.loads(there["card"]), json.loads(str(row["card"]))):
        raise AlreadyThere(table.name.removesuffix("s"), str(row[_key(table)]))
    elif not bundled and not there["bundled"]:
        connection.execute(sa.update(table).where(same_name).values(row))


def _same(left: Mapping[str, object], right: Mapping[str, object]) -> bool:
    """Whether two cards of one name mean the same content; where an outcome lies in MLflow is learned afterwards."""
    one, other = ({**card, "mlflow_run_id": None} for card in (left, right))
    return one == other or (bool(left.get("digest")) and left["digest"] == right.get("digest"))


def _card_row(table: sa.Table, card: Card, bundled: bool) -> dict[str, object]:
    body = _plain(card)
    return _sealed(table, {c.name: body.get(c.name) for c in table.c} | {"bundled": bundled, "card": _text(body)})


def _add_sketch(connection: sa.Connection, sketch: Sketch) -> None:
    """Insert a sketch, in the place of a different one of the same domain and lens."""
    packed, embedding = sketch.pack(), sketch.embedding.astype("<f4").tobytes()
    content = {"domain": sketch.domain, "lens": sketch.lens, "embedding": embedding, "packed": packed}
    row = _sealed(_sketches, content)
    same_place = (_sketches.c.domain == sketch.domain, _sketches.c.lens == sketch.lens)
    if connection.scalar(_raw(_sketches, "seal").where(*same_place)) != row["seal"]:
        connection.execute(sa.delete(_sketches).where(*same_place))
        connection.execute(sa.insert(_sketches).values(row))


def _add_rows(connection: sa.Connection, rows: RowKeys) -> None:
    """Insert row keys, in the place of others of the same owner."""
    row = _sealed(_rows, {"name": rows.owner, "packed": rows.pack()})
    there = connection.scalar(sa.select(_rows.c.seal).where(_rows.c.name == rows.owner))
    if there != row["seal"]:
        connection.execute(sa.delete(_rows).where(_rows.c.name == rows.owner))
        connection.execute(sa.insert(_rows).values(row))


def _forget_bundled(connection: sa.Connection, entries: Entries) -> None:
    """Remove the catalog's cards; its sketches stay where their domains do, so that their numbers do too."""
    kept = [domain.name for domain in entries.domains]
    connection.execute(sa.delete(_domains).where(_domains.c.bundled, _domains.c.name.not_in(kept)))
    for table in (_checkpoints, _outcomes):
        connection.execute(sa.delete(table).where(table.c.bundled))
    for domain in entries.domains:
        ours = (_domains.c.bundled, _domains.c.name == domain.name)
        connection.execute(sa.update(_domains).where(*ours).values(_card_row(_domains, domain, bundled=True)))


def _complaints(connection: sa.Connection) -> list[str]:
    """What SQLite's own check finds wrong with its file."""
    if connection.dialect.name != "sqlite":
        return []
    return [str(row[0]) for row in connection.execute(sa.text("PRAGMA integrity_check(20)")) if row[0] != "ok"]


def _broken(connection: sa.Connection, table: sa.Table) -> list[Damage]:
    """The damaged rows of a table, read from its first page to its last: a damaged index hides none."""
    numbered = _numbered(connection, table).with_hint(table, "NOT INDEXED", "sqlite")
    rows = connection.execution_options(yield_per=100).execute(numbered).mappings()
    return [damage for row in rows if (damage := _damage(table, row)) is not None]


def _numbered(connection: sa.Connection, table: sa.Table) -> sa.Select[Any]:
    """Raw rows, with SQLite's own numbers of them where there are such."""
    number = sa.literal_column("rowid") if connection.dialect.name == "sqlite" else sa.null()
    return _raw(table).add_columns(number.label("_row"))


def _damage(table: sa.Table, row: Row) -> Damage | None:
    """What is wrong with a row; None where it is as it was written."""
    why = _misfit(table, row)
    if not why:
        return None
    number = row.get("_row", row.get("id") if isinstance(table.c[_key(table)].type, sa.Integer) else None)
    return Damage(table.name, str(row[_key(table)]), why, number)


def _misfit(table: sa.Table, row: Row) -> str:
    for column in table.c:
        value = row[column.name]
        if value is None and not column.nullable:
            return f"lacks its {column.name}"
        kind = next(kind for known, kind in _KINDS.items() if isinstance(column.type, known))
        if value is not None and not isinstance(value, kind):
            return f"has a {column.name} of the wrong kind"
    if "seal" in table.c and _seal(table, row) != row["seal"]:
        return "does not match its seal"
    return _misread(table, row)


def _misread(table: sa.Table, row: Row) -> str:
    """Why a row cannot be read that is what it was sealed as, or that no seal vouches for."""
    for name in _BODIES & set(row):
        try:
            if row[name] is not None and not isinstance(json.loads(row[name]), dict):
                return f"has a {name} that is no JSON object"
        except (ValueError, RecursionError):
            return f"has a {name} that is no JSON"
    if table is _jobs and (row["state"] not in set(State) or not _is_moment(row["heartbeat"])):
        return "has no known state or time"
    if table is _points and not math.isfinite(row["value"]):
        return "has a value that is no number"
    return ""


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _this_row(table: sa.Table, damage: Damage) -> sa.ColumnElement[bool]:
    if damage.row is not None:
        return sa.literal_column("rowid", sa.Integer) == damage.row
    column = table.c[_key(table)]
    return column == (int(damage.key) if isinstance(column.type, sa.Integer) else damage.key)


def _readable(source: Store, table: sa.Table) -> tuple[list[dict[str, object]], int]:
    """The sound rows of a table that can be read from its start, from its end, and one by one between.

    And how many more can be read, but are not sound.
    """
    rows: dict[int, dict[str, object] | None] = {}

    def take(row: Row) -> None:
        sound = _damage(table, row) is None
        rows[int(row["_row"])] = {name: row[name] for name in row if name != "_row"} if sound else None

    def read(connection: sa.Connection, which: str) -> None:
        for row in connection.execute(_numbered(connection, table).order_by(sa.text(f"rowid {which}"))).mappings():
            take(row)

    def look_up(connection: sa.Connection, number: int) -> None:
        one = _numbered(connection, table).where(sa.literal_column("rowid", sa.Integer) == number)
        for row in connection.execute(one).mappings():
            take(row)

    reached = {}
    for which in ("ASC", "DESC"):
        before = set(rows)
        with suppress(RegistryCorrupt):
            source.run(partial(read, which=which))
        reached[which] = set(rows) - before
    first, last = max(reached["ASC"], default=0), min(reached["DESC"], default=0)
    for number in range(first + 1, min(last, first + _LOOKED_UP)):
        with suppress(RegistryCorrupt):
            source.run(partial(look_up, number=number))
    sound = [row for _, row in sorted(rows.items()) if row is not None]
    return sound, len(rows) - len(sound)


def _take_over(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> int:
    """Insert rows of another database where their place is free and what they refer to is there."""
    taken = 0
    for row in rows:
        fresh = {name: value for name, value in row.items() if name not in _numbers(table)}
        for column in table.c:
            if isinstance(column.type, sa.Boolean):
                fresh[column.name] = bool(fresh[column.name])
        unique = ["domain", "lens"] if table is _sketches else [column.name for column in table.primary_key]
        unique = ["id"] if table is _recommendations else unique
        there = sa.select(sa.literal(1)).select_from(table).where(*(table.c[name] == row[name] for name in unique))
        owners = [sa.select(sa.literal(1)).where(key.column == row[key.parent.name]) for key in table.foreign_keys]
        if connection.scalar(there) is None and all(connection.scalar(owner) for owner in owners):
            connection.execute(sa.insert(table).values(fresh))
            taken += 1
    return taken


def _of(table: sa.Table, **wanted: object) -> list[sa.ColumnElement[bool]]:
    return [table.c[column] == value for column, value in wanted.items() if value is not None]


def _key(table: sa.Table) -> str:
    return next(name for name in ("id", "name", "job") if name in table.c)


def _numbers(table: sa.Table) -> set[str]:
    """Columns that the database itself counts."""
    return {c.name for c in table.primary_key if isinstance(c.type, sa.Integer) and len(table.primary_key) == 1}


def _sealed(table: sa.Table, row: Mapping[str, object]) -> dict[str, object]:
    return {**row, "seal": _seal(table, row)}


def _seal(table: sa.Table, row: Mapping[str, object]) -> str:
    """SHA-256 over the row's content, column by column, each with its length."""
    total = sha256()
    sealed = _LASTING if table is _jobs else {c.name for c in table.c} - {"seal"} - _numbers(table)
    for column in sorted(sealed):
        value = bool(row[column]) if isinstance(table.c[column].type, sa.Boolean) else row[column]
        content = bytes(value) if isinstance(value, bytes | memoryview) else _bytes(str(value))
        total.update(f"{column}:{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _plain(card: Card) -> dict[str, object]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(card).items()}


def _text(body: Mapping[str, object]) -> str:
    """JSON; a name that is no UTF-8 is written in escapes, and comes back as it was."""
    plain = json.dumps(body, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return plain if plain.isascii() or _is_utf8(plain) else json.dumps(body, sort_keys=True, allow_nan=False)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _domain(card: dict) -> Domain:  # type: ignore[type-arg]
    fixed = {"modality": card["modality"], "origin": Origin(card["origin"])}
    return Domain(**{**card, **fixed, "aliases": tuple(card.get("aliases", ()))})


def _outcome(card: dict) -> Outcome:  # type: ignore[type-arg]
    fixed = {"task": Task(card["task"]), "metric": Metric(card["metric"]), "origin": Origin(card["origin"])}
    return Outcome(**{**card, **fixed, "modality": card.get("modality", FIRST_MODALITY)})


def _job(row: Row, points: Iterable[Row]) -> JobRecord:
    curve: dict[str, tuple[tuple[int, float], ...]] = {}
    for point in points:
        curve[point["series"]] = (*curve.get(point["series"], ()), (point["step"], point["value"]))
    result = None if row["result"] is None else json.loads(row["result"])
    typed = {"spec": json.loads(row["spec"]), "state": State(row["state"]), "result": result, "curve": curve}
    return JobRecord(**{**{name: row[name] for name in row if name != "seal"}, **typed})


def _here() -> dict[str, object]:
    return {"host": socket.gethostname(), "pid": os.getpid()}
