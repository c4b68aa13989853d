"""Workers: who does one piece of work for each of several candidates, here one after another or elsewhere at once.

Work is a function of a module, its arguments data that can be pickled: what all pieces share, and what one is about. It
gives None where time does not do for it, and catches what a candidate may raise itself.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from importlib import import_module
from secrets import token_hex
from typing import Any, Protocol, TypeVar, runtime_checkable

from recommender.effort import Deadline
from recommender.results import Skipped
from registry.errors import ExtraMissing, UnknownName
from registry.progress import Progress, require_wanted
from registry.zoo import Zoo

__all__ = [
    "WORKERS",
    "Work",
    "Workers",
    "in_this_process",
    "load_cluster",
    "longest_first",
    "open_workers",
    "require_workers",
    "sort_results",
]

_Shared = TypeVar("_Shared")
_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")

Work = Callable[[_Shared, _Piece, Zoo, Deadline, Progress], _Result]
"""What is done with what all pieces share and with one of them."""
WORKERS = ("local", "ray")
"""Names of who there is."""


@runtime_checkable
class Workers(Protocol):
    """Called with work, what all pieces share, and the pieces: yields what comes of each, in their order."""

    def __call__(
        self,
        work: Work[_Shared, _Piece, _Result],
        shared: _Shared,
        pieces: Sequence[_Piece],
        zoo: Zoo,
        deadline: Deadline,
        progress: Progress,
        costs: Sequence[float] = (),
    ) -> Iterator[_Result]:
        """What comes of each piece; None where time did not do for it.

        ``costs`` say how much each piece takes against the others, where that is known, in any unit.

        Raises:
            Cancelled: the observer wants no more.
            ClusterError: who is elsewhere cannot do it.
        """


def in_this_process(
    work: Work[_Shared, _Piece, _Result],
    shared: _Shared,
    pieces: Sequence[_Piece],
    zoo: Zoo,
    deadline: Deadline,
    progress: Progress,
    costs: Sequence[float] = (),
) -> Iterator[_Result]:
    """One piece after another, each begun when the result of the last is taken; see `Workers`."""
    del costs
    for piece in pieces:
        require_wanted(progress)
        yield work(shared, piece, zoo, deadline, progress)


def longest_first(costs: Sequence[float], count: int) -> list[int]:
    """Places of so many pieces in the order in which several workers are through with them soonest: the longest first.

    By Graham (1969) that is at most a third later than the best order. As they come where their costs are not known.
    """
    return sorted(range(count), key=lambda place: -costs[place]) if costs else [*range(count)]


def sort_results(
    results: Iterable[_Result | str | None], unreached: Sequence[Skipped]
) -> tuple[list[_Result], list[Skipped], list[Skipped]]:
    """What came of pieces of work, who failed, and whom time did not do for.

    A result that is words says why there is none. ``unreached`` has a row for each piece, in their order: who it is
    about, and what is said of it where time did not do.
    """
    done: list[_Result] = []
    failed: list[Skipped] = []
    undone: list[Skipped] = []
    for result, row in zip(results, unreached, strict=True):
        if result is None:
            undone.append(row)
        elif isinstance(result, str):
            failed.append(replace(row, reason=result))
        else:
            done.append(result)
    return done, failed, undone


def open_workers(name: str) -> AbstractContextManager[Workers]:
    """The workers of that name, for as long as the context lasts.

    Raises:
        UnknownName: there are none.
        ExtraMissing: Ray is not installed.
        ClusterError: there is no cluster, or it refuses.
    """
    if name == "local":
        return nullcontext(in_this_process)
    require_workers(name)
    workers: AbstractContextManager[Workers] = load_cluster().ray_workers()
    return workers


def require_workers(name: str) -> None:
    """There are workers of that name.

    Raises:
        UnknownName: there are none.
    """
    if name not in WORKERS:
        raise UnknownName("executor of probes", name, WORKERS)


def load_cluster() -> Any:  # noqa: ANN401 - a module
    """The module that speaks with Ray, which reads its settings when it is imported.

    Where nothing else is said, a cluster of this machine alone has a token of its own, and nothing is reported home.

    Raises:
        ExtraMissing: Ray is not installed.
    """
    usual = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    }
    if not {"RAY_ADDRESS", "RAY_AUTH_MODE"} & set(os.environ):
        usual |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token_hex(32)}
    for name, value in usual.items():
        os.environ.setdefault(name, value)
    try:
        return import_module("recommender.cluster")
    except ModuleNotFoundError as cause:
        raise ExtraMissing(str(cause.name), "ray") from cause
