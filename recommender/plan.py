"""Step 4: chooses the freeze strategy: evidence -> a plan with reasons, its expected score and its cost.

What each strategy freezes is decided in its own file, `recommender.strategies`.

What training adds to the probe is expressed as the share of the probe's error that it removes. Before any history
that share follows the published gap between fine-tuned and frozen accuracy; it shrinks with the number of rows, grows
where the curve over blocks says that the upper blocks are too specialized, and is moved by results on other samples.
A result on the same sample moves the expectation of every strategy of its checkpoint. What a plug-in strategy states of
itself counts as that many results on other samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from recommender.history import Correction, History
from recommender.results import Baseline, Choice, Evidence, Expected, Plan, Ranked, Realized, StatedGain
from recommender.strategies import EvidencedStrategy, strategies
from recommender.strategies.cost import estimate
from recommender.strategies.rules import require_fitting, require_head
from registry.cards import Metric, Outcome
from registry.errors import NotOffered, PluginUnusable, UnknownName
from registry.metrics import Z
from registry.modalities import modalities
from registry.plugins import warn_of_plugin
from registry.sample import Sample

__all__ = ["OFFERED", "choose_plan", "controlled"]

OFFERED = ("linear-probe", "lp-ft")
"""Strategies considered unless one is asked for, cheapest first; after them those that plug-ins bring."""
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
SHARED = 0.8
"""Share of the variance of a strategy's error that is its checkpoint's, and so the same for every strategy of it."""
SPECIALIZED = 1.5
"""Factor on that share where an earlier block reads the classes better than the last, beyond chance."""

_NOISE, _LEAST = 0.01, 0.005
"""Standard error of a result that tells none, and the least that any has."""
_MOST_REPORTED = 3
"""Results that are told."""
_COMMON = np.random.default_rng(0).standard_normal(500)
"""How well training does beside what is expected of it, in draws: as well for all plans, for the rows are the same."""


def choose_plan(
    ranked: Ranked,
    sample: Sample,
    reference: Baseline,
    history: History,
    *,
    strategy: str | None = None,
    fresh: tuple[int, int] | None = None,
) -> Choice:
    """The strategy with the best expected score that is worth its cost, or the one asked for.

    ``fresh`` are the rows of the sample, and of its test part, whose features are not kept yet; None for all of them.

    Raises:
        NotOffered: the strategy asked for does not fit.
        UnknownName: no such strategy.
    """
    evidence = _evidence(ranked, sample, reference)
    if strategy is not None:
        return _choice(_plan_of(strategy, evidence), evidence, sample, reference, history, fresh, ())
    ours: list[Choice] = []
    brought: list[Choice] = []
    refused = []
    handful = evidence.rows < HANDFUL_ROWS * evidence.classes
    shipped = HANDFUL if handful else OFFERED
    for name in (*shipped, *strategies.brought):
        offers = ours if name in shipped else brought
        try:
            offers.append(_choice(_plan_of(name, evidence), evidence, sample, reference, history, fresh, ()))
        except NotOffered as reason:
            refused.append(f"{name} is not offered: {reason.why}")
        except PluginUnusable as failure:
            warn_of_plugin("strategy", name, failure)
    best, *others = (*ours, *sorted(brought, key=lambda offer: offer.cost.seconds))
    for offer in others:
        if offer.expected.mean > best.expected.mean + WORTH:
            best = offer
    return _choice(best.plan, evidence, sample, reference, history, fresh, tuple(refused))


def controlled(planned: Plan, *, wanted: bool) -> Plan:
    """The plan with all controls that fit it, or with none."""
    fitting = ("no-transfer", "scratch") if planned.stages and not planned.from_scratch else ("no-transfer",)
    return replace(planned, controls=fitting if wanted else ())


def _evidence(ranked: Ranked, sample: Sample, reference: Baseline) -> Evidence:
    blocks = tuple(score.block for score in ranked.transferability.blocks)
    counts = sample.counts
    return Evidence(
        ranked,
        len(sample.items),
        len(counts) or 1,
        min(counts.values(), default=len(sample.items)),
        reference,
        ranked.checkpoint.architecture,
        blocks,
        sample.task,
    )


def _plan_of(strategy: str, evidence: Evidence) -> Plan:
    """The strategy's plan; whatever a plug-in raises, and a plan that does not fit the net, is a refusal."""
    try:
        planned = strategies[strategy](evidence)
    except (NotOffered, UnknownName, PluginUnusable):
        raise
    except Exception as failure:
        if strategy not in strategies.brought:
            raise
        raise NotOffered(strategy, f"its plug-in failed: {type(failure).__name__}: {failure}") from failure
    if strategy in strategies.brought:
        require_fitting(strategy, planned, evidence.blocks)
    require_head(strategy, planned.head, evidence.task)
    return planned


