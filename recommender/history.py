"""History: what became of earlier fine-tunings, as the ranker and the planner read it.

Both corrections are shrunk towards the prior by the number of outcomes behind them. Only outcomes of *other* samples
correct; those of the same sample are measurements of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from recommender.results import Expected, RealizedRun, TrackRecord, TrackSummary
from registry.cards import Metric, Origin, Outcome
from registry.forms import from_json
from registry.metrics import Z

__all__ = ["Correction", "History", "track_record"]

PRIOR_OUTCOMES = 10
"""Outcomes that it takes to trust what was learned from them half."""
PRIOR_RESIDUALS = 3
"""Results that it takes to trust a checkpoint's mean residual half."""
PROBE_SPREAD = 0.02
"""Standard deviation of a linear head's test score around its cross-validated one, before any history."""
ADDED_SPREAD = 0.05
"""Standard deviation of what pretraining adds to the probe's score, up or down, before any history."""
SHARE = 0.2
SHARE_SPREAD = 0.4
"""Share of the probe's error that training removes on ample rows, and its spread, before any history.

On 600 rows it was .18 over pairs of all kinds and .05 over those that are advised, whose probe is the best of many
(LOG.md). Of the field: fine-tuned minus frozen accuracy, mean of ten ImageNet models, is .042 to .465 over eleven sets
(median .12), which is a fifth to a half of the frozen error on near domains.
"""


@dataclass(frozen=True)
class Correction:
    """A learned mean and a standard deviation around it, with the number of outcomes behind them."""

    mean: float
    spread: float
    outcomes: int


@dataclass(frozen=True)
class History:
    """Outcomes, read for what they say about a new case."""

    outcomes: tuple[Outcome, ...]

    def probe_error(self, digest: str) -> Correction:
        """Realized minus cross-validated score of linear heads on other samples."""
        pairs = self._elsewhere("linear-probe", digest)
        return _shrunk(pairs[:, 0] - pairs[:, 1], 0.0, PROBE_SPREAD)

    def error_removed(self, strategy: str, digest: str, half: int, stated: Correction | None = None) -> Correction:
        """Share of the probe's error that a training strategy would remove on ample rows, from other samples.

        ``half`` is the number of rows at which half of that is removed. What is ``stated`` of a strategy counts as so
        many outcomes elsewhere: it moves the prior that outcomes here correct.
        """
        elsewhere = self._elsewhere(strategy, digest)
        score, probe, rows = elsewhere[elsewhere[:, 1] < 1].T
        share = (score - probe) / (1 - probe) * (rows + half) / rows
        prior = SHARE, SHARE_SPREAD
        if stated is not None and stated.outcomes > 0:
            prior = _between(stated, *prior)
        return _shrunk(np.clip(share, -1, 1), *prior)

    def added(self, strategy: str, digest: str) -> Correction:
        """What a strategy's score had beside the probe's, on other samples; before any, as much up as down."""
        pairs = self._elsewhere(strategy, digest)
        return _shrunk(pairs[:, 0] - pairs[:, 1], 0.0, ADDED_SPREAD)

    def on(self, digest: str, checkpoint: str, metric: Metric) -> tuple[Outcome, ...]:
        """Earlier results of a checkpoint on the same sample by the same metric, of any strategy; oldest first."""
        matching = (
            o for o in self.outcomes if o.sample_digest == digest and o.checkpoint == checkpoint and o.metric is metric
        )
        return tuple(sorted(matching, key=lambda o: (o.created, o.id)))

    def advantage(self, checkpoint: str) -> float:
        """How much better than the mean of all checkpoints it scored on the same samples, shrunk by their number."""
        beyond = [self._means[o.sample_digest, o.metric, o.strategy] for o in self._of(checkpoint)]
        if not beyond:
            return 0.0
        residuals = [o.score - mean for o, mean in zip(self._of(checkpoint), beyond, strict=True)]
        return float(sum(residuals) / (len(residuals) + PRIOR_RESIDUALS))

    @cached_property
    def _means(self) -> dict[tuple[str, Metric, str], float]:
        """Mean score over checkpoints, by sample, metric and strategy."""
        scores: dict[tuple[str, Metric, str], list[float]] = {}
        for o in self.outcomes:
            scores.setdefault((o.sample_digest, o.metric, o.strategy), []).append(o.score)
        return {key: float(np.mean(values)) for key, values in scores.items()}

    def _of(self, checkpoint: str) -> list[Outcome]:
        return [o for o in self.outcomes if o.checkpoint == checkpoint]

    def _elsewhere(self, strategy: str, digest: str) -> Float[np.ndarray, "n 3"]:
        """Score, the probe's score and rows of each outcome."""
        rows = [
            (o.score, float(str(o.conditions["probe"])), o.rows_train)
            for o in self.outcomes
            if o.origin is Origin.OURS
            and o.strategy == strategy
            and o.sample_digest != digest
            and "probe" in o.conditions
        ]
        return np.array(rows, np.float64).reshape(-1, 3)


