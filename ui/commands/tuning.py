"""Commands that tune: tune."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ui import render
from ui.advised import find_advice, find_choice
from ui.desk import (
    ClassFolderOption,
    Desk,
    DeviceOption,
    FollowLinksOption,
    GroupsOption,
    HomeOption,
    JobOption,
    JsonOption,
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
    from registry.sample import Sample
    from registry.zoo import Zoo

__all__ = ["tune"]


def tune(  # noqa: PLR0913, PLR0917 - each is an option
    path: PathArgument,
    checkpoint: Annotated[str | None, typer.Option("--checkpoint", help="This one instead of the advised.")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="This one instead of the advised.")] = None,
    recommendation: Annotated[
        str | None, typer.Option("--recommendation", help="Id of kept advice; else the newest for this sample.")
    ] = None,
    metric: MetricOption = None,
    labels: LabelsOption = None,
    task: TaskOption = None,
    groups: GroupsOption = None,
    test: TestOption = None,
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
    """Fine-tune as advised, under MLflow, and give the outcome back to the registry."""
    with at_desk(home, json, job) as desk:
        sample = read_sample(
            desk, path, groups=groups, test=test, metric=metric, labels=labels, task=task, seed=seed,
            class_folder=class_folder, follow_links=follow_links,
        )  # fmt: skip
        source = None if source_data is None else _source(desk, source_data, seed)
        kept = find_advice(desk, sample, recommendation, needed=checkpoint is None, seed=seed)
        choice = find_choice(desk, sample, kept, checkpoint, strategy, seed)

        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch
        from recommender.tuning.devices import resolve  # noqa: PLC0415 - as above
        from recommender.tuning.job import Terms  # noqa: PLC0415 - as above
        from recommender.tuning.tracking import mlflow_runs  # noqa: PLC0415 - as above

        with desk.bars as progress:
            terms = Terms(
                seed, resolve(device), None if kept is None else str(kept["id"]), source=source, controls=controls
            )
            cost = flow.price(choice, sample, desk.zoo, terms, progress=progress)
        desk.say(render.cost_line(cost.to_dict(), terms.device))
        with desk.bars as progress:
            track = mlflow_runs if job is None else _retold(mlflow_runs, desk.zoo, job)
            terms = replace(terms, estimated=cost)
            run = flow.tune(choice, sample, desk.zoo, terms, track=track, progress=progress)
        desk.finish({"run": run.id})
        desk.say(render.run_report(run.to_dict(), expected=choice.expected.to_dict()))
        render.say_next(desk.terminal, [render.mlflow_command(desk.zoo.home), render.command("picker", home=home)])
        desk.say_json(run.to_dict())


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
