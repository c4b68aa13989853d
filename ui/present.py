"""Presentation of a request's result at a terminal: performed by `recommender.service`, shown as it goes."""

import csv
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import RenderableType
from rich.text import Text

from recommender import holdings
from recommender.checks import check_request
from recommender.observer import Observer
from recommender.requests import (
    CompareRequest,
    FetchRequest,
    HoldingsRequest,
    RecommendRequest,
    ResumeRequest,
    TuneRequest,
)
from recommender.results import Distance, Recommendation, TuningRun
from registry.cards import Checkpoint
from registry.progress import Cancelled, Event
from ui import offers, remotes, render
from ui.context import CommandContext
from ui.reproduce import as_command
from ui.strangers import cell

if TYPE_CHECKING:
    from recommender.requests import Request
    from recommender.results import Cost, Suspects, Unprobed
    from recommender.serving.predict import Answer, Predictions
    from recommender.serving.promote import Promoted
    from registry.sample import Sample

__all__ = ["Watcher", "present"]


class Watcher(Observer):
    """A terminal, and the job of the queue where there is one, as observer."""

    def __init__(self, context: CommandContext) -> None:
        self._context = context
        self.run: str | None = None

    def report(self, event: Event) -> None:
        """Move the bars."""
        self._context.bars.report(event)

    def cancelled(self) -> bool:
        """Whether the job was cancelled."""
        return self._context.bars.cancelled()

    def may_fetch(self, rows: "Sequence[Unprobed]") -> bool:
        """Ask at a terminal; where nobody can answer, no."""
        if self._context.job is not None or not sys.stdin.isatty():
            self.on_note(
                "Nothing is fetched, for nobody can be asked here; --fetch auto fetches unasked.", warning=True
            )
            return False
        with self._context.bars.paused():
            self._context.terminal.print(offers.to_fetch([row.to_dict() for row in rows]))
            return typer.confirm("Fetch them?", err=True)

    def on_sample(self, sample: "Sample") -> None:
        """Say what was read, and how healthy it is."""
        self._print(render.sample_report(sample.to_dict()))

    def on_note(self, note: str, *, warning: bool) -> None:
        """Say it."""
        self._print(Text(note, "yellow" if warning else "dim"))

    def on_cost(self, cost: "Cost", device: str) -> None:
        """Say what is estimated."""
        self._print(render.cost_line(cost.to_dict(), device))

    def on_run(self, run: str) -> None:
        """Remember what can be resumed."""
        self.run = run

    def on_point(self, series: str, step: int, value: float) -> None:
        """Keep the job's learning curve."""
        if self._context.job is not None:
            self._context.zoo.jobs.point(self._context.job, series, step, value)

    def _print(self, report: RenderableType) -> None:
        with self._context.bars.paused():
            self._context.print(report)


def present(
    context: CommandContext,
    request: "Request",
    *,
    explain: bool = False,
    everything: bool = False,
    as_csv: bool = False,
) -> None:
    """Perform a request and say what comes of it.

    ``explain`` says all there is to say of advice, ``everything`` all that is known and not here; ``as_csv`` writes
    predictions so, and no JSON.

    Raises:
        TransferZooError: it cannot be done, or failed.
        Cancelled: its job was cancelled.
    """
    if isinstance(request, HoldingsRequest):
        _present_holdings(context, request)
    else:
        _present_work(context, request, explain=explain, everything=everything, as_csv=as_csv)


