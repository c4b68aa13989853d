"""Commands that use what a fine-tuning made: predict and export."""

from pathlib import Path
from typing import Annotated

import typer

from ui import completion
from ui.context import FollowLinksOption, HomeOption, JsonOption, command_context, parse_request
from ui.present import present

__all__ = ["RunArgument", "export", "predict"]

RunArgument = Annotated[
    str, typer.Argument(help="Id of a finished run, the beginning of it, or latest.", autocompletion=completion.run_ids)
]


def predict(
    run: RunArgument,
    path: Annotated[Path, typer.Argument(help="Items: a folder of any layout, a zip, or a single file.")],
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE.csv", help="What is true: columns file and target.")
    ] = None,
    follow_links: FollowLinksOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, and nothing else, to stdout.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say what a fine-tuned model says of items; where it is known, also how often it is right."""
    if as_csv and json:
        raise typer.BadParameter("give --csv or --json, not both")
    request = parse_request("predict", locals())
    with command_context(home, json or as_csv) as context:
        present(context, request, as_csv=as_csv)


def export(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="An ONNX file instead of a transformers model.")] = False,
    card: Annotated[bool, typer.Option("--card", help="Write a model card beside it: README.md.")] = False,
    push: Annotated[
        str | None, typer.Option("--push", metavar="ORG/NAME", help="Upload it with its card to the hub, as private.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write a fine-tuned model as transformers' Auto classes open it, or as ONNX; checked before it is done."""
    request = parse_request("export", locals())
    with command_context(home, json) as context:
        present(context, request)
