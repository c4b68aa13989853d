"""The command that serves tools to agents."""

from pathlib import Path
from typing import Annotated

import typer

from registry.errors import ExtraMissing
from ui.context import HomeOption, command_context

try:
    from ui.agents import create_server
except ModuleNotFoundError as cause:
    raise ExtraMissing(str(cause.name), "mcp") from cause

__all__ = ["serve_agents"]


def serve_agents(
    root: Annotated[
        list[Path] | None, typer.Option("--root", help="Only what lies below is read; else where you stand.")
    ] = None,
    allow_tune: Annotated[bool, typer.Option("--allow-tune", help="Let agents queue fine-tunings.")] = False,
    http: Annotated[
        int | None, typer.Option("--http", min=1, max=65535, help="A port of 127.0.0.1, instead of stdin and stdout.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Serve tools to agents (Model Context Protocol): search, inspect, recommend, explain, compare, predict."""
    with command_context(home, json=True) as context:
        server = create_server(context.zoo, root or [Path.cwd()], allow_tune=allow_tune)
        if http is None:
            server.run("stdio")
        else:
            server.run("streamable-http", host="127.0.0.1", port=http)
