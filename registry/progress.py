"""Progress as data: who works reports events to an observer, and asks it between batches whether to go on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeVar, runtime_checkable

__all__ = ["Cancelled", "Event", "Phase", "Progress", "Unreported", "advance", "require_wanted", "silent", "tracked"]

Element = TypeVar("Element")


class Cancelled(BaseException):
    """Work that ended because its observer was asked and wanted no more; what was finished is kept.

    No failure, and so (as asyncio's) caught by nothing that goes on after failures.
    """

    def __init__(self) -> None:
        super().__init__("cancelled")


class Phase(StrEnum):
    """What is being done; the value is how it is read, followed by the event's part."""

    FIND = "finding"
    READ = "reading"
    COMPARE = "comparing"
    CATALOG = "read the bundled catalog"
    EXAMINE = "examine the registry"
    ENCODE = "encode with"
    BASELINE = "no transfer:"
    LOOK = "first look at every checkpoint"
    PROBE = "probe on the cluster"
    DISTANCES = "exact distances"
    TRY = "try a few batches"
    TRIAL = "try the finalists:"
    HEAD = "fit the head"
    PREPARE = "open items:"
    CACHE = "run the frozen blocks:"
    PRETRAIN = "learn before the head:"
    TUNE = "tune"
    SOURCE = "probe the source"
    BENEFIT = "measure the benefit"
    EXPORT = "export"
    FETCH = "fetch"
    PUSH = "upload"
    SYNC = "carry to MLflow"


@dataclass(frozen=True)
class Event:
    """``done`` of ``of`` units of a phase are finished; ``of`` is 0 where the end is not known."""

    phase: Phase
    part: str
    """Of what or with what: a checkpoint, a strategy, a part of the sample; empty where there is but one."""
    done: int
    of: int
    step: int = 0
    """Which of the steps of the whole work this is, counted from 1; 0 where that is not known."""
    steps: int = 0

    @property
    def words(self) -> str:
        """The step and the phase with its part, to be shown; nobody reads anything out of it."""
        step = f"step {self.step} of {self.steps}: " if self.step else ""
        return f"{step}{self.phase} {self.part}".rstrip()

    @property
    def finished(self) -> bool:
        """Whether nothing of it is left to do."""
        return 0 < self.of <= self.done


@runtime_checkable
class Progress(Protocol):
    """An observer of work: a bar, a page, a job of the queue, or nothing. Neither method may raise."""

    def report(self, event: Event) -> None:
        """Take note of how far the work is."""

    def cancelled(self) -> bool:
        """Whether the work is to end: asked between batches, answered without waiting."""


class _Silent:
    """Nobody who observes, and who never cancels."""

    def report(self, event: Event) -> None:
        """Take no note."""

    def cancelled(self) -> bool:
        """Never."""
        return False

    def __repr__(self) -> str:
        return "silent"


silent: Progress = _Silent()
"""The observer that does nothing."""


@dataclass(frozen=True)
class Unreported:
    """An observer that is asked whether to go on, and hears of nothing."""

    progress: Progress

    def report(self, event: Event) -> None:
        """Take no note."""

    def cancelled(self) -> bool:
        """Whatever the other answers."""
        return self.progress.cancelled()


def advance(progress: Progress, phase: Phase, done: int, of: int, part: str = "") -> None:
    """Report how far a phase is, and ask whether to go on; called where the work may end, between two batches.

    Raises:
        Cancelled: the observer wants no more.
    """
    progress.report(Event(phase, part, done, of))
    require_wanted(progress)


def require_wanted(progress: Progress) -> None:
    """Ask whether to go on, where there is nothing to report.

    Raises:
        Cancelled: the observer wants no more.
    """
    if progress.cancelled():
        raise Cancelled


def tracked(items: Iterable[Element], progress: Progress, phase: Phase, of: int, part: str = "") -> Iterator[Element]:
    """Yield the items; `advance` is called before the first and after each.

    Raises:
        Cancelled: the observer wants no more.
    """
    advance(progress, phase, 0, of, part)
    for done, item in enumerate(items, start=1):
        yield item
        advance(progress, phase, done, of, part)
