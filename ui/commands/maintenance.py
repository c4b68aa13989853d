"""Commands that keep the house: doctor, and the picker that is served."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from recommender.runs import recovery
from recommender.runs.folder import run_folders
from registry import doctor as rooms
from registry.errors import UnknownName
from registry.zoo import Zoo
from ui import completion, render, serving
from ui.context import CommandContext, HomeOption, JsonOption, command_context
from ui.sign_in import SignIn, read_sign_in
from ui.terminal import console, print_json, print_next, silence_libraries

__all__ = ["doctor", "open_page", "picker"]


PortOption = Annotated[int, typer.Option("--port", min=1, max=65535, help="Where on 127.0.0.1 the page is served.")]
BrowserOption = Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser on it.")]
RootOption = Annotated[
    list[Path] | None,
    typer.Option("--root", help="Read typed paths below this folder (repeatable); else your home and where you stand."),
]


def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended safely.")] = False,
    deep: Annotated[bool, typer.Option("--deep", help="Read every shared file from end to end, too.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Check that what is stored is still true; exit code 1 where something is wrong."""
    silence_libraries()
    errors = console(stderr=True)
    with render.Bars(errors) as progress:
        also = (recovery.findings, recovery.tracking_findings)
        report = rooms.check(home, mend=repair, also=also, deep=deep, progress=progress)
    terminal = errors if json else console()
    terminal.print(render.doctor_report(report.to_dict()))
    if report.mendable and not repair:
        print_next(terminal, [render.command("doctor", *(["--deep"] if deep else []), "--repair", home=home)])
    if json:
        print_json(report.to_dict())
    sys.exit(0 if report.healthy else 1)


def picker(
    port: PortOption = 8501,
    browser: BrowserOption = True,
    root: RootOption = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Serve it to others, who sign in (extra remote; see ui/README.md).")
    ] = False,
    sign_in: Annotated[
        Path | None, typer.Option("--sign-in", help="TOML with the provider of sign-in; else sign-in.toml in the home.")
    ] = None,
    admit: Annotated[
        list[str] | None, typer.Option("--admit", help="Let in who has such an address: '*@example.org' (repeatable).")
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", help="With --allow-remote, the address to listen on; else 127.0.0.1.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Serve the picker: a page on this machine, for this machine alone unless others are let in."""
    if not allow_remote and (sign_in or admit or host):
        raise typer.BadParameter("--sign-in, --admit and --host go with --allow-remote")
    with command_context(home, json=False) as context:
        if not allow_remote:
            _serve(context, port, browser=browser, roots=root or [], place={})
            return
        known = read_sign_in(sign_in or context.zoo.home.root / "sign-in.toml", admit or [])
        _serve(context, port, browser=browser, roots=root or [], place={}, sign_in=known, host=host or serving.HOST)


def open_page(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="Of advice, a run or a job; or the name of a checkpoint or a domain.",
            autocompletion=completion.page_ids,
        ),
    ],
    port: PortOption = 8501,
    browser: BrowserOption = True,
    root: RootOption = None,
    home: HomeOption = None,
) -> None:
    """Open the page on one thing: in the picker that serves this registry, else in one that is started for it."""
    with command_context(home, json=False) as context:
        place = _place_of(context.zoo, name)
        address = serving.running(context.zoo.home)
        if address is None:
            _serve(context, port, browser=browser, roots=root or [], place=place)
            return
        context.terminal.print(Text(serving.located(address, place)), soft_wrap=True)
        if browser:
            serving.show(context.zoo.home, serving.located(address, place))


def _serve(
    context: CommandContext,
    port: int,
    *,
    browser: bool,
    roots: list[Path],
    place: Mapping[str, str],
    sign_in: SignIn | None = None,
    host: str = serving.HOST,
) -> None:
    serving.require_free(port, host)
    serving.serve(
        context.zoo,
        port,
        browser=browser,
        announce=lambda line: context.terminal.print(Text(line), soft_wrap=True),
        roots=roots,
        place=place,
        sign_in=sign_in,
        host=host,
    )


def _place_of(zoo: Zoo, name: str) -> dict[str, str]:
    """Where on the page that stands, by what has that id, its beginning, or that name.

    Raises:
        UnknownName: nothing has.
    """
    known = {
        "advice": [str(advice["id"]) for _, advice in zoo.kept()],
        "run": [run.id for run in run_folders(zoo.home)],
        "job": [job.id for job in zoo.jobs.list()],
        "card": [*zoo, *(listing.name for listing in zoo.unregistered())],
        "domain": [domain.name for domain in zoo.domains()],
    }
    for kind, names in known.items():
        if name in names:
            return {kind: name}
    for kind in ("advice", "run", "job"):
        begun = [one for one in known[kind] if name and one.startswith(name)]
        if len(begun) == 1:
            return {kind: begun[0]}
    every = [one for names in known.values() for one in names]
    raise UnknownName("advice, run, job, checkpoint or domain", name, every)
