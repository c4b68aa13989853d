"""Threads that open items ahead of the net: as many as there are cores, or in its share of them."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

__all__ = ["Cores", "prepared", "prepared_ahead"]

Ready = TypeVar("Ready")
_MOST = 4


class Cores:
    """How many of the machine's cores this process is to take; all, where nobody says."""

    share: float | None = None

    @classmethod
    def readers(cls) -> int:
        """How many threads open items beside the one that asks for them; none where that one has a core alone."""
        if cls.share is None:
            return min(_MOST, os.cpu_count() or 1)
        return min(_MOST, int(cls.share)) if cls.share >= 2 else 0


def prepared(prepare: Callable[[Any], Ready], items: Sequence[Any]) -> Iterator[Ready]:
    """What ``prepare`` gives of each item, in their order."""
    readers = Cores.readers()
    if not readers:
        yield from map(prepare, items)
        return
    with ThreadPoolExecutor(readers) as pool:
        yield from pool.map(prepare, items)


def prepared_ahead(prepare: Callable[[Any], Ready], items: Sequence[Any], at_once: int) -> Iterator[list[Ready]]:
    """The same in lots; where there are threads for it the next lot is opened while one is worked on."""
    lots = [items[start : start + at_once] for start in range(0, len(items), at_once)]
    readers = Cores.readers()
    if not readers:
        yield from ([prepare(item) for item in lot] for lot in lots)
        return
    with ThreadPoolExecutor(readers) as pool:
        ahead: list[Future[Ready]] = []
        for lot in lots:
            following = [pool.submit(prepare, item) for item in lot]
            if ahead:
                yield [one.result() for one in ahead]
            ahead = following
        if ahead:
            yield [one.result() for one in ahead]
