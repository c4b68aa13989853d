"""Map of domains: classical multidimensional scaling of their distances (Torgerson 1952), and a sample laid onto it.

Sketches are mean embeddings, so that squared distances of domains are those of points; two axes keep what they can of
these. A sample is put where its own distances, of the same kind, fit best (Gower 1968).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from registry.zoo import Zoo

__all__ = ["DomainMap", "MapPoint", "domain_map"]

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


def domain_map(
    zoo: Zoo, modality: str, distances: Mapping[str, float] | None = None, *, sample: str = "your sample"
) -> DomainMap:
    """The map of a modality's domains; ``distances`` are a sample's squared MMDs, by domain, and lay it on the map."""
    sketched = [(card, sketch) for card in zoo.domains(modality) if (sketch := zoo.sketch(card.name)) is not None]
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
    return DomainMap(points, kept, MapPoint(sample, sample, "", x, y))


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
