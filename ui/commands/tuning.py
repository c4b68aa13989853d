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
from ui.advised import find_advice, find_choice, no_transfer_of
from ui.checks import require_names, require_places
from ui.desk import (
    ClassFolderOption,
    Desk,
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
    at_desk,
    read_sample,
)

if TYPE_CHECKING:
    from recommender.tuning.job import Job
    from recommender.tuning.tracking import Diary, Tracker
    from recommender.verdicts import Baseline
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
    with at_desk(home, json, job) as desk:
        began = time.monotonic()
        if job is not None and _gone_on_with(desk, job):
            return
        require_places(path, labels, groups, test, source_data)
        require_names(
            desk.zoo, checkpoint=checkpoint, strategy=strategy, recommendation=recommendation, device=device
        )  # fmt: skip
        desk.bars.expect(PARTS + (source_data is not None), by_part=True)
        sample = read_sample(
            desk, path, groups=groups, test=test, metric=metric, labels=labels, task=task, seed=seed,
            keep_duplicates=keep_duplicates,
            class_folder=class_folder, follow_links=follow_links,
        )  # fmt: skip
        source = None if source_data is None else _source(desk, source_data, seed)
        kept = find_advice(desk, sample, recommendation, needed=checkpoint is None and not no_transfer, seed=seed)
        raw = no_transfer or not (checkpoint or strategy or anyway or kept is None or not kept["choices"]
                                  or kept["verdict"]["transfer"])
        choice = _raw(desk, sample, kept, seed) if raw else find_choice(desk, sample, kept, checkpoint, strategy, seed)

        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch
        from recommender.tuning.devices import resolve  # noqa: PLC0415 - as above
        from recommender.tuning.job import Terms  # noqa: PLC0415 - as above
        from recommender.tuning.tracking import mlflow_runs  # noqa: PLC0415 - as above
        from recommender.verdicts import Baseline  # noqa: PLC0415 - as above

        with desk.bars as progress:
            terms = Terms(
                seed, resolve(device), None if kept is None else str(kept["id"]), source=source, controls=controls,
                queue_job=job,
            )  # fmt: skip
            cost = None if isinstance(choice, Baseline) else flow.price(
                choice, sample, desk.zoo, terms, progress=progress
            )  # fmt: skip
        if cost is not None:
            desk.say(render.cost_line(cost.to_dict(), terms.device))
        with desk.bars as progress:
            track = mlflow_runs if job is None else _retold(mlflow_runs, desk.zoo, job)
            terms = replace(terms, estimated=cost)
            run = flow.tune(choice, sample, desk.zoo, terms, track=track, progress=progress)
        whole = time.monotonic() - began
        desk.finish({"run": run.id})
        desk.say(render.run_report(run.to_dict(), expected=choice.expected.to_dict(), whole=whole))
        render.say_next(desk.terminal, [render.mlflow_command(desk.zoo.home), render.command("picker", home=home)])
        desk.say_json(run.to_dict())


def _raw(desk: Desk, sample: "Sample", kept: "Json | None", seed: int) -> "Baseline":
    """The model on raw pixels: the one that the advice names, else the better one by cross-validation."""
    if kept is not None:
        if not kept["verdict"]["transfer"]:
            desk.say(Text(str(kept["verdict"]["sentence"]), "yellow"))
        found = no_transfer_of(kept)
    else:
        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch

        with desk.bars as progress:
            found = flow.without(sample, desk.zoo, seed=seed, progress=progress)
    desk.say(Text(f"Fitting {found.model}; --anyway or --checkpoint NAME tunes a checkpoint.", "dim"))
    return found


def _gone_on_with(desk: Desk, job: str) -> bool:
    """Go on with the run that a job had begun when it was lost; False where there is none that can go on."""
    from recommender.tuning.folder import RunState, find_queued  # noqa: PLC0415 - only where there is a queue

    begun = find_queued(desk.zoo.home, job)
    if begun is None:
        return False
    if begun.state is RunState.FINISHED:
        desk.say(Text(f"run {begun.id} was finished when its job was lost"))
        desk.finish({"run": begun.id})
        desk.say_json(begun.told)
        return True

    from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch
    from recommender.tuning.tracking import mlflow_runs  # noqa: PLC0415 - as above

    desk.say(Text(f"going on with run {begun.id}"))
    try:
        with desk.bars as progress:
            run = flow.resume(begun.id, desk.zoo, track=_retold(mlflow_runs, desk.zoo, job), progress=progress)
    except (NotResumable, OtherRows) as cause:
        desk.say(Text(f"{cause}; tuning anew", "yellow"))
        return False
    desk.finish({"run": run.id})
    desk.say(render.run_report(run.to_dict(), expected=None))
    desk.say_json(run.to_dict())
    return True


def _retold(track: "Tracker", zoo: "Zoo", job: str) -> "Tracker":
    """The same diary, whose points the job's learning curve gets too."""

    @contextmanager
    def watched(work: "Job") -> "Iterator[Diary]":
        with track(work) as diary:
            yield _Overheard(diary, zoo, job)

    return watched


@dataclass(frozen=True)
class _Overheard:
    """A diary, overheard by a job of the registry."""

    diary: "Diary"
    zoo: "Zoo"
    job: str

    @property
    def run_id(self) -> str | None:
        return self.diary.run_id

    @property
    def troubles(self) -> tuple[str, ...]:
        return self.diary.troubles

    def point(self, series: str, step: int, value: float) -> None:
        self.diary.point(series, step, value)
        if math.isfinite(value):
            self.zoo.jobs.point(self.job, series, step, value)

    def result(self, metrics: Mapping[str, float]) -> None:
        self.diary.result(metrics)

    def artifact(self, file: Path) -> None:
        self.diary.artifact(file)

    def model(self, folder: Path) -> None:
        self.diary.model(folder)

    def close(self, status: str) -> None:
        self.diary.close(status)


def _source(desk: Desk, path: Path, seed: int) -> "Sample":
    """Labelled rows of what the checkpoint was pretrained on."""
    from registry.sample import Sample  # noqa: PLC0415 - loads NumPy and Pillow

    with desk.bars as progress:
        return Sample.from_folder(path, seed=seed, progress=progress)
