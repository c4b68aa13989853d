"""Commands that tune: tune."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ui import completion
from ui.context import (
    CheckpointOption,
    DeviceOption,
    HomeOption,
    JsonOption,
    StrategyOption,
    command_context,
    parse_request,
    takes_sample,
)
from ui.present import present

__all__ = ["tune"]


@takes_sample()
def tune(  # noqa: PLR0913, PLR0917 - each is an option
    sample: dict[str, Any],
    checkpoint: CheckpointOption = None,
    strategy: StrategyOption = None,
    no_transfer: Annotated[
        bool, typer.Option("--no-transfer", help="Fit the model on raw inputs; the default where advice says so.")
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Tune the best choice although the advice is not to transfer.")
    ] = False,
    recommendation: Annotated[
        str | None,
        typer.Option(
            "--recommendation",
            help="Id of kept advice; else the newest for this sample.",
            autocompletion=completion.advice_ids,
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="Passes over the rows, instead of the plan's.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Learning rate of the topmost block; the others keep their ratio.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=2, help="Rows of a training step, instead of the plan's.")
    ] = None,
    find_rate: Annotated[
        bool, typer.Option("--find-rate", help="Lower the rates where a range test finds that they do harm.")
    ] = False,
    source_data: Annotated[
        Path | None, typer.Option("--source-data", help="Labelled items of the source: what is forgotten of it?")
    ] = None,
    controls: Annotated[
        bool | None,
        typer.Option("--controls/--no-controls", help="Hold it against no transfer and scratch; else where doubtful."),
    ] = None,
    executor: Annotated[
        str,
        typer.Option(
            "--executor", help="Who carries it out: local, ray (RAY_ADDRESS, else a cluster is started), or a plug-in."
        ),
    ] = "local",
    tracker: Annotated[str, typer.Option("--tracker", help="Who hears of it: mlflow, none, or a plug-in.")] = "mlflow",
    device: DeviceOption = "auto",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Fine-tune as advised, under MLflow, and give the outcome back to the registry.

    Where the advice is not to transfer, the model on raw inputs is fitted instead, a run like any other, unless
    --checkpoint, --strategy or --anyway asks for a checkpoint.
    """
    request = parse_request("tune", locals())
    with command_context(home, json) as context:
        present(context, request)
