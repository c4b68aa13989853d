"""How much is done for advice, and until when: work that is cut short leaves what was done by then."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import TypeVar

from registry.progress import Cancelled, Event, Progress

__all__ = ["Clock", "Deadline", "Effort"]

Clock = Callable[[], float]
"""Seconds since some instant."""
_Result = TypeVar("_Result")


class Effort(StrEnum):
    """How much is done for advice."""

    QUICK = "quick"
    """What is known already: history, distance, size. No checkpoint sees a row."""
    NORMAL = "normal"
    """A race, and probes of who is ahead in it."""
    THOROUGH = "thorough"
    """As normal, and short real trainings of the finalists, by which their expectations are moved."""


@dataclass(eq=False)
class Deadline:
    """So many seconds from now, by a clock that is handed in; None for no end. Ctrl-C is an end, too."""

    seconds: float | int | None = None
    clock: Clock = time.monotonic
    interrupted: bool = False
    _began: float = field(init=False)

    def __post_init__(self) -> None:
        self._began = self.clock()

    @classmethod
    def going_on(cls, seconds: float | int | None, left: float | int) -> "Deadline":
        """One of so many seconds, of which so many are left: it began before, or in another process."""
        deadline = cls(seconds)
        deadline._began += 0.0 if seconds is None else left - seconds
        return deadline

    @property
    def left(self) -> float:
        """Seconds until it is over."""
        return inf if self.seconds is None else self.seconds - (self.clock() - self._began)

    def share(self, part: float | int) -> float:
        """Seconds of a part of it; none where there is no end."""
        return 0.0 if self.seconds is None else float(part * self.seconds)

    def over(self, needs: float | int = 0.0) -> bool:
        """Whether no time is left for what takes so many seconds."""
        return self.interrupted or self.left <= needs

    def require_uninterrupted(self) -> None:
        """Raise `KeyboardInterrupt` again where it cut short what is of no use in part."""
        if self.interrupted:
            raise KeyboardInterrupt

    def attempt(
        self,
        work: Callable[[Progress], _Result],
        progress: Progress,
        *,
        needs: float | int = 0.0,
        reserve: float | int = 0.0,
    ) -> _Result | None:
        """What the work comes to, or None where time does not do for it.

        It is not begun where fewer than ``needs`` seconds are left beside ``reserve``, and ends between two batches
        when only the latter are.

        Raises:
            Cancelled: the observer wants no more, whatever time is left.
        """
        if self.over(needs + reserve):
            return None
        try:
            return work(_Until(self, progress, reserve))
        except Cancelled:
            if progress.cancelled():
                raise
        except KeyboardInterrupt:
            self.interrupted = True
        return None


@dataclass(frozen=True, eq=False)
class _Until:
    """Another's observer, which also wants no more once time is over."""

    deadline: Deadline
    progress: Progress
    reserve: float | int

    def report(self, event: Event) -> None:
        self.progress.report(event)

    def cancelled(self) -> bool:
        return self.progress.cancelled() or self.deadline.over(self.reserve)
