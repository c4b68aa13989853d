"""Commands about checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

from ui import render
from ui.context import HomeOption, JsonOption, asked, command_context

__all__ = ["app"]


app = typer.Typer(no_args_is_help=True, help="The checkpoints that the registry knows.")


@app.command("list")
def zoo_list(home: HomeOption = None, json: JsonOption = False) -> None:
    """List the checkpoints."""
    with command_context(home, json) as context:
        told = [render.plain(checkpoint) for checkpoint in context.zoo.checkpoints()]
        context.say(render.checkpoint_table(told))
        context.say_json(told)


@app.command("show")
def zoo_show(
    name: Annotated[str, typer.Argument(help="Name of a checkpoint.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show one checkpoint: its card, its source domain, and what became of it so far."""
    with command_context(home, json) as context:
        card = context.zoo.checkpoint(name)
        domain = None if card.domain is None else render.plain(context.zoo.domain(card.domain))
        outcomes = [render.plain(outcome) for outcome in context.zoo.history(checkpoint=name)]
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
