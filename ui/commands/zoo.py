"""Commands about checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

from registry.errors import UnknownName
from registry.escapes import shown
from registry.forms import to_json
from registry.licenses import require_license
from registry.listings import HUB_TASKS
from registry.modalities import modalities
from ui import completion, offers, render
from ui.context import (
    HomeOption,
    JsonOption,
    ListOptions,
    command_context,
    parse_request,
    takes_list,
)
from ui.present import present

__all__ = ["app"]


app = typer.Typer(no_args_is_help=True, help="The checkpoints that the registry knows.")


@app.command("list")
@takes_list
def zoo_list(
    options: ListOptions,
    here: Annotated[bool, typer.Option("--here", help="Only those whose weights are on this disk.")] = False,
    modality: Annotated[str | None, typer.Option("--modality", help="Only what takes these items.")] = None,
    task: Annotated[
        str | None,
        typer.Option("--task", help="Only what does this as it is: image-classification, feature-extraction ..."),
    ] = None,
    license_: Annotated[
        list[str] | None,
        typer.Option("--license", help="Only this license (repeatable), of weights, base model and training data."),
    ] = None,
    max_parameters: Annotated[
        int | None, typer.Option("--max-parameters", min=1, help="Leave out larger ones, and those of unknown size.")
    ] = None,
) -> None:
    """List the checkpoints: what is here, and what is known but not fetched."""
    with command_context(options.home, options.for_programs) as context:
        for license in license_ or ():
            require_license(license)
        if task not in {None, *HUB_TASKS}:
            raise UnknownName("task", str(task), HUB_TASKS)
        listed = offers.listed(context.zoo)
        known = sorted({*modalities, *(card.modality for card, _ in listed)})
        if modality not in {None, *known}:
            raise UnknownName("modality", str(modality), known)
        rows = [
            row
            for card, row in listed
            if (row["here"] or not here)
            and modality in {None, card.modality}
            and task in {None, row["task"]}
            and (max_parameters is None or (card.parameters is not None and card.parameters <= max_parameters))
            and (not license_ or context.zoo.licenses(card).objection(license_) is None)
        ]
        context.print_rows(rows, offers.offers_table, options)


@app.command("show")
def zoo_show(
    name: Annotated[
        str,
        typer.Argument(help="Name of a checkpoint, or its id on a hub.", autocompletion=completion.fetchable_names),
    ],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Show one checkpoint: its card or all that is known of it, its source domain, and what became of it so far."""
    with command_context(home, json) as context:
        zoo, listing = context.zoo, context.zoo.listing(name)
        outcomes = [to_json(outcome) for outcome in zoo.history(checkpoint=name)]
        if listing is not None and name not in zoo:
            domains = [to_json(zoo.domain(domain)) for domain in listing.data]
            row = offers.listing_json(zoo, listing)
            context.print(offers.facts_report(row, domains))
            context.print_json({"checkpoint": row, "domain": domains[-1] if domains else None, "outcomes": outcomes})
            return
        card = zoo.checkpoint(name)
        domain = None if card.domain is None else to_json(zoo.domain(card.domain))
        form = {"checkpoint": to_json(card), "domain": domain, "outcomes": outcomes}
        context.print(render.card_report(form))
        if twins := zoo.same_weights(card):
            context.print(f"Holds the same weights, byte for byte, as {', '.join(map(shown, twins))}.")
        licenses = zoo.licenses(card)
        more = {"weights": licenses.weights, "base_model": licenses.base, "training_data": licenses.data}
        stated = zoo.listing_of(card)
        if stated is not None:
            own = {"licenses": {of: list(names) for of, names in more.items() if names}}
            row = offers.listing_json(zoo, stated, here=True) | own
            form |= {"facts": row["facts"], "contradictions": row["contradictions"]}
            context.print(offers.facts_report(row, []))
        context.print_json(
            {**form, "same_weights_as": list(twins), "licenses": {of: list(n) for of, n in more.items()}}
        )


