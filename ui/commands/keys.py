"""Commands of the keys that admit to the service: create, list, revoke."""

from typing import Annotated

import typer
from rich.text import Text

from registry.cards import ApiKey, Scope
from ui import render
from ui.context import HomeOption, JsonOption, ListOptions, command_context, takes_list

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Keys that admit to the service.")


@app.command("create")
def keys_create(
    name: Annotated[str, typer.Argument(help="Who it is for.")],
    scope: Annotated[Scope, typer.Option("--scope", help="Each permits what comes before it, too.")] = Scope.ADVISE,
    days: Annotated[float | None, typer.Option("--days", min=0, help="Days until it expires; else never.")] = 90,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Create a key; it is shown this once, and only a hash of it is kept."""
    with command_context(home, json) as context:
        key, secret = context.zoo.access.create(name, scope, days=days)
        context.print(Text(secret))
        context.print_json({**key.to_dict(), "secret": secret})


@app.command("list")
@takes_list
def keys_list(options: ListOptions) -> None:
    """List the keys, the newest first."""
    with command_context(options.home, options.for_programs) as context:
        context.print_rows([key.to_dict() for key in context.zoo.access.list()], render.key_table, options)


@app.command("revoke")
def keys_revoke(
    name: Annotated[str, typer.Argument(help="Id of the key.")], home: HomeOption = None, json: JsonOption = False
) -> None:
    """Revoke a key: within seconds nobody is admitted with it."""
    with command_context(home, json) as context:
        key: ApiKey = context.zoo.access.revoke(name)
        context.print(Text(f"{key.name} ({key.id}) is revoked"))
        context.print_json(key.to_dict())
