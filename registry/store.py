"""Store: what the registry remembers, in SQL: cards, sketches, outcomes, advice, jobs. Nothing else speaks SQL.

Every row but a job's carries a seal, the SHA-256 of its content: SQLite's own integrity check says ok after payload
bytes were overwritten. A write is one transaction; SQLite's are taken with BEGIN IMMEDIATE, so that two writers queue.
"""

import json
import math
import os
import random
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import sqlalchemy as sa
from filelock import FileLock, Timeout
from jaxtyping import Float32, Int64
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from registry import migrations
from registry.cards import Checkpoint, Domain, Keepable, Metric, Modality, Origin, Outcome, Task
from registry.errors import (
    AlreadyThere,
    HomeUnusable,
    NotFinite,
    RegistryBusy,
    RegistryCorrupt,
    RegistryNewer,
    UnknownName,
)
from registry.files import is_locked
from registry.sketch import Sketch

__all__ = ["Entries", "JobRecord", "Jobs", "State", "Store", "now"]

Result = TypeVar("Result")
Card = Checkpoint | Domain | Outcome
Row = Mapping[Any, Any]

_BUSY_SECONDS = 0.25
_SILENT_MINUTES = 5
_LOOKED = 1.0
"""Seconds to wait for a job's lock: long enough for one who only looks whether it is taken."""
_WRITE = "transferzoo_write"


@dataclass(frozen=True)
class Entries:
    """What is written together or not at all."""

    checkpoints: tuple[Checkpoint, ...] = ()
    domains: tuple[Domain, ...] = ()
    sketches: tuple[Sketch, ...] = ()
    outcomes: tuple[Outcome, ...] = ()


