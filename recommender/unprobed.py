"""Checkpoints that are known but whose weights are not here: what is known of each before any probe, best first.

Nothing is fetched and no net is opened. The order is that of hope: published outcomes, each held against what others
scored on the same set, then the distance of the domain that it was trained on, then size. Beside them stand rivals,
which cost nothing to name: what a fixed preset would take whatever the data are, and what most people download.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np

from recommender.constraints import Constraints
from recommender.history import History
from recommender.results import Choice, DomainDistance, Expected, Published, Rival, Skipped, Unprobed, UnprobedForm
from registry.cards import Checkpoint, Origin, Wanted
from registry.listings import Listing
from registry.zoo import Zoo

__all__ = ["rivals", "trained_on", "unprobed", "within_budget"]

AnyRow = TypeVar("AnyRow", Unprobed, UnprobedForm)


def unprobed(
    zoo: Zoo,
    modality: str,
    distances: Mapping[str, DomainDistance],
    history: History,
    constraints: Constraints,
    cards: Sequence[Checkpoint] | None = None,
) -> tuple[tuple[Unprobed, ...], tuple[Skipped, ...]]:
    """What is not here and within the constraints, best first; and why the rest is not.

    ``cards`` are those to look among, beside listings; else all of the modality.
    """
    licenses = zoo.licenses_once()
    rows: list[Unprobed] = []
    left: list[Skipped] = []
    for card in _absent(zoo, modality, cards):
        objection = constraints.objection(card, zoo, licenses)
        if objection is None:
            rows.append(_row(card, distances, history))
        else:
            left.append(Skipped(card.name, objection))
    rows.sort(key=lambda row: _hope(row, history))
    return tuple(rows), tuple(left)


def trained_on(zoo: Zoo, modality: str, cards: Sequence[Checkpoint] | None = None) -> tuple[str, ...]:
    """The domains that checkpoints which are not here were trained on, by name; of ``cards``, else of all."""
    named = {domain for card in _absent(zoo, modality, cards) for domain in _data(card)}
    return tuple(domain.name for domain in zoo.domains_named(sorted(named)) if domain.modality == modality)


def within_budget(rows: Iterable[AnyRow], disk: int | None, most: int) -> tuple[AnyRow, ...]:
    """The first ``most`` of them that fit together into so many bytes, if any are given; unknown sizes do not."""
    chosen: list[AnyRow] = []
    left = disk
    for row in rows:
        if len(chosen) == most:
            break
        if left is not None:
            if row.bytes is None or row.bytes > left:
                continue
            left -= row.bytes
        chosen.append(row)
    return tuple(chosen)


def rivals(zoo: Zoo, modality: str, constraints: Constraints, choices: Sequence[Choice]) -> tuple[Rival, ...]:
    """What a fixed preset would take, and the most downloaded checkpoint that fits; beside no transfer."""
    expected = {choice.checkpoint.name: choice.expected for choice in reversed(choices)}
    listings = zoo.listings(modality)
    named = zoo.checkpoints_where(Wanted(modality, names=tuple(listing.name for listing in listings)))
    here = {card.name for card in named if zoo.here(card)}
    rows: list[Rival] = []
    for listing in listings:
        for preset in listing.facts.get("preset", ()):
            why = constraints.objection(listing, zoo)
            limits_text = "whatever the data are" if why is None else f"whatever the data are; out here: {why}"
            rows.append(
                Rival(
                    f"preset of {preset.value}",
                    listing.name,
                    listing.name in here,
                    expected.get(listing.name),
                    limits_text,
                )
            )
    return (*rows, _most_downloaded(zoo, modality, listings, constraints, expected))


def _most_downloaded(
    zoo: Zoo, modality: str, listings: Sequence[Listing], constraints: Constraints, expected: Mapping[str, Expected]
) -> Rival:
    counts: dict[str, int] = {}
    stated, licenses = zoo.downloads(), zoo.licenses_once()
    registered = zoo.checkpoints_where(Wanted(modality, hubs=tuple(stated)))
    cards: list[Checkpoint | Listing] = [*registered, *listings]
    for card in cards:
        count = _downloads(card, stated)
        if count is not None and constraints.objection(card, zoo, licenses) is None:
            counts[card.name] = count
    known = zoo.checkpoint_count(Wanted(modality)) + len(listings)
    if not counts:
        why = f"how often any of the {known} known ones was downloaded is not known here"
        return Rival("most downloaded", None, False, None, why)
    unknown = known - sum(_downloads(card, stated) is not None for card in cards)
    more = f"; of {unknown} others they are not known here" if unknown else ""
    name = min(counts, key=lambda one: (-counts[one], one))
    here = any(zoo.here(card) for card in zoo.checkpoints_where(Wanted(modality, names=(name,))))
    return Rival("most downloaded", name, here, expected.get(name), f"{counts[name]:,} downloads{more}")


def _absent(zoo: Zoo, modality: str, cards: Sequence[Checkpoint] | None) -> tuple[Checkpoint | Listing, ...]:
    """Registered checkpoints of a hub whose weights are not here, and listings that none is registered of."""
    among = zoo.checkpoints(modality) if cards is None else cards
    registered = [card for card in among if card.locator is not None and not zoo.here(card)]
    return (*registered, *zoo.unregistered(modality))


def _row(card: Checkpoint | Listing, distances: Mapping[str, DomainDistance], history: History) -> Unprobed:
    measured = [distances[domain] for domain in _data(card) if domain in distances]
    published = [
        Published(outcome.sample_name, outcome.strategy, outcome.metric, outcome.score, outcome.citation)
        for outcome in history.outcomes
        if outcome.checkpoint == card.name and outcome.origin is not Origin.OURS
    ]
    nearest = min(measured, key=lambda row: row.distance.value, default=None)
    ordered = sorted(published, key=lambda row: (row.sample, row.strategy))
    if isinstance(card, Listing):
        known = (card.hub, card.parameters, card.bytes, card.licenses)
    else:
        locator = card.locator
        hub, size = ("", None) if locator is None else (locator.hub, sum(file.bytes for file in locator.weights))
        known = (hub, card.parameters, size, (card.license,))
        ordered += [Published(claim.data, "claimed", claim.metric, claim.value, hub) for claim in card.claims]
    return Unprobed(card.name, *known, _data(card), nearest, tuple(ordered))


def _data(card: Checkpoint | Listing) -> tuple[str, ...]:
    """Names of the domains that it was trained on."""
    if isinstance(card, Listing):
        return card.data
    return tuple(dict.fromkeys((*card.lineage, *(() if card.domain is None else (card.domain,)))))


def _hope(row: Unprobed, history: History) -> tuple[float, float, int, str]:
    far = np.inf if row.distance is None else row.distance.distance.value
    return (-history.advantage(row.checkpoint), float(far), -(row.parameters or 0), row.checkpoint)


def _downloads(card: Checkpoint | Listing, stated: Mapping[str, int]) -> int | None:
    """How often it was downloaded, as its hub stated when it was asked last; None where it was not."""
    if isinstance(card, Listing):
        counts = [stated[hub] for hub in (card.hub, *card.aliases) if hub in stated]
        return max(counts, default=None)
    return None if card.locator is None else stated.get(card.locator.hub)
