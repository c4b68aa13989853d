"""Transferability scores: how well features of one checkpoint carry the labels; higher is better.

To add a score: a file here and a line in `scores`, or an entry point of a plug-in. It is then reported beside every
checkpoint (`recommender.probe._scores`). It changes the advice where it is a `ComparableScore`, which says how.

Four of ours have a part of their own in the advice, which no other score can take: the head of ``linear`` is the probe,
the best ``knn`` and ``hscore`` over the blocks are features of the fused expectation (`recommender.fusion.FEATURES`),
and ``logme`` decides between two that are expected to score the same (`recommender.rank._key`). All others are shown.
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
        """The score.

        Raises:
            NotFinite: a NaN or infinite value.
            TooFewRows: fewer than two rows, or than two groups where whole groups are left out.
            SingleClass: all rows are of one class.
            NoVariation: all rows of features, or all targets, are identical.
            LengthMismatch: targets or groups are not as many as the rows.
            NotDefined: the targets are of a task that the score has no definition for.
            UnusableLabels: labels of mixed kinds, or missing ones.
        """


@runtime_checkable
class ComparableScore(ScoreFunction, Protocol):
    """A score that is an estimate of the task's metric on its own scale, and so changes the advice.

    It estimates what a head on the features would score on rows that it was not fitted on: 0 to 1 for an accuracy.
    Three steps lead from here to the advice:

    1. Write it: a class whose objects are called as a `ScoreFunction` is, with the two properties below, and an object
       of it in `scores`.
    2. It is asked for each checkpoint, on the block that the probe reads, where the sample is judged by one of its
       ``metrics`` (`recommender.probe._estimates`).
    3. Its residuals from the probes, less their mean over the checkpoints, move what is expected of each by their share
       of the precision: the more, the smaller its ``standard_error`` beside the probe's own and the better it agrees
       with the probes (`recommender.rank._with_estimates`). So it needs two checkpoints, and what the probe is sure of
       it does not overrule.

    What it moved, and by how much, is a reason of the choice: "*name* (71.2 %) moves the expectation by +0.8 points".
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
