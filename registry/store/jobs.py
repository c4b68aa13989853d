"""Jobs: work that outlives who asked for it."""

import json
import math
import os
import socket
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout

from registry.cards import JobRecord, JobState
from registry.errors import NotFinite, UnknownName
from registry.files import is_locked
from registry.progress import Event
from registry.store.database import Database
from registry.store.integrity import sealed
from registry.store.schema import Row, jobs, json_text, now, points, raw

_SILENT_MINUTES = 5
_LOOKED = 1.0
"""Seconds to wait for a job's lock: long enough for one who only looks whether it is taken."""
_EVENT = ("part", "done", "of", "step", "steps")
"""Of an event, beside its phase."""
_ours = jobs.c.host == socket.gethostname()
_OPEN = [JobState.QUEUED, JobState.RUNNING, JobState.LOST]


class Jobs:
    """Work that outlives who asked for it: the worker says `claim`, `report` and `point`, then `finish` or `fail`.

    Who has claimed a job holds its lock until it is over; the system drops the lock of a process that dies, so that no
    clock is asked whether a job lives. Jobs queue in lanes, the oldest first. What is queued is done on the machine
    where it was asked for.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._locks = database.folder / "jobs"
        self._held: dict[str, FileLock] = {}

    def start(self, kind: str, spec: Mapping[str, object], key: str, *, lane: str = "cpu") -> JobRecord:
        """A job queued under an idempotency key; the same key gives the same job.

        One that had gone wrong is queued anew, behind all others.
        """

        def work(connection: sa.Connection) -> str:
            fresh = {
                "kind": kind,
                "spec": json_text(spec),
                "state": JobState.QUEUED,
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
            there = connection.execute(raw(jobs, "id", "state").where(jobs.c.key == key)).first()
            if there is None:
                name = uuid.uuid4().hex[:12]
                connection.execute(sa.insert(jobs).values(sealed(jobs, {"id": name, "key": key, **fresh})))
                return name
            if there.state in (JobState.FAILED, JobState.CANCELLED, JobState.LOST):
                renewed = sealed(jobs, {"id": there.id, "key": key, **fresh})
                connection.execute(sa.update(jobs).where(jobs.c.id == there.id).values(renewed))
            return str(there.id)

        return self.get(self._database.write(work))

    def next(self, lane: str) -> JobRecord | None:
        """The job of a lane that is being carried out here, else the one queued longest; None where there is none."""
        jobs_there = self._read(jobs.c.lane == lane, _ours, jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING]))
        return min(jobs_there, key=lambda job: (job.state is not JobState.RUNNING, job.created, job.id), default=None)

    def lanes(self) -> tuple[str, ...]:
        """The lanes that have work queued or under way here."""
        jobs_there = self._read(_ours, jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING]))
        return tuple(sorted({job.lane for job in jobs_there}))

    def ahead(self, job: str) -> int:
        """How many jobs come before one that is queued."""
        one = self.get(job)
        if one.state is not JobState.QUEUED:
            return 0
        sooner = sa.and_(jobs.c.state == JobState.QUEUED, jobs.c.created < one.created)
        return len(self._read(jobs.c.lane == one.lane, _ours, sa.or_(jobs.c.state == JobState.RUNNING, sooner)))

    def heartbeat(self, lane: str) -> None:
        """Say that somebody will come to what is queued in a lane: a job that nobody minds is lost after a while."""
        queued = (jobs.c.lane == lane, _ours, jobs.c.state == JobState.QUEUED)
        self._database.run(lambda c: c.execute(sa.update(jobs).where(*queued).values(heartbeat=now())), write=True)

    def claim(self, job: str) -> bool:
        """Take a queued (or lost) job for this process; False where another has it or it is over."""
        free = jobs.c.state.in_([JobState.QUEUED, JobState.LOST])
        if not self._hold(job):
            return False
        taken = self._change(job, free, state=JobState.RUNNING, heartbeat=now(), **_here()) > 0
        if not taken:
            self._release(job)
        return taken

    def report(self, job: str, event: Event) -> JobState:
        """How far the work has come, said by the process that does it; gives how the job stands."""
        self._hold(job)
        event_row = {"stage": str(event.phase)} | {name: getattr(event, name) for name in _EVENT}
        values = {**event_row, "heartbeat": now(), **_here()}
        alive = jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING, JobState.LOST])
        self._change(job, alive, state=JobState.RUNNING, **values)
        return self.get(job).state

    def point(self, job: str, series: str, step: int, value: float) -> None:
        """One point of a learning curve; a point said again is replaced.

        Raises:
            NotFinite: the value is NaN or infinite.
        """
        if not math.isfinite(value):
            raise NotFinite(series, step)

        def work(connection: sa.Connection) -> None:
            at = (points.c.job == job, points.c.series == series, points.c.step == step)
            connection.execute(sa.delete(points).where(*at))
            connection.execute(sa.insert(points).values(job=job, series=series, step=step, value=value))

        self._database.write(work)

    def finish(self, job: str, result: Mapping[str, object]) -> JobRecord:
        """The work came to its end; a cancelled job stays cancelled."""
        self._change(
            job, jobs.c.state != JobState.CANCELLED, state=JobState.FINISHED, result=json_text(result), error=None
        )
        self._release(job)
        return self.get(job)

    def fail(self, job: str, error: str) -> JobRecord:
        """The work broke, and why; a cancelled or finished job stays as it is."""
        self._change(job, jobs.c.state.in_(_OPEN), state=JobState.FAILED, error=error)
        self._release(job)
        return self.get(job)

    def cancel(self, job: str) -> JobRecord:
        """Ask the worker to stop, who looks how the job stands between batches."""
        self._change(job, jobs.c.state.in_(_OPEN), state=JobState.CANCELLED)
        return self.get(job)

    def lose(self, job: str) -> JobRecord:
        """Its process is gone without a word; it can be started again."""
        self._change(job, jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING]), state=JobState.LOST)
        return self.get(job)

    def get(self, job: str) -> JobRecord:
        """The job of that id.

        Raises:
            UnknownName: there is none.
            RegistryCorrupt: it is damaged.
        """
        matching = self._read(jobs.c.id == job)
        if not matching:
            self._database.require_no_damage(jobs, job)
            raise UnknownName("job", job, [row.id for row in self.list()])
        return matching[0]

    def list(self) -> tuple[JobRecord, ...]:
        """All jobs, newest first."""
        return self._read(sa.true())

    def dead(self) -> tuple[JobRecord, ...]:
        """Jobs that count as running although their process is gone."""
        return tuple(
            job for job in self._read(jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING])) if self._gone(job)
        )

    def reap(self) -> tuple[JobRecord, ...]:
        """Mark every dead job as lost, and give them."""
        dead = self.dead()
        for job in dead:
            self._change(job.id, jobs.c.heartbeat == job.heartbeat, state=JobState.LOST)
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
        return job.state is JobState.RUNNING and not is_locked(self._lock(job.id))

    def _change(self, job: str, when: sa.ColumnElement[bool], **values: object) -> int:
        order = sa.update(jobs).where(jobs.c.id == job, when).values(**values)
        return self._database.run(lambda c: c.execute(order).rowcount, write=True)

    def _read(self, *wanted: sa.ColumnElement[bool]) -> tuple[JobRecord, ...]:
        def work(connection: sa.Connection) -> tuple[JobRecord, ...]:
            newest = raw(jobs).where(*wanted).order_by(jobs.c.created.desc(), jobs.c.id)
            rows = [row for row in connection.execute(newest).mappings().all() if self._database.sound(jobs, row)]
            chosen = raw(points).where(points.c.job.in_([row["id"] for row in rows]))
            ordered = connection.execute(chosen.order_by(points.c.series, points.c.step)).mappings().all()
            curves: dict[str, list[Row]] = {}
            for point in ordered:
                if self._database.sound(points, point):
                    curves.setdefault(point["job"], []).append(point)
            return tuple(_job(row, curves.get(row["id"], ())) for row in rows)

        return self._database.run(work)


def _job(row: Row, points: Iterable[Row]) -> JobRecord:
    curve: dict[str, tuple[tuple[int, float], ...]] = {}
    for point in points:
        curve[point["series"]] = (*curve.get(point["series"], ()), (point["step"], point["value"]))
    result = None if row["result"] is None else json.loads(row["result"])
    typed = {"spec": json.loads(row["spec"]), "state": JobState(row["state"]), "result": result, "curve": curve}
    return JobRecord(**{**{name: row[name] for name in row if name != "seal"}, **typed})


def _here() -> dict[str, object]:
    return {"host": socket.gethostname(), "pid": os.getpid()}
