"""Step 4: evidence -> a plan with reasons, its expected score and its cost.

What training adds to the probe is expressed as the share of the probe's error that it removes. Before any history
that share follows the published gap between fine-tuned and frozen accuracy; it shrinks with the number of rows, grows
where the curve over blocks says that the upper blocks are too specialized, and is moved by results on other samples.
"""

from dataclasses import replace

import numpy as np

from recommender.history import History
from recommender.resampling import Z
from recommender.strategies import strategies
from recommender.strategies.cost import estimate
from recommender.strategies.rules import require_head
from recommender.verdicts import Baseline, Choice, Evidence, Expected, Plan, Ranked
from registry.errors import NotOffered
from registry.sample import Sample

__all__ = ["OFFERED", "controlled", "plan"]

OFFERED = ("linear-probe", "lp-ft")
"""Strategies considered unless one is asked for, cheapest first."""
HANDFUL = ("prototype", "linear-probe")
"""As above, below `HANDFUL_ROWS` rows a class: a class mean beat a fitted head by .04 on one row, by .00 on two."""
HANDFUL_ROWS = 3
UNPROBED = 0.05
"""Standard deviation that a head other than the probe's adds to what is expected of it."""
WORTH = 0.02
"""Expected gain below which training is not worth its cost."""
ROWS_HALF = 600
"""Rows at which training removes half of what it removes on ample rows; on 150 it removed next to nothing (LOG.md)."""
SCRATCH_HALF = 50_000
"""The same of training from random weights."""
SPECIALIZED = 1.5
"""Factor on that share where an earlier block reads the classes better than the last, beyond chance."""


def plan(
    ranked: Ranked, sample: Sample, reference: Baseline, history: History, *, strategy: str | None = None
) -> Choice:
    """The strategy with the best expected score that is worth its cost, or the one asked for.

    Raises:
        NotOffered: the strategy asked for does not fit.
        UnknownName: no such strategy.
    """
    evidence = _evidence(ranked, sample, reference)
    if strategy is not None:
        return _choice(_made(strategy, evidence), evidence, sample, history, ())
    offers, refused = [], []
    handful = evidence.rows < HANDFUL_ROWS * evidence.classes
    for name in HANDFUL if handful else OFFERED:
        try:
            offers.append(_choice(_made(name, evidence), evidence, sample, history, ()))
        except NotOffered as reason:
            refused.append(f"{name} is not offered: {reason.why}")
    best = offers[0]
    for offer in offers[1:]:
        if offer.expected.mean > best.expected.mean + WORTH:
            best = offer
    return _choice(best.plan, evidence, sample, history, tuple(refused))


def controlled(made: Plan, *, wanted: bool) -> Plan:
    """The plan with all controls that fit it, or with none."""
    fitting = ("no-transfer", "scratch") if made.stages and not made.from_scratch else ("no-transfer",)
    return replace(made, controls=fitting if wanted else ())


def _evidence(ranked: Ranked, sample: Sample, reference: Baseline) -> Evidence:
    blocks = tuple(score.block for score in ranked.transferability.blocks)
    counts = sample.counts
    return Evidence(
        ranked, len(sample.items), len(counts) or 1, min(counts.values(), default=len(sample.items)), reference,
        ranked.checkpoint.architecture, blocks, sample.task,
    )  # fmt: skip


def _made(strategy: str, evidence: Evidence) -> Plan:
    made = strategies[strategy](evidence)
    require_head(strategy, made.head, evidence.task)
    return made


def _choice(made: Plan, evidence: Evidence, sample: Sample, history: History, also: tuple[str, ...]) -> Choice:
    expected, why = _expected(made, evidence, sample, history)
    ranked = evidence.ranked
    if ranked.gain.low <= 0:
        made = controlled(made, wanted=True)
        why = (*why, "its probe does not beat no transfer beyond chance: the run is held against it")
    found = ranked.transferability
    cost = estimate(
        made, ranked.checkpoint, evidence.rows, found.forward_seconds, width=found.width, classes=evidence.classes
    )
    return Choice(ranked, made, expected, cost, (*made.because, *why, *ranked.because, *also))


def _expected(made: Plan, evidence: Evidence, sample: Sample, history: History) -> tuple[Expected, tuple[str, ...]]:
    probe = evidence.ranked.expected
    mean = _read_score(made, evidence, probe.mean)
    deviation = (probe.high - probe.low) / (2 * Z)
    why: tuple[str, ...] = ()
    if made.head in {"prototype", "neighbors"}:
        deviation = float(np.hypot(deviation, UNPROBED))
        why = ("the expectation is that of a linear head, for this one was not probed",)
    if made.stages:
        half = SCRATCH_HALF if made.from_scratch else ROWS_HALF
        reach = evidence.rows / (evidence.rows + half)
        learned = history.error_removed(made.strategy, sample.digest, half)
        share = learned.mean * reach * _specialized(made, evidence)
        mean, room = mean + share * (1 - mean), 1 - mean
        deviation = float(np.hypot(deviation, learned.spread * room * reach))
        why = (f"training is expected to remove {share:.0%} of the probe's error",)
    earlier = history.same(sample.digest, evidence.ranked.checkpoint.name, made.strategy)
    if earlier:
        mean, deviation = _combined(mean, deviation, [o.score for o in earlier], earlier[-1].standard_error)
        why = (*why, f"the same tuning on this sample reached {earlier[-1].score:.3f} before")
    return Expected.around(probe.metric, mean, Z * deviation), why


def _read_score(made: Plan, evidence: Evidence, probed: float) -> float:
    """The probe's expected score, moved to the block that the plan reads."""
    found = evidence.ranked.transferability
    curve = {row.block: row.score for row in found.blocks}
    return float(np.clip(probed + curve[made.read] - found.read.score, evidence.ranked.expected.metric.lowest, 1))


def _specialized(made: Plan, evidence: Evidence) -> float:
    """More is to be gained where the upper blocks are too special to the source."""
    found = evidence.ranked.transferability
    return 1.0 if made.from_scratch or found.read is found.blocks[-1] else SPECIALIZED


def _combined(mean: float, deviation: float, scores: list[float], error: float | None) -> tuple[float, float]:
    """Precision-weighted mean of the prediction and earlier results on the same sample."""
    ours = max(error or 0.01, 0.005) ** 2 / len(scores)
    theirs = max(deviation, 0.005) ** 2
    weight = theirs / (ours + theirs)
    both = weight * float(np.mean(scores)) + (1 - weight) * mean
    return both, float(np.sqrt(ours * theirs / (ours + theirs) + ours))
