"""LEEP: log expected empirical prediction of the labels from the source head's classes (Nguyen et al. 2020)."""

from jaxtyping import Real, Shaped

from recommender.transfer.probabilities import log_expected_prediction, source_probabilities
from recommender.transfer.targets import group_numbers, parse_targets
from registry.features import Array
from registry.targets import Targets

__all__ = ["leep"]


def leep(
    features: Real[Array, "n z"],
    targets: Targets | Shaped[Array, "m ..."],
    *,
    groups: Shaped[Array, " g"] | None = None,
) -> float:
    """Mean log likelihood of the labels; ``features`` are the source head's class probabilities. At most 0.

    Nothing is left out, so ``groups`` change nothing.

    Raises:
        NotProbabilities: a row is negative somewhere or does not sum to 1; else as `ScoreFunction`.
    """
    head = source_probabilities(features, "leep")
    group_numbers(groups, len(head))
    return log_expected_prediction(head, parse_targets(targets, len(head), "leep").columns)
