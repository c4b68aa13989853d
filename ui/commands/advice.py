"""Commands that advise: demo and recommend."""

from typing import Annotated

import typer

from ui import offers, render
from ui.checks import require_names, require_places
from ui.context import (
    ClassFolderOption,
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

__all__ = ["demo", "recommend"]

STAGES = 5
"""Reading and comparing images, the lens, distances, no transfer; then there is one for each checkpoint."""


def demo(
    target: Annotated[str, typer.Argument(help="surfaces (14 real photographs) or digits.")] = "surfaces",
    seed: SeedOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Take a real target that ships inside a library all the way: advice, tuning, outcome."""
    with command_context(home, json) as context:
        from ui import demo as case  # noqa: PLC0415 - loads the recommender

        context.say_json(case.run(target, context.zoo, context.terminal, context.bars, seed=seed).to_dict())


def recommend(  # noqa: PLR0913, PLR0917 - each is an option
    path: PathArgument,
    keep: Annotated[
        int, typer.Option("--keep", min=1, help="How many checkpoints to probe: the best of a first look at all.")
    ] = 5,
    max_parameters: Annotated[
        int | None, typer.Option("--max-parameters", min=1, help="Leave out larger checkpoints.")
    ] = None,
    license_: Annotated[
        list[str] | None, typer.Option("--license", help="Only this license, by name (repeatable); unknown is out.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="Leave out this checkpoint (repeatable).")
    ] = None,
    metric: MetricOption = None,
    labels: LabelsOption = None,
    task: TaskOption = None,
    groups: GroupsOption = None,
    test: TestOption = None,
    keep_duplicates: KeepDuplicatesOption = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Every reason, the curve over blocks, distances, what was skipped.")
    ] = False,
    all_: Annotated[
        bool, typer.Option("--all", help="Every checkpoint that is known and not here, and why some do not fit.")
    ] = False,
    class_folder: ClassFolderOption = None,
    follow_links: FollowLinksOption = False,
    seed: SeedOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
    job: JobOption = None,
) -> None:
    """Say which checkpoint to start from and how much of it to freeze, with reasons."""
    with command_context(home, json, job) as context:
        require_places(path, labels, groups, test)
        context.bars.expect(STAGES + keep)
        require_names(context.zoo, licenses=license_ or (), exclude=exclude or ())
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
        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch
        from recommender.shortlist import Constraints  # noqa: PLC0415 - as above

        limits = Constraints(max_parameters, tuple(license_ or ()), tuple(exclude or ()))
        with context.bars as progress:
            advice = flow.recommend(sample, context.zoo, keep=keep, constraints=limits, seed=seed, progress=progress)
        if context.zoo.home.writable:
            context.zoo.keep(advice)
        context.finish({"recommendation": advice.id})
        context.say(render.advice_report(advice.to_dict(), explain=explain))
        if (absent := offers.unprobed_report(advice.to_dict(), everything=explain or all_)) is not None:
            context.say(absent)
        if advice.choices:
            again = render.command(
                "tune",
                path,
                *(["--keep-duplicates"] if keep_duplicates else []),
                *(["--follow-links"] if follow_links else []),
                *([] if advice.verdict.transfer else ["--no-transfer"]),
                labels=labels,
                task=task,
                groups=groups,
                test=test,
                metric=metric,
                class_folder=class_folder,
                home=home,
            )
            render.say_next(context.terminal, [again, render.command("picker", home=home)])
        context.say_json(advice.to_dict())