def _stated(strategy: str, evidence: Evidence) -> StatedGain | None:
    """What a plug-in strategy states of its gain; None of one that states nothing, or nothing that can be."""
    if strategy not in strategies.brought:
        return None
    plugin = strategies[strategy]
    if not isinstance(plugin, EvidencedStrategy):
        return None
    try:
        stated = plugin.gain(evidence)
    except Exception as failure:
        raise NotOffered(strategy, f"its plug-in failed: {type(failure).__name__}: {failure}") from failure
    if not (-1 <= stated.share <= 1 and 0 <= stated.spread < np.inf and stated.cases >= 0):
        raise NotOffered(strategy, f"its plug-in states a gain that cannot be: {stated}")
    return stated


def _choice(
    planned: Plan,
    evidence: Evidence,
    sample: Sample,
    reference: Baseline,
    history: History,
    fresh: tuple[int, int] | None,
    also: tuple[str, ...],
) -> Choice:
    ranked, prior = evidence.ranked, _prior(planned, evidence, sample, history)
    earlier = history.on(sample.digest, ranked.checkpoint.name, prior.metric)
    guess, why = _after(prior, planned.strategy, earlier, evidence, sample, history)
    expected = Expected.around(guess.metric, guess.mean, Z * guess.deviation)
    gain = _gain(
        guess, prior, ranked, reference, floored=bool(planned.stages) and planned.head == "logistic" and not earlier
    )
    ranked = replace(ranked, gain=gain)
    if gain.low <= 0:
        planned = controlled(planned, wanted=True)
        why = (*why, "it does not beat no transfer beyond chance: the run is held against it")
    scored, card = ranked.transferability, ranked.checkpoint
    modality = modalities[card.modality]
    used = modality.defaults.used(card.input_size, card.cap)
    if used < card.input_size:
        size = f"{used} of its {card.input_size} {modality.words.unit}"
        why = (*why, f"inputs are made smaller, {size}: `zoo add ... --max-input {card.input_size}` uses all of them")
    elif card.cap is not None and used > modality.defaults.cap:
        usual = f"the usual {modality.defaults.cap}"
        why = (*why, f"inputs have {used} {modality.words.unit}, more than {usual}, as it was added")
    cost = estimate(
        planned,
        scored,
        evidence.rows,
        classes=evidence.classes,
        parameters=ranked.checkpoint.parameters,
        input_size=used,
        test_rows=None if sample.test is None else len(sample.test),
        fresh=fresh,
    )
    wider = guess.deviation / prior.deviation
    training = guess.training * _COMMON[: len(ranked.draws)]
    draws = guess.mean + wider * (ranked.draws - ranked.expected.mean + training)
    realized = tuple(Realized(o.id, o.strategy, o.score, o.standard_error) for o in earlier)
    return Choice(ranked, planned, expected, cost, (*planned.because, *why, *ranked.because, *also), draws, realized)


@dataclass(frozen=True)
class _Guess:
    """What a plan is thought to score, its standard deviation, and what training alone adds to that."""

    metric: Metric
    mean: float
    deviation: float
    training: float
    why: tuple[str, ...]


def _prior(planned: Plan, evidence: Evidence, sample: Sample, history: History) -> _Guess:
    """Before any result on the same sample."""
    probe = evidence.ranked.expected
    mean = _read_score(planned, evidence, probe.mean)
    deviation, spread = (probe.high - probe.low) / (2 * Z), 0.0
    why: tuple[str, ...] = ()
    if planned.head in {"prototype", "neighbors"}:
        deviation = float(np.hypot(deviation, UNPROBED))
        why = ("the expectation is that of a linear head, for this one was not probed",)
    if planned.stages:
        half = SCRATCH_HALF if planned.from_scratch else ROWS_HALF
        rows = evidence.rows if planned.from_scratch else _unseen(evidence, sample)
        reach = rows / (rows + half)
        stated = _stated(planned.strategy, evidence)
        known = None if stated is None else Correction(stated.share, stated.spread, stated.cases)
        learned = history.error_removed(planned.strategy, sample.digest, half, known)
        share = learned.mean * reach * _specialized(planned, evidence)
        mean, room = mean + share * (1 - mean), 1 - mean
        spread = learned.spread * room * reach
        deviation = float(np.hypot(deviation, spread))
        why = (f"training is expected to remove {100 * share:.0f} % of the probe's error",)
        if rows < evidence.rows:
            why = (f"{why[0]}: it has learned from all but {rows:,} of the rows before",)
        if stated is not None:
            of = f"{stated.cases:,} {'case' if stated.cases == 1 else 'cases'}"
            why = (*why, f"its plug-in states that it removes {100 * stated.share:.0f} %, on {of} ({stated.source})")
    return _Guess(probe.metric, mean, max(deviation, _LEAST), spread, why)


