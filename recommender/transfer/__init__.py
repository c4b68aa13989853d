"""Transferability scores: how well features of one checkpoint carry the labels; higher is better.

To add a score: a file here and a line in `scores`, or an entry point of a plug-in; either way it is reported beside
every candidate. It moves the advice where it is a `ComparableScore`: it states the metrics that it estimates, and its
standard error (weighed in `recommender.rank`). All others are in units of their own, which no ranking can add up.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, cast, runtime_checkable

from jaxtyping import Real, Shaped

from recommender.transfer.decomposition import Decomposition
from registry.cards import Metric
from registry.features import Array
from registry.plugins import Plugins
from registry.targets import Targets

__all__ = ["FROM_THE_SOURCE_HEAD", "ComparableScore", "ScoreFunction", "scores"]


FROM_THE_SOURCE_HEAD = ("leep", "nce")
"""Those of ours that read a source head's class probabilities and not features."""


@runtime_checkable
class ScoreFunction(Protocol):
    """What every score promises: higher is better, blind to the order of the rows and to the names of the classes.

    ``features`` may be a `Decomposition`, so that several scores share one. `Targets` carry their task; values without
    one are classes, numbers or text (`recommender.transfer.targets.parse_targets` reads and checks either). ``groups``
    name rows that belong together; a score that leaves rows out leaves out whole groups.
    """

    def __call__(
        self,
        features: Real[Array, "n d"] | Decomposition,
        targets: Targets | Shaped[Array, "m ..."],
        *,
        groups: Shaped[Array, " g"] | None = None,
    ) -> float:
        """The score."""


@runtime_checkable
class ComparableScore(ScoreFunction, Protocol):
    """A score that is an estimate of the task's metric on its own scale, and so may take part in ranking.

    It estimates what a head on the features would score on rows that it was not fitted on: 0 to 1 for an accuracy.
    How much it counts follows from what it states and from how it agrees with the probes (`recommender.rank`).
    """

    @property
    def metrics(self) -> frozenset[Metric]:
        """The metrics that it estimates; of samples that are judged by another one it is reported, and no more."""

    @property
    def standard_error(self) -> float:
        """How far it may be off the score of a head on new rows, as a standard deviation in the metric's unit."""


def _ours(module: str, name: str = "") -> Callable[[], ScoreFunction]:
    return lambda: cast("ScoreFunction", getattr(import_module(f"recommender.transfer.{module}"), name or module))


scores: Plugins[ScoreFunction] = Plugins(
    "score",
    "transferzoo.scores",
    {
        "logme": _ours("logme"),
        "hscore": _ours("hscore"),
        "knn": _ours("knn", "knn_score"),
        "linear": _ours("linear"),
        "leep": _ours("leep"),
        "nce": _ours("nce"),
        "nleep": _ours("nleep"),
        "gbc": _ours("gbc"),
        "transrate": _ours("transrate"),
        "parc": _ours("parc"),
    },
    promise=ScoreFunction,
)
