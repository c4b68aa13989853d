"""Commands that keep the house: doctor, and the picker that is served."""

import sys
from typing import Annotated

import typer
from rich.text import Text

from recommender.runs import recovery
from registry import doctor as rooms
from ui import render, serving
from ui.context import HomeOption, JsonOption, command_context

__all__ = ["doctor", "picker"]


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended safely.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Check that what is stored is still true; exit code 1 where something is wrong."""
    render.silence_libraries()
    errors = render.console(stderr=True)
    with render.Bars(errors) as progress:
        report = rooms.check(home, mend=repair, also=(recovery.findings, recovery.tracking_findings), progress=progress)
    terminal = errors if json else render.console()
    terminal.print(render.doctor_report(report.to_dict()))
    if not (repair or report.healthy):
        render.print_next(terminal, [render.command("doctor", "--repair", home=home)])
    if json:
        render.print_json(report.to_dict())
    sys.exit(0 if report.healthy else 1)


def picker(
    port: Annotated[
        int, typer.Option("--port", min=1, max=65535, help="Where on 127.0.0.1 the page is served.")
    ] = 8501,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser on it.")] = True,
    home: HomeOption = None,
) -> None:
    """Serve the picker: a page on this machine, and for this machine alone."""
    with command_context(home, json=False) as context:
        serving.require_free(port)
    serving.serve(
        context.zoo, port, browser=browser, announce=lambda line: context.terminal.print(Text(line), soft_wrap=True)
    )