def _present_work(
    context: CommandContext, request: "Request", *, explain: bool, everything: bool, as_csv: bool
) -> None:
    """Perform what measures, learns or predicts, and say what comes of it."""
    began = time.monotonic()
    check_request(request, context.zoo)  # before seconds are spent on loading what performs it
    from recommender import service  # noqa: PLC0415 - loads scikit-learn and torch
    from recommender.serving.export import Exported  # noqa: PLC0415 - as above
    from recommender.serving.predict import Answer  # noqa: PLC0415 - as above
    from recommender.serving.promote import Promoted  # noqa: PLC0415 - as above
    from registry.modalities import modalities  # noqa: PLC0415 - loads NumPy

    result = _performed(context, request)
    context.finish(service.reference(result))
    match result:
        case Recommendation():
            _advised(context, result, request, explain=explain, everything=everything)
        case TuningRun():
            _tuned(context, result, time.monotonic() - began if isinstance(request, TuneRequest) else None)
        case service.Drawn():
            record = result.benefit.to_dict()
            context.print(render.benefit_report(record))
            context.terminal.print(f"Drawn in {result.picture}", soft_wrap=True)
            context.print_json({**record, "picture": str(result.picture)})
        case Answer():
            record = result.to_dict()
            many = modalities[record["modality"]].words.many
            context.print(render.answer_report(record, many=many, listed=not as_csv))
            if as_csv:
                _write_csv(result)
            else:
                context.print_json(record)
        case Exported():
            record = result.to_dict()
            context.print(render.export_report(record))
            context.print_json(record)
        case Promoted():
            _promoted(context, result)
        case Distance():
            if isinstance(request, CompareRequest):
                context.print(render.distance_report(result.to_dict(), str(request.sample.path), request.other))
            context.print_json(result.to_dict())
        case tuple():
            near = [row.to_dict() for row in result]
            context.print(render.near_table(near))
            context.print_json(near)


def _promoted(context: CommandContext, promoted: "Promoted") -> None:
    """What a run became, and where to look at it."""
    form = {
        "checkpoint": render.plain(promoted.checkpoint),
        "domain": render.plain(promoted.domain),
        "notes": [*promoted.notes],
    }
    context.print(render.promoted_report(form))
    shown = render.command("zoo show", promoted.checkpoint.name, home=context.home)
    render.print_next(context.terminal, [shown])
    context.print_json(form)


def _added(context: CommandContext, card: Checkpoint) -> None:
    """A checkpoint that was registered, and what to type where its weights are not here."""
    context.print(_registered(context, card))
    if card.locator is not None and not context.zoo.here(card):
        render.print_next(context.terminal, [as_command(FetchRequest(names=(card.name,)), context.home)])
    context.print_json(render.plain(card))


def _present_holdings(context: CommandContext, request: HoldingsRequest) -> None:
    """Perform a request about what the registry holds, and say what comes of it; nothing that learns is loaded.

    Raises:
        TransferZooError: it cannot be done, or failed.
        typer.Exit: something could not be fetched, or is not as it was locked.
    """
    with context.bars:
        result = holdings.manage(request, context.zoo, Watcher(context))
    if isinstance(result, Checkpoint):
        _added(context, result)
        return
    record = result.to_dict()
    form: object = record
    match result:
        case holdings.Searched():
            context.print(remotes.models_table(record["found"]))
            for card in result.added:
                context.print(_registered(context, card))
            form = record if result.added else record["found"]
        case holdings.Fetched():
            for card in result.fetched:
                context.print(_registered(context, card))
            if record["failed"]:
                context.print(remotes.unfetched_report(record["failed"]))
        case holdings.Upstream():
            context.print(remotes.changes_report(record["changes"]))
            form = record["changes"]
        case holdings.Restorations():
            context.print(offers.restored_report(record["rows"]))
            form = record["rows"]
        case holdings.Removed():
            context.print(remotes.removed_line(record))
        case holdings.Disk():
            context.print(remotes.usage_report(record["repositories"], record["cache"]))
        case holdings.LockFile():
            context.print(offers.locked_report(record["checkpoints"], result.file))
    context.print_json(form)
    failed = isinstance(result, holdings.Fetched) and result.failed
    if failed or (isinstance(result, holdings.Restorations) and not result.sound):
        raise typer.Exit(1)


def _registered(context: CommandContext, card: Checkpoint) -> RenderableType:
    """A checkpoint that was registered or fetched."""
    if card.locator is None:
        return render.checkpoint_table([render.plain(card)])
    size = sum(file.bytes for file in card.locator.weights)
    return remotes.added_report(render.plain(card), here=context.zoo.here(card), size=size)


