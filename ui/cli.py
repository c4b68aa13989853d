"""The command `transferzoo`. Nothing heavy is imported before a command needs it; only here does anything exit."""

import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from registry.cards import Metric, Origin
from registry.errors import OtherSample, SingleClass, TransferZooError, UnknownName
from registry.progress import Progress, silent
from ui import render

if TYPE_CHECKING:
    from recommender.tuning.job import Job
    from recommender.tuning.tracking import Diary, Tracker
    from recommender.verdicts import Choice
    from registry.sample import Sample
    from registry.zoo import Zoo

__all__ = ["app", "main"]

app = typer.Typer(
    name="transferzoo", no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False,
    help="Which pretrained model should I start from, how much of it should I freeze, and was the advice right?",
)  # fmt: skip
zoo_app = typer.Typer(no_args_is_help=True, help="The checkpoints that the registry knows.")
runs_app = typer.Typer(no_args_is_help=True, help="What became of earlier fine-tunings.")
app.add_typer(zoo_app, name="zoo")
domains_app = typer.Typer(no_args_is_help=True, help="The source domains that the registry knows.")
app.add_typer(runs_app, name="runs")
app.add_typer(domains_app, name="domains")

PathArgument = Annotated[Path, typer.Argument(help="Images as <class>/*.jpg|png, or train/ and test/ above; or a zip.")]
HomeOption = Annotated[Path | None, typer.Option("--home", help="The registry's folder; else TRANSFERZOO_HOME.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Everything random follows it.")]
MetricOption = Annotated[Metric, typer.Option("--metric", help="What a prediction is judged by.")]
GroupsOption = Annotated[
    Path | None, typer.Option("--groups", help="CSV with columns file, group: rows of a group stay together.")
]
TestOption = Annotated[Path | None, typer.Option("--test", help="Your own test part, laid out like PATH.")]
JobOption = Annotated[str | None, typer.Option("--job", hidden=True, help="Report to this job of the registry.")]

DEBUG = "TRANSFERZOO_DEBUG"
TELL_EVERY = 0.25


def main() -> None:
    """Run the command line and exit: 0 done, 1 a fault of ours, 2 bad input, 130 interrupted."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that spin while they wait starve a busy machine
    try:
        app()
    except TransferZooError as failure:
        render.say_error(str(failure), failure.remedy)
        sys.exit(2)
    except SystemExit as leaving:
        if leaving.code == 130:
            render.say_error("interrupted", "What was finished is kept; run the same command again.")
        raise
    except Exception as fault:
        if os.environ.get(DEBUG):
            raise
        told = f"unexpected {type(fault).__name__}: {fault}"
        render.say_error(told, "A fault of transferzoo: please report it with what `transferzoo --debug ...` prints.")
        sys.exit(1)


@app.callback()
def _root(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of unexpected errors.")] = False,
) -> None:
    if debug:
        os.environ[DEBUG] = "1"


@app.command()
def demo(
    target: Annotated[str, typer.Argument(help="surfaces (14 real photographs) or digits.")] = "surfaces",
    seed: SeedOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take a real target that ships inside a library all the way: advice, tuning, outcome."""
    with _at_desk(home, json) as desk:
        from ui import demo as case  # noqa: PLC0415 - loads the recommender

        desk.say_json(case.run(target, desk.zoo, desk.terminal, desk.bars, seed=seed).to_dict())


