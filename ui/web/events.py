"""Events: a job as server-sent events, one whenever something has changed, until it is over."""

import time
from asyncio import sleep
from collections.abc import AsyncIterator, Awaitable, Callable

from registry.cards import JobState
from ui.job_queue import OVER
from ui.web.bodies import JobView

__all__ = ["follow"]

_LOOK_EVERY = 0.5
_STILL_THERE = 15.0
"""Seconds of silence after which a comment keeps the connection open."""


async def follow(look: Callable[[], Awaitable[JobView]]) -> AsyncIterator[str]:
    """Events ``progress`` with the job each, the last one named as its state; ``look`` says how it stands."""
    before: JobView | None = None
    spoken = began = time.monotonic()
    start = 0.0
    while True:
        job = await look()
        if job != before:
            if before is None or job.state is not before.state:
                began, start = time.monotonic(), job.fraction
            over = job.state in OVER
            left = None if over else _seconds_left(start, job.fraction, time.monotonic() - began)
            yield _event(str(job.state) if over else "progress", job.model_copy(update={"seconds_left": left}))
            spoken, before = time.monotonic(), job
            if over:
                return
        elif time.monotonic() - spoken >= _STILL_THERE:
            yield ": still there\n\n"
            spoken = time.monotonic()
        await sleep(_LOOK_EVERY if job.state is not JobState.QUEUED else 2 * _LOOK_EVERY)


def _seconds_left(start: float, fraction: float, seconds: float) -> float | None:
    """What is left at the rate since it was first looked at; None before anything moved."""
    done = fraction - start
    return round(seconds * (1 - fraction) / done, 1) if done > 0 else None


def _event(name: str, job: JobView) -> str:
    return f"event: {name}\ndata: {job.model_dump_json()}\n\n"