class Store:
    """One database. ``Store.open`` makes or migrates it."""

    def __init__(self, engine: sa.Engine, where: str, patience: float) -> None:
        self._engine = engine
        self.where = where
        self._patience = patience

    @classmethod
    def open(cls, database: Path | str, *, patience: float = 15.0) -> "Store":
        """The database at that path (SQLite) or SQLAlchemy URL, made or brought up to date if need be.

        Raises:
            RegistryCorrupt: it is no registry, or damaged.
            RegistryNewer: a later transferzoo wrote it.
            RegistryBusy: another process held it for longer than ``patience`` seconds.
            HomeUnusable: it cannot be written, or the disk is full.
        """
        url = sa.make_url(database if isinstance(database, str) else f"sqlite:///{database}")
        store = cls(_engine(url), url.database or url.render_as_string(), patience)
        if store.run(_revision) != migrations.HEAD:
            store._prepare()
        return store

    @property
    def folder(self) -> Path:
        """Where files about it may lie: beside SQLite's file; a server's are this machine's own affair."""
        beside = self._engine.dialect.name == "sqlite"
        return Path(self.where).parent if beside else Path(tempfile.gettempdir()) / "transferzoo"

    def run(self, work: Callable[[sa.Connection], Result], *, write: bool = False) -> Result:
        """What ``work`` gives, in one transaction: all of it or none; waits its turn, with jitter.

        Raises:
            RegistryBusy: the turn did not come.
            RegistryCorrupt: the database is damaged.
            HomeUnusable: it cannot be written, or the disk is full.
        """
        deadline = time.monotonic() + self._patience
        while True:
            try:
                with self._engine.connect().execution_options(**{_WRITE: write}) as connection, connection.begin():
                    return work(connection)
            except IntegrityError:
                raise
            except DBAPIError as cause:
                if "locked" not in str(cause.orig):
                    raise _named(cause, self.where) from cause
                if time.monotonic() > deadline:
                    raise RegistryBusy(self.where, self._patience) from cause
                time.sleep(random.uniform(0.005, 0.1))  # noqa: S311 - jitter, not a secret

    def note(self, key: str) -> str | None:
        """What was noted under that key."""
        return self.run(lambda c: c.scalar(sa.select(_notes.c.value).where(_notes.c.key == key)))

    def checkpoints(self, modality: Modality | None = None, *, name: str | None = None) -> tuple[Checkpoint, ...]:
        """All checkpoints, or one modality's, or the one of that name, by name."""
        wanted = _of(_checkpoints, modality=modality, name=name)
        return tuple(_checkpoint(card) for card in self._cards(_checkpoints, wanted))

    def domains(self, modality: Modality | None = None, *, names: Sequence[str] | None = None) -> tuple[Domain, ...]:
        """All domains, or one modality's, or those of these names, by name."""
        wanted = _of(_domains, modality=modality) + ([] if names is None else [_domains.c.name.in_(names)])
        return tuple(_domain(card) for card in self._cards(_domains, wanted))

    def outcomes(self, *, checkpoint: str | None = None, sample_digest: str | None = None) -> tuple[Outcome, ...]:
        """All outcomes, or those of a checkpoint or a sample, by id."""
        wanted = _of(_outcomes, checkpoint=checkpoint, sample_digest=sample_digest)
        return tuple(_outcome(card) for card in self._cards(_outcomes, wanted))

    def outcome_ids(self) -> frozenset[str]:
        """The ids of all outcomes."""
        return frozenset(str(name) for name in self.run(lambda c: c.scalars(sa.select(_outcomes.c.id)).all()))

    def sketch(self, domain: str, lens: str) -> Sketch | None:
        """What is kept of a domain as seen through that lens."""
        wanted = sa.select(_sketches).where(_sketches.c.domain == domain, _sketches.c.lens == lens)
        row = self.run(lambda c: c.execute(wanted).mappings().first())
        return None if row is None else Sketch.unpack(self._sound(_sketches, row)["packed"], f"sketch of {domain}")

    def sketched(self) -> tuple[tuple[int, str, str], ...]:
        """Number, domain and lens of every sketch; a number is never used again."""
        wanted = sa.select(_sketches.c.id, _sketches.c.domain, _sketches.c.lens).order_by(_sketches.c.id)
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
        """Whose the sketches of those numbers are."""
        return {i: str(name) for i, name in self._by_number(_sketches.c.domain, numbers).items()}

    def embeddings(self, numbers: Sequence[int]) -> Float32[np.ndarray, "n e"]:
        """The embeddings of the sketches of those numbers, in that order."""
        found = self._by_number(_sketches.c.embedding, numbers)
        return np.stack([np.frombuffer(found[number], "<f4") for number in numbers])

    def write(self, entries: Entries) -> None:
        """Add what is new, all or nothing; what is there already and the same is left alone.

        Raises:
            AlreadyThere: a name belongs to something else.
        """
        self._twice(lambda c: _write(c, entries, bundled=False))

    def write_bundled(self, entries: Entries, notes: Mapping[str, str]) -> None:
        """Replace all that came with the catalog; a user's own entry of the same name stays."""

        def work(connection: sa.Connection) -> None:
            _forget_bundled(connection, entries)
            _write(connection, entries, bundled=True)
            for key, value in notes.items():
                connection.execute(sa.delete(_notes).where(_notes.c.key == key))
                connection.execute(sa.insert(_notes).values(key=key, value=value))

        self._twice(work)

    def keep(self, advice: Keepable) -> None:
        """Keep advice under its id; once is enough."""
        told = advice.to_dict()
        sample = told.get("sample")
        digest = str(sample.get("digest", "")) if isinstance(sample, Mapping) else ""
        content = {"id": advice.id, "created": now(), "sample_digest": digest, "body": _text(told)}

        def work(connection: sa.Connection) -> None:
            there = sa.select(_recommendations.c.number).where(_recommendations.c.id == advice.id)
            if connection.scalar(there) is None:
                connection.execute(sa.insert(_recommendations).values(_sealed(_recommendations, content)))

        self._twice(work)

    def advice(self, name: str | None = None, *, sample_digest: str | None = None) -> dict[str, Any] | None:
        """The advice of that id, or the newest (for a sample); None where there is none."""
        wanted = sa.select(_recommendations).where(*_of(_recommendations, id=name, sample_digest=sample_digest))
        newest = wanted.order_by(_recommendations.c.number.desc()).limit(1)
        row = self.run(lambda c: c.execute(newest).mappings().first())
        return None if row is None else dict(json.loads(self._sound(_recommendations, row)["body"]))

    def kept(self, most: int) -> tuple[tuple[str, dict[str, Any]], ...]:
        """The newest advice, newest first, each with the time when it was kept."""
        newest = sa.select(_recommendations).order_by(_recommendations.c.number.desc()).limit(most)
        rows = self.run(lambda c: c.execute(newest).mappings().all())
        return tuple((str(row["created"]), json.loads(self._sound(_recommendations, row)["body"])) for row in rows)

    def damage(self) -> tuple[tuple[str, str], ...]:
        """Table and key of every row whose content does not match its seal; SQLite's own complaints under ``file``."""
        try:
            found = [("file", line) for line in self.run(_complaints)]
            return (*found, *(pair for table in _SEALED for pair in self.run(partial(_broken, table=table))))
        except RegistryCorrupt as cause:
            return (("file", cause.why),)

    def take_out(self, table: str, key: str) -> dict[str, object]:
        """Remove one row, as a repair, and give what it held; what refers to it goes as well."""
        kept = _schema.tables[table]
        column = kept.c[_key(kept)]
        same = column == (int(key) if isinstance(column.type, sa.Integer) else key)

        def work(connection: sa.Connection) -> dict[str, object]:
            row = connection.execute(sa.select(kept).where(same)).mappings().one()
            connection.execute(sa.delete(kept).where(same))
            return dict(row)

        return self.run(work, write=True)

    def salvage(self, damaged: Path) -> dict[str, int]:
        """Copy every sound row of a damaged database that can still be read; how many of each table."""
        source = Store(_engine(sa.make_url(f"sqlite:///{damaged}")), str(damaged), self._patience)
        found = {table: _readable(source, table) for table in _SEALED}
        return {table.name: self._twice(partial(_take_over, table=table, rows=found[table])) for table in _SEALED}

    def drop_sketch(self, number: int) -> None:
        """Forget the sketch of that number."""
        self.run(lambda c: c.execute(sa.delete(_sketches).where(_sketches.c.id == number)), write=True)

    def _prepare(self) -> None:
        """Make or migrate the schema; the first of several processes does it."""

        def work(connection: sa.Connection) -> None:
            found = _revision(connection)
            if found is not None and found not in migrations.REVISIONS:
                raise RegistryNewer(self.where, found)
            if found is None and sa.inspect(connection).get_table_names():
                raise RegistryCorrupt(self.where, "it is a database, but not a registry")
            if found != migrations.HEAD:
                migrations.upgrade(connection)
            if found is None:
                connection.execute(sa.insert(_notes).values(key="registry", value=uuid.uuid4().hex))

        self.run(work, write=True)

    def _twice(self, work: Callable[[sa.Connection], Result]) -> Result:
        """Write; where another process wrote the same row in between, look again."""
        try:
            return self.run(work, write=True)
        except IntegrityError:
            return self.run(work, write=True)

    def _by_number(self, column: sa.Column[Any], numbers: Sequence[int]) -> dict[int, Any]:
        def read(connection: sa.Connection) -> dict[int, Any]:
            found: dict[int, Any] = {}
            for start in range(0, len(numbers), 500):
                some = _sketches.c.id.in_(numbers[start : start + 500])
                rows = connection.execute(sa.select(_sketches.c.id, column).where(some))
                found |= {int(number): value for number, value in rows}
            return found

        return self.run(read)

    def _cards(self, table: sa.Table, wanted: Sequence[sa.ColumnElement[bool]]) -> list[dict[str, object]]:
        ordered = sa.select(table).where(*wanted).order_by(table.c[_key(table)])
        rows = self.run(lambda c: c.execute(ordered).mappings().all())
        return [json.loads(self._sound(table, row)["card"]) for row in rows]

    def _sound(self, table: sa.Table, row: Row) -> Row:
        if not _holds(table, row):
            raise RegistryCorrupt(self.where, f"row {row[_key(table)]!r} of {table.name} does not match its seal")
        return row


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

    def to_dict(self) -> dict[str, object]:
        """The JSON form."""
        curve = {series: [list(point) for point in points] for series, points in self.curve.items()}
        return {**asdict(self), "state": str(self.state), "curve": curve}


