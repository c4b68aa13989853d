"""Workers: who does one piece of work for each of several candidates, here one after another or elsewhere at once.

Work is a function of a module, its arguments data that can be pickled: what all pieces share, and what one is about. It
gives None where time does not do for it, and catches what a candidate may raise itself.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from typing import Protocol, TypeVar, runtime_checkable

from recommender.effort import Deadline
from registry.errors import ExtraMissing, UnknownName
from registry.progress import Progress, require_wanted
from registry.zoo import Zoo

__all__ = ["WORKERS", "Work", "Workers", "in_this_process", "open_workers"]

_Shared = TypeVar("_Shared")
_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")

Work = Callable[[_Shared, _Piece, Zoo, Deadline, Progress], _Result | None]
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
    ) -> Iterator[_Result | None]:
        """What comes of each piece; None where time did not do for it.

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
) -> Iterator[_Result | None]:
    """One piece after another, each begun when the result of the last is taken; see `Workers`."""
    for piece in pieces:
        require_wanted(progress)
        yield work(shared, piece, zoo, deadline, progress)


def open_workers(name: str) -> AbstractContextManager[Workers]:
    """The workers of that name, for as long as the context lasts.

    Raises:
        UnknownName: there are none.
        ExtraMissing: Ray is not installed.
        ClusterError: there is no cluster, or it refuses.
    """
    if name == "local":
        return nullcontext(in_this_process)
    if name not in WORKERS:
        raise UnknownName("executor of probes", name, WORKERS)
    try:
        cluster = import_module("recommender.cluster")
    except ModuleNotFoundError as cause:
        raise ExtraMissing(str(cause.name), "ray") from cause
    workers: AbstractContextManager[Workers] = cluster.ray_workers()
    return workers
