"""One module for each kind of command; `ui.cli` hangs them under their names, and `run_request` performs them."""

from typing import TYPE_CHECKING

from ui.context import CommandContext

if TYPE_CHECKING:
    from recommender.requests import Request

__all__ = ["run_request"]


def run_request(
    context: CommandContext,
    request: "Request",
    *,
    explain: bool = False,
    everything: bool = False,
    as_csv: bool = False,
) -> None:
    """Perform a request and show what comes of it, as `ui.present.present`.

    Raises:
        TransferZooError: it cannot be done, or failed.
    """
    from ui.present import present  # noqa: PLC0415 - loads NumPy, for which no help should wait

    present(context, request, explain=explain, everything=everything, as_csv=as_csv)
