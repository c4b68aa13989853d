"""Commands about checkpoints."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.text import Text

from registry.cards import Checkpoint
from registry.errors import CheckpointError, DiskFull, HubError, UnknownName, UnusableRequest
from registry.licenses import require_license
from registry.listings import HUB_TASKS
from ui import offers, remotes, render
from ui.context import CommandContext, HomeOption, JsonOption, command_context, parse_request
from ui.strangers import shown

__all__ = ["app"]


class When(StrEnum):
    """When weights of a hub are fetched."""

    NOW = "now"
    LATER = "later"


class Order(StrEnum):
    """What comes first in a search."""

    DOWNLOADS = "downloads"
    LIKES = "likes"
    NEWEST = "last_modified"


app = typer.Typer(no_args_is_help=True, help="The checkpoints that the registry knows.")


@app.command("list")
def zoo_list(
    here: Annotated[bool, typer.Option("--here", help="Only those whose weights are on this disk.")] = False,
    modality: Annotated[str | None, typer.Option("--modality", help="Only what takes these items.")] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", help="Only what does this as it is: image-classification, feature-extraction ..."),
    ] = None,
    license_: Annotated[
        list[str] | None,
        typer.Option("--license", help="Only this license (repeatable), of weights, base model and training data."),
    ] = None,
    max_parameters: Annotated[
        int | None, typer.Option("--max-parameters", min=1, help="Leave out larger ones, and those of unknown size.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """List the checkpoints: what is here, and what is known but not fetched."""
    from registry.modalities import modalities  # noqa: PLC0415 - loads NumPy

    with command_context(home, json) as context:
        for license in license_ or ():
            require_license(license)
        if task not in {None, *HUB_TASKS}:
            raise UnknownName("task", str(task), HUB_TASKS)
        listed = offers.listed(context.zoo)
        known = sorted({*modalities, *(card.modality for card, _ in listed)})
        if modality not in {None, *known}:
            raise UnknownName("modality", str(modality), known)
        rows = [
            row
            for card, row in listed
            if (row["here"] or not here)
            and modality in {None, card.modality}
            and task in {None, row["task"]}
            and (max_parameters is None or (card.parameters is not None and card.parameters <= max_parameters))
            and (not license_ or context.zoo.licenses(card).objection(license_) is None)
        ]
        context.print(offers.offers_table(rows))
        context.print_json(rows)


@app.command("show")
def zoo_show(
    name: Annotated[str, typer.Argument(help="Name of a checkpoint, or its id on a hub.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show one checkpoint: its card or all that is known of it, its source domain, and what became of it so far."""
    with command_context(home, json) as context:
        zoo, listing = context.zoo, context.zoo.listing(name)
        outcomes = [render.plain(outcome) for outcome in zoo.history(checkpoint=name)]
        if listing is not None and name not in zoo:
            domains = [render.plain(zoo.domain(domain)) for domain in listing.data]
            row = offers.listing_json(zoo, listing)
            context.print(offers.facts_report(row, domains))
            context.print_json({"checkpoint": row, "domain": domains[-1] if domains else None, "outcomes": outcomes})
            return
        card = zoo.checkpoint(name)
        domain = None if card.domain is None else render.plain(zoo.domain(card.domain))
        form = {"checkpoint": render.plain(card), "domain": domain, "outcomes": outcomes}
        context.print(render.card_report(form))
        if twins := zoo.same_weights(card):
            context.print(f"Holds the same weights, byte for byte, as {', '.join(map(shown, twins))}.")
        licenses = zoo.licenses(card)
        more = {"weights": licenses.weights, "base_model": licenses.base, "training_data": licenses.data}
        stated = zoo.listing_of(card)
        if stated is not None:
            own = {"licenses": {of: list(names) for of, names in more.items() if names}}
            row = offers.listing_json(zoo, stated, here=True) | own
            form |= {"facts": row["facts"], "contradictions": row["contradictions"]}
            context.print(offers.facts_report(row, []))
        context.print_json(
            {**form, "same_weights_as": list(twins), "licenses": {of: list(n) for of, n in more.items()}}
        )


