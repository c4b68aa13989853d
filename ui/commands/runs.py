"""Commands about what became of fine-tunings."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType

from recommender.history import track_record
from recommender.runs.folder import RunState, find_run, run_folders
from recommender.runs.mlflow_sync import register, sync_runs
from recommender.runs.recovery import record_again
from registry.cards import Origin
from registry.forms import Json, to_json
from ui import completion, render
from ui.context import (
    HomeOption,
    JsonOption,
    ListOptions,
    command_context,
    parse_request,
    takes_list,
)
from ui.present import present

__all__ = ["app"]


app = typer.Typer(no_args_is_help=True, help="What became of earlier fine-tunings.")


@app.command("list")
@takes_list
def runs_list(
    options: ListOptions,
    record: Annotated[
        bool, typer.Option("--record", help="How far expectations could be trusted: coverage and bias over all runs.")
    ] = False,
) -> None:
    """List the fine-tunings made here, newest first: expected against realized; and those that did not finish."""
    if record and (options.csv or options.sort or options.limit):
        raise typer.BadParameter("--record is no list: it goes with --json alone")
    with command_context(options.home, options.for_programs) as context:
        if record:
            kept = track_record(context.zoo.history()).to_dict()
            context.print(render.record_report(kept))
            context.print_json(kept)
            return
        rest = [run.to_dict() for run in run_folders(context.zoo.home) if run.state is not RunState.FINISHED]
        ours = [outcome for outcome in context.zoo.history() if outcome.origin is Origin.OURS]
        rows = [to_json(outcome) for outcome in sorted(ours, key=lambda o: o.created, reverse=True)]
        context.print_rows([*({**row, "state": "finished"} for row in rows), *rest], _tables, options)


def _tables(rows: Sequence[Json]) -> RenderableType:
    """The finished ones, and below them those that are not."""
    finished = [row for row in rows if row["state"] == RunState.FINISHED]
    rest = [row for row in rows if row["state"] != RunState.FINISHED]
    return Group(render.outcome_table(finished), *([render.unfinished_table(rest)] if rest else []))


@app.command("show")
def runs_show(
    run: Annotated[
        str, typer.Argument(help="Id of a run, the beginning of it, or latest.", autocompletion=completion.run_ids)
    ],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show one fine-tuning: expected against realized, cost, what was left of the checkpoint; or why it stopped."""
    with command_context(home, json) as context:
        folder = find_run(context.zoo.home, run)
        known = folder.result if folder.state is RunState.FINISHED else folder.to_dict()
        shown = render.run_report if folder.state is RunState.FINISHED else _unfinished
        context.print(shown(known))
        context.print_json(known)


def _unfinished(row: Json) -> RenderableType:
    return render.unfinished_table([row])


@app.command("resume")
def runs_resume(
    run: Annotated[
        str, typer.Argument(help="Id of an interrupted run, or the beginning of it.", autocompletion=completion.run_ids)
    ],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with an interrupted fine-tuning from its last complete save."""
    request = parse_request("runs resume", locals())
    with command_context(home, json) as context:
        present(context, request)


@app.command("sync")
def runs_sync(
    run: Annotated[
        str | None,
        typer.Argument(help="Id of a run, or the beginning of it; else all.", autocompletion=completion.run_ids),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Carry to MLflow what it missed: while a server was down, refused, or a run was killed."""
    with command_context(home, json) as context:
        with context.bars as progress:
            synced = sync_runs(context.zoo.home, run, progress=progress)
        record_again(context.zoo, [row.run for row in synced if row.carried])
        context.print(render.synced_table([row.to_dict() for row in synced]))
        context.print_json([row.to_dict() for row in synced])
    if any(row.left or row.trouble for row in synced):
        raise typer.Exit(1)


@app.command("register")
def runs_register(
    run: Annotated[
        str,
        typer.Argument(help="Id of a finished run, the beginning of it, or latest.", autocompletion=completion.run_ids),
    ],
    name: Annotated[str, typer.Argument(help="Name of the registered model.")],
    alias: Annotated[str | None, typer.Option("--alias", help="What the version is called: champion, say.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make the model of a finished run a version of a registered model of MLflow, with its lineage."""
    with command_context(home, json) as context:
        done = register(context.zoo.home, run, name, alias)
        context.print(render.synced_table([done.to_dict()]))
        context.print_json(done.to_dict())
    if done.left:
        raise typer.Exit(1)
