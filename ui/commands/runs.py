"""Commands about what became of fine-tunings."""

from typing import Annotated

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


@app.command("resume")
def runs_resume(
    run: Annotated[str, typer.Argument(help="Id of an interrupted run, or the beginning of it.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with an interrupted fine-tuning from its last complete save."""
    with at_desk(home, json) as desk:
        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch

        with desk.bars as progress:
            done = flow.resume(run, desk.zoo, progress=progress)
        desk.say(render.run_report(done.to_dict(), expected=None))
        desk.say_json(done.to_dict())


@app.command("sync")
def runs_sync(
    run: Annotated[str | None, typer.Argument(help="Id of a run, or the beginning of it; else all.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Carry to MLflow what it missed: while a server was down, refused, or a run was killed."""
    with at_desk(home, json) as desk:
        from recommender.tuning.carrying import sync  # noqa: PLC0415 - loads NumPy

        with desk.bars as progress:
            found = sync(desk.zoo.home, run, progress=progress)
        desk.say(render.synced_table([row.to_dict() for row in found]))
        desk.say_json([row.to_dict() for row in found])
    if any(row.left for row in found):
        raise typer.Exit(1)
