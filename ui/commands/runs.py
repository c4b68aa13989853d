"""Commands about what became of fine-tunings."""

import typer

from registry.cards import Origin
from ui import render
from ui.desk import HomeOption, JsonOption, at_desk

__all__ = ["app"]


app = typer.Typer(no_args_is_help=True, help="What became of earlier fine-tunings.")


@app.command("list")
def runs_list(home: HomeOption = None, json: JsonOption = False) -> None:
    """List the fine-tunings made here, newest first: expected against realized."""
    with at_desk(home, json) as desk:
        ours = [outcome for outcome in desk.zoo.history() if outcome.origin is Origin.OURS]
        told = [render.plain(outcome) for outcome in sorted(ours, key=lambda o: o.created, reverse=True)]
        desk.say(render.outcome_table(told))
        desk.say_json(told)
