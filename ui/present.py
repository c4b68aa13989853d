"""A request checked, performed and its result shown at a terminal: what every command comes to."""

import time

from recommender.requests import HoldingsRequest, Request
from ui.context import CommandContext

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
        from ui.held import present_holdings  # noqa: PLC0415 - as below

        present_holdings(context, request, as_csv=as_csv)
        return
    began = time.monotonic()
    from recommender.checks import check_request  # noqa: PLC0415 - loads NumPy and SQLAlchemy: no help waits for it

    check_request(request, context.zoo)
    from ui.work import present_work  # noqa: PLC0415 - loads torch: what a check refuses is not kept waiting for it

    present_work(context, request, began, explain=explain, everything=everything, as_csv=as_csv)
