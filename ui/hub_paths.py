"""Data sets of a hub where a path is typed: ``hub:organization/name``."""

from pathlib import Path

from recommender.requests import FetchDataRequest
from ui.context import CommandContext

__all__ = ["fetch_hub_data", "hub_data_id"]

_PREFIX = "hub:"


def hub_data_id(path: Path) -> str | None:
    """The id of the data set that a path names; None for a path of this disk."""
    typed = str(path)
    return typed.removeprefix(_PREFIX) if typed.startswith(_PREFIX) and not path.exists() else None


def fetch_hub_data(
    context: CommandContext,
    hub: str,
    *,
    config: str | None = None,
    split: str | None = None,
    rows: int | None = None,
    label: str | None = None,
) -> Path:
    """Fetch it and say what it is; the folder that it lies in.

    Raises:
        TransferZooError: it cannot be had.
    """
    from recommender import holdings  # noqa: PLC0415 - loads NumPy and SQLAlchemy: no help waits for it
    from registry.hub_data import USUAL_ROWS, HubData  # noqa: PLC0415 - likewise
    from ui import remotes  # noqa: PLC0415 - likewise
    from ui.watcher import Watcher  # noqa: PLC0415 - likewise

    request = FetchDataRequest(hub=hub, config=config, split=split, rows=rows or USUAL_ROWS, label=label)
    with context.bars:
        data = holdings.manage(request, context.zoo, Watcher(context))
    if not isinstance(data, HubData):
        raise TypeError(f"{type(data).__name__} is no data set")
    context.print(remotes.data_report(data.to_dict()))
    return data.path