@app.command("add")
def zoo_add(  # noqa: PLR0913, PLR0917 - each is an option
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|FILE|ORG/NAME[@REVISION]",
            help="A folder as transformers saves it, with safetensors weights; a checkpoint of a hub; or a file of "
            "weights with --architecture.",
        ),
    ],
    name: Annotated[str | None, typer.Option("--name", help="What to call it; else the folder's name.")] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", help="Of a hub: fetch the weights now, or later, when they are wanted.")
    ] = None,
    source_data: Annotated[
        Path | None, typer.Option("--source-data", help="Items it was pretrained on, so that distance can be told.")
    ] = None,
    domain: Annotated[
        str | None,
        typer.Option(
            "--domain",
            help="The known domain it was pretrained on, or a name for --source-data.",
            autocompletion=completion.domain_names,
        ),
    ] = None,
    license_: Annotated[str | None, typer.Option("--license", help="Its license, where the folder has none.")] = None,
    architecture: Annotated[
        str | None,
        typer.Option("--architecture", help="What a file of weights is of: config.json, its folder, or ORG/NAME."),
    ] = None,
    max_input: Annotated[
        int | None,
        typer.Option("--max-input", min=1, help="Make inputs smaller only beyond this size (224 px, 128 tokens else)."),
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Register a checkpoint: a folder, or one of a hub, pinned to its commit."""
    typed = {**locals(), **({"folder": None, "hub": str(folder)} if _is_hub_id(folder) else {})}
    request = parse_request("zoo add", typed)
    with command_context(home, json) as context:
        present(context, request)


@app.command("search")
def zoo_search(  # noqa: PLR0913, PLR0917 - each is an option
    words: Annotated[str, typer.Argument(help="Words of its id.")] = "",
    task: Annotated[str | None, typer.Option("--task", help="Only what does this: image-classification ...")] = None,
    license_: Annotated[str | None, typer.Option("--license", help="Only this license, as the hub states it.")] = None,
    max_parameters: Annotated[
        int | None, typer.Option("--max-parameters", min=1, help="Leave out larger ones, and those of unknown size.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option("--sort", help="What comes first: downloads, likes or last_modified.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=200, help="Rows at most.")] = 20,
    add: Annotated[str | None, typer.Option("--add", help="Register these rows: 1,3.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV, and nothing else, to stdout.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Search the hub: what is there, and whether it can be used here."""
    if as_csv and json:
        raise typer.BadParameter("give --csv or --json, not both")
    request = parse_request("zoo search", locals())
    with command_context(home, json or as_csv) as context:
        present(context, request, as_csv=as_csv)


@app.command("fetch")
def zoo_fetch(
    names: Annotated[
        list[str],
        typer.Argument(help="Names of checkpoints, or their ids on a hub.", autocompletion=completion.fetchable_names),
    ],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Fetch the weights of checkpoints that are known; exit code 1 where some could not be fetched."""
    request = parse_request("zoo fetch", locals())
    with command_context(home, json) as context:
        present(context, request)


@app.command("remove")
def zoo_remove(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of a checkpoint; with --weights also ORG/NAME, of which nothing is in use.",
            autocompletion=completion.checkpoint_names,
        ),
    ],
    weights: Annotated[bool, typer.Option("--weights", help="Remove its files from the hub's cache, too.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Forget a checkpoint; a folder that was added stays where it lies, and outcomes stay history."""
    request = parse_request("zoo remove", locals())
    with command_context(home, json) as context:
        present(context, request)


@app.command("disk")
def zoo_disk(home: HomeOption = None, json: JsonOption = False) -> None:
    """Say what the hub's cache holds, what of it no registered checkpoint uses, and what was fetched of objects."""
    request = parse_request("zoo disk", locals())
    with command_context(home, json) as context:
        present(context, request)


@app.command("promote")
def zoo_promote(
    run: Annotated[
        str,
        typer.Argument(help="Id of a finished run, the beginning of it, or latest.", autocompletion=completion.run_ids),
    ],
    name: Annotated[str, typer.Argument(help="What to call the new checkpoint.")],
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make what a fine-tuning learned a checkpoint to start from; its domain is the sample that it learned from."""
    request = parse_request("zoo promote", locals())
    with command_context(home, json) as context:
        present(context, request)


@app.command("lock")
def zoo_lock(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("zoo.lock"),
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write which checkpoints there are, file by file with their hashes, and license and claims as at import."""
    request = parse_request("zoo lock", locals())
    with command_context(home, json) as context:
        present(context, request)


@app.command("sync")
def zoo_sync(
    locked: Annotated[
        Path | None, typer.Option("--locked", help="Give back exactly what this lock names, from this disk alone.")
    ] = None,
    source: Annotated[
        list[Path] | None, typer.Option("--from", help="A folder with checkpoints to look in, too (repeatable).")
    ] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """See what has changed upstream, and change nothing; with a lock bring the checkpoints up to what it names.

    Exit code 1 where nothing could be learned of some, or where some are missing or changed of a lock.
    """
    request = parse_request("zoo sync", locals())
    with command_context(home, json) as context:
        present(context, request)


def _is_hub_id(place: Path) -> bool:
    """Whether it is no folder here, and has the form of a hub's id: ``organization/name[@revision]``."""
    parts = str(place).split("/")
    return not place.exists() and len(parts) == 2 and all(parts) and not parts[0].startswith((".", "~"))
