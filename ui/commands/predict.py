"""Commands that use what a fine-tuning made: predict and export."""

import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui import render
from ui.context import FollowLinksOption, HomeOption, JsonOption, command_context
from ui.strangers import cell

if TYPE_CHECKING:
    from recommender.serving.predict import Answer

__all__ = ["RunArgument", "export", "predict"]

RunArgument = Annotated[str, typer.Argument(help="Id of a finished run, the beginning of it, or latest.")]


def predict(
    run: RunArgument,
    path: Annotated[Path, typer.Argument(help="Images: a folder of any layout, a zip, or a single file.")],
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="FILE.csv", help="What is true: columns file and target.")
    ] = None,
    follow_links: FollowLinksOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, and nothing else, to stdout.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say what a fine-tuned model sees in images; where it is known, also how often it is right."""
    if as_csv and json:
        raise typer.BadParameter("give --csv or --json, not both")
    with command_context(home, json or as_csv) as context:
        from recommender.runs.folder import find_run  # noqa: PLC0415 - loads psutil
        from recommender.serving.predict import answer  # noqa: PLC0415 - loads SciPy and torch

        with context.bars as progress:
            found = answer(find_run(context.zoo.home, run), path, labels, follow_links=follow_links, progress=progress)
        context.say(render.answer_report(found.to_dict(), listed=not as_csv))
        if as_csv:
            _write_csv(found)
        else:
            context.say_json(found.to_dict())


def export(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="An ONNX file instead of a transformers model.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write a fine-tuned model as transformers' Auto classes open it, or as ONNX; checked before it is done."""
    with command_context(home, json) as context:
        from recommender.runs.folder import find_run  # noqa: PLC0415 - loads psutil

        made = find_run(context.zoo.home, run)

        from recommender.serving import export  # noqa: PLC0415 - loads torch

        write = export.export_onnx if onnx else export.export
        with context.bars as progress:
            done = write(made, folder, progress=progress)
        context.say(render.export_report(done.to_dict()))
        context.say_json(done.to_dict())


def _write_csv(found: "Answer") -> None:
    """One row an image: file, prediction, confidence, then the score of every class."""
    said, sheet = found.predictions, csv.writer(sys.stdout, lineterminator="\n")
    sheet.writerow(["file", "prediction", "confidence", *map(cell, said.classes)])
    if said.confidence is None:  # a number and no text: a minus begins no formula
        sheet.writerows((cell(name), label, "") for name, label in zip(said.names, said.labels, strict=True))
        return
    for name, label, sure, scores in zip(said.names, said.labels, said.confidence, said.scores, strict=True):
        sheet.writerow([cell(name), cell(label), f"{sure:.6f}", *(f"{value:.6g}" for value in scores)])