def _after(
    prior: _Guess, strategy: str, earlier: Sequence[Outcome], evidence: Evidence, sample: Sample, history: History
) -> tuple[_Guess, tuple[str, ...]]:
    """The expectation after results of the same checkpoint on the same sample, by any strategy.

    How far each result lay from what was expected of it is an error of the checkpoint's, which `SHARED` of the variance
    of every strategy's has in common, and the strategy's own. Where errors are larger than thought, all deviations were
    too small, and are stretched until they fit: so what was measured outweighs what was thought.
    """
    if not earlier:
        return prior, prior.why
    before = [_thought(o.strategy, strategy, prior, evidence, sample, history) for o in earlier]
    noise = np.array([max(o.standard_error or _NOISE, _LEAST) for o in earlier]) ** 2
    error = np.array([o.score for o in earlier]) - np.array([guess.mean for guess in before])
    deviation = np.array([guess.deviation for guess in before])
    stretch = max(1.0, float(np.mean(error**2 / (deviation**2 + noise))))
    names = np.array([o.strategy for o in earlier])
    covariance = np.where(names[:, None] == names, 1.0, SHARED) * np.outer(deviation, deviation) * stretch
    ours = np.where(names == strategy, 1.0, SHARED) * deviation * prior.deviation * stretch
    weight = np.linalg.solve(covariance + np.diag(noise), ours)
    mean = float(np.clip(prior.mean + weight @ error, prior.metric.lowest, 1))
    left = max(stretch * prior.deviation**2 - float(weight @ ours), 0.0)
    again = float(np.min(noise))
    words = prior.metric.words
    reports = [
        f"{'the same tuning' if o.strategy == strategy else f'its {o.strategy}'} on this sample reached "
        f"{words(o.score)} before (expected was {words(guess.mean)})"
        for o, guess in zip(earlier[-_MOST_REPORTED:], before[-_MOST_REPORTED:], strict=True)
    ]
    return replace(prior, mean=mean, deviation=float(np.sqrt(left + again))), (*prior.why, *reports)


def _thought(strategy: str, ours: str, prior: _Guess, evidence: Evidence, sample: Sample, history: History) -> _Guess:
    """What was thought of a strategy of this checkpoint; of one that is not offered here, what the probe says."""
    if strategy == ours:
        return prior
    try:
        return _prior(_plan_of(strategy, evidence), evidence, sample, history)
    except (NotOffered, UnknownName):
        probe = evidence.ranked.expected
        return _Guess(probe.metric, probe.mean, max((probe.high - probe.low) / (2 * Z), _LEAST), 0.0, ())


def _gain(guess: _Guess, prior: _Guess, ranked: Ranked, reference: Baseline, *, floored: bool) -> Expected:
    """Expected minus no transfer, paired: the probe's rows are the baseline's.

    A training that does not help is undone (the fitted head stands), so that the probe's own lower end is one here.
    """
    mean = guess.mean - reference.expected.mean
    paired = (ranked.gain.high - ranked.gain.low) / (2 * Z)
    reach = Z * float(np.hypot(paired, guess.training)) * guess.deviation / prior.deviation
    low = max(mean - reach, min(mean, ranked.gain.low)) if floored else mean - reach
    return Expected(guess.metric, mean, low, mean + reach)


def _read_score(planned: Plan, evidence: Evidence, probed: float) -> float:
    """The probe's expected score, moved to the block that the plan reads."""
    scored = evidence.ranked.transferability
    curve = {row.block: row.score for row in scored.blocks}
    return float(np.clip(probed + curve[planned.read] - scored.read.score, evidence.ranked.expected.metric.lowest, 1))


def _unseen(evidence: Evidence, sample: Sample) -> int:
    """Rows that training could learn something new from."""
    exposure = evidence.ranked.transferability.candidate.exposure
    if exposure is None:
        return evidence.rows
    return int(exposure.unseen([item.digest for item in sample.items]).sum())


def _specialized(planned: Plan, evidence: Evidence) -> float:
    """More is to be gained where the upper blocks are too special to the source."""
    scored = evidence.ranked.transferability
    return 1.0 if planned.from_scratch or scored.read is scored.blocks[-1] else SPECIALIZED
