"""The command line. Nothing heavy is imported before a command needs it; only here does anything exit."""

import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from registry.errors import TransferZooError
from registry.progress import Cancelled
from ui.lazy import LazyGroup
from ui.strangers import pacify, printable_streams
from ui.terminal import DEBUG, print_error

__all__ = ["app", "run_command_line"]


class _Commands(LazyGroup):
    places: ClassVar[Mapping[str, tuple[str, str]]] = {
        "demo": (
            "ui.commands.demo:demo",
            "Take a real target that ships inside a library all the way: advice, tuning, outcome.",
        ),
        "recommend": (
            "ui.commands.advice:recommend",
            "Say which checkpoint to start from and how much of it to freeze, with reasons.",
        ),
        "tune": (
            "ui.commands.tuning:tune",
            "Fine-tune as advised, under MLflow, and give the outcome back to the registry.",
        ),
        "benefit": (
            "ui.commands.benefit:benefit",
            "Measure what transfer is worth: labels and epochs saved against the same net from scratch.",
        ),
        "predict": (
            "ui.commands.predict:predict",
            "Say what a fine-tuned model says of items; where it is known, also how often it is right.",
        ),
        "export": (
            "ui.commands.predict:export",
            "Write a fine-tuned model as transformers' Auto classes open it, or as ONNX; checked before it is done.",
        ),
        "distance": (
            "ui.commands.domains:distance",
            "Measure how far two folders, or a folder and a known domain, lie apart.",
        ),
        "doctor": (
            "ui.commands.maintenance:doctor",
            "Check that what is stored is still true; exit code 1 where something is wrong.",
        ),
        "picker": (
            "ui.commands.maintenance:picker",
            "Serve the picker: a page on this machine, for this machine alone unless others are let in.",
        ),
        "open": (
            "ui.commands.maintenance:open_page",
            "Open the page on one thing: in the picker that serves this registry, else in one that is started for it.",
        ),
        "serve": (
            "ui.commands.serve:serve",
            "Serve the registry over HTTP: uploads, advice, runs, jobs; see /docs of its address.",
        ),
        "mcp": (
            "ui.commands.agents:serve_agents",
            "Serve tools to agents (Model Context Protocol): search, inspect, recommend, explain, compare, predict.",
        ),
        "zoo": ("ui.commands.zoo:app", "The checkpoints that the registry knows."),
        "data": ("ui.commands.data:app", "Data sets of a hub."),
        "domains": ("ui.commands.domains:app", "The source domains that the registry knows."),
        "runs": ("ui.commands.runs:app", "What became of earlier fine-tunings."),
        "history": ("ui.commands.history:app", "What is known of checkpoints: measured here, or by others."),
        "queue": ("ui.commands.queue:app", "Advice and tunings that wait their turn and outlive the terminal."),
        "keys": ("ui.commands.keys:app", "Keys that admit to the service."),
    }


app = typer.Typer(
    name="transferzoo",
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Which pretrained model should I start from, how much of it should I freeze, and was the advice right?",
    epilog="Begin with: transferzoo demo",
)


def run_command_line() -> None:
    """What is typed, carried out; then exit: 0 done, 1 a fault of ours, 2 bad input, 130 interrupted."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait starve a busy machine
    printable_streams()
    try:
        app()
    except BrokenPipeError:
        pacify()
        sys.exit(1)
    except TransferZooError as failure:
        print_error(str(failure), failure.remedy)
        sys.exit(2)
    except Cancelled as cut:
        print_error("cancelled", _way_on(cut))
        sys.exit(130)
    except SystemExit as leaving:
        if leaving.code == 130:
            print_error("interrupted", _way_on(leaving))
        raise
    except KeyboardInterrupt as cut:
        print_error("interrupted", _way_on(cut))
        sys.exit(130)
    except Exception as fault:
        if os.environ.get(DEBUG):
            raise
        if isinstance(fault, OSError) and (outside := _outside(fault)):
            pacify()
            print_error(*outside)
            sys.exit(2)
        message = f"unexpected {type(fault).__name__}: {fault}"
        print_error(message, "A fault of transferzoo: please report it with what `transferzoo --debug ...` prints.")
        sys.exit(1)


def _way_on(cut: BaseException) -> str:
    """How to go on with what was cut short: the command that a note has, of it or of what led to it."""
    cause: BaseException | None = cut
    while cause is not None:
        if notes := getattr(cause, "__notes__", None):
            return f"What was finished is kept. To go on: {notes[0]}"
        cause = cause.__cause__ or cause.__context__
    return "What was finished is kept; run the same command again."


def _outside(fault: OSError) -> tuple[str, str] | None:
    """What is wrong with the place that a command runs in, and what to do; None where the fault is ours."""
    if fault.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no room is left where it writes ({fault.strerror})", "Free some room there, or write elsewhere."
    try:
        Path.cwd()
    except FileNotFoundError:
        return "the folder that you stand in is gone", "Change to another one (cd), and type the command again."
    return None


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - reads mail headers: no help waits for it

        typer.echo(f"transferzoo {version('transferzoo')}")
        raise typer.Exit


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of unexpected errors.")] = False,
    version_: Annotated[
        bool, typer.Option("--version", help="Say which version this is.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    del version_  # answered above
    if debug:
        os.environ[DEBUG] = "1"
