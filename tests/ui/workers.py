"""Jobs that do as their path says, and a worker for them in a process of its own: `python -m tests.ui.workers HOME`."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from recommender.requests import place_of
from registry.cards import JobRecord
from registry.home import Home
from registry.store import Store
from registry.zoo import Zoo
from ui import job_queue

__all__ = ["as_their_paths_say"]


def as_their_paths_say(home: Home, job: JobRecord) -> list[str]:
    """The command of a job whose path is how it behaves."""
    return [sys.executable, "-m", "tests.ui.workers", str(home.root), job.id, Path(place_of(job.spec)).name]


def _behave(home: Path, job: str, manner: str) -> None:
    jobs = Store.open(home / "registry.db").jobs
    if manner == "mute":
        sys.exit("the disk is made of cheese")
    if manner == "stubborn":
        for report in (signal.SIGINT, signal.SIGTERM):
            signal.signal(report, signal.SIG_IGN)
    if not jobs.claim(job):
        return
    with (home / "diary").open("a") as tracker_run:
        tracker_run.write(f"begin {job}\n")
        tracker_run.flush()
        if manner == "fatal" or (manner == "fatal-once" and jobs.get(job).tries == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if manner not in {"quick", "fatal-once"}:
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            (home / f"child-{job}").write_text(str(child.pid))
            time.sleep(60)
        time.sleep(0.2)
        tracker_run.write(f"end {job}\n")
    jobs.finish(job, {"came": "well"})


if __name__ == "__main__":
    if len(sys.argv) > 2:
        _behave(Path(sys.argv[1]), *sys.argv[2:])
    else:
        job_queue._command = as_their_paths_say
        with Zoo.open(sys.argv[1]) as opened:
            job_queue.work(opened, "cpu", until_empty=True, announce=print)
