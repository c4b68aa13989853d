"""Commands about results of others: import, list, show, forget."""

from typing import Annotated

import typer

from recommender.imports import outcome_sources, outcomes_of
from registry.forms import to_json
from ui import render
from ui.context import HomeOption, JsonOption, ListOptions, command_context, parse_request, takes_list
from ui.present import present

__all__ = ["app"]


app = typer.Typer(no_args_is_help=True, help="What is known of checkpoints: measured here, or by others.")

_COLUMN = "Its column; of MLflow params.NAME, tags.NAME or metrics.NAME."


@app.command("import")
def history_import(  # noqa: PLR0913, PLR0917 - each is an option
    origin: Annotated[str, typer.Argument(help="A CSV or TSV, or where MLflow keeps runs: a URI, a database's file.")],
    checkpoint: Annotated[str | None, typer.Option("--checkpoint", help=_COLUMN)] = None,
    sample: Annotated[str | None, typer.Option("--sample", help=_COLUMN)] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help=_COLUMN)] = None,
    score: Annotated[str | None, typer.Option("--score", help=_COLUMN)] = None,
    rows_train: Annotated[str | None, typer.Option("--rows-train", help=_COLUMN)] = None,
    rows_test: Annotated[str | None, typer.Option("--rows-test", help=_COLUMN)] = None,
    wide: Annotated[bool, typer.Option("--wide", help="Every other column is a sample and holds scores.")] = False,
    constants: Annotated[
        list[str] | None,
        typer.Option("--set", help="The same for all: strategy=full, task=..., metric=... (repeatable)."),
    ] = None,
    experiments: Annotated[
        list[str] | None, typer.Option("--experiment", help="Of MLflow (repeatable); else all.")
    ] = None,
    where: Annotated[str, typer.Option("--where", help="MLflow's filter: \"tags.team = 'vision'\".")] = "",
    measured: Annotated[
        bool, typer.Option("--measured", help="You have measured what the table holds; else it is a claim.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write it; else it is only shown.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show what a table or MLflow says of checkpoints and, with --yes, keep it as history."""
    request = parse_request("history import", locals())
    with command_context(home, json) as context:
        present(context, request)


@app.command("list")
@takes_list
def history_list(options: ListOptions) -> None:
    """List where results come from: measured here, imported, or bundled."""
    with command_context(options.home, options.for_programs) as context:
        rows = [source.to_dict() for source in outcome_sources(context.zoo)]
        context.print_rows(rows, render.sources_table, options)


@app.command("show")
@takes_list
def history_show(
    options: ListOptions,
    name: Annotated[str, typer.Argument(help="Id of a source, or the beginning of it: `history list`.")],
) -> None:
    """Show every result of a source."""
    with command_context(options.home, options.for_programs) as context:
        rows = [to_json(outcome) for outcome in outcomes_of(context.zoo, name)]
        context.print_rows(rows, render.results_table, options)


@app.command("forget")
def history_forget(
    name: Annotated[str, typer.Argument(help="Id of an import, or the beginning of it.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Forget all results of an import."""
    request = parse_request("history forget", locals())
    with command_context(home, json) as context:
        present(context, request)
