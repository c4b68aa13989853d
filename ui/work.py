"""What measures, learns or predicts: performed by `recommender.service`, and its result shown at a terminal.

It loads torch and scikit-learn. `ui.present` loads it when a request for it has passed the checks.
"""

import csv
import sys
import time
from pathlib import Path

from rich.text import Text

from recommender import service
from recommender.requests import CompareRequest, RecommendRequest, Request, ResumeRequest, TuneRequest
from recommender.results import Distance, Recommendation, TuningRun
from recommender.serving.export import Exported
from recommender.serving.predict import Answer, Predictions
from recommender.serving.promote import Promoted
from registry.cards import Domain
from registry.forms import to_json
from registry.modalities import modalities
from registry.progress import Cancelled
from ui import offers, render
from ui.context import CommandContext
from ui.reproduce import as_command, mlflow_command
from ui.strangers import cell, suspects_csv
from ui.terminal import print_next
from ui.uploads import keep_answer
from ui.watcher import Watcher

__all__ = ["present_work"]


def present_work(context: CommandContext, request: Request, *, explain: bool, everything: bool, as_csv: bool) -> None:
    """Perform what measures, learns or predicts, and say what comes of it."""
    result = _performed(context, request)
    if isinstance(result, Answer) and context.job is not None:
        keep_answer(context.zoo.home, context.job, result.to_dict())
    context.finish(service.reference(result))
    match result:
        case Recommendation():
            _advised(context, result, request, explain=explain, everything=everything)
        case TuningRun():
            _tuned(context, result, time.monotonic() - context.began if isinstance(request, TuneRequest) else None)
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
        case Domain() | Exported():
            record = to_json(result) if isinstance(result, Domain) else result.to_dict()
            context.print(render.domain_table([record]) if isinstance(result, Domain) else render.export_report(record))
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


def _promoted(context: CommandContext, promoted: Promoted) -> None:
    """What a run became, and where to look at it."""
    form = {
        "checkpoint": to_json(promoted.checkpoint),
        "domain": to_json(promoted.domain),
        "notes": [*promoted.notes],
    }
    context.print(render.promoted_report(form))
    shown = render.command("zoo show", promoted.checkpoint.name, home=context.home)
    print_next(context.terminal, [shown])
    context.print_json(form)


def _performed(context: CommandContext, request: Request) -> object:
    """What comes of it; where it is cut short in a run, a note has the command that goes on."""
    watcher = Watcher(context)
    try:
        with context.bars:
            return service.perform(request, context.zoo, watcher, job=context.job)
    except (KeyboardInterrupt, Cancelled) as cut:
        if watcher.run is not None:
            cut.add_note(as_command(ResumeRequest(run=watcher.run), context.home))
        raise


def _advised(
    context: CommandContext, advice: Recommendation, request: Request, *, explain: bool, everything: bool
) -> None:
    """The advice, what is known beside it, and what to type next."""
    record = advice.to_dict()
    context.print(render.advice_report(record, explain=explain))
    if isinstance(request, RecommendRequest) and request.suspects is not None:
        rows, hardest = ((), ()) if advice.suspects is None else (advice.suspects.rows, advice.suspects.hardest)
        written = suspects_csv(*([row.to_dict() for row in part] for part in (rows, hardest)))
        request.suspects.write_text(written, encoding="utf-8", newline="")
        beside = f", and the {len(hardest)} hardest other rows," if hardest else ""
        context.print(Text(f"{len(rows)} labels in doubt{beside} are written to {request.suspects}", "dim"))
    if (absent := offers.unprobed_report(record, everything=everything)) is not None:
        context.print(absent)
    if advice.choices and isinstance(request, RecommendRequest):
        print_next(context.terminal, _next_commands(advice, request, context.home))
    context.print_json(record)


def _next_commands(advice: Recommendation, request: RecommendRequest, home: Path | None) -> list[str]:
    """What to type after advice: of advice that was cut short first the command that goes on with it."""
    goes_on = RecommendRequest(sample=request.sample, continues=advice.id)
    carried_out = TuneRequest(sample=request.sample, no_transfer=not advice.verdict.transfer)
    commands = [as_command(one, home) for one in ((goes_on, carried_out) if advice.undone else (carried_out,))]
    return [*commands, render.command("picker", home=home)]


def _tuned(context: CommandContext, run: TuningRun, whole: float | None) -> None:
    """The run beside what was expected of it, and where to look at it; of one that was resumed no time in all."""
    context.print(render.run_report(run.to_dict(), whole=whole))
    if run.mlflow_run_id is not None:
        context.print(Text(f"MLflow run {run.mlflow_run_id}; its page opens with the first command below", "dim"))
    tracked = [] if run.mlflow_run_id is None else [mlflow_command(context.zoo.home)]
    print_next(context.terminal, [*tracked, render.command("picker", home=context.home)])
    context.print_json(run.to_dict())


def _write_positions(predictions: Predictions) -> None:
    """One row a position: file, its number from 1, what is there, its tag, and that one's probability."""
    sheet = csv.writer(sys.stdout, lineterminator="\n")
    sheet.writerow(["file", "position", "word", "prediction", "confidence"])
    sure = iter(predictions.scores.max(axis=1).tolist())
    for name, words, tags in zip(predictions.names, predictions.positions, predictions.values, strict=True):
        for place, (word, tag) in enumerate(zip(words, tags, strict=True), start=1):
            sheet.writerow([cell(name), place, cell(word), cell(str(tag)), f"{next(sure):.6f}"])


def _write_csv(answer: Answer) -> None:
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
