"""Commands about domains: how far, which ones, what lies near."""

from functools import partial
from typing import Annotated

import typer

from ui import render
from ui.checks import require_domain, require_names, require_places
from ui.context import (
    FollowLinksOption,
    HomeOption,
    JsonOption,
    KeepDuplicatesOption,
    LabelsOption,
    PathArgument,
    SeedOption,
    TaskOption,
    command_context,
    read_sample,
)

__all__ = ["app", "distance"]


app = typer.Typer(no_args_is_help=True, help="The source domains that the registry knows.")


def distance(  # noqa: PLR0913, PLR0917 - each is an option
    one: PathArgument,
    other: Annotated[str, typer.Argument(help="A second folder or zip, or the name of a known domain.")],
    metric: Annotated[
        str, typer.Option("--metric", help="mmd, knn, classifier, energy, frechet or mean_embedding.")
    ] = "mmd",
    through: Annotated[
        str | None, typer.Option("--through", help="Look through this checkpoint instead of the lens.")
    ] = None,
    labels: LabelsOption = None,
    follow_links: FollowLinksOption = False,
    task: TaskOption = None,
    keep_duplicates: KeepDuplicatesOption = False,
    seed: SeedOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how far two folders, or a folder and a known domain, lie apart."""
    with command_context(home, json) as context:
        require_places(one, labels)
        second = require_domain(context.zoo, other)
        require_names(context.zoo, distance=metric, checkpoint=through)
        read = partial(
            read_sample,
            context,
            labels=labels,
            task=task,
            seed=seed,
            keep_duplicates=keep_duplicates,
            follow_links=follow_links,
        )
        mine = read(one)
        theirs = other if second is None else read(second)

        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch

        with context.bars as progress:
            found = flow.compare(
                mine, theirs, context.zoo, metric=metric, through=through, seed=seed, progress=progress
            )
        context.say(render.distance_report(found.to_dict(), str(one), other))
        context.say_json(found.to_dict())


@app.command("list")
def domains_list(home: HomeOption = None, json: JsonOption = False) -> None:
    """List the known domains."""
    with command_context(home, json) as context:
        told = [render.plain(domain) for domain in context.zoo.domains()]
        context.say(render.domain_table(told))
        context.say_json(told)


@app.command("near")
def domains_near(  # noqa: PLR0913, PLR0917 - each is an option
    path: PathArgument,
    most: Annotated[int, typer.Option("--most", min=1, help="How many.")] = 10,
    metric: Annotated[
        str, typer.Option("--metric", help="mmd, knn, classifier, energy, frechet or mean_embedding.")
    ] = "mmd",
    labels: LabelsOption = None,
    follow_links: FollowLinksOption = False,
    task: TaskOption = None,
    seed: SeedOption = 0,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """List the known domains nearest to a folder, with interval and percentile."""
    with command_context(home, json) as context:
        require_places(path, labels)
        require_names(context.zoo, distance=metric)
        sample = read_sample(context, path, labels=labels, task=task, seed=seed, follow_links=follow_links)

        from recommender import flow  # noqa: PLC0415 - loads scikit-learn and torch

        with context.bars as progress:
            found = flow.near(sample, context.zoo, most=most, metric=metric, seed=seed, progress=progress)
        told = [row.to_dict() for row in found]
        context.say(render.near_table(told))
        context.say_json(told)
