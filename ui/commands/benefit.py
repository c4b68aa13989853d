"""Commands that ask what transfer is worth: benefit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from registry.errors import FolderUnusable
from ui import render
from ui.checks import require_names, require_places
from ui.choices import resolve_advice, resolve_choice
from ui.context import (
    ClassFolderOption,
    CommandContext,
    FollowLinksOption,
    GroupsOption,
    HomeOption,
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
    from recommender.results import Benefit
    from registry.sample import Sample
    from ui.render import Json

__all__ = ["benefit"]

SAME = 0.05
"""Chance of one source above which a sample cannot be told from a domain."""


def benefit(  # noqa: PLR0913, PLR0917 - each is an option
    path: PathArgument,
    checkpoint: Annotated[str | None, typer.Option("--checkpoint", help="This one instead of the advised.")] = None,
    strategy: Annotated[str | None, typer.Option("--strategy", help="This one instead of the advised.")] = None,
    budgets: Annotated[int, typer.Option("--budgets", min=2, max=12, help="Numbers of labels, few to all.")] = 5,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Other subsets, other seeds of training.")] = 1,
    epochs: Annotated[int, typer.Option("--epochs", min=1, help="Epochs that scratch is given.")] = 20,
    picture: Annotated[Path | None, typer.Option("--picture", help="PNG to draw; else one in the home.")] = None,
    metric: MetricOption = None,
    labels: LabelsOption = None,
    task: TaskOption = None,
    groups: GroupsOption = None,
    test: TestOption = None,
    keep_duplicates: KeepDuplicatesOption = False,
    class_folder: ClassFolderOption = None,
    follow_links: FollowLinksOption = False,
    seed: SeedOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Measure what transfer is worth: labels and epochs saved against the same net from scratch."""
    with command_context(home, json) as context:
        require_places(path, labels, groups, test)
        require_names(context.zoo, checkpoint=checkpoint, strategy=strategy)
        _require_writable(picture)
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
        found = _measured(context, sample, (checkpoint, strategy), (budgets, repeats, epochs), seed)
        drawn = _drawn(context, found, sample, picture)
        context.say(render.benefit_report(found.to_dict()))
        context.terminal.print(f"Drawn in {drawn}", soft_wrap=True)
        context.say_json({**found.to_dict(), "picture": str(drawn)})


def _measured(
    context: CommandContext,
    sample: "Sample",
    named: tuple[str | None, str | None],
    counts: tuple[int, int, int],
    seed: int,
) -> "Benefit":
    from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch
    from recommender.benefit import benefit, for_epochs  # noqa: PLC0415 - as above

    kept = resolve_advice(context, sample, None, needed=named[0] is None, seed=seed)
    choice = resolve_choice(context, sample, kept, *named, seed)
    _warn_of_its_own_source(context, kept, choice.checkpoint.name)
    with context.bars as progress:
        scratch = flow.consider(sample, context.zoo, choice.checkpoint.name, "scratch", seed=seed, progress=progress)
        budgets, repeats, epochs = counts
        return benefit(
            choice,
            for_epochs(scratch.plan, epochs),
            sample,
            context.zoo,
            budgets=budgets,
            repeats=repeats,
            seed=seed,
            progress=progress,
        )


def _warn_of_its_own_source(context: CommandContext, kept: "Json | None", checkpoint: str) -> None:
    """A net that has seen these very images needs no labels of them."""
    for choice in [] if kept is None else kept["choices"]:
        distance = choice["distance"]
        if choice["checkpoint"] == checkpoint and distance is not None and (distance["p_same"] or 0) > SAME:
            told = f"{checkpoint} was trained on {distance['domain']}, from which this sample cannot be told"
            context.say(
                Text(f"Warning: {told} (p = {distance['p_same']:.2f}): it may have seen these images.", "yellow")
            )


def _drawn(context: CommandContext, found: "Benefit", sample: "Sample", picture: Path | None) -> Path:
    from recommender.tuning.figures import benefit_curves  # noqa: PLC0415 - loads matplotlib

    return benefit_curves(found, picture or context.zoo.home.root / f"benefit-{sample.digest[:12]}.png")


def _require_writable(picture: Path | None) -> None:
    """Before minutes of work, not after."""
    if picture is None:
        return
    try:
        picture.touch()
    except OSError as cause:
        raise FolderUnusable(picture, cause.strerror or str(cause)) from cause
