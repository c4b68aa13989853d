"""A request checked, performed and its result shown at a terminal: what every command comes to."""

import gc
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from recommender.requests import HoldingsRequest, Request
from ui.context import CommandContext
from ui.interrupts import ExitAtOnce

__all__ = ["present"]


def present(
    context: CommandContext,
    request: Request,
    *,
    explain: bool = False,
    everything: bool = False,
    as_csv: bool = False,
) -> None:
    """Perform a request and say what comes of it.

    ``explain`` says all there is to say of advice, ``everything`` all that is known and not here; ``as_csv`` writes
    predictions, or what a search gave, so, and no JSON.

    Raises:
        TransferZooError: it cannot be done, or failed.
        Cancelled: its job was cancelled.
    """
    if isinstance(request, HoldingsRequest):
        with _interruptible(context):
            from ui.held import present_holdings  # noqa: PLC0415 - as below

        present_holdings(context, request, as_csv=as_csv)
        return
    with _interruptible(context):
        from recommender.checks import check_request  # noqa: PLC0415 - NumPy and SQLAlchemy: no help waits for them

    check_request(request, context.zoo)
    with _interruptible(context), _uncollected("ui.work"):
        from ui.work import present_work  # noqa: PLC0415 - torch, for which what a check refuses is not kept waiting

    present_work(context, request, explain=explain, everything=everything, as_csv=as_csv)


@contextmanager
def _uncollected(module: str) -> Iterator[None]:
    """What a module is imported in: what it brings stays as long as the process, and is never looked at for garbage.

    Looking for it takes a fifth of the time that torch and scikit-learn take to be imported, and again at exit.
    """
    if module in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _interruptible(context: CommandContext) -> AbstractContextManager[None]:
    """What modules are imported in: Ctrl-C ends it at once where no job waits to be told of it."""
    return ExitAtOnce() if context.job is None else nullcontext()
