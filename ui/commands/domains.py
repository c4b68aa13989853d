"""Commands about domains: how far, which ones, what lies near."""

from typing import Annotated, Any

import typer

from registry.forms import to_json
from ui import completion, render
from ui.context import (
    HomeOption,
    JsonOption,
    ListOptions,
    command_context,
    parse_request,
    takes_list,
    takes_sample,
)
from ui.present import present

__all__ = ["app", "distance"]


app = typer.Typer(no_args_is_help=True, help="The source domains that the registry knows.")

MetricName = Annotated[
    str, typer.Option("--metric", help="mmd, knn, classifier, energy, frechet, mean_embedding, or a plug-in.")
]


@takes_sample("metric", "groups", "test", "class_folder")
def distance(
    sample: dict[str, Any],
    other: Annotated[
        str,
        typer.Argument(
            help="A second folder or zip, or the name of a known domain.", autocompletion=completion.domain_names
        ),
    ],
    metric: MetricName = "mmd",
    through: Annotated[
        str | None,
        typer.Option(
            "--through",
            help="Look through this checkpoint instead of the lens.",
            autocompletion=completion.checkpoint_names,
        ),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Measure how far two folders, or a folder and a known domain, lie apart."""
    request = parse_request("distance", locals())
    with command_context(home, json) as context:
        present(context, request)


@app.command("list")
@takes_list
def domains_list(options: ListOptions) -> None:
    """List the known domains."""
    with command_context(options.home, options.for_programs) as context:
        rows = [to_json(domain) for domain in context.zoo.domains()]
        context.print_rows(rows, render.domain_table, options)


@app.command("add")
@takes_sample("metric", "groups", "test")
def domains_add(
    sample: dict[str, Any],
    name: Annotated[str | None, typer.Option("--name", help="What to call it; else as the folder is called.")] = None,
    family: Annotated[
        str | None, typer.Option("--family", help="Domains of one origin or kind share one; else its own.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Register what lies at a place as a domain: distances to it are measured from then on."""
    request = parse_request("domains add", locals())
    with command_context(home, json) as context:
        present(context, request)


@app.command("near")
@takes_sample("metric", "groups", "test", "class_folder")
def domains_near(
    sample: dict[str, Any],
    most: Annotated[int, typer.Option("--most", min=1, help="How many.")] = 10,
    metric: MetricName = "mmd",
    family: Annotated[
        str | None, typer.Option("--family", help="Only domains of this family, however many of others are nearer.")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """List the known domains nearest to a folder, with interval and percentile."""
    request = parse_request("domains near", locals())
    with command_context(home, json) as context:
        present(context, request)
