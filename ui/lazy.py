"""A group of commands that are loaded when they are called: help lists them by what is said of them here.

Every command that opens a registry (it has ``--home``) takes ``--registry`` and ``--objects``, too.
"""

import os
from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Annotated, Any, ClassVar

import typer.core

from ui.interrupts import ExitAtOnce
from ui.manual import COMMAND_PANELS, EXAMPLES, OPTION_PANELS, READING

__all__ = ["LazyGroup"]

_SHARED = {"registry", "objects"}
"""Options of every command that opens a registry."""


class LazyGroup(typer.core.TyperGroup):
    """A subclass names its commands: where each is (``module:name``), and the first line of its help."""

    places: ClassVar[Mapping[str, tuple[str, str]]]

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - typer's own
        super().__init__(**settings)
        self.commands = _Commands({name: place for name, (place, _) in self.places.items()})

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer's is a private type
        """Their names, in the order of the listing."""
        del ctx
        return list(self.places)

    def format_help(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - private types of typer
        """Help of the group, as if it had commands of no more than a line."""
        panels = {name: panel for panel, names in COMMAND_PANELS.items() for name in names}
        lines = {
            name: typer.core.TyperCommand(name, help=line, rich_help_panel=panels.get(name))
            for name, (_, line) in sorted(self.places.items(), key=lambda place: [*panels, place[0]].index(place[0]))
        }
        listed = typer.core.TyperGroup(
            name=self.name,
            help=self.help,
            epilog=self.epilog,
            params=self.params,
            commands=dict(lines),
            rich_markup_mode=self.rich_markup_mode,
        )
        listed.format_help(ctx, formatter)


class _Commands(UserDict[str, Any]):
    """Commands by name; until one is asked for, the place where it is."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - a command or group of typer
        if isinstance(self.data[name], str):
            module, _, attribute = self.data[name].partition(":")
            with ExitAtOnce():
                loaded = getattr(import_module(module), attribute)
            self.data[name] = _command(name, loaded)
        return self.data[name]


def _command(name: str, loaded: Any) -> Any:  # noqa: ANN401 - a function or a typer
    if isinstance(loaded, typer.Typer):
        group = typer.main.get_group(loaded)
        for of_group, command in group.commands.items():
            _take_registry(command)
            _explain(command, f"{name} {of_group}")
        return group
    alone = _alone(name, loaded)
    _take_registry(alone)
    _explain(alone, name)
    return alone


def _alone(name: str, loaded: Any) -> Any:  # noqa: ANN401 - as above
    """A command of a typer that has no other."""
    app = typer.Typer(add_completion=False)
    app.command(name)(loaded)
    return typer.main.get_command(app)


def _explain(command: Any, path: str) -> None:  # noqa: ANN401 - as above
    """Give a command's help its panels of options, and its examples."""
    panels = {name: panel for panel, names in OPTION_PANELS.items() for name in names}
    reads = any(option.name == "text" for option in command.params)
    for option in command.params:
        if option.param_type_name == "option":
            panel = READING if reads and option.name == "limit" else panels.get(option.name)
            option.rich_help_panel = None if panel == READING and not reads else panel
    if path in EXAMPLES:
        command.epilog = "\n\n".join(["Examples:", *(f"  transferzoo {line}" for line in EXAMPLES[path])])


def _take_registry(command: Any) -> None:  # noqa: ANN401 - as above
    """Let a command that opens a registry take the URLs of one that is shared and of its objects."""
    if any(option.name == "home" for option in command.params):
        command.params += [option for option in _alone("shared", _shared).params if option.name in _SHARED]


def _use_registry(url: str | None) -> None:
    """For this process and those that it starts, to which it must not be handed as an argument that all can read."""
    if url is not None:
        os.environ["TRANSFERZOO_REGISTRY"] = url


def _use_objects(url: str | None) -> None:
    if url is not None:
        os.environ["TRANSFERZOO_OBJECTS"] = url


def _shared(
    registry: Annotated[
        str | None,
        typer.Option(
            "--registry",
            metavar="URL",
            help="PostgreSQL URL of a shared registry; else TRANSFERZOO_REGISTRY, else a file in the home.",
            callback=_use_registry,
            expose_value=False,
        ),
    ] = None,
    objects: Annotated[
        str | None,
        typer.Option(
            "--objects",
            metavar="URL",
            help="Where files are shared (s3://BUCKET/PREFIX, or a folder); else TRANSFERZOO_OBJECTS, else nowhere.",
            callback=_use_objects,
            expose_value=False,
        ),
    ] = None,
) -> None:
    """What every command takes that opens a registry."""