@app.command()
def recommend(  # noqa: PLR0913, PLR0917 - each is an option
    path: PathArgument,
    keep: Annotated[int, typer.Option("--keep", min=1, help="How many of the nearest checkpoints to probe.")] = 5,
    max_parameters: Annotated[
        int | None, typer.Option("--max-parameters", min=1, help="Leave out larger checkpoints.")
    ] = None,
    license_: Annotated[
        list[str] | None, typer.Option("--license", help="Only licenses containing this (repeatable); unknown is out.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="Leave out this checkpoint (repeatable).")
    ] = None,
    metric: MetricOption = Metric.ACCURACY,
    groups: GroupsOption = None,
    test: TestOption = None,
    seed: SeedOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
    job: JobOption = None,
) -> None:
    """Say which checkpoint to start from and how much of it to freeze, with reasons."""
    with _at_desk(home, json, job) as desk:
        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch
        from recommender.shortlist import Constraints  # noqa: PLC0415 - as above

        sample = _sample(desk, path, groups, test, metric, seed)
        limits = Constraints(max_parameters, tuple(license_ or ()), tuple(exclude or ()))
        with desk.bars as progress:
            advice = flow.recommend(sample, desk.zoo, keep=keep, constraints=limits, seed=seed, progress=progress)
        desk.zoo.keep(advice)
        desk.finish({"recommendation": advice.id})
        desk.say(render.advice_report(advice.to_dict()))
        if advice.choices:
            again = render.command("tune", path, groups=groups, test=test, metric=metric, home=home)
            render.say_next(desk.terminal, [again, render.command("picker", home=home)])
        desk.say_json(advice.to_dict())


@app.command()
def tune(  # noqa: PLR0913, PLR0917 - each is an option
    path: PathArgument,
    checkpoint: Annotated[str | None, typer.Option("--checkpoint", help="This one instead of the advised.")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="This one instead of the advised.")] = None,
    recommendation: Annotated[
        str | None, typer.Option("--recommendation", help="Id of kept advice; else the newest for this sample.")
    ] = None,
    metric: MetricOption = Metric.ACCURACY,
    groups: GroupsOption = None,
    test: TestOption = None,
    seed: SeedOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
    job: JobOption = None,
) -> None:
    """Fine-tune as advised, under MLflow, and give the outcome back to the registry."""
    with _at_desk(home, json, job) as desk:
        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch
        from recommender.tuning.tracking import mlflow_runs  # noqa: PLC0415 - as above

        sample = _sample(desk, path, groups, test, metric, seed)
        kept = _advice(desk, sample, recommendation, needed=checkpoint is None, seed=seed)
        choice = _choice(desk, sample, kept, checkpoint, strategy, seed)
        with desk.bars as progress:
            advice = None if kept is None else str(kept["id"])
            track = mlflow_runs if job is None else _retold(mlflow_runs, desk.zoo, job)
            run = flow.tune(choice, sample, desk.zoo, track=track, recommendation=advice, seed=seed, progress=progress)
        desk.finish({"run": run.id})
        desk.say(render.run_report(run.to_dict(), expected=choice.expected.to_dict()))
        render.say_next(desk.terminal, [render.mlflow_command(desk.zoo.home), render.command("picker", home=home)])
        desk.say_json(run.to_dict())


