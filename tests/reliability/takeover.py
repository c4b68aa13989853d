"""Workers of one job table are killed at random: every job is taken over, none is ever carried out by two at once.

``python -m tests.reliability.takeover --kills 100 --seed 0`` does it in a file and, where there is a server, in a
PostgreSQL database, and prints what became of the jobs. Who is at a job holds a lock of the system's beside the
registry's own: where that is taken, two are at it.
"""

import argparse
import fcntl
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from registry.cards import JobState
from registry.progress import Event, Phase
from registry.store import Jobs, Store
from tests.postgres import fresh_database, run_server, why_no_server

__all__ = ["Figures", "kill_at_random"]

_WORKERS = 4
_STEPS = 4
_STEP_SECONDS = 0.04
_DYING = 0.5
"""Seconds in which the system closes all that a killed process had open."""
_SPAWN = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Figures:
    """What became of the jobs."""

    kills: int
    at_work: int
    """Kills of a worker that was at a job."""
    finished: int
    taken_over: int
    """Finished jobs that had been begun before."""
    queued_anew: int
    """Times that a job was lost, having been begun three times, and asked for again."""
    twice: tuple[str, ...]
    """Jobs that two processes were at."""
    unfinished: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        return (
            f"{self.kills} kills, {self.at_work} of workers that were at a job; {self.finished} jobs finished, "
            f"{self.taken_over} of them taken over, {self.queued_anew} times one was lost after three and asked for "
            f"again; two at once: {len(self.twice)}; never finished: {len(self.unfinished)}; {self.seconds:.0f} s"
        )


def kill_at_random(place: Path | str, folder: Path, *, kills: int, seed: int) -> Figures:
    """Kill so many workers of a job table, each at a random moment, and then let the others come to the end."""
    began, draw = time.monotonic(), random.Random(seed)  # noqa: S311 - no secret
    jobs = Store.open(place, patience=60.0).jobs
    _SPAWN.set_forkserver_preload([__name__])
    names = [jobs.start("tune", {"path": str(number)}, f"job-{number}").id for number in range(2 * kills)]
    workers = [_begin(place, folder) for _ in range(_WORKERS)]
    at_work = lost = 0
    for _ in range(kills):
        one = _victim(jobs, workers, draw)
        time.sleep(draw.uniform(0, _STEPS * _STEP_SECONDS))
        os.kill(workers[one].pid or 0, signal.SIGKILL)
        workers[one].join()
        at_work += any(job.pid == workers[one].pid and job.state is JobState.RUNNING for job in jobs.list())
        lost += _ask_again(jobs)
        workers[one] = _begin(place, folder)
    deadline = time.monotonic() + 60 + kills
    while (left := [job for job in jobs.list() if job.state is not JobState.FINISHED]) and time.monotonic() < deadline:
        lost += _ask_again(jobs)
        time.sleep(0.05)
    for worker in workers:
        worker.kill()
        worker.join()
    twice = (folder / "twice").read_text().split() if (folder / "twice").exists() else []
    done = Counter(line.split()[0] for line in (folder / "done").read_text().splitlines())
    again = [name for name, count in done.items() if count != 1]  # finished by two is two at once, too
    ends = [job for job in jobs.list() if job.state is JobState.FINISHED and job.result == {"steps": _STEPS}]
    begun = Counter((folder / "begun").read_text().split())
    return Figures(
        kills,
        at_work,
        len(ends),
        sum(begun[job.id] > 1 for job in ends),
        lost,
        tuple(sorted({*twice, *again})),
        tuple(sorted({job.id for job in left} | (set(names) - {job.id for job in ends}))),
        time.monotonic() - began,
    )


def _victim(jobs: Jobs, workers: list[BaseProcess], draw: random.Random) -> int:
    """Which worker is killed: three times of four one that is at a job, else any."""
    places = {worker.pid: place for place, worker in enumerate(workers)}
    deadline = time.monotonic() + 30
    at_work = draw.random() < 0.75
    while at_work and time.monotonic() < deadline:
        busy = [places[job.pid] for job in jobs.list() if job.state is JobState.RUNNING and job.pid in places]
        if busy:
            return draw.choice(sorted(busy))
    return draw.randrange(len(workers))


def _ask_again(jobs: Jobs) -> int:
    """Queue what is lost anew, as its user would; how many these were."""
    lost = [job for job in jobs.list() if job.state is JobState.LOST]
    for job in lost:
        jobs.start(job.kind, job.spec, job.key)
    return len(lost)


def _begin(place: Path | str, folder: Path) -> BaseProcess:
    worker = _SPAWN.Process(target=_work, args=(place, folder), daemon=True)
    worker.start()
    return worker


def _work(place: Path | str, folder: Path) -> None:
    """Take over what is dead and carry out what is queued, for ever."""
    jobs = Store.open(place, patience=60.0).jobs
    while True:
        jobs.reap()
        queued = [job.id for job in jobs.list() if job.state is JobState.QUEUED]
        if not queued:
            time.sleep(_STEP_SECONDS)
        for name in sorted(queued)[:3]:
            if jobs.claim(name):
                _carry_out(jobs, name, folder)
                break


def _carry_out(jobs: Jobs, name: str, folder: Path) -> None:
    _note(folder / "begun", name)
    with _alone(folder / f"{name}.witness") as alone:
        if not alone:
            _note(folder / "twice", name)
        for step in range(_STEPS):
            time.sleep(_STEP_SECONDS)
            jobs.report(name, Event(Phase.TUNE, "", step + 1, _STEPS))
        jobs.finish(name, {"steps": _STEPS})
        _note(folder / "done", name)


@contextmanager
def _alone(file: Path) -> Iterator[bool]:
    """Whether no other process is in here with the same file."""
    with file.open("w") as handle:
        deadline = time.monotonic() + _DYING
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    yield False
                    return
                time.sleep(0.001)
        yield True


def _note(file: Path, line: str) -> None:
    with file.open("a") as diary:
        diary.write(f"{line}\n")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        print(f"SQLite: {kill_at_random(place / 'registry.db', place, kills=options.kills, seed=options.seed)}")
    if why_no_server():
        print(f"PostgreSQL: not shown, {why_no_server()}")
        return
    with tempfile.TemporaryDirectory() as folder, run_server() as server, fresh_database(server) as url:
        print(f"PostgreSQL: {kill_at_random(url, Path(folder), kills=options.kills, seed=options.seed)}")


if __name__ == "__main__":
    main()
