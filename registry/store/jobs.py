"""Jobs: work that outlives who asked for it."""

import json
import math
import os
import socket
import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from registry.cards import JobRecord, JobState
from registry.errors import NotFinite, UnknownName
from registry.progress import Event
from registry.store.database import Database
from registry.store.integrity import sealed
from registry.store.schema import Row, equal_to, jobs, json_text, now, points, raw

_SILENT_MINUTES = 5
_TRIES = 3
"""How often a job is begun before one whose process dies each time is given up."""
_EVENT = ("part", "done", "of", "step", "steps")
"""Of an event, beside its phase."""
_OPEN = [JobState.QUEUED, JobState.RUNNING, JobState.LOST]


class Jobs:
    """Work that outlives who asked for it: the worker says `claim`, `report` and `point`, then `finish` or `fail`.

    Who has claimed a job holds its lock until it is over; the lock of a process that dies is dropped (a file's by the
    system, a server's by the server), so that no clock is asked whether a job lives. It is then queued again for
    another process, three times at most. What another process holds, nobody reports, finishes or fails. Jobs queue in
    lanes, the oldest first. What is queued is done on the machine, and for the home, where it was asked for.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._locks = database.locks()
        same_home = () if database.is_file else (jobs.c.home == database.home,)
        self._ours = sa.and_(jobs.c.host == socket.gethostname(), *same_home)

    def start(
        self, kind: str, spec: Mapping[str, object], key: str, *, lane: str = "cpu", owner: str = ""
    ) -> JobRecord:
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
                "home": self._database.home,
                "owner": owner,
                "tries": 0,
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
        jobs_there = self._read(jobs.c.lane == lane, self._ours, jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING]))
        return min(jobs_there, key=lambda job: (job.state is not JobState.RUNNING, job.created, job.id), default=None)

    def lanes(self) -> tuple[str, ...]:
        """The lanes that have work queued or under way here."""
        jobs_there = self._read(self._ours, jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING]))
        return tuple(sorted({job.lane for job in jobs_there}))

    def ahead(self, job: str) -> int:
        """How many jobs come before one that is queued."""
        one = self.get(job)
        if one.state is not JobState.QUEUED:
            return 0
        sooner = sa.and_(jobs.c.state == JobState.QUEUED, jobs.c.created < one.created)
        return len(self._read(jobs.c.lane == one.lane, self._ours, sa.or_(jobs.c.state == JobState.RUNNING, sooner)))

    def heartbeat(self, lane: str) -> None:
        """Say that somebody will come to what is queued in a lane: a job that nobody minds is lost after a while."""
        queued = (jobs.c.lane == lane, self._ours, jobs.c.state == JobState.QUEUED)
        self._database.run(lambda c: c.execute(sa.update(jobs).where(*queued).values(heartbeat=now())), write=True)

    def claim(self, job: str) -> bool:
        """Take a queued (or lost) job for this process; False where another has it or it is over."""
        free = jobs.c.state.in_([JobState.QUEUED, JobState.LOST])
        if not self._locks.hold(job):
            return False
        begun = {"state": JobState.RUNNING, "heartbeat": now(), "tries": jobs.c.tries + 1}
        taken = self._change(job, free, **begun, **_here()) > 0
        if not taken:
            self._locks.release(job)
        return taken

    def holds(self, job: str) -> bool:
        """Whether it is this process that carries out a job; one that lost its lock must leave it to another."""
        return self._locks.hold(job)

    def report(self, job: str, event: Event) -> JobState:
        """How far the work has come, said by the process that does it; gives how the job stands."""
        if not self._locks.hold(job):
            return self.get(job).state
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
        """The work came to its end; a cancelled job stays cancelled, and what another process holds is its affair."""
        if self._locks.hold(job):
            values = {"state": JobState.FINISHED, "result": json_text(result), "error": None}
            self._change(job, jobs.c.state != JobState.CANCELLED, **values)
            self._locks.release(job)
        return self.get(job)

    def fail(self, job: str, error: str) -> JobRecord:
        """The work broke, and why; a cancelled or finished job stays as it is, and one that another process holds."""
        if self._locks.hold(job):
            self._change(job, jobs.c.state.in_(_OPEN), state=JobState.FAILED, error=error)
            self._locks.release(job)
        return self.get(job)

    def cancel(self, job: str) -> JobRecord:
        """Ask the worker to stop, who looks how the job stands between batches."""
        self._change(job, jobs.c.state.in_(_OPEN), state=JobState.CANCELLED)
        return self.get(job)

    def lose(self, job: str) -> JobRecord:
        """Its process is gone without a word: it is queued again; begun often enough, it is lost."""
        self._take_back(job, jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING]))
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

    def list(self, *, owner: str | None = None) -> tuple[JobRecord, ...]:
        """All jobs, or those of a key of the service, newest first."""
        return self._read(sa.true() if owner is None else jobs.c.owner == owner)

    def after(self, job: str, most: int, *, owner: str | None = None) -> tuple[JobRecord, ...]:
        """The first so many sound jobs whose ids come after one, by id; all, or those of a key of the service."""
        wanted, read = equal_to(jobs, owner=owner), list[JobRecord]()
        while len(read) < most:
            some = raw(jobs, "id").where(*wanted, jobs.c.id > job).order_by(jobs.c.id).limit(most - len(read))
            ids = self._database.run(partial(_names, wanted=some))
            if not ids:
                break
            read += sorted(self._read(jobs.c.id.in_(ids)), key=lambda one: one.id)
            job = ids[-1]
        return tuple(read)

    def open_count(self, owner: str) -> int:
        """How many jobs of a key of the service are not over."""
        wanted = (jobs.c.owner == owner, jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING]))
        counted = sa.select(sa.func.count()).select_from(jobs).where(*wanted)
        return int(self._database.run(lambda c: c.scalar(counted)) or 0)

    def dead(self) -> tuple[JobRecord, ...]:
        """Jobs that count as running although their process is gone."""
        return tuple(
            job for job in self._read(jobs.c.state.in_([JobState.QUEUED, JobState.RUNNING])) if self._gone(job)
        )

    def reap(self) -> tuple[JobRecord, ...]:
        """Queue every dead job again; begun often enough, or elsewhere, it is lost. Gives them all."""
        dead = self.dead()
        for job in dead:
            same = sa.and_(jobs.c.heartbeat == job.heartbeat, jobs.c.state == job.state)
            if self._is_ours(job):
                self._take_back(job.id, same)
            else:
                self._change(job.id, same, state=JobState.LOST)
        return tuple(self.get(job.id) for job in dead)

    def _take_back(self, job: str, when: sa.ColumnElement[bool]) -> None:
        """Queue a job again whose process is gone; one that died before it was claimed was begun, too."""
        tries = jobs.c.tries + sa.case((jobs.c.state == JobState.QUEUED, 1), else_=0)
        state = sa.case((tries >= _TRIES, JobState.LOST.value), else_=JobState.QUEUED.value)
        self._change(job, when, state=state, tries=tries, heartbeat=now())

    def _is_ours(self, job: JobRecord) -> bool:
        return bool(self._read(jobs.c.id == job.id, self._ours))

    def _gone(self, job: JobRecord) -> bool:
        """Whether nobody is at it any more; of another machine's file or queue, whether none was heard of for long.

        What is queued here waits for a worker, whom whoever looks after the queue starts: it is never gone.
        """
        if job.host != socket.gethostname() and (self._database.is_file or job.state is JobState.QUEUED):
            return datetime.now(UTC) - datetime.fromisoformat(job.heartbeat) > timedelta(minutes=_SILENT_MINUTES)
        return job.state is JobState.RUNNING and not self._locks.taken(job.id)

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


def _names(connection: sa.Connection, wanted: sa.Select[Any]) -> list[str]:
    return [str(name) for name in connection.scalars(wanted)]


def _job(row: Row, points: Iterable[Row]) -> JobRecord:
    curve: dict[str, tuple[tuple[int, float], ...]] = {}
    for point in points:
        curve[point["series"]] = (*curve.get(point["series"], ()), (point["step"], point["value"]))
    result = None if row["result"] is None else json.loads(row["result"])
    typed = {"spec": json.loads(row["spec"]), "state": JobState(row["state"]), "result": result, "curve": curve}
    return JobRecord(**{**{name: row[name] for name in row if name not in {"seal", "home"}}, **typed})


def _here() -> dict[str, object]:
    return {"host": socket.gethostname(), "pid": os.getpid()}
