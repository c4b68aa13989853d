"""What is expected of checkpoints before any of them sees a row: history, distance and size.

The order is good for a start and no more: its intervals are wide, and a choice that rests on it is probed before it is
carried out (`recommender.service`).
"""

from collections.abc import Sequence
from zlib import crc32

import numpy as np

from recommender.fusion import ProbePrior
from recommender.race import LOOKED_SECONDS, LOOKED_WORK, row_work
from recommender.results import Baseline, BlockScore, Candidate, Expected, Ranked, Skipped, Transferability
from registry.metrics import Z
from registry.sample import Sample
from registry.zoo import Zoo

__all__ = ["foresee"]

_DRAWS = 500
_LEVELS = 0.05, 0.95
"""Between which a score is taken for a share, where differences in log-odds become differences of scores."""
UNKNOWN = 0.2
"""Deviation of a score of which nothing is known but what *no transfer* scores."""


def foresee(
    candidates: Sequence[Candidate],
    sample: Sample,
    reference: Baseline,
    known: ProbePrior,
    zoo: Zoo,
    *,
    keep: int,
    alike: bool = True,
    seed: int = 0,
) -> tuple[tuple[Ranked, ...], tuple[Skipped, ...]]:
    """The ``keep`` checkpoints of which most is expected, best first; who cannot be opened is skipped.

    Where what is ``known`` is not of samples that are ``alike``, it says in which order they stand and how far apart,
    not what they score.
    Nets are opened for the names of their blocks; no row is seen by any.
    """
    shares = [_nearness(candidate) for candidate in candidates]
    usual = float(np.mean([share for share in shares if share is not None] or [0.0]))
    nearer = [0.0 if share is None else share - usual for share in shares]
    metric, raw = sample.metric, reference.plain
    named = [(one.checkpoint.digest[:8] or one.checkpoint.name, one.checkpoint.parameters) for one in candidates]
    beside = [known.beside(name, near, size) for (name, size), near in zip(named, nearer, strict=True)]
    slope = (level := float(np.clip(raw, *_LEVELS))) * (1 - level)
    rows: list[tuple[Candidate, Expected, str]] = []
    for candidate, (name, size), near, own in zip(candidates, named, nearer, beside, strict=True):
        if alike:
            mean, deviation, probes = known.expect(raw, name, near, size)
            why = (
                f"expected from raw features' {metric.words(raw)}, its size, how near its domain is, and {probes:,} "
                f"probes of it on other samples; by {known.cases:,} probes in all"
            )
        else:
            mean, deviation = raw - slope * (max(beside) - own), UNKNOWN
            why = "nothing is known of probes of such samples"
            if any(beside):
                why += (
                    "; its place is what its size, how near its domain is, and it itself came to in "
                    f"{known.cases:,} probes of classes"
                )
        rows.append((candidate, Expected.around(metric, mean, Z * deviation), why))
    rows.sort(key=lambda row: -row[1].mean)
    ranked: list[Ranked] = []
    skipped: list[Skipped] = []
    for candidate, expected, why in rows:
        if len(ranked) == keep:
            skipped.append(Skipped(candidate.checkpoint.name, f"not probed: {keep} are expected to score more"))
            continue
        try:
            blocks = zoo.encoder(candidate.checkpoint.name).blocks
        except Exception as failure:  # a stranger's net may raise anything, and the others go on
            skipped.append(Skipped(candidate.checkpoint.name, str(failure) or type(failure).__name__))
        else:
            ranked.append(_ranked(candidate, blocks, expected, reference, why, seed))
    return tuple(ranked), tuple(skipped)


def _nearness(candidate: Candidate) -> float | None:
    distance = candidate.distance
    return None if distance is None or distance.percentile is None else distance.percentile / 100


def _ranked(
    candidate: Candidate, blocks: Sequence[str], expected: Expected, reference: Baseline, why: str, seed: int
) -> Ranked:
    """As a probe would have it, at the score that is expected after every block."""
    mean, reach = expected.mean, max(expected.high - expected.mean, expected.mean - expected.low)
    scored = Transferability(
        candidate,
        {},
        tuple(BlockScore(block, mean, reach / Z) for block in blocks),
        (),
        np.zeros(0),
        row_work(candidate) * LOOKED_SECONDS / LOOKED_WORK,
        believed=False,
    )
    raw = reference.expected
    beside = float(np.hypot(reach, (raw.high - raw.low) / 2))
    gain = Expected(expected.metric, mean - raw.mean, mean - raw.mean - beside, mean - raw.mean + beside)
    random = np.random.default_rng([seed, crc32(candidate.checkpoint.name.encode())])
    draws = mean + reach / Z * random.standard_normal(_DRAWS)
    return Ranked(scored, expected, 0.0, 1, gain, (f"not probed: {why}",), draws)
