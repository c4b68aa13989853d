"""The event log of a run: one JSON line an event, in the run's folder, written before anything is tracked elsewhere.

It holds all that is needed to log the run elsewhere: first what the run is (its opening), then points of curves,
results, files worth keeping and how it ended, each with its time in milliseconds. Numbers that JSON lacks are text:
``"inf"``, ``"nan"``. A line torn by a crash is passed over.
"""

import errno
import json
import math
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from registry.files import disk_full_named

__all__ = ["RANGE_LOSS", "RANGE_RATE", "EventLog", "LogEntry"]

LogEntry = Mapping[str, Any]

RANGE_LOSS, RANGE_RATE = "range test/held out", "range test/rate"
"""The series of a range test, by doublings of the rate: the loss held out, and the rate of the topmost block."""

_FILE = "journal.jsonl"


class EventLog:
    """The event log in a folder, to write or to read."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._file = folder, folder / _FILE
        self._writing = threading.Lock()
        self._points: dict[tuple[str, int], object] = {}

    def open(self, opening: LogEntry) -> None:
        """Begin it; one that was begun before goes on, under the opening that it has."""
        self._end_torn_line()
        events = [event for _, event in self.read()]
        self._points = {(event["point"], event["step"]): event["value"] for event in events if "point" in event}
        self.write({"resumed": True} if self.opening else {"opening": dict(opening)})

    def point(self, series: str, step: int, value: float) -> None:
        """One point of a curve; one that is repeated, as after an interruption, is written once."""
        plain = _plain(value)
        if self._points.get((series, step)) != plain:
            self._points[series, step] = plain
            self.write({"point": series, "step": step, "value": plain})

    def result(self, metrics: Mapping[str, float]) -> None:
        """What the run came to."""
        self.write({"result": {name: _plain(value) for name, value in metrics.items()}})

    def write(self, event: LogEntry) -> None:
        """Add an event, with its time; whatever is no mere point is on the disk when this returns.

        Raises:
            DiskFull: there is no room; the event log is as it was.
        """
        line = (json.dumps({**event, "at": round(time.time() * 1000)}) + "\n").encode()
        with self._writing, disk_full_named(self._file, len(line)), self._file.open("ab", buffering=0) as file:
            before = file.tell()
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, "No space left on device")
                if "point" not in event:
                    os.fsync(file.fileno())
            except OSError:
                file.truncate(before)
                raise

    def read(self, after: int = 0) -> list[tuple[int, LogEntry]]:
        """The events behind a byte of the file, each with the byte where its line ends."""
        if not self._file.is_file():
            return []
        with self._file.open("rb") as file:
            file.seek(after)
            text = file.read()
        events = []
        for line in text[: text.rfind(b"\n") + 1].splitlines(keepends=True):
            after += len(line)
            events.append((after, _parsed(line)))
        return events

    @property
    def opening(self) -> LogEntry:
        """What the run is; empty where the event log does not say."""
        return next((event["opening"] for _, event in self.read() if "opening" in event), {})

    @property
    def curves(self) -> dict[str, dict[int, float]]:
        """Series, step, value; where a step was logged twice, as it was last."""
        curves: dict[str, dict[int, float]] = {}
        for _, event in self.read():
            if "point" in event:
                curves.setdefault(event["point"], {})[event["step"]] = float(event["value"])
        return curves

    def next_step(self, series: str) -> int:
        """The first step that a series does not have."""
        return 1 + max((step for name, step in self._points if name == series), default=-1)

    def _end_torn_line(self) -> None:
        if self._file.is_file() and self._file.stat().st_size and not self._file.read_bytes().endswith(b"\n"):
            with self._file.open("a") as file:
                file.write("\n")


def _plain(value: float) -> float | str:
    return float(value) if math.isfinite(value) else str(float(value))


def _parsed(line: bytes) -> LogEntry:
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}