@app.command()
def distance(
    one: PathArgument,
    other: Annotated[str, typer.Argument(help="A second folder or zip, or the name of a known domain.")],
    metric: Annotated[
        str, typer.Option("--metric", help="mmd, knn, classifier, energy, frechet or mean_embedding.")
    ] = "mmd",
    through: Annotated[
        str | None, typer.Option("--through", help="Look through this checkpoint instead of the lens.")
    ] = None,
    seed: SeedOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how far two folders, or a folder and a known domain, lie apart."""
    with _at_desk(home, json) as desk:
        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch

        mine = _sample(desk, one, None, None, Metric.ACCURACY, seed)
        theirs = _sample(desk, Path(other), None, None, Metric.ACCURACY, seed) if Path(other).exists() else other
        with desk.bars as progress:
            found = flow.compare(
                mine, theirs, desk.zoo, metric=metric, through=through, seed=seed, progress=progress
            )  # fmt: skip
        desk.say(render.distance_report(found.to_dict(), str(one), other))
        desk.say_json(found.to_dict())


@domains_app.command("list")
def domains_list(home: HomeOption = None, json: JsonOption = False) -> None:
    """List the known domains."""
    with _at_desk(home, json) as desk:
        told = [render.plain(domain) for domain in desk.zoo.domains()]
        desk.say(render.domain_table(told))
        desk.say_json(told)


@domains_app.command("near")
def domains_near(
    path: PathArgument,
    most: Annotated[int, typer.Option("--most", min=1, help="How many.")] = 10,
    metric: Annotated[
        str, typer.Option("--metric", help="mmd, knn, classifier, energy, frechet or mean_embedding.")
    ] = "mmd",
    seed: SeedOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """List the known domains nearest to a folder, with interval and percentile."""
    with _at_desk(home, json) as desk:
        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch

        sample = _sample(desk, path, None, None, Metric.ACCURACY, seed)
        with desk.bars as progress:
            found = flow.near(sample, desk.zoo, most=most, metric=metric, seed=seed, progress=progress)
        told = [row.to_dict() for row in found]
        desk.say(render.near_table(told))
        desk.say_json(told)


@zoo_app.command("list")
def zoo_list(home: HomeOption = None, json: JsonOption = False) -> None:
    """List the checkpoints."""
    with _at_desk(home, json) as desk:
        told = [render.plain(checkpoint) for checkpoint in desk.zoo.checkpoints()]
        desk.say(render.checkpoint_table(told))
        desk.say_json(told)


@zoo_app.command("show")
def zoo_show(
    name: Annotated[str, typer.Argument(help="Name of a checkpoint.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show one checkpoint: its card, its source domain, and what became of it so far."""
    with _at_desk(home, json) as desk:
        card = desk.zoo.checkpoint(name)
        domain = None if card.domain is None else render.plain(desk.zoo.domain(card.domain))
        outcomes = [render.plain(outcome) for outcome in desk.zoo.history(checkpoint=name)]
        told = {"checkpoint": render.plain(card), "domain": domain, "outcomes": outcomes}
        desk.say(render.card_report(told))
        desk.say_json(told)


@zoo_app.command("add")
def zoo_add(
    folder: Annotated[Path, typer.Argument(help="A checkpoint as transformers saves it, with safetensors weights.")],
    name: Annotated[str | None, typer.Option("--name", help="What to call it; else the folder's name.")] = None,
    source_data: Annotated[
        Path | None, typer.Option("--source-data", help="Images it was pretrained on, so that distance can be told.")
    ] = None,
    domain: Annotated[
        str | None, typer.Option("--domain", help="The known domain it was pretrained on, or a name for --source-data.")
    ] = None,
    license_: Annotated[str | None, typer.Option("--license", help="Its license, where the folder has none.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Register a checkpoint folder."""
    with _at_desk(home, json) as desk:
        source = None if source_data is None else _sample(desk, source_data, None, None, Metric.ACCURACY, 0)
        with desk.bars as progress:
            card = desk.zoo.add(
                folder, name=name, source=source, license=license_, domain=domain, progress=progress
            )  # fmt: skip
        desk.say(render.checkpoint_table([render.plain(card)]))
        desk.say_json(render.plain(card))


@runs_app.command("list")
def runs_list(home: HomeOption = None, json: JsonOption = False) -> None:
    """List the fine-tunings made here, newest first: expected against realized."""
    with _at_desk(home, json) as desk:
        ours = [outcome for outcome in desk.zoo.history() if outcome.origin is Origin.OURS]
        told = [render.plain(outcome) for outcome in sorted(ours, key=lambda o: o.created, reverse=True)]
        desk.say(render.outcome_table(told))
        desk.say_json(told)


@app.command()
def doctor(
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended safely.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Check that what is stored is still true; exit code 1 where something is wrong."""
    render.quiet(loud=bool(os.environ.get(DEBUG)))
    from registry import doctor as rooms  # noqa: PLC0415 - loads SQLAlchemy

    errors = render.console(stderr=True)
    with render.Bars(errors) as progress:
        report = rooms.check(home, mend=repair, progress=progress)
    terminal = errors if json else render.console()
    terminal.print(render.doctor_report(report.to_dict()))
    if not (repair or report.healthy):
        render.say_next(terminal, [render.command("doctor", "--repair", home=home)])
    if json:
        render.print_json(report.to_dict())
    sys.exit(0 if report.healthy else 1)


@app.command()
def picker(
    port: Annotated[int, typer.Option("--port", help="Where on 127.0.0.1 the page is served.")] = 8501,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser on it.")] = True,
    home: HomeOption = None,
) -> None:
    """Serve the picker: a page on this machine, and for this machine alone."""
    with _at_desk(home, json=False) as desk:
        root = desk.zoo.home.root
    page = Path(__file__).with_name("picker.py")
    server = [sys.executable, "-m", "streamlit", "run", str(page), f"--server.port={port}"]
    server += [] if browser else ["--server.headless=true"]
    sys.exit(subprocess.run(server, env=os.environ | {"TRANSFERZOO_HOME": str(root)}, check=False).returncode)  # noqa: S603 - our own page


@dataclass(frozen=True)
class _Desk:
    """What every command works with: the registry, and where to speak."""

    zoo: "Zoo"
    terminal: Console
    bars: render.Bars
    json: bool
    job: str | None

    def say(self, report: RenderableType) -> None:
        """Print for a person: to stdout, or to stderr where stdout is for JSON."""
        self.terminal.print(report, "")

    def say_json(self, told: object) -> None:
        """Print for a program, where that was asked for."""
        if self.json:
            render.print_json(told)

    def finish(self, result: Mapping[str, object]) -> None:
        """Tell the job, where there is one, what came of it."""
        if self.job is not None:
            self.zoo.jobs.finish(self.job, result)


@contextmanager
def _at_desk(home: Path | None, json: bool, job: str | None = None) -> Iterator[_Desk]:
    """Open the registry; a job, where there is one, hears of progress and of failure."""
    render.quiet(loud=bool(os.environ.get(DEBUG)))
    from registry.zoo import Zoo  # noqa: PLC0415 - loads SQLAlchemy

    errors = render.console(stderr=True)
    with render.Bars(errors) as progress:
        opened = Zoo.open(home, progress=progress)
    with opened as zoo:
        if job is not None and not zoo.jobs.claim(job):
            raise typer.Exit
        bars = render.Bars(errors, also=silent if job is None else _teller(zoo, job))
        try:
            yield _Desk(zoo, errors if json else render.console(), bars, json, job)
        except BaseException as failure:
            if job is not None:
                zoo.jobs.fail(job, _in_words(failure))
            raise


def _in_words(failure: BaseException) -> str:
    if isinstance(failure, TransferZooError):
        return f"{failure}. {failure.remedy}"
    return f"{type(failure).__name__}: {failure}"


def _teller(zoo: "Zoo", job: str) -> Progress:
    """Progress told to a job, a few times a second; a cancelled job is interrupted at its next word."""
    last = 0.0

    def tell(stage: str, done: int, of: int) -> None:
        nonlocal last
        if done < of and time.monotonic() - last < TELL_EVERY:
            return
        last = time.monotonic()
        if zoo.jobs.tell(job, stage, done, of) == "cancelled":
            raise KeyboardInterrupt

    return tell


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

    def close(self, status: str) -> None:
        self.diary.close(status)


def _sample(
    desk: _Desk, path: Path, groups: Path | None, test: Path | None, metric: Metric, seed: int
) -> "Sample":
    """Read the sample and say how healthy it is, before anything else."""
    from registry.sample import Sample  # noqa: PLC0415 - loads NumPy and Pillow

    with desk.bars as progress:
        sample = Sample.from_folder(path, groups=groups, test=test, metric=metric, seed=seed, progress=progress)
    desk.say(render.sample_report(sample.to_dict()))
    return sample


def _advice(
    desk: _Desk, sample: "Sample", name: str | None, *, needed: bool, seed: int
) -> Mapping[str, Any] | None:
    """Kept advice: the one named, else the newest for this sample, else (where needed) made now."""
    kept = desk.zoo.advice(name, sample_digest=sample.digest) if name is None else desk.zoo.advice(name)
    if name is not None and kept is None:
        raise UnknownName("recommendation", name, ())
    if kept is not None and kept["sample"]["digest"] != sample.digest:
        raise OtherSample(str(kept["id"]), kept["sample"]["digest"], sample.digest)
    if kept is None and needed:
        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch

        with desk.bars as progress:
            made = flow.recommend(sample, desk.zoo, seed=seed, progress=progress)
        desk.zoo.keep(made)
        kept = made.to_dict()
    return kept


def _choice(
    desk: _Desk, sample: "Sample", kept: Mapping[str, Any] | None, checkpoint: str | None, strategy: str | None,
    seed: int,
) -> "Choice":  # fmt: skip
    """What the user named, filled up from the advice; a warning where the advice was not to transfer."""
    from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch

    if checkpoint is None and kept is not None:
        if not kept["choices"]:
            raise SingleClass("tuning")
        if not kept["verdict"]["transfer"]:
            desk.say(Text(f"Warning: {kept['verdict']['sentence']}", "yellow"))
        best = kept["choices"][0]
        checkpoint, strategy = best["checkpoint"], strategy or best["strategy"]
    with desk.bars as progress:
        return flow.consider(sample, desk.zoo, str(checkpoint), strategy, seed=seed, progress=progress)


if __name__ == "__main__":
    main()