class Jobs:
    """Work that outlives who asked for it: the worker says `claim`, `tell` and `point`, then `finish` or `fail`.

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
                "kind": kind, "spec": _text(spec), "state": State.QUEUED, "created": now(), "heartbeat": now(),
                "error": None, "stage": "", "done": 0, "of": 0, "lane": lane, **_here(),
            }  # fmt: skip
            there = connection.execute(sa.select(_jobs.c.id, _jobs.c.state).where(_jobs.c.key == key)).first()
            if there is None:
                made = uuid.uuid4().hex[:12]
                connection.execute(sa.insert(_jobs).values(id=made, key=key, **fresh))
                return made
            if there.state in (State.FAILED, State.CANCELLED, State.LOST):
                connection.execute(sa.update(_jobs).where(_jobs.c.id == there.id).values(fresh))
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

    def tell(self, job: str, stage: str, done: int, of: int) -> State:
        """How far the work has come, said by the process that does it; the answer tells whether to go on."""
        self._hold(job)
        values = {"stage": stage, "done": done, "of": of, "heartbeat": now(), **_here()}
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
        """Ask the worker to stop: `tell` answers `State.CANCELLED` from now on."""
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
        """
        found = self._read(_jobs.c.id == job)
        if not found:
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
            newest = sa.select(_jobs).where(*wanted).order_by(_jobs.c.created.desc(), _jobs.c.id)
            rows = connection.execute(newest).mappings().all()
            chosen = sa.select(_points).where(_points.c.job.in_([row["id"] for row in rows]))
            points = connection.execute(chosen.order_by(_points.c.series, _points.c.step)).all()
            return tuple(_job(row, [(p.series, p.step, p.value) for p in points if p.job == row["id"]]) for row in rows)

        return self._store.run(work)


