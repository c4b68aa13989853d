"""Commands that advise: recommend."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from ui import completion
from ui.context import HomeOption, JsonOption, command_context, parse_request, takes_sample
from ui.hub_paths import fetch_hub_data, hub_data_id
from ui.present import present

__all__ = ["recommend"]


@takes_sample()
def recommend(  # noqa: PLR0913, PLR0917 - each is an option
    sample: dict[str, Any],
    keep: Annotated[
        int,
        typer.Option(
            "--keep",
            min=1,
            help="How many checkpoints to probe at most: the best of a race of all, and of a tie the better half.",
        ),
    ] = 5,
    max_parameters: Annotated[
        int | None, typer.Option("--max-parameters", min=1, help="Leave out larger checkpoints.")
    ] = None,
    licenses: Annotated[
        list[str] | None, typer.Option("--license", help="Only this license, by name (repeatable); unknown is out.")
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude", help="Leave out this checkpoint (repeatable).", autocompletion=completion.checkpoint_names
        ),
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option("--max-bytes", help="Leave out weights that are larger, here or to fetch: 100MiB."),
    ] = None,
    max_latency: Annotated[
        float | None,
        typer.Option("--max-latency", help="Leave out what takes more ms for an item alone, measured here."),
    ] = None,
    max_memory: Annotated[
        str | None, typer.Option("--max-memory", help="No plan that takes more memory to carry out: 2GiB.")
    ] = None,
    tuning_budget: Annotated[
        str | None, typer.Option("--tuning-budget", help="No plan that takes longer to carry out: 90s, 10min, 2h.")
    ] = None,
    effort: Annotated[
        str | None,
        typer.Option(
            "--effort",
            help="quick (nothing is probed), normal, or thorough (short real trainings of the best).",
        ),
    ] = None,
    time_budget: Annotated[
        str | None, typer.Option("--time-budget", help="How long it may take until there is advice: 90s, 5min.")
    ] = None,
    continues: Annotated[
        str | None,
        typer.Option(
            "--continue",
            help="Id of advice that time did not do for: go on with it.",
            autocompletion=completion.advice_ids,
        ),
    ] = None,
    config: Annotated[
        str | None, typer.Option("--config", help="Of a data set of the hub: this one of its configurations.")
    ] = None,
    split: Annotated[str | None, typer.Option("--split", help="Of a data set of the hub: this split alone.")] = None,
    fetch: Annotated[
        str | None, typer.Option("--fetch", help="Fetch the best of what is known and not here: never, ask or auto.")
    ] = None,
    disk_budget: Annotated[
        str | None, typer.Option("--disk-budget", help="How much --fetch may fetch in all; else 2GiB.")
    ] = None,
    suspects: Annotated[
        Path | None, typer.Option("--suspects", help="CSV to write labels in doubt and the hardest rows to.")
    ] = None,
    executor: Annotated[
        str, typer.Option("--executor", help="Who probes: local, or ray (RAY_ADDRESS, else a cluster is started).")
    ] = "local",
    explain: Annotated[
        bool, typer.Option("--explain", "-v", help="Every reason, the curve over blocks, distances, what was skipped.")
    ] = False,
    all_: Annotated[
        bool, typer.Option("--all", help="Every checkpoint that is known and not here, and why some do not fit.")
    ] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say which checkpoint to start from and how much of it to freeze, with reasons.

    PATH may be a data set of the hub, hub:ORG/NAME or hub:ORG/NAME@REVISION: its tables are fetched first.
    """
    typed = locals()
    with command_context(home, json) as context:
        if (hub := hub_data_id(sample["path"])) is not None:
            named = {"config": config, "split": split, "rows": sample["limit"], "label": sample["label"]}
            typed["sample"] = {**sample, "path": fetch_hub_data(context, hub, **named)}
        elif config is not None or split is not None:
            raise typer.BadParameter("--config and --split are of a data set of the hub: hub:organization/name")
        request = parse_request("recommend", typed)
        advised = context if hub is None else replace(context, began=time.monotonic())  # no time budget is of fetching
        present(advised, request, explain=explain, everything=explain or all_)
