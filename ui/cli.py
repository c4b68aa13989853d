"""The command `transferzoo`. Nothing heavy is imported before a command needs it; only here does anything exit."""

import os
import sys
from typing import Annotated

import typer

from registry.errors import TransferZooError
from registry.progress import Cancelled
from ui import render
from ui.commands import advice, benefit, domains, maintenance, predict, queue, runs, tuning, zoo
from ui.context import DEBUG
from ui.strangers import pacify, printable_streams

__all__ = ["app", "main"]

app = typer.Typer(
    name="transferzoo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Which pretrained model should I start from, how much of it should I freeze, and was the advice right?",
)
for command in (
    advice.demo,
    advice.recommend,
    tuning.tune,
    benefit.benefit,
    predict.predict,
    predict.export,
    domains.distance,
    maintenance.doctor,
    maintenance.picker,
):
    app.command()(command)
app.command("open")(maintenance.open_page)
for name, group in (("zoo", zoo.app), ("domains", domains.app), ("runs", runs.app), ("queue", queue.app)):
    app.add_typer(group, name=name)


def main() -> None:
    """Run the command line and exit: 0 done, 1 a fault of ours, 2 bad input, 130 interrupted."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait starve a busy machine
    printable_streams()
    try:
        app()
    except BrokenPipeError:
        pacify()
        sys.exit(1)
    except TransferZooError as failure:
        render.print_error(str(failure), failure.remedy)
        sys.exit(2)
    except Cancelled:
        render.print_error("cancelled", "What was finished is kept; ask for the same again to go on.")
        sys.exit(130)
    except SystemExit as leaving:
        if leaving.code == 130:
            render.print_error("interrupted", "What was finished is kept; run the same command again.")
        raise
    except Exception as fault:
        if os.environ.get(DEBUG):
            raise
        message = f"unexpected {type(fault).__name__}: {fault}"
        render.print_error(
            message, "A fault of transferzoo: please report it with what `transferzoo --debug ...` prints."
        )
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - loads the email package

        typer.echo(f"transferzoo {version('transferzoo')}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of unexpected errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    del version  # answered above
    if debug:
        os.environ[DEBUG] = "1"


if __name__ == "__main__":
    main()
