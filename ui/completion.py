"""What a shell completes: names that the registry of ``--home`` knows, and strategies; nothing where there is none.

It is asked at each press of a key: nothing is opened that learns, made or mended.
"""

import typer

__all__ = [
    "advice_ids",
    "checkpoint_names",
    "domain_names",
    "fetchable_names",
    "job_ids",
    "page_ids",
    "run_ids",
    "strategy_names",
]

_Names = list[tuple[str, str]]


def checkpoint_names(ctx: typer.Context, incomplete: str) -> _Names:
    """Names of checkpoints."""
    return _known(ctx, incomplete, "checkpoint")


def fetchable_names(ctx: typer.Context, incomplete: str) -> _Names:
    """Names of checkpoints, those that are known and not here too."""
    return [*dict(_known(ctx, incomplete, "listing", "checkpoint")).items()]


def domain_names(ctx: typer.Context, incomplete: str) -> _Names:
    """Names of domains."""
    return _known(ctx, incomplete, "domain")


def run_ids(ctx: typer.Context, incomplete: str) -> _Names:
    """Ids of runs, the newest first, and the word for that."""
    return [*_beginning(incomplete, {"latest": "the newest"}), *_known(ctx, incomplete, "run")]


def advice_ids(ctx: typer.Context, incomplete: str) -> _Names:
    """Ids of kept advice, the newest first."""
    return _known(ctx, incomplete, "advice")


def job_ids(ctx: typer.Context, incomplete: str) -> _Names:
    """Ids of jobs."""
    return _known(ctx, incomplete, "job")


def page_ids(ctx: typer.Context, incomplete: str) -> _Names:
    """Whatever can be opened on the page."""
    return _known(ctx, incomplete, "checkpoint", "domain", "run", "advice", "job")


def strategy_names(incomplete: str) -> _Names:
    """Names of strategies."""
    from recommender.strategies import strategies  # noqa: PLC0415 - loads NumPy: no help waits for it

    return _beginning(incomplete, dict.fromkeys(strategies, ""))


def _known(ctx: typer.Context, incomplete: str, *kinds: str) -> _Names:
    from registry.names import Named, known_names  # noqa: PLC0415 - loads SQLAlchemy: no help waits for it

    home = ctx.params.get("home")
    return [one for kind in kinds for one in _beginning(incomplete, known_names(Named(kind), home))]


def _beginning(incomplete: str, names: dict[str, str]) -> _Names:
    return [(name, of) for name, of in names.items() if name.startswith(incomplete)]
