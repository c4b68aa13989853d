"""Commands about data sets of a hub: fetch."""

from typing import Annotated

import typer

from ui.context import HomeOption, JsonOption, command_context, parse_request
from ui.present import present

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Data sets of a hub.")


@app.callback()
def _group() -> None:
    """Data sets of a hub."""


@app.command("fetch")
def data_fetch(
    hub: Annotated[str, typer.Argument(help="Its id on the hub: organization/name, or organization/name@revision.")],
    config: Annotated[
        str | None, typer.Option("--config", help="One of several configurations; else its usual one.")
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="This split alone; else train, and test where there is one.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="The column of labels of pictures and sounds; else recognized.")
    ] = None,
    rows: Annotated[
        int, typer.Option("--rows", min=1, help="Rows of a part that are kept at most; of more a draw.")
    ] = 20_000,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Fetch a data set of the hub, tables alone (no script is ever run), as a folder like any other."""
    request = parse_request("data fetch", locals())
    with command_context(home, json) as context:
        present(context, request)
