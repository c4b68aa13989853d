"""Distance of two mean embeddings: what the sketches of the registry say of two clouds, without the clouds.

The embeddings are those of `registry.sketch`: random Fourier features of the kernel that `mmd` uses, so the squared
distance estimates the biased MMD^2 (Gretton et al. 2012, eq. 5).
"""

import numpy as np
from jaxtyping import Float, Real

from recommender.distance.kernels import Groups, fixed_scale, median_distance, pool
from recommender.results import Distance
from registry.features import Array
from registry.sketch import Lens

__all__ = ["mean_embedding"]


def mean_embedding(
    x: Real[Array, "n d"],
    y: Real[Array, "m e"],
    *,
    seed: int = 0,
    groups: Groups | None = None,
    sigma: float | None = None,
    mean: Float[Array, " f"] | None = None,
    scale: Float[Array, " g"] | None = None,
) -> Distance:
    """Squared distance of the clouds' kernel means at random features, drawn by ``seed``; no interval, no p-value.

    ``sigma``, ``mean`` and ``scale`` as in `mmd`. It is biased upwards by about 1/n + 1/m. Nothing is left out or
    permuted, so ``groups`` change nothing.
    """
    pair = pool(x, y, groups, None if sigma is None else fixed_scale(np.shape(x)[-1], mean, scale))
    width = median_distance(pair) if sigma is None else sigma
    columns = pair.rows.shape[1]
    lens = Lens("this pair", "any", "this pair", np.zeros(columns), np.ones(columns), width, seed)
    apart = lens.embed(pair.rows[pair.first]).astype(np.float64) - lens.embed(pair.rows[~pair.first])
    value = float(np.square(apart).sum())
    return Distance("mean_embedding", value, value, details={"sigma": width})
