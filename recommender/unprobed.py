"""Checkpoints that are known but whose weights are not here: what is known of each before any probe, best first.

Nothing is fetched and no net is opened. The order is that of hope: published outcomes, each held against what others
scored on the same set, then the distance of the domain that it was trained on, then size. Beside them stand rivals,
which cost nothing to name: what a fixed preset would take whatever the data are, and what most people download.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from recommender.history import History
from recommender.results import Choice, DomainDistance, Expected, Published, Rival, Skipped, Unprobed
from recommender.shortlist import Constraints
from registry.cards import Checkpoint, Origin
from registry.listings import Listing
from registry.zoo import Zoo

__all__ = ["rivals", "trained_on", "unprobed", "within_budget"]


def unprobed(
    zoo: Zoo,
    modality: str,
    distances: Mapping[str, DomainDistance],
    history: History,
    constraints: Constraints,
) -> tuple[tuple[Unprobed, ...], tuple[Skipped, ...]]:
    """What is not here and within the constraints, best first; and why the rest is not."""
    rows: list[Unprobed] = []
    left: list[Skipped] = []
    for listing in _absent(zoo, modality):
        objection = constraints.objection(listing, zoo)
        if objection is None:
            rows.append(_row(listing, distances, history))
        else:
            left.append(Skipped(listing.name, objection))
    rows.sort(key=lambda row: _hope(row, history))
    return tuple(rows), tuple(left)


def trained_on(zoo: Zoo, modality: str) -> tuple[str, ...]:
    """The domains that checkpoints which are not here were trained on, by name."""
    return tuple(sorted({domain for listing in _absent(zoo, modality) for domain in listing.data}))


def within_budget(rows: Iterable[Unprobed], disk: int | None, most: int) -> tuple[Unprobed, ...]:
    """The first ``most`` of them that fit together into so many bytes, if any are given; unknown sizes do not."""
    chosen: list[Unprobed] = []
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
    here = {card.name for card in zoo.checkpoints(modality) if zoo.here(card)}
    found: list[Rival] = []
    for listing in zoo.listings(modality):
        for preset in listing.facts.get("preset", ()):
            why = constraints.objection(listing, zoo)
            said = "whatever the data are" if why is None else f"whatever the data are; out here: {why}"
            found.append(
                Rival(f"preset of {preset.value}", listing.name, listing.name in here, expected.get(listing.name), said)
            )
    return (*found, _most_downloaded(zoo, modality, constraints, expected, here))


def _most_downloaded(
    zoo: Zoo, modality: str, constraints: Constraints, expected: Mapping[str, Expected], here: set[str]
) -> Rival:
    counts: dict[str, int] = {}
    cards: list[Checkpoint | Listing] = [*zoo.checkpoints(modality), *zoo.listings(modality)]
    for card in cards:
        count = _downloads(card)
        if count is not None and constraints.objection(card, zoo) is None:
            counts[card.name] = count
    if not counts:
        why = f"how often any of the {len(cards)} known ones was downloaded is not known here"
        return Rival("most downloaded", None, False, None, why)
    name = min(counts, key=lambda one: (-counts[one], one))
    return Rival("most downloaded", name, name in here, expected.get(name), f"{counts[name]:,} downloads")


def _absent(zoo: Zoo, modality: str) -> tuple[Listing, ...]:
    """Listings that no registered checkpoint is the weights of."""
    registered = {card.name for card in zoo.checkpoints(modality)}
    return tuple(listing for listing in zoo.listings(modality) if listing.name not in registered)


def _row(listing: Listing, distances: Mapping[str, DomainDistance], history: History) -> Unprobed:
    measured = [distances[domain] for domain in listing.data if domain in distances]
    published = [
        Published(outcome.sample_name, outcome.strategy, outcome.metric, outcome.score, outcome.citation)
        for outcome in history.outcomes
        if outcome.checkpoint == listing.name and outcome.origin is Origin.PUBLISHED
    ]
    return Unprobed(
        listing.name,
        listing.hub,
        listing.parameters,
        listing.bytes,
        listing.licenses,
        listing.data,
        min(measured, key=lambda row: row.distance.value, default=None),
        tuple(sorted(published, key=lambda row: (row.sample, row.strategy))),
    )


def _hope(row: Unprobed, history: History) -> tuple[float, float, int, str]:
    far = np.inf if row.distance is None else row.distance.distance.value
    return (-history.advantage(row.checkpoint), float(far), -(row.parameters or 0), row.checkpoint)


def _downloads(card: Checkpoint | Listing) -> int | None:
    """How often it was downloaded, where that is stated."""
    if isinstance(card, Listing):
        stated = [fact.number[0] for fact in card.facts.get("downloads", ()) if fact.number is not None]
        return round(max(stated)) if stated else None
    count = card.claimed.get("downloads")
    return count if isinstance(count, int) else None
