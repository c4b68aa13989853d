"""Group bootstrap of a metric: how far a score, or the difference of two, would move on other rows.

Rows that belong together are drawn together (cluster bootstrap; Cameron, Gelbach & Miller 2008). All draws are a few
matrix products (`registry.metrics`).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from registry.cards import Metric
from registry.metrics import weighted_scores

__all__ = ["Draws", "draw_weights", "resample"]


@dataclass(frozen=True, eq=False)
class Draws:
    """A metric on the rows as they are and on B bootstrap draws of them."""

    value: float
    draws: Float[np.ndarray, " B"]

    @property
    def standard_error(self) -> float:
        """Standard deviation over the draws."""
        return float(self.draws.std(ddof=1))

    def error_beside(self, other: "Draws") -> float:
        """Standard error of the difference from another that was judged on the same draws."""
        return float((self.draws - other.draws).std(ddof=1))


def draw_weights(groups: Int[np.ndarray, " n"], *, draws: int = 500, seed: int = 0) -> Float[np.ndarray, "B n"]:
    """How often each row is drawn, in each of ``draws`` draws of whole groups with replacement."""
    names, places = np.unique(groups, return_inverse=True)
    random = np.random.default_rng([seed, len(names)])
    counts = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    return counts[:, places].astype(np.float64)


def resample(
    metric: Metric,
    truth: Shaped[np.ndarray, "n ..."],
    predicted: Shaped[np.ndarray, "n ..."],
    weights: Float[np.ndarray, "B n"],
) -> Draws:
    """The metric of predictions (class numbers, 0 or 1 for each label, or quantities) and its bootstrap draws."""
    rows = np.vstack([np.ones((1, len(truth))), weights])
    values = weighted_scores(metric, truth, predicted, rows)
    return Draws(float(values[0]), values[1:])