def now() -> str:
    """The present moment, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


_schema = sa.MetaData()
_notes = sa.Table(
    "notes", _schema, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
)  # fmt: skip


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
    "sketches", _schema,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("domain", sa.Text, sa.ForeignKey("domains.name", ondelete="CASCADE"), nullable=False),
    sa.Column("lens", sa.Text, nullable=False),
    sa.Column("seal", sa.Text, nullable=False),
    sa.Column("embedding", sa.LargeBinary, nullable=False),
    sa.Column("packed", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("domain", "lens"),
    sqlite_autoincrement=True,
)  # fmt: skip
sa.Index("sketches_by_lens", _sketches.c.lens)
_recommendations = sa.Table(
    "recommendations", _schema,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("created", "sample_digest", "body", "seal")),
    sqlite_autoincrement=True,
)  # fmt: skip
_jobs = sa.Table(
    "jobs", _schema,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    *(sa.Column(name, sa.Text, nullable=False)
      for name in ("kind", "spec", "state", "created", "heartbeat", "stage", "host")),
    *(sa.Column(name, sa.Integer, nullable=False) for name in ("done", "of", "pid")),
    sa.Column("result", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("lane", sa.Text, nullable=False, server_default="cpu"),
)  # fmt: skip
_points = sa.Table(
    "points", _schema,
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("series", sa.Text, primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
)  # fmt: skip
_SEALED = (_checkpoints, _domains, _sketches, _outcomes, _recommendations)
_UNSEALED = {"seal", "number"}
_ours = _jobs.c.host == socket.gethostname()
_OPEN = [State.QUEUED, State.RUNNING, State.LOST]


def _engine(url: sa.URL) -> sa.Engine:
    """An engine that keeps no connection open; on SQLite it begins transactions itself."""
    if url.get_backend_name() != "sqlite":
        return sa.create_engine(url, poolclass=sa.NullPool)
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": _BUSY_SECONDS})

    @sa.event.listens_for(engine, "connect")
    def connected(raw: Any, _record: object) -> None:  # noqa: ANN401 - SQLite's own connection
        raw.isolation_level = None
        cursor = raw.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        write = connection.get_execution_options().get(_WRITE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _revision(connection: sa.Connection) -> str | None:
    """The schema's revision; None where there is no schema yet."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def _named(cause: DBAPIError, where: str) -> Exception:
    """The error of ours that a database's error stands for."""
    said = str(cause.orig)
    if "disk is full" in said:
        return HomeUnusable(Path(where).parent, "the disk is full; nothing was written")
    if isinstance(cause, OperationalError) and ("readonly" in said or "unable to open" in said or "disk I/O" in said):
        return HomeUnusable(Path(where).parent, said)
    if "malformed" in said or "not a database" in said or "no such" in said:
        return RegistryCorrupt(where, said)
    return cause


def _write(connection: sa.Connection, entries: Entries, *, bundled: bool) -> None:
    for domain in entries.domains:
        _add(connection, _domains, domain, bundled)
    for checkpoint in entries.checkpoints:
        _add(connection, _checkpoints, checkpoint, bundled)
    for outcome in entries.outcomes:
        _add(connection, _outcomes, outcome, bundled)
    for sketch in entries.sketches:
        _add_sketch(connection, sketch)


