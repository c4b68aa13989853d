"""Commands that show what this is: demo."""

from typing import Annotated

import typer

from ui.context import HomeOption, JsonOption, SeedOption, command_context
from ui.demo import run

__all__ = ["demo"]


def demo(
    target: Annotated[
        str, typer.Argument(help="surfaces (14 real photographs), digits, or text (descriptions of functions).")
    ] = "surfaces",
    seed: SeedOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take a real target that ships inside a library all the way: advice, tuning, outcome."""
    with command_context(home, json) as context:
        context.print_json(run(target, context.zoo, context.terminal, context.bars, seed=seed).to_dict())
