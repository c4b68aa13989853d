"""What the registry holds, and what a hub has: performed by `recommender.holdings`, its result shown at a terminal."""

import sys
from collections.abc import Callable, Mapping, Sequence

import typer
from rich.console import RenderableType

from recommender import holdings
from recommender.requests import (
    AddRequest,
    FetchRequest,
    HoldingsRequest,
    RecommendRequest,
    SampleRequest,
    When,
)
from recommender.results import Imported, OutcomeSource
from registry.cards import Checkpoint
from registry.forms import to_json
from registry.hub_data import HubData
from ui import offers, remotes, render
from ui.context import CommandContext, value_keys
from ui.reproduce import as_command
from ui.strangers import table_csv
from ui.terminal import print_next
from ui.watcher import Watcher

__all__ = ["present_holdings"]

_REPORTS: Mapping[type, Callable[[render.Json], RenderableType]] = {
    holdings.Removed: remotes.removed_line,
    Imported: render.imported_report,
    OutcomeSource: render.forgotten_line,
}
"""What is said of a result, where that is all."""


def present_holdings(  # noqa: PLR0912 - one case a kind
    context: CommandContext, request: HoldingsRequest, *, as_csv: bool = False
) -> None:
    """Perform a request about what the registry holds, and say what comes of it; nothing that learns is loaded.

    Raises:
        TransferZooError: it cannot be done, or failed.
        typer.Exit: something could not be fetched, or is not as it was locked.
    """
    with context.bars:
        result = holdings.manage(request, context.zoo, Watcher(context))
    if isinstance(result, Checkpoint):
        context.finish({"checkpoint": result.name})
        _added(context, result)
        return
    record = result.to_dict()
    form: object = record
    if type(result) in _REPORTS:
        context.print(_REPORTS[type(result)](record))
    match result:
        case holdings.Removed():
            context.finish({"removed": result.checkpoint})
        case holdings.Searched():
            context.finish({"models": record["models"]})
            context.print(remotes.models_table(record["models"]))
            for card in result.added:
                context.print(_registered(context, card))
            _print_next(context, result.added)
            form = record if result.added else record["models"]
            if as_csv:
                sys.stdout.write(table_csv(value_keys(record["models"]), record["models"]))
                return
        case holdings.Fetched():
            context.finish({"fetched": [card.name for card in result.fetched], "failed": record["failed"]})
            for card in result.fetched:
                context.print(_registered(context, card))
            if record["failed"]:
                context.print(remotes.unfetched_report(record["failed"]))
        case HubData():
            context.finish(record)
            context.print(remotes.data_report(record))
            again = RecommendRequest(sample=SampleRequest(path=result.path))
            print_next(context.terminal, [as_command(again, context.home)])
        case holdings.Upstream():
            context.print(remotes.changes_report(record["changes"]))
            form = record["changes"]
        case holdings.Restorations():
            context.print(offers.restored_report(record["rows"]))
            _print_wanted(context, result)
            form = record["rows"]
        case holdings.Disk():
            context.print(remotes.usage_report(record["repositories"], record["cache"]))
            if record["objects"] is not None:
                context.print(remotes.fetches_report(record["objects"]))
        case holdings.LockFile():
            context.print(offers.locked_report(record["checkpoints"], result.file))
    context.print_json(form)
    failed = isinstance(result, holdings.Fetched) and result.failed
    unasked = isinstance(result, holdings.Upstream) and any(change.unknown for change in result.changes)
    if failed or unasked or (isinstance(result, holdings.Restorations) and not result.sound):
        raise typer.Exit(1)


def _added(context: CommandContext, card: Checkpoint) -> None:
    """A checkpoint that was registered, and what to type where its weights are not here."""
    context.print(_registered(context, card))
    _print_next(context, [card])
    context.print_json(to_json(card))


def _print_next(context: CommandContext, cards: Sequence[Checkpoint]) -> None:
    """What to type where weights are not here."""
    names = tuple(card.name for card in cards if card.locator is not None and not context.zoo.here(card))
    if names:
        print_next(context.terminal, [as_command(FetchRequest(names=names), context.home)])


def _print_wanted(context: CommandContext, result: holdings.Restorations) -> None:
    """What to type for what is missing of a lock."""
    wanted = [AddRequest(hub=row.source, name=row.checkpoint, weights=When.NOW) for row in result.rows if row.source]
    if wanted:
        print_next(context.terminal, [as_command(one, context.home) for one in wanted])


def _registered(context: CommandContext, card: Checkpoint) -> RenderableType:
    """A checkpoint that was registered or fetched."""
    if card.locator is None:
        return render.checkpoint_table([to_json(card)])
    size = sum(file.bytes for file in card.locator.weights)
    return remotes.added_report(to_json(card), here=context.zoo.here(card), size=size)
