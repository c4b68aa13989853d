"""H-score against the direct formula, its shrinkage weight against scikit-learn's."""

import numpy as np
import pytest
from sklearn.covariance import LedoitWolf

from recommender.transfer.hscore import hscore


def direct(features, labels):
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    fitted = LedoitWolf().fit(standard)
    means = np.array([standard[labels == label].mean(axis=0) for label in labels])
    between = means.T @ means / len(labels)
    return (1 - fitted.shrinkage_) * np.trace(np.linalg.inv(fitted.covariance_) @ between)


@pytest.mark.parametrize(
    ("rows", "columns"), [(200, 10), (50, 50), (30, 90), (40, 1)], ids=["n > d", "n = d", "n < d", "one column"]
)
@pytest.mark.parametrize("separation", [0.0, 0.5, 2.0])
def test_it_is_the_trace_it_claims_to_be(rows, columns, separation):
    random = np.random.default_rng(rows)
    labels = np.arange(rows) % 3
    features = separation * random.normal(size=(3, columns))[labels] + random.normal(size=(rows, columns))
    assert hscore(features, labels) == pytest.approx(direct(features, labels), rel=1e-9)
