"""Commands that tune: tune."""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from registry.errors import NotResumable, OtherRows
from ui import render
from ui.checks import require_names, require_places
from ui.choices import no_transfer_of, resolve_advice, resolve_choice
from ui.context import (
    ClassFolderOption,
    CommandContext,
    DeviceOption,
    FollowLinksOption,
    GroupsOption,
    HomeOption,
    JobOption,
    JsonOption,
    KeepDuplicatesOption,
    LabelsOption,
    MetricOption,
    PathArgument,
    SeedOption,
    TaskOption,
    TestOption,
    command_context,
    read_sample,
)

if TYPE_CHECKING:
    from recommender.results import Baseline
    from recommender.runs.job import Job
    from recommender.runs.tracking import Tracker, TrackerRun
    from registry.sample import Sample
    from registry.zoo import Zoo
    from ui.render import Json

__all__ = ["tune"]

PARTS = 4
"""Reading, probing the choice, estimating its cost, tuning; advice is one more where it is to be made."""


def tune(  # noqa: PLR0913, PLR0917 - each is an option
    path: PathArgument,
    checkpoint: Annotated[str | None, typer.Option("--checkpoint", help="This one instead of the advised.")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="This one instead of the advised.")] = None,
    no_transfer: Annotated[
        bool, typer.Option("--no-transfer", help="Fit the model on raw pixels; the default where advice says so.")
    ] = False,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Tune the best choice although the advice is not to transfer.")
    ] = False,
    recommendation: Annotated[
        str | None, typer.Option("--recommendation", help="Id of kept advice; else the newest for this sample.")
    ] = None,
    metric: MetricOption = None,
    labels: LabelsOption = None,
    task: TaskOption = None,
    groups: GroupsOption = None,
    test: TestOption = None,
    keep_duplicates: KeepDuplicatesOption = False,
    class_folder: ClassFolderOption = None,
    follow_links: FollowLinksOption = False,
    source_data: Annotated[
        Path | None, typer.Option("--source-data", help="Labelled images of the source: what is forgotten of it?")
    ] = None,
    controls: Annotated[
        bool | None,
        typer.Option("--controls/--no-controls", help="Hold it against no transfer and scratch; else where doubtful."),
    ] = None,
    executor: Annotated[
        str, typer.Option("--executor", help="Who carries it out: local, or a plug-in by its name.")
    ] = "local",
    tracker: Annotated[str, typer.Option("--tracker", help="Who hears of it: mlflow, none, or a plug-in.")] = "mlflow",
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    home: HomeOption = None,
    json: JsonOption = False,
    job: JobOption = None,
) -> None:
    """Fine-tune as advised, under MLflow, and give the outcome back to the registry.

    Where the advice is not to transfer, the model on raw pixels is fitted instead, a run like any other, unless
    --checkpoint, --strategy or --anyway asks for a checkpoint.
    """
    if no_transfer and (checkpoint or strategy or anyway):
        raise typer.BadParameter("--no-transfer goes with neither --checkpoint, --strategy nor --anyway")
    with command_context(home, json, job) as context:
        began = time.monotonic()
        if job is not None and _gone_on_with(context, job):
            return
        require_places(path, labels, groups, test, source_data)
        require_names(
            context.zoo,
            checkpoint=checkpoint,
            strategy=strategy,
            recommendation=recommendation,
            device=device,
            executor=executor,
            tracker=tracker,
        )
        context.bars.expect(PARTS + (source_data is not None), by_part=True)
        sample = read_sample(
            context,
            path,
            groups=groups,
            test=test,
            metric=metric,
            labels=labels,
            task=task,
            seed=seed,
            keep_duplicates=keep_duplicates,
            class_folder=class_folder,
            follow_links=follow_links,
        )
        source = None if source_data is None else _source(context, source_data, seed)
        kept = resolve_advice(context, sample, recommendation, needed=checkpoint is None and not no_transfer, seed=seed)
        raw = no_transfer or not (
            checkpoint or strategy or anyway or kept is None or not kept["choices"] or kept["verdict"]["transfer"]
        )
        choice = (
            _raw(context, sample, kept, seed)
            if raw
            else resolve_choice(context, sample, kept, checkpoint, strategy, seed)
        )

        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch
        from recommender.results import Baseline  # noqa: PLC0415 - as above
        from recommender.runs.devices import resolve  # noqa: PLC0415 - as above
        from recommender.runs.executors import executors  # noqa: PLC0415 - as above
        from recommender.runs.job import TuneOptions  # noqa: PLC0415 - as above
        from recommender.runs.tracking import trackers  # noqa: PLC0415 - as above

        with context.bars as progress:
            terms = TuneOptions(
                seed,
                resolve(device),
                None if kept is None else str(kept["id"]),
                source=source,
                controls=controls,
                queue_job=job,
            )
            cost = (
                None
                if isinstance(choice, Baseline)
                else flow.price(choice, sample, context.zoo, terms, progress=progress)
            )
        if cost is not None:
            context.say(render.cost_line(cost.to_dict(), terms.device))
        with context.bars as progress:
            track = trackers[tracker] if job is None else _retold(trackers[tracker], context.zoo, job)
            terms = replace(terms, estimated=cost)
            run = flow.tune(
                choice, sample, context.zoo, terms, execute=executors[executor], track=track, progress=progress
            )
        whole = time.monotonic() - began
        context.finish({"run": run.id})
        context.say(render.run_report(run.to_dict(), expected=choice.expected.to_dict(), whole=whole))
        if run.mlflow_run_id is not None:
            context.say(Text(f"MLflow run {run.mlflow_run_id}; its page opens with the first command below", "dim"))
        render.say_next(
            context.terminal, [render.mlflow_command(context.zoo.home), render.command("picker", home=home)]
        )
        context.say_json(run.to_dict())


