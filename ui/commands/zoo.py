"""Commands about checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

from registry.cards import Modality
from registry.errors import UnknownName
from registry.licenses import require_license
from registry.listings import HUB_TASKS
from ui import offers, render
from ui.context import HomeOption, JsonOption, asked, command_context

__all__ = ["app"]


app = typer.Typer(no_args_is_help=True, help="The checkpoints that the registry knows.")


@app.command("list")
def zoo_list(
    here: Annotated[bool, typer.Option("--here", help="Only those whose weights are on this disk.")] = False,
    modality: Annotated[Modality | None, typer.Option("--modality", help="Only what takes these items.")] = None,
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
    with command_context(home, json) as context:
        for license in license_ or ():
            require_license(license)
        if task not in {None, *HUB_TASKS}:
            raise UnknownName("task", str(task), HUB_TASKS)
        rows = [
            row
            for card, row in offers.listed(context.zoo)
            if (row["here"] or not here)
            and modality in {None, card.modality}
            and task in {None, row["task"]}
            and (max_parameters is None or (card.parameters is not None and card.parameters <= max_parameters))
            and (not license_ or context.zoo.licenses(card).objection(license_) is None)
        ]
        context.say(offers.offers_table(rows))
        context.say_json(rows)


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
            context.say(offers.facts_report(row, domains))
            context.say_json({"checkpoint": row, "domain": domains[-1] if domains else None, "outcomes": outcomes})
            return
        card = zoo.checkpoint(name)
        domain = None if card.domain is None else render.plain(zoo.domain(card.domain))
        told = {"checkpoint": render.plain(card), "domain": domain, "outcomes": outcomes}
        context.say(render.card_report(told))
        context.say_json(told)


@app.command("add")
def zoo_add(
    folder: Annotated[Path, typer.Argument(help="A checkpoint as transformers saves it, with safetensors weights.")],
    name: Annotated[str | None, typer.Option("--name", help="What to call it; else the folder's name.")] = None,
    source_data: Annotated[
        Path | None, typer.Option("--source-data", help="Images it was pretrained on, so that distance can be told.")
    ] = None,
    domain: Annotated[
        str | None, typer.Option("--domain", help="The known domain it was pretrained on, or a name for --source-data.")
    ] = None,
    license_: Annotated[str | None, typer.Option("--license", help="Its license, where the folder has none.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Register a checkpoint folder."""
    request = asked("zoo add", locals())
    with command_context(home, json) as context:
        from ui.present import present  # noqa: PLC0415 - loads NumPy

        present(context, request)


@app.command("promote")
def zoo_promote(
    run: Annotated[str, typer.Argument(help="Id of a finished run, the beginning of it, or latest.")],
    name: Annotated[str, typer.Argument(help="What to call the new checkpoint.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make what a fine-tuning learned a checkpoint to start from; its domain is the sample that it learned from."""
    request = asked("zoo promote", locals())
    with command_context(home, json) as context:
        from ui.present import present  # noqa: PLC0415 - loads NumPy

        present(context, request)
