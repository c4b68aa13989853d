"""Distances between two clouds of features in one space; smaller is nearer."""

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast, runtime_checkable

from jaxtyping import Real, Shaped

from recommender.results import Distance
from registry.features import Array
from registry.plugins import Plugins

__all__ = ["DistanceFunction", "distances"]


@runtime_checkable
class DistanceFunction(Protocol):
    """What every distance promises: ``value`` is at least 0, symmetric and blind to the order of the rows.

    ``groups`` is a pair, one for each cloud: rows that belong together are never separated by a fold, a resample or
    a permutation. Equal names in the two clouds are different groups.
    """

    def __call__(
        self,
        x: Real[Array, "n d"],
        y: Real[Array, "m e"],
        *,
        seed: int = 0,
        groups: tuple[Shaped[Array, " p"], Shaped[Array, " q"]] | None = None,
    ) -> Distance:
        """How far ``x`` lies from ``y``.

        Raises:
            NotFinite: a NaN or infinite value.
            TooFewRows: fewer than two rows, or two groups, in a cloud.
            WidthMismatch: the clouds differ in width.
            LengthMismatch: a cloud and its groups differ in length.
            NoVariation: all rows are identical.
        """


def _ours(module: str, name: str = "") -> Callable[[], DistanceFunction]:
    return lambda: cast("DistanceFunction", getattr(import_module(f"recommender.distance.{module}"), name or module))


distances: Plugins[DistanceFunction] = Plugins(
    "distance",
    "transferzoo.distances",
    {
        "mmd": _ours("mmd"),
        "knn": _ours("knn", "knn_distance"),
        "classifier": _ours("classifier"),
        "energy": _ours("energy"),
        "frechet": _ours("frechet"),
        "mean_embedding": _ours("mean_embedding"),
    },
    promise=DistanceFunction,
)
