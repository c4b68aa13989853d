"""Step 3: history prior + probes -> predicted score of the probe's head with interval, P(best) and tiers.

The probe's cross-validated score is the mean; its interval adds the group bootstrap's variance, the spread between
folds and the chance error of the test part on which it will be judged. Outcomes of other samples correct the mean
and the spread (shrunk towards no correction); outcomes of the same sample are one more measurement.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from recommender.history import Correction, History
from recommender.resampling import Draws, Z, draw_weights, resample
from recommender.verdicts import Baseline, Expected, Ranked, Transferability
from registry.cards import Task
from registry.sample import Sample

__all__ = ["rank"]

DRAWS = 500


def rank(
    sample: Sample, digest: str, scored: Sequence[Transferability], reference: Baseline, history: History, *,
    folds: Int[np.ndarray, " n"], test_rows: int, seed: int = 0,
) -> tuple[Ranked, ...]:  # fmt: skip
    """Order the scored candidates, best first; ties (no difference beyond chance) share a tier.

    ``sample`` is what was probed, ``digest`` names the whole sample, ``test_rows`` is the size of the part on which a
    tuned model will be judged.
    """
    tested = folds >= 0
    weights = draw_weights(sample.group_ids, draws=DRAWS, seed=seed)[:, tested]
    truth = sample.targets[tested]
    drawn = [resample(sample.metric, truth, found.predicted[tested], weights) for found in scored]
    raw = resample(sample.metric, truth, reference.predicted[tested], weights)
    places = sorted(range(len(scored)), key=lambda i: _order(scored[i], drawn[i]))
    tiers = _tiers([drawn[i] for i in places])
    p_best = _p_best(drawn)
    learned = history.probe_error(digest)
    return tuple(
        Ranked(
            scored[i], _expected(sample, scored[i], drawn[i], learned, test_rows), float(p_best[i]), tier,
            _gain(sample, drawn[i], raw), _because(scored[i], learned, tier, len(scored)),
        )
        for i, tier in zip(places, tiers, strict=True)
    )  # fmt: skip


def _order(found: Transferability, draws: Draws) -> tuple[float, float, str]:
    return (-draws.value, -found.scores.get("logme", 0.0), found.candidate.checkpoint.name)


def _tiers(drawn: Sequence[Draws]) -> list[int]:
    """Best first: a new tier begins where the difference to the tier's leader lies beyond chance."""
    tiers: list[int] = []
    leader = 0
    for place, draws in enumerate(drawn):
        gap = drawn[leader].draws - draws.draws
        if place and np.quantile(gap, 0.05) > 0:
            leader = place
        tiers.append((tiers[-1] + (leader == place)) if tiers else 1)
    return tiers


def _p_best(drawn: Sequence[Draws]) -> Float[np.ndarray, " c"]:
    """Share of draws in which each candidate leads; ties count in parts."""
    table = np.stack([d.draws for d in drawn])
    leads = table >= table.max(axis=0) - 1e-12
    return np.asarray((leads / leads.sum(axis=0)).mean(axis=1))


def _expected(sample: Sample, found: Transferability, draws: Draws, learned: Correction, test_rows: int) -> Expected:
    mean = float(np.clip(draws.value + learned.mean, sample.metric.lowest, 1))
    folds = np.array(found.fold_scores)
    between = float(folds.var(ddof=1) / len(folds)) if len(folds) > 1 else 0.0
    chance = _chance(sample, mean, draws, max(test_rows, 1))
    deviation = float(np.sqrt(max(draws.standard_error**2, between) + chance + learned.spread**2))
    return Expected.around(sample.metric, mean, Z * deviation)


def _chance(sample: Sample, mean: float, draws: Draws, test_rows: int) -> float:
    """Variance of the score on a test part of that many rows: binomial, else as the bootstrap found it, by rows."""
    if sample.task is Task.CLASSIFICATION:
        return mean * (1 - mean) / test_rows
    return draws.standard_error**2 * len(sample) / test_rows


def _gain(sample: Sample, draws: Draws, raw: Draws) -> Expected:
    """The paired difference to no transfer; its bootstrap has the probe's rows in common."""
    mean = draws.value - raw.value
    deviation = draws.error_beside(raw)
    return Expected(sample.metric, mean, mean - Z * deviation, mean + Z * deviation)


def _because(found: Transferability, learned: Correction, tier: int, of: int) -> tuple[str, ...]:
    reasons = []
    distance = found.candidate.distance
    if distance is None:
        reasons.append("its source domain has no sketch here, so distance says nothing")
    elif distance.percentile is not None:
        reasons.append(
            f"its source {distance.domain} is nearer than {distance.percentile:.0f} % of the registry's domain pairs"
        )
    if tier == 1 and of > 1:
        reasons.append("no probed checkpoint is better beyond chance")
    if learned.outcomes:
        reasons.append(f"{learned.outcomes} earlier outcomes move the expectation by {learned.mean:+.3f}")
    return tuple(reasons)
