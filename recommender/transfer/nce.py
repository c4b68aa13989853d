"""NCE: negative conditional entropy of the labels given the source head's class (Tran et al. 2019, eq. 6)."""

import numpy as np
from jaxtyping import Real, Shaped

from recommender.transfer.probabilities import source_probabilities
from recommender.transfer.targets import group_numbers, parse_targets
from registry.features import Array
from registry.targets import Targets

__all__ = ["nce"]


def nce(
    features: Real[Array, "n z"],
    targets: Targets | Shaped[Array, "m ..."],
    *,
    groups: Shaped[Array, " g"] | None = None,
) -> float:
    """-H(label | likeliest source class); ``features`` are the source head's class probabilities. At most 0.

    Nothing is left out, so ``groups`` change nothing.

    Raises:
        NotProbabilities: a row is negative somewhere or does not sum to 1; else as `ScoreFunction`.
    """
    head = source_probabilities(features, "nce")
    group_numbers(groups, len(head))
    columns = parse_targets(targets, len(head), "nce").columns
    named = np.eye(head.shape[1])[head.argmax(axis=1)]
    joint = columns.T @ named / len(head)
    conditional = joint / np.where(joint.sum(axis=0) > 0, joint.sum(axis=0), 1)
    return float((joint[joint > 0] * np.log(conditional[joint > 0])).sum())
