"""The observer promise: whoever works says stage, done and of; a bar, a page or nothing is handed in."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar, runtime_checkable

__all__ = ["Progress", "silent", "told"]

Item = TypeVar("Item")


@runtime_checkable
class Progress(Protocol):
    """Called as ``progress(stage, done, of)``; ``of`` is 0 where the end is not known. Must not raise."""

    def __call__(self, stage: str, done: int, of: int) -> None:
        """Take note that ``done`` of ``of`` units of ``stage`` are finished."""


def silent(stage: str, done: int, of: int) -> None:
    """Tell nobody."""


def told(items: Iterable[Item], stage: str, of: int, progress: Progress) -> Iterator[Item]:
    """Yield the items, telling ``progress`` before the first and after each."""
    progress(stage, 0, of)
    for done, item in enumerate(items, start=1):
        yield item
        progress(stage, done, of)
