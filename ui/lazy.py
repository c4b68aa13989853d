"""A group of commands that are loaded when they are called: help lists them by what is said of them here."""

from collections import UserDict
from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer.core

__all__ = ["LazyGroup"]


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
        lines = {name: typer.core.TyperCommand(name, help=line) for name, (_, line) in self.places.items()}
        listed = typer.core.TyperGroup(
            name=self.name,
            help=self.help,
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
            self.data[name] = _command(name, getattr(import_module(module), attribute))
        return self.data[name]


def _command(name: str, loaded: Any) -> Any:  # noqa: ANN401 - a function or a typer
    if isinstance(loaded, typer.Typer):
        return typer.main.get_group(loaded)
    alone = typer.Typer(add_completion=False)
    alone.command(name)(loaded)
    return typer.main.get_command(alone)
