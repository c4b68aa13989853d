"""Map of domains: classical multidimensional scaling of their distances (Torgerson 1952), and a sample laid onto it.

Sketches are mean embeddings, so that squared distances of domains are those of points; two axes keep what they can of
these. A sample is put where its own distances, of the same kind, fit best (Gower 1968).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from registry.cards import Domain
from registry.sketch import Sketch
from registry.zoo import Zoo

__all__ = ["DomainMap", "Gap", "MapPoint", "Near", "domain_map", "gaps", "nearest"]

_FEWEST = 3
"""Distances from which a place in the plane can be told."""


@dataclass(frozen=True)
class MapPoint:
    """A domain, or the sample, on the map."""

    name: str
    title: str
    family: str
    x: float
    y: float


@dataclass(frozen=True)
class DomainMap:
    """The domains of a modality that have a sketch, in the plane."""

    points: tuple[MapPoint, ...]
    kept: float
    """Share of the variance of the domains that the plane shows, 0 to 1."""
    sample: MapPoint | None = None
    """None where no sample was given, or its distances are too few."""
    nearest: tuple[str, ...] = ()
    """The domains by their distance from the sample, which the plane shows in part; the nearest first."""


@dataclass(frozen=True)
class Near:
    """A domain beside another one."""

    name: str
    title: str
    distance: float
    """Squared MMD of the sketches."""


@dataclass(frozen=True)
class Gap:
    """A domain on which no checkpoint here was trained, and the nearest on which one was."""

    name: str
    title: str
    nearest: str | None
    distance: float | None
    """Squared MMD of the sketches; None where there is no such domain."""


def domain_map(
    zoo: Zoo, modality: str, distances: Mapping[str, float] | None = None, *, sample: str = "your sample"
) -> DomainMap:
    """The map of a modality's domains; ``distances`` are a sample's squared MMDs, by domain, and lay it on the map."""
    sketched = [*_sketches(zoo, modality).values()]
    if not sketched:
        return DomainMap((), 0.0)
    embeddings = np.stack([sketch.embedding.astype(np.float64) for _, sketch in sketched])
    embeddings -= embeddings.mean(axis=0)
    places, kept = _plane(embeddings)
    points = tuple(
        MapPoint(card.name, card.title, card.family, float(x), float(y))
        for (card, _), (x, y) in zip(sketched, places, strict=True)
    )
    measured = distances or {}
    known = [place for place, (card, _) in enumerate(sketched) if card.name in measured]
    if len(known) < _FEWEST:
        return DomainMap(points, kept)
    squares = np.array([measured[sketched[place][0].name] for place in known])
    x, y = _laid(places[known], squares - np.square(embeddings[known]).sum(axis=1))
    near = sorted((sketched[place][0].name for place in known), key=measured.__getitem__)
    return DomainMap(points, kept, MapPoint(sample, sample, "", x, y), tuple(near))


def nearest(zoo: Zoo, name: str) -> tuple[Near, ...]:
    """The other domains of a modality that have a sketch, the nearest first.

    Raises:
        UnknownName: there is no such domain.
    """
    sketches = _sketches(zoo, zoo.domain(name).modality)
    mine = sketches.pop(name, None)
    if mine is None:
        return ()
    rows = (Near(card.name, card.title, mine[1].squared_distance(sketch)) for card, sketch in sketches.values())
    return tuple(sorted(rows, key=lambda row: row.distance))


def gaps(zoo: Zoo, modality: str) -> tuple[Gap, ...]:
    """The sketched domains that no checkpoint here was trained on, the farthest from one that some was first."""
    sketches = _sketches(zoo, modality)
    trained = {card.domain for card in zoo.checkpoints(modality) if card.domain in sketches and zoo.here(card)}
    rows = []
    for card, sketch in sketches.values():
        if card.name not in trained:
            far, near = min(
                ((sketch.squared_distance(sketches[other][1]), other) for other in trained if other is not None),
                default=(None, None),
            )
            rows.append(Gap(card.name, card.title, near, far))
    return tuple(sorted(rows, key=lambda row: -(row.distance or 0.0)))


def _sketches(zoo: Zoo, modality: str) -> dict[str, tuple[Domain, Sketch]]:
    """The domains of a modality that have a sketch, by name."""
    known = ((card, zoo.sketch(card.name)) for card in zoo.domains(modality))
    return {card.name: (card, sketch) for card, sketch in known if sketch is not None}


def _plane(centered: Float[np.ndarray, "n e"]) -> tuple[Float[np.ndarray, "n 2"], float]:
    """The two directions in which the domains differ most, and the share of the variance along them.

    Each direction points to the side of the domain that lies farthest along it, so that the map is the same everywhere.
    """
    left, lengths, _ = np.linalg.svd(centered, full_matrices=False)
    places = np.zeros((len(centered), 2))
    taken = min(2, len(lengths))
    places[:, :taken] = left[:, :taken] * lengths[:taken]
    farthest = places[np.abs(places).argmax(axis=0), [0, 1]]
    whole = float(np.square(lengths).sum())
    return places * np.where(farthest < 0, -1.0, 1.0), float(np.square(lengths[:taken]).sum()) / whole if whole else 1.0


def _laid(places: Float[np.ndarray, "k 2"], beyond: Float[np.ndarray, " k"]) -> tuple[float, float]:
    """Where a point x lies whose squared distances exceed the squared norms of the domains by so much.

    |e - x|^2 - |e|^2 = c - 2 e.x is linear in x, and what lies off the plane is at right angles to what lies in it.
    """
    design = np.column_stack([-2 * places, np.ones(len(places))])
    solution = np.linalg.lstsq(design, beyond, rcond=None)[0]
    return float(solution[0]), float(solution[1])