def _raw(context: CommandContext, sample: "Sample", kept: "Json | None", seed: int) -> "Baseline":
    """The model on raw pixels: the one that the advice names, else the better one by cross-validation."""
    if kept is not None:
        if not kept["verdict"]["transfer"]:
            context.say(Text(str(kept["verdict"]["sentence"]), "yellow"))
        found = no_transfer_of(kept)
    else:
        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch

        with context.bars as progress:
            found = flow.without(sample, context.zoo, seed=seed, progress=progress)
    context.say(Text(f"Fitting {found.model}; --anyway or --checkpoint NAME tunes a checkpoint.", "dim"))
    return found


def _gone_on_with(context: CommandContext, job: str) -> bool:
    """Go on with the run that a job had begun when it was lost; False where there is none that can go on."""
    from recommender.runs.folder import RunState, find_queued  # noqa: PLC0415 - only where there is a queue

    begun = find_queued(context.zoo.home, job)
    if begun is None:
        return False
    if begun.state is RunState.FINISHED:
        context.say(Text(f"run {begun.id} was finished when its job was lost"))
        context.finish({"run": begun.id})
        context.say_json(begun.told)
        return True

    from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch
    from recommender.runs.tracking import mlflow_runs  # noqa: PLC0415 - as above

    context.say(Text(f"going on with run {begun.id}"))
    try:
        with context.bars as progress:
            run = flow.resume(begun.id, context.zoo, track=_retold(mlflow_runs, context.zoo, job), progress=progress)
    except (NotResumable, OtherRows) as cause:
        context.say(Text(f"{cause}; tuning anew", "yellow"))
        return False
    context.finish({"run": run.id})
    context.say(render.run_report(run.to_dict(), expected=None))
    context.say_json(run.to_dict())
    return True


def _retold(track: "Tracker", zoo: "Zoo", job: str) -> "Tracker":
    """The same tracker_run, whose points the job's learning curve gets too."""

    @contextmanager
    def watched(work: "Job") -> "Iterator[TrackerRun]":
        with track(work) as tracker_run:
            yield _Overheard(tracker_run, zoo, job)

    return watched


@dataclass(frozen=True)
class _Overheard:
    """A tracker_run, overheard by a job of the registry."""

    tracker_run: "TrackerRun"
    zoo: "Zoo"
    job: str

    @property
    def run_id(self) -> str | None:
        return self.tracker_run.run_id

    @property
    def troubles(self) -> tuple[str, ...]:
        return self.tracker_run.troubles

    def point(self, series: str, step: int, value: float) -> None:
        self.tracker_run.point(series, step, value)
        if math.isfinite(value):
            self.zoo.jobs.point(self.job, series, step, value)

    def result(self, metrics: Mapping[str, float]) -> None:
        self.tracker_run.result(metrics)

    def artifact(self, file: Path) -> None:
        self.tracker_run.artifact(file)

    def model(self, folder: Path) -> None:
        self.tracker_run.model(folder)

    def close(self, status: str) -> None:
        self.tracker_run.close(status)


def _source(context: CommandContext, path: Path, seed: int) -> "Sample":
    """Labelled rows of what the checkpoint was pretrained on."""
    from registry.sample import Sample  # noqa: PLC0415 - loads NumPy and Pillow

    with context.bars as progress:
        return Sample.from_folder(path, seed=seed, progress=progress)
