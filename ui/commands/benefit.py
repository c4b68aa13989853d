"""Commands that ask what transfer is worth: benefit."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ui.context import (
    CheckpointOption,
    HomeOption,
    JsonOption,
    StrategyOption,
    command_context,
    parse_request,
    takes_sample,
)
from ui.present import present

__all__ = ["benefit"]


@takes_sample()
def benefit(  # noqa: PLR0913, PLR0917 - each is an option
    sample: dict[str, Any],
    checkpoint: CheckpointOption = None,
    strategy: StrategyOption = None,
    budgets: Annotated[int, typer.Option("--budgets", min=2, max=12, help="Numbers of labels, few to all.")] = 5,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Other subsets, other seeds of training.")] = 1,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Epochs that scratch is given.")] = 20,
    picture: Annotated[Path | None, typer.Option("--picture", help="PNG to draw; else one in the home.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Measure what transfer is worth: labels and epochs saved against the same net from scratch."""
    request = parse_request("benefit", locals())
    with command_context(home, json) as context:
        present(context, request)