@app.command("add")
def zoo_add(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|ORG/NAME[@REVISION]",
            help="A folder as transformers saves it, with safetensors weights; or a checkpoint of a hub.",
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", help="What to call it; else the folder's name.")] = None,
    weights: Annotated[
        When, typer.Option("--weights", help="Of a hub: fetch the weights now, or when they are wanted.")
    ] = When.LATER,
    source_data: Annotated[
        Path | None, typer.Option("--source-data", help="Items it was pretrained on, so that distance can be told.")
    ] = None,
    domain: Annotated[
        str | None, typer.Option("--domain", help="The known domain it was pretrained on, or a name for --source-data.")
    ] = None,
    license_: Annotated[str | None, typer.Option("--license", help="Its license, where the folder has none.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Register a checkpoint: a folder, or one of a hub, pinned to its commit."""
    if _is_hub_id(folder):
        with command_context(home, json) as context:
            _require_no_source(source_data, domain)
            _add_from_hub(context, str(folder), name, license_, weights)
        return
    request = parse_request("zoo add", locals())
    with command_context(home, json) as context:
        from ui.present import present  # noqa: PLC0415 - loads NumPy

        present(context, request)


@app.command("search")
def zoo_search(  # noqa: PLR0913, PLR0917 - each is a filter
    words: Annotated[str, typer.Argument(help="Words of its id.")] = "",
    task: Annotated[str | None, typer.Option("--task", help="Only what does this: image-classification ...")] = None,
    license_: Annotated[str | None, typer.Option("--license", help="Only this license, as the hub states it.")] = None,
    max_parameters: Annotated[
        int | None, typer.Option("--max-parameters", min=1, help="Leave out larger ones, and those of unknown size.")
    ] = None,
    sort: Annotated[Order, typer.Option("--sort", help="What comes first.")] = Order.DOWNLOADS,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="Rows at most.")] = 20,
    add: Annotated[str | None, typer.Option("--add", help="Register these rows: 1,3.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Search the hub: what is there, and whether it can be used here."""
    with command_context(home, json) as context:
        from registry.hub import Hub  # noqa: PLC0415 - loads PyYAML
        from registry.upstream import add as add_from_hub  # noqa: PLC0415 - loads NumPy

        known = {card.locator.hub for card in context.zoo.checkpoints() if card.locator is not None}
        models = Hub().search(
            words, task=task, license=license_, max_parameters=max_parameters, sort=sort.value, limit=limit
        )
        rows = [{**asdict(row), "in_zoo": row.hub in known} for row in models]
        chosen = [rows[number - 1] for number in _numbers(add, len(rows))]
        context.print(remotes.models_table(rows))
        with context.bars as progress:
            cards = [add_from_hub(context.zoo, str(row["hub"]), progress=progress) for row in chosen]
        for card in cards:
            context.print(_added(context, card))
        context.print_json({"found": rows, "added": [render.plain(card) for card in cards]} if add else rows)


@app.command("fetch")
def zoo_fetch(
    names: Annotated[list[str], typer.Argument(help="Names of checkpoints, or their ids on a hub.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Fetch the weights of checkpoints that are known; exit code 1 where some could not be fetched."""
    with command_context(home, json) as context:
        from registry import upstream  # noqa: PLC0415 - loads NumPy

        cards, failed = [], []
        for name in names:
            try:
                with context.bars as progress:
                    cards.append(upstream.fetch(context.zoo, name, progress=progress))
            except (HubError, CheckpointError, DiskFull) as failure:
                if len(names) == 1:
                    raise
                failed.append({"checkpoint": name, "why": str(failure), "remedy": failure.remedy})
        for card in cards:
            context.print(_added(context, card))
        for row in failed:
            context.print(Text(f"{shown(row['checkpoint'])}: {shown(row['why'])}. {shown(row['remedy'])}", "red"))
        context.print_json({"fetched": [render.plain(card) for card in cards], "failed": failed})
        if failed:
            raise typer.Exit(1)


@app.command("remove")
def zoo_remove(
    name: Annotated[str, typer.Argument(help="Name of a checkpoint.")],
    weights: Annotated[bool, typer.Option("--weights", help="Remove its files from the hub's cache, too.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Forget a checkpoint; a folder that was added stays where it lies, and outcomes stay history."""
    with command_context(home, json) as context:
        from registry import upstream  # noqa: PLC0415 - loads NumPy

        freed = upstream.remove(context.zoo, name, weights=weights)
        context.print(f"{shown(name)} is forgotten; {freed:,} bytes were freed.")
        context.print_json({"checkpoint": name, "freed": freed})


@app.command("disk")
def zoo_disk(home: HomeOption = None, json: JsonOption = False) -> None:
    """Say what the hub's cache holds, and what of it no registered checkpoint uses."""
    with command_context(home, json) as context:
        from registry import upstream  # noqa: PLC0415 - loads NumPy
        from registry.hub import Hub  # noqa: PLC0415 - loads PyYAML

        cache = str(Hub().cache)
        rows = [{**asdict(row), "folder": str(row.folder)} for row in upstream.disk(context.zoo)]
        context.print(remotes.usage_report(rows, cache))
        context.print_json({"cache": cache, "repositories": rows})


@app.command("promote")
def zoo_promote(
    run: Annotated[str, typer.Argument(help="Id of a finished run, the beginning of it, or latest.")],
    name: Annotated[str, typer.Argument(help="What to call the new checkpoint.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make what a fine-tuning learned a checkpoint to start from; its domain is the sample that it learned from."""
    request = parse_request("zoo promote", locals())
    with command_context(home, json) as context:
        from ui.present import present  # noqa: PLC0415 - loads NumPy

        present(context, request)


@app.command("lock")
def zoo_lock(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("zoo.lock"),
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write which checkpoints there are, file by file with their hashes, and license and claims as at import."""
    with command_context(home, json) as context:
        from registry import lock  # noqa: PLC0415 - loads NumPy

        entries = lock.lock(context.zoo)
        lock.write_lock(file, entries)
        rows = [
            {"checkpoint": one.card.name, "files": len(one.files), "bytes": one.bytes, "digest": one.card.digest}
            for one in entries
        ]
        context.print(offers.locked_report(rows, file))
        context.print_json({"file": str(file), "checkpoints": rows})


@app.command("sync")
def zoo_sync(
    locked: Annotated[
        Path | None, typer.Option("--locked", help="Give back exactly what this lock names, from this disk alone.")
    ] = None,
    source: Annotated[
        list[Path] | None, typer.Option("--from", help="A folder with checkpoints to look in, too (repeatable).")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """See what has changed upstream, and change nothing; with a lock bring the checkpoints up to what it names.

    Exit code 1 where some are missing or changed of a lock.
    """
    with command_context(home, json) as context:
        from registry import lock, upstream  # noqa: PLC0415 - loads NumPy

        if locked is None:
            changes = [asdict(row) for row in upstream.sync(context.zoo)]
            context.print(remotes.changes_report(changes))
            context.print_json(changes)
            return
        report = lock.restore(context.zoo, lock.read_lock(locked), source or ())
        context.print(offers.restored_report([asdict(row) for row in report]))
        context.print_json([asdict(row) for row in report])
        if not all(row.sound for row in report):
            raise typer.Exit(1)


def _is_hub_id(place: Path) -> bool:
    """Whether it is no folder here, and has the form of a hub's id: ``organization/name[@revision]``."""
    parts = str(place).split("/")
    return not place.exists() and len(parts) == 2 and all(parts) and not parts[0].startswith((".", "~"))


def _require_no_source(source: Path | None, domain: str | None) -> None:
    if source is not None or domain is not None:
        option = "--domain" if source is None else "--source-data"
        why = "a checkpoint of a hub says itself what it was trained on"
        raise UnusableRequest("zoo add", option, why, "Leave it out; or fetch the repository and add its folder.")


def _add_from_hub(context: CommandContext, text: str, name: str | None, license: str | None, weights: When) -> None:
    from registry import upstream  # noqa: PLC0415 - loads NumPy

    if license is not None:
        require_license(license)
    with context.bars as progress:
        card = upstream.add(
            context.zoo, text, name=name, weights=weights is When.NOW, license=license, progress=progress
        )
    context.print(_added(context, card))
    if not context.zoo.here(card):
        render.print_next(context.terminal, [render.command("zoo fetch", card.name)])
    context.print_json(render.plain(card))


def _added(context: CommandContext, card: Checkpoint) -> RenderableType:
    if card.locator is None:
        return render.checkpoint_table([render.plain(card)])
    size = sum(file.bytes for file in card.locator.weights)
    return remotes.added_report(render.plain(card), here=context.zoo.here(card), size=size)


def _numbers(text: str | None, most: int) -> list[int]:
    """The rows that ``--add`` names."""
    numbers = [int(part) if part.strip().isdecimal() else 0 for part in (text or "").split(",")] if text else []
    if not all(1 <= number <= most for number in numbers):
        raise UnusableRequest("zoo search", "--add", f"{text!r} names no rows of {most}", "Write their numbers: 1,3.")
    return list(dict.fromkeys(numbers))