def _performed(context: CommandContext, request: "Request") -> object:
    """What comes of it; where it is cut short in a run, how to go on is said."""
    from recommender import service  # noqa: PLC0415 - loads scikit-learn and torch

    watcher = Watcher(context)
    try:
        with context.bars:
            return service.perform(request, context.zoo, watcher, job=context.job)
    except (KeyboardInterrupt, Cancelled):
        if watcher.run is not None:
            render.print_next(context.terminal, [as_command(ResumeRequest(run=watcher.run), context.home)])
        raise


def _advised(
    context: CommandContext, advice: Recommendation, request: "Request", *, explain: bool, everything: bool
) -> None:
    """The advice, what is known beside it, and what to type next."""
    record = advice.to_dict()
    context.print(render.advice_report(record, explain=explain))
    if isinstance(request, RecommendRequest) and request.suspects is not None:
        rows = _write_suspects(advice.suspects, request.suspects)
        context.print(Text(f"{rows} labels in doubt are written to {request.suspects}", "dim"))
    if (absent := offers.unprobed_report(record, everything=everything)) is not None:
        context.print(absent)
    if advice.choices and isinstance(request, RecommendRequest):
        again = TuneRequest(sample=request.sample, no_transfer=not advice.verdict.transfer)
        picker = render.command("picker", home=context.home)
        render.print_next(context.terminal, [as_command(again, context.home), picker])
    context.print_json(record)


def _tuned(context: CommandContext, run: TuningRun, whole: float | None) -> None:
    """The run beside what was expected of it, and where to look at it; of one that was resumed no time in all."""
    context.print(render.run_report(run.to_dict(), whole=whole))
    if run.mlflow_run_id is not None:
        context.print(Text(f"MLflow run {run.mlflow_run_id}; its page opens with the first command below", "dim"))
    pages = [render.mlflow_command(context.zoo.home), render.command("picker", home=context.home)]
    render.print_next(context.terminal, pages)
    context.print_json(run.to_dict())


def _write_suspects(suspects: "Suspects | None", place: Path) -> int:
    """A table of labels in doubt, the most doubtful first; how many rows it has."""
    rows = () if suspects is None else suspects.rows
    with place.open("w", encoding="utf-8", newline="") as file:
        sheet = csv.writer(file, lineterminator="\n")
        sheet.writerow(["file", "label", "suggested", "probability", "suggested_probability"])
        for row in rows:
            texts = map(cell, (row.item, row.label, row.suggested))
            sheet.writerow([*texts, f"{row.probability:.6f}", f"{row.suggested_probability:.6f}"])
    return len(rows)


def _write_positions(predictions: "Predictions") -> None:
    """One row a position: file, its number from 1, what is there, its tag, and that one's probability."""
    sheet = csv.writer(sys.stdout, lineterminator="\n")
    sheet.writerow(["file", "position", "word", "prediction", "confidence"])
    sure = iter(predictions.scores.max(axis=1).tolist())
    for name, words, tags in zip(predictions.names, predictions.positions, predictions.said, strict=True):
        for place, (word, tag) in enumerate(zip(words, tags, strict=True), start=1):
            sheet.writerow([cell(name), place, cell(word), cell(str(tag)), f"{next(sure):.6f}"])


def _write_csv(answer: "Answer") -> None:
    """One row an item: file, prediction, confidence, then the score of every class; or a row for each position."""
    predictions, sheet = answer.predictions, csv.writer(sys.stdout, lineterminator="\n")
    if predictions.positions:
        _write_positions(predictions)
        return
    sheet.writerow(["file", "prediction", "confidence", *map(cell, predictions.classes)])
    if predictions.confidence is None:  # a number and no text: a minus begins no formula
        sheet.writerows(
            (cell(name), label, "") for name, label in zip(predictions.names, predictions.labels, strict=True)
        )
        return
    for name, label, sure, scores in zip(
        predictions.names, predictions.labels, predictions.confidence, predictions.scores, strict=True
    ):
        sheet.writerow([cell(name), cell(label), f"{sure:.6f}", *(f"{value:.6g}" for value in scores)])