def _add(connection: sa.Connection, table: sa.Table, card: Card, bundled: bool) -> None:
    """Insert a card, or replace one of the same content; the catalog's gives way to a user's of the same name.

    Raises:
        AlreadyThere: the name belongs to something else.
    """
    row = _card_row(table, card, bundled)
    same_name = table.c[_key(table)] == row[_key(table)]
    there = connection.execute(sa.select(table.c.card, table.c.bundled).where(same_name)).first()
    if there is None:
        connection.execute(sa.insert(table).values(row))
    elif not bundled and not _same(json.loads(there.card), json.loads(str(row["card"]))):
        raise AlreadyThere(table.name.removesuffix("s"), str(row[_key(table)]))
    elif not bundled and not there.bundled:
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
    if connection.scalar(sa.select(_sketches.c.seal).where(*same_place)) != row["seal"]:
        connection.execute(sa.delete(_sketches).where(*same_place))
        connection.execute(sa.insert(_sketches).values(row))


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


def _broken(connection: sa.Connection, table: sa.Table) -> list[tuple[str, str]]:
    rows = connection.execution_options(yield_per=100).execute(sa.select(table)).mappings()
    return [(table.name, str(row[_key(table)])) for row in rows if not _holds(table, row)]


def _readable(source: Store, table: sa.Table) -> list[dict[str, object]]:
    """The sound rows of a table that can be read from its start, and then from its end."""
    found: dict[object, dict[str, object]] = {}

    def read(connection: sa.Connection, order: str) -> None:
        for row in connection.execute(sa.select(table).order_by(sa.text(f"rowid {order}"))).mappings():
            if _holds(table, row):
                found[row[_key(table)]] = dict(row)

    for order in ("ASC", "DESC"):
        with suppress(RegistryCorrupt):
            source.run(partial(read, order=order))
    return list(found.values())


def _take_over(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, object]]) -> int:
    """Insert rows of another database where their place is free."""
    taken = 0
    for row in rows:
        fresh = {name: value for name, value in row.items() if not isinstance(table.c[name].type, sa.Integer)}
        unique = ["domain", "lens"] if table is _sketches else [_key(table)]
        there = sa.select(sa.literal(1)).select_from(table).where(*(table.c[name] == row[name] for name in unique))
        if connection.scalar(there) is None:
            connection.execute(sa.insert(table).values(fresh))
            taken += 1
    return taken


def _of(table: sa.Table, **wanted: object) -> list[sa.ColumnElement[bool]]:
    return [table.c[column] == value for column, value in wanted.items() if value is not None]


def _key(table: sa.Table) -> str:
    return "id" if "id" in table.c else "name"


def _sealed(table: sa.Table, row: Mapping[str, object]) -> dict[str, object]:
    return {**row, "seal": _seal(table, row)}


def _holds(table: sa.Table, row: Row) -> bool:
    return _seal(table, {column.name: row[column.name] for column in table.c}) == str(row["seal"])


def _seal(table: sa.Table, row: Mapping[str, object]) -> str:
    """SHA-256 over the row's content, column by column, each with its length."""
    total = sha256()
    for column in sorted(c.name for c in table.c if c.name not in _UNSEALED and not isinstance(c.type, sa.Integer)):
        value = row[column]
        content = value if isinstance(value, bytes) else str(value).encode()
        total.update(f"{column}:{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()


def _plain(card: Card) -> dict[str, object]:
    return {key: str(value) if isinstance(value, Path) else value for key, value in asdict(card).items()}


def _text(body: Mapping[str, object]) -> str:
    return json.dumps(body, sort_keys=True, ensure_ascii=False, allow_nan=False)


def _checkpoint(card: dict) -> Checkpoint:  # type: ignore[type-arg]
    fixed = {"modality": Modality(card["modality"]), "origin": Origin(card["origin"])}
    return Checkpoint(**{**card, **fixed, "folder": Path(card["folder"]), "lineage": tuple(card["lineage"])})


def _domain(card: dict) -> Domain:  # type: ignore[type-arg]
    return Domain(**{**card, "modality": Modality(card["modality"]), "origin": Origin(card["origin"])})


def _outcome(card: dict) -> Outcome:  # type: ignore[type-arg]
    fixed = {"task": Task(card["task"]), "metric": Metric(card["metric"]), "origin": Origin(card["origin"])}
    return Outcome(**{**card, **fixed})


def _job(row: Row, points: Iterable[tuple[str, int, float]]) -> JobRecord:
    curve: dict[str, tuple[tuple[int, float], ...]] = {}
    for series, step, value in points:
        curve[series] = (*curve.get(series, ()), (step, value))
    result = None if row["result"] is None else json.loads(row["result"])
    typed = {"spec": json.loads(row["spec"]), "state": State(row["state"]), "result": result, "curve": curve}
    return JobRecord(**{**row, **typed})


def _here() -> dict[str, object]:
    return {"host": socket.gethostname(), "pid": os.getpid()}
