"""Work that the picker starts: a process of its own for each job, which outlives the page and a reload of it."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from registry.home import Home

if TYPE_CHECKING:
    from registry.store import JobRecord
    from registry.zoo import Zoo

__all__ = ["OVER", "begin", "last_words", "save_upload"]

OVER = frozenset({"finished", "failed", "cancelled", "lost"})


def begin(zoo: "Zoo", verb: str, path: str, options: Mapping[str, str | list[str] | None]) -> "JobRecord":
    """Start `transferzoo VERB PATH ...` as a job; asked twice, as by a double click, it is the same job.

    What was finished before may be asked for again: the key counts how often this came to its end.
    """
    given = {name: value for name, value in sorted(options.items()) if value}
    spec: dict[str, object] = {"path": path, **given}
    before = [job for job in zoo.jobs.list() if job.kind == verb and dict(job.spec) == spec]
    finished = sum(job.state == "finished" for job in before)
    digest = hashlib.sha256(json.dumps([verb, spec], sort_keys=True).encode()).hexdigest()[:16]
    job = zoo.jobs.start(verb, spec, f"{verb}:{digest}:{finished}")
    if job.state == "queued":
        _detach(zoo.home, job.id, [verb, path, *_words(given)])
    return job


def last_words(home: Home, job: str) -> str:
    """The end of what a job's process wrote."""
    log = _log(home, job)
    return log.read_text(errors="replace")[-2000:].strip() if log.exists() else ""


def save_upload(home: Home, name: str, content: bytes) -> Path:
    """Keep an uploaded zip under the digest of its content; the same upload twice is one file."""
    digest = hashlib.sha256(content).hexdigest()[:16]
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(name).stem)[:60]
    place = home.root / "uploads" / digest / f"{stem or 'upload'}.zip"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_suffix(f".{os.getpid()}.tmp")
        partial.write_bytes(content)
        partial.replace(place)
    return place


def _words(options: Mapping[str, str | list[str] | None]) -> list[str]:
    words = []
    for name, value in options.items():
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{name}", str(one)]
    return words


def _detach(home: Home, job: str, words: list[str]) -> None:
    log = _log(home, job)
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ui.cli", *words, "--home", str(home.root), "--job", job]
    with log.open("ab") as out:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)  # noqa: S603 - ourselves


def _log(home: Home, job: str) -> Path:
    return home.root / "jobs" / f"{job}.log"
