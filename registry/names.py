"""Names that a registry knows, for whoever types one: it is only read, nothing is mended, and no failure is told."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from registry.errors import TransferZooError
from registry.home import Home
from registry.store import Store

__all__ = ["Named", "known_names"]

_PATIENCE = 1.0
"""Seconds that a registry which others hold is waited for."""
_ADVICE = 50


class Named(StrEnum):
    """What has a name or an id."""

    CHECKPOINT = "checkpoint"
    LISTING = "listing"
    """A checkpoint of a hub that the catalog describes, whether here or not."""
    DOMAIN = "domain"
    RUN = "run"
    ADVICE = "advice"
    JOB = "job"


def known_names(kind: Named, root: Path | str | None = None) -> dict[str, str]:
    """Names or ids of that kind with what each is of, runs and advice newest first; none where there is no registry."""
    with suppress(TransferZooError, OSError, ValueError):
        home = Home.named(root)
        if kind is Named.RUN:
            return {folder.name: "" for folder in sorted(home.runs.iterdir(), reverse=True) if folder.is_dir()}
        if home.registry is not None or home.database.is_file():
            store = Store.open(
                home.registry or home.database, patience=_PATIENCE, writable=False, mend=False, beside=home.root
            )
            return _READ[kind](store)
    return {}


def _listings(store: Store) -> dict[str, str]:
    return {row["name"]: str(row["hub"]) for row in json.loads(store.note("listings") or "[]")}


def _advice(store: Store) -> dict[str, str]:
    return {body["id"]: str(body["sample"]["name"]) for _, body in store.kept(_ADVICE)}


_READ: Mapping[Named, Callable[[Store], dict[str, str]]] = {
    Named.CHECKPOINT: lambda store: {card.name: card.source or card.domain or "" for card in store.checkpoints()},
    Named.LISTING: _listings,
    Named.DOMAIN: lambda store: {card.name: card.title for card in store.domains()},
    Named.ADVICE: _advice,
    Named.JOB: lambda store: {job.id: job.kind for job in store.jobs.list()},
}
