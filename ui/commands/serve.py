"""The command that serves over HTTP."""

from typing import Annotated

import typer
from rich.text import Text

from registry.errors import ExtraMissing
from ui.context import HomeOption, command_context

try:
    from ui.web.gate import Limits
    from ui.web.server import serve_http
except ModuleNotFoundError as cause:
    raise ExtraMissing(str(cause.name), "service") from cause

__all__ = ["serve"]


def serve(
    host: Annotated[str, typer.Option("--host", help="Other than 127.0.0.1 only with keys.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535)] = 8600,
    requests_a_minute: Annotated[int, typer.Option("--requests-a-minute", min=1, help="Of one key.")] = 600,
    open_jobs: Annotated[int, typer.Option("--open-jobs", min=1, help="Of one key.")] = 20,
    home: HomeOption = None,
) -> None:
    """Serve the registry over HTTP: uploads, advice, runs, jobs; see /docs of its address."""
    with command_context(home, json=False) as context:
        limits = Limits(requests_a_minute=requests_a_minute, open_jobs=open_jobs)
        serve_http(context.zoo, host, port, limits=limits, announce=lambda line: context.print(Text(line)))
