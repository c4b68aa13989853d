"""How many threads open items ahead of the net, and how many share a product of matrices."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from threadpoolctl import ThreadpoolController

__all__ = ["Cores", "few_threads", "prepared", "prepared_ahead"]

Ready = TypeVar("Ready")
_MOST = 4
_MANY_PRODUCTS = 10**8


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


@contextmanager
def few_threads(products: int) -> Iterator[None]:
    """NumPy's linear algebra on one thread where it has few products to add up, and on half of the cores else.

    Threads that share little work wait for one another: on a busy machine that takes 8 to 30 times as long.
    """
    limit = 1 if products < _MANY_PRODUCTS else max(1, (os.cpu_count() or 1) // 2)
    with _threadpools().limit(limits=limit, user_api="blas"):
        yield


@lru_cache
def _threadpools() -> ThreadpoolController:
    """NumPy's among the libraries that this process has loaded; to look for them takes longer than a small product."""
    return ThreadpoolController()