def track_record(outcomes: Iterable[Outcome]) -> TrackRecord:
    """Expected against realized score of all tunings made here, without those on rows that were seen before."""
    ours = [
        one
        for one in outcomes
        if one.origin is Origin.OURS
        and isinstance(one.conditions.get("expected"), Mapping)
        and not one.conditions.get("flattered")
    ]
    ours.sort(key=lambda one: (one.created, one.id), reverse=True)
    runs = tuple(_realized(one) for one in ours)
    by = [
        {key: [run for run in runs if key in (run.strategy, run.modality)] for key in dict.fromkeys(keys)}
        for keys in ((run.strategy for run in runs), (run.modality for run in runs))
    ]
    strategies, modalities = ({name: _summary(some) for name, some in groups.items()} for groups in by)
    return TrackRecord(_summary(runs) if runs else None, strategies, modalities, runs)


def _realized(one: Outcome) -> RealizedRun:
    expected = from_json(Expected, one.conditions["expected"])
    of = one.id, one.sample_name, one.checkpoint, one.strategy, one.modality, one.metric
    return RealizedRun(*of, expected.mean, expected.low, expected.high, one.score)


def _summary(runs: Sequence[RealizedRun]) -> TrackSummary:
    """Wilson's interval (1927) is that of few runs, too."""
    n, covered = len(runs), sum(run.within for run in runs)
    off = np.array([run.score - run.expected for run in runs])
    share, square = covered / n, Z**2
    middle = (share + square / (2 * n)) / (1 + square / n)
    reach = Z / (1 + square / n) * float(np.sqrt(share * (1 - share) / n + square / (4 * n**2)))
    error = float(off.std(ddof=1) / np.sqrt(n)) if n > 1 else None
    bias, mean_off = float(off.mean()), float(np.abs(off).mean())
    return TrackSummary(n, covered, share, max(0.0, middle - reach), min(1.0, middle + reach), bias, error, mean_off)


def _between(stated: Correction, mean: float, spread: float) -> tuple[float, float]:
    """Mean and spread between a prior's and those that are stated, by the number of outcomes behind the latter.

    The distance between the two means is part of the spread: who states much on few cases is not sure of it.
    """
    weight = stated.outcomes / (stated.outcomes + PRIOR_OUTCOMES)
    middle = (1 - weight) * mean + weight * stated.mean
    variance = (1 - weight) * (spread**2 + (mean - middle) ** 2) + weight * (
        stated.spread**2 + (stated.mean - middle) ** 2
    )
    return middle, float(np.sqrt(variance))


def _shrunk(values: Float[np.ndarray, " n"], mean: float, spread: float) -> Correction:
    n = len(values)
    if n == 0:
        return Correction(mean, spread, 0)
    weight = n / (n + PRIOR_OUTCOMES)
    variance = (1 - weight) * spread**2 + weight * float(values.var())
    return Correction((1 - weight) * mean + weight * float(values.mean()), float(np.sqrt(variance)), n)
