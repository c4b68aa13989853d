"""Step 5: chooses the freeze strategy: evidence -> a plan with reasons, its expected score and its cost.

Which strategy is advised is decided here and nowhere else: `choose_plan` weighs those that are offered,
`choose_affordable` takes a cheaper one where the best is beyond a limit, `plan_unprobed` plans for what nobody has
probed, `set_by_hand` and `controlled` change a plan as its user asks. What each strategy freezes is decided in its own
file, `recommender.strategies`.

What training adds to the probe is expressed as the share of the probe's error that it removes. Before any history
that share follows the published gap between fine-tuned and frozen accuracy; it shrinks with the number of rows, grows
where the curve over blocks says that the upper blocks are too specialized, and is moved by results on other samples.
A result on the same sample moves the expectation of every strategy of its checkpoint. What a plug-in strategy states of
itself counts as that many results on other samples.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from zlib import crc32

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr

from recommender.constraints import Constraints, Objection
from recommender.contributions import contribution_words
from recommender.fusion import AFRESH, Candidates, Kind, covered_range, kind_of
from recommender.history import PRIOR_OUTCOMES, PROBE_SPREAD, Correction, History
from recommender.results import (
    Baseline,
    Basis,
    Choice,
    Evidence,
    Expected,
    PassedOver,
    Plan,
    Ranked,
    Realized,
    StatedGain,
)
from recommender.strategies import EvidencedStrategy, strategies
from recommender.strategies.contrastive import FEW
from recommender.strategies.cost import estimate, passes, price
from recommender.strategies.rules import require_fitting, require_head
from registry.cards import Metric, Outcome
from registry.errors import NotOffered, PluginUnusable, UnknownName
from registry.metrics import Z
from registry.modalities import modalities
from registry.plugins import warn_of_plugin
from registry.sample import Sample

__all__ = [
    "ADAPTED",
    "MAY_WIN",
    "OFFERED",
    "UNSURE",
    "chance_of_more",
    "choose_affordable",
    "choose_plan",
    "controlled",
    "plan_unprobed",
    "set_by_hand",
]

OFFERED = ("linear-probe", "lp-ft")
"""Strategies considered unless one is asked for, cheapest first; after them those that plug-ins bring."""
HANDFUL = ("prototype", "linear-probe")
"""As above, below `HANDFUL_ROWS` rows a class: a class mean beat a fitted head by .04 on one row, by .00 on two."""
HANDFUL_ROWS = 3
CHEAPER = ("linear-probe", "prototype")
"""Strategies planned instead where the best one costs more than the limits allow, the better first."""
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
SHARED_AFRESH = 0.3
"""The same share between one of these and any other strategy."""
SPECIALIZED = 1.5
"""Factor on that share where an earlier block reads the classes better than the last, beyond chance."""

ADAPTED, ADAPTED_PAIRS = 0.017, 8
"""What going on with pretraining, on items without labels, added to LP-FT in the mean of so many trainings (LOG.md)."""

UNSURE = 0.5
"""How far towards the low end of its interval training from random weights that was not tried is weighed at.

Nothing known before a training foretells where it wins, and the best of several guesses is too often the least sure
(LOG.md).
"""
MAY_WIN = 0.25
"""Chance that it scores more than what is advised, from which that is told."""
_RUNNERS_UP = 2
"""Strategies that were passed over and are named."""
_MORE = (2, 4, 8, 16)
"""Times the rows for which it is asked whether another strategy would be advised."""
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
    fused: Candidates | None = None,
) -> Choice:
    """The strategy with the best expected score net of its cost, or the one asked for.

    ``fresh`` are the rows of the sample, and of its test part, whose features are not kept yet; None for all of them.
    ``fused`` knows what to expect of each strategy of each candidate; without it the probe and a prior speak.

    Raises:
        NotOffered: the strategy asked for does not fit.
        UnknownName: no such strategy.
    """
    setting = _Setting(_evidence(ranked, sample, reference), sample, reference, history, fresh, fused)
    if strategy is not None:
        return _choice(_plan_of(strategy, setting.evidence), setting)
    offers: list[Choice] = []
    refused = []
    shipped = _shipped(setting)
    for name in (*shipped, *strategies.brought):
        try:
            offers.append(_choice(_plan_of(name, setting.evidence), setting))
        except NotOffered as reason:
            if name in OFFERED or name in strategies.brought:
                refused.append(f"{name} is not offered: {reason.why}")
        except PluginUnusable as failure:
            warn_of_plugin("strategy", name, failure)
    best = _best(offers, setting)
    beside = {offer.plan.strategy: _beside(offer, setting) for offer in offers}
    others = sorted((offer for offer in offers if offer is not best), key=lambda offer: -beside[offer.plan.strategy])
    apart = [beside[offer.plan.strategy] - beside[best.plan.strategy] for offer in others]
    because = (*best.because, *_instead(best, others, apart, setting), *refused)
    passed_over = tuple(_passed_over(offer, best, by, setting) for offer, by in zip(others, apart, strict=True))
    return replace(best, because=because, passed_over=passed_over)


def choose_affordable(
    ranked: Ranked,
    sample: Sample,
    reference: Baseline,
    history: History,
    limits: Constraints,
    *,
    fresh: tuple[int, int] | None = None,
    fused: Candidates | None = None,
) -> tuple[Choice, tuple[Objection, ...]]:
    """The choice of `choose_plan`, else that of a strategy of `CHEAPER`, and the limits that even this one exceeds.

    A cheaper one says in its reasons which strategy is out, and why.
    """
    choose = partial(choose_plan, ranked, sample, reference, history, fresh=fresh, fused=fused)
    best = choose()
    objections = exceeded = limits.objections_to(best.cost)
    for strategy in CHEAPER if exceeded else ():
        with suppress(NotOffered):
            cheaper = choose(strategy=strategy)
            objections = limits.objections_to(cheaper.cost)
            if not objections:
                out = f"{best.plan.strategy} is out: {exceeded[0].reason}"
                return replace(cheaper, because=(out, *cheaper.because)), ()
    return best, objections


def plan_unprobed(ranked: Ranked, sample: Sample, reference: Baseline) -> Choice:
    """A linear probe, for a checkpoint that nobody has probed; its reasons are those of its expectation alone."""
    choice = choose_plan(ranked, sample, reference, History(()), strategy="linear-probe")
    because = (*ranked.because, "a linear probe is planned, for nothing is known of its blocks yet")
    scored = replace(choice.ranked.transferability, blocks=())
    plan = replace(choice.plan, because=because[-1:])
    return replace(choice, ranked=replace(choice.ranked, transferability=scored), because=because, plan=plan)


def _shipped(setting: "_Setting") -> tuple[str, ...]:
    """Our strategies that are considered: all whose expectation is fused, else a cheap one and a thorough one."""
    evidence, fused = setting.evidence, setting.fused
    few = ("contrastive",) if evidence.rows < FEW * evidence.classes else ()
    if evidence.rows < HANDFUL_ROWS * evidence.classes:
        return (*HANDFUL, *few)
    offered = (*OFFERED, *few, *(("domain-adaptive",) if evidence.unlabelled else ()))
    name = evidence.ranked.checkpoint.name
    if fused is None or fused.expect(name, "lp-ft", Kind.TRAINING, evidence.rows, 1) is None:
        return offered
    ours = (one for one in strategies if one not in strategies.brought)
    return tuple(one for one in ours if one in offered or fused.measured(name, one))


def _best(offers: Sequence[Choice], setting: "_Setting") -> Choice:
    """The best expectation net of its cost; ties go to the cheaper.

    Without fused expectations a training, and any strategy of a plug-in, has to be better by `WORTH`.
    """
    if all(offer.basis is not None for offer in offers):
        evidence = setting.evidence
        return max(
            offers, key=lambda offer: (_net(offer, setting), -passes(offer.plan, evidence.blocks, evidence.rows))
        )
    own = [offer for offer in offers if offer.plan.strategy not in strategies.brought]
    brought = sorted((offer for offer in offers if offer not in own), key=lambda offer: offer.cost.seconds)
    best = own[0] if any(offer.basis is None for offer in own) else _best(own, setting)
    for offer in (*own, *brought):
        if offer is not best and offer.basis is None and offer.expected.mean > best.expected.mean + WORTH:
            best = offer
    return best


def _net(offer: Choice, setting: "_Setting") -> float:
    """The score that strategies of a checkpoint are compared by, less what its cost is worth."""
    unsure = 0.0
    if offer.plan.from_scratch and not _measured(offer, setting):
        unsure = UNSURE * (offer.expected.mean - offer.expected.low)
    return _beside(offer, setting) - unsure - price(offer.plan, setting.evidence.blocks, setting.evidence.rows)


def _measured(offer: Choice, setting: "_Setting") -> bool:
    """Whether its strategy was tried or carried out on this sample."""
    on = setting.history.on(setting.sample.digest, offer.checkpoint.name, offer.expected.metric)
    return any(outcome.strategy == offer.plan.strategy for outcome in on)


def _beside(offer: Choice, setting: "_Setting") -> float:
    """The score by which strategies of a checkpoint are compared: of a training, its head's and what it adds to that.

    What either is expected to score is less sure than their difference, which was measured on the same test rows.
    """
    return offer.expected.mean + _paired(offer.plan, setting)


def _paired(planned: Plan, setting: "_Setting") -> float:
    """What pairs say that a training adds to its head, less what the expectations of both say; 0 where none does."""
    fused, evidence = setting.fused, setting.evidence
    kind = kind_of(planned.strategy, {"from_scratch": planned.from_scratch, "stages": planned.stages})
    if fused is None or kind is not Kind.TRAINING or planned.strategy in strategies.brought:
        return 0.0
    rows, epochs = max(1, _unseen(evidence, setting.sample)), sum(stage.epochs for stage in planned.stages)
    strategy = planned.strategy if planned.pretraining is None else _like(planned)
    added = fused.added(evidence.ranked.checkpoint.name, strategy, kind, rows, epochs)
    if added is None:
        return 0.0
    added += _adapted(planned, setting)
    return _prior(_plan_of("linear-probe", evidence), setting).mean + added - _prior(planned, setting).mean


def _passed_over(offer: Choice, best: Choice, apart: float, setting: "_Setting") -> PassedOver:
    """What was passed over, with what it is expected to score ``apart`` from the best."""
    e, lowest = offer.expected, offer.expected.metric.lowest
    moved = best.expected.mean + apart - e.mean
    mean, low, high = (float(np.clip(end + moved, lowest, 1)) for end in (e.mean, e.low, e.high))
    effort = passes(offer.plan, setting.evidence.blocks, setting.evidence.rows)
    return PassedOver(offer.plan.strategy, mean, low, high, effort)


def _instead(best: Choice, others: Sequence[Choice], apart: Sequence[float], setting: "_Setting") -> tuple[str, ...]:
    """The best of the others, with what it would gain and cost, and what would change the advice."""
    if not others or best.basis is None:
        return ()
    metric, blocks, rows = best.expected.metric, setting.evidence.blocks, setting.evidence.rows
    reasons = []
    for other, by in zip(others[:_RUNNERS_UP], apart, strict=False):
        times = passes(other.plan, blocks, rows) / passes(best.plan, blocks, rows)
        gain = metric.difference(by)
        reasons.append(f"{other.plan.strategy} is expected {gain} from there, for {times:.1f} times the passes")
    if best.plan.from_scratch:
        return tuple(reasons)
    return (*reasons, *_may_win(best, others, setting), _would_change(best, others, setting))


def _may_win(best: Choice, others: Sequence[Choice], setting: "_Setting") -> tuple[str, ...]:
    """That training from random weights, which was not tried, may score more, where its chance is worth a word."""
    for other in others:
        if not other.plan.from_scratch or _measured(other, setting):
            continue
        e = other.expected
        chance = chance_of_more(e, best.expected)
        if chance >= MAY_WIN:
            return (
                f"the same net from random weights has a chance of {100 * chance:.0f} % to score more, expected "
                f"{e.words}, which nothing known before a training decides: `--effort thorough` tries it, `--controls` "
                "holds the run against it",
            )
    return ()


def chance_of_more(one: Expected | PassedOver, other: Expected) -> float:
    """Chance, 0 to 1, that what is expected of one turns out higher than of the other; both normal and independent."""
    apart = np.hypot(one.high - one.low, other.high - other.low) / (2 * Z)
    return float(ndtr((one.mean - other.mean) / apart))


def _would_change(best: Choice, others: Sequence[Choice], setting: "_Setting") -> str:
    """From how many rows another strategy would be worth its cost, or that none would be."""
    evidence = setting.evidence
    for factor in _MORE:
        rows = evidence.rows * factor
        more = replace(setting, evidence=replace(evidence, rows=rows))
        then = {
            offer.plan.strategy: _prior(offer.plan, more).mean + _paired(offer.plan, more) for offer in (best, *others)
        }
        net = {
            offer.plan.strategy: then[offer.plan.strategy] - price(offer.plan, evidence.blocks, evidence.rows)
            for offer in (best, *others)
            if not offer.plan.from_scratch
        }
        first = max(net, key=lambda name: net[name])
        if first != best.plan.strategy:
            gain = best.expected.metric.difference(then[first] - then[best.plan.strategy])
            return f"with {rows:,} rows {first} would be advised, expected {gain} beside {best.plan.strategy}"
    return f"no number of rows up to {evidence.rows * _MORE[-1]:,} is expected to change the strategy"


def controlled(planned: Plan, *, wanted: bool) -> Plan:
    """The plan with all controls that fit it, or with none."""
    fitting = ("no-transfer", "scratch") if planned.stages and not planned.from_scratch else ("no-transfer",)
    return replace(planned, controls=fitting if wanted else ())


def set_by_hand(
    planned: Plan, epochs: int | None, rate: float | None, batch_size: int | None, *, find_rate: bool = False
) -> Plan:
    """The plan with its epochs, the rate of its topmost block or its batch size set by hand; None leaves one be.

    Of several stages the last has the epochs that the others leave; rates keep their ratios to one another.

    Raises:
        NotOffered: something is set, and the plan trains nothing but a head, or has no epoch left for its last stage.
    """
    if epochs is rate is batch_size is None and not find_rate:
        return planned
    if not planned.stages:
        raise NotOffered(
            planned.strategy,
            "it fits a head alone, which has no epochs, rate or batch size to set",
            "Leave these settings out, or take a strategy that trains a net: --strategy lp-ft. Where the advice is not "
            "to transfer, --anyway takes the best checkpoint all the same.",
        )
    stages, changes = planned.stages, []
    if epochs is not None:
        before = sum(stage.epochs for stage in stages[:-1])
        if epochs <= before:
            raise NotOffered(planned.strategy, f"its stages before the last take {before} epochs")
        changes.append(f"{epochs} epochs, not {before + stages[-1].epochs}")
        stages = (*stages[:-1], replace(stages[-1], epochs=epochs - before))
    if rate is not None:
        top = max(stage.backbone_rate for stage in stages)
        changes.append(f"a rate of {rate:.2g}, not {top:.2g}")
        stages = tuple(
            replace(stage, backbone_rate=stage.backbone_rate * rate / top, head_rate=stage.head_rate * rate / top)
            for stage in stages
        )
    if batch_size is not None:
        changes.append(f"batches of {batch_size}, not {planned.batch_size}")
    if find_rate:
        changes.append("a range test may lower the rates before each stage")
    because = (*planned.because, f"set by hand: {'; '.join(changes)}")
    batch_size = batch_size or planned.batch_size
    return replace(planned, stages=stages, batch_size=batch_size, find_rate=find_rate, because=because)


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
        len(sample.unlabelled),
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


@dataclass(frozen=True, eq=False)
class _Setting:
    """All that the strategies of one checkpoint are judged by."""

    evidence: Evidence
    sample: Sample
    reference: Baseline
    history: History
    fresh: tuple[int, int] | None
    fused: Candidates | None


def _choice(planned: Plan, setting: _Setting) -> Choice:
    evidence, sample = setting.evidence, setting.sample
    ranked, prior = evidence.ranked, _prior(planned, setting)
    earlier = setting.history.on(sample.digest, ranked.checkpoint.name, prior.metric)
    guess, why = _after(prior, planned.strategy, earlier, setting)
    expected = Expected.around(guess.metric, guess.mean, Z * guess.deviation)
    if guess.basis is not None:
        expected = Expected(guess.metric, guess.mean, *covered_range(guess.mean, guess.deviation))
    floored = bool(planned.stages) and planned.head == "logistic" and not earlier
    gain = _gain(guess, prior, ranked, setting.reference)
    if floored:
        gain = replace(gain, low=max(gain.low, min(gain.mean, _head_gain(planned, setting).low)))
    if gain.low <= 0:
        planned = controlled(planned, wanted=True)
        why = (*why, "it does not beat no transfer beyond chance: the run is held against it")
    card = ranked.checkpoint
    modality = modalities[card.modality]
    used = modality.defaults.used(card.input_size, card.cap)
    if used < card.input_size:
        size = f"{used} of its {card.input_size} {modality.words.unit}"
        why = (*why, f"{modality.words.reduced}, {size}: `zoo add ... --max-input {card.input_size}` uses all of them")
    elif card.cap is not None and used > modality.defaults.cap:
        usual = f"the usual {modality.defaults.cap}"
        why = (*why, f"inputs have {used} {modality.words.unit}, more than {usual}, as it was added")
    cost = estimate(
        planned,
        ranked.transferability,
        evidence.rows,
        classes=evidence.classes,
        parameters=ranked.checkpoint.parameters,
        input_size=used,
        test_rows=None if sample.test is None else len(sample.test),
        fresh=setting.fresh,
    )
    tuned = (o for o in earlier if "trial" not in o.conditions)
    realized = tuple(Realized(o.id, o.strategy, o.score, o.standard_error) for o in tuned)
    because = (*planned.because, *why, *ranked.because)
    ranked = replace(ranked, gain=gain)
    draws = _draws(planned, guess, prior, evidence.ranked)
    return Choice(ranked, planned, expected, cost, because, draws, realized, basis=guess.basis)


def _draws(planned: Plan, guess: "_Guess", prior: "_Guess", ranked: Ranked) -> Float[np.ndarray, " B"]:
    """What the plan might score: the rows' share as for the probe, what all trainings share, and what is its own."""
    wider, rows = guess.deviation / prior.deviation, ranked.draws - ranked.expected.mean
    named = f"{ranked.checkpoint.name} {planned.strategy}"
    own = np.random.default_rng(crc32(named.encode())).standard_normal(len(_COMMON))[: len(rows)]
    return np.asarray(guess.mean + wider * (rows + guess.training * _COMMON[: len(rows)] + guess.own * own))


@dataclass(frozen=True)
class _Guess:
    """What a plan is thought to score, its standard deviation, and what training alone adds to that."""

    metric: Metric
    mean: float
    deviation: float
    training: float
    why: tuple[str, ...]
    own: float = 0.0
    """Of that, what no other plan has in common; where it is known apart."""
    basis: Basis | None = None


def _prior(planned: Plan, setting: _Setting) -> _Guess:
    """Before any result on the same sample.

    What pretraining adds is not known where it was never carried out: of pairs nothing is promised, of items without
    labels what they added to other sets, shrunk by how few these are; and the interval is wider.
    """
    card = setting.evidence.ranked.checkpoint.name
    measured = setting.fused is not None and setting.fused.measured(card, planned.strategy)
    like = planned if planned.pretraining is None or measured else replace(planned, strategy=_like(planned))
    guess = _fused(like, setting) or _unfused(like, setting)
    if planned.pretraining is None:
        return guess
    added = setting.history.added(planned.strategy, setting.sample.digest)
    gain = _adapted(planned, setting) if planned.stages else added.mean
    mean = float(np.clip(guess.mean + gain, guess.metric.lowest, 1))
    why = f"what its pretraining adds is known from {added.outcomes} outcomes of other samples"
    if planned.stages and gain:
        why = (
            f"its pretraining is expected to add {guess.metric.difference(gain)}, for it added "
            f"{guess.metric.difference(ADAPTED)} to {ADAPTED_PAIRS} trainings on other sets; the interval is wider"
        )
    elif not added.outcomes:
        why = "what its pretraining adds was not measured so far: none is promised, and the interval is wider"
    deviation, own = (float(np.hypot(part, added.spread)) for part in (guess.deviation, guess.own))
    return replace(guess, mean=mean, deviation=deviation, own=own, why=(*guess.why, why))


def _adapted(planned: Plan, setting: _Setting) -> float:
    """What to learn from items without labels first adds to a training: the more, the more of all rows these are.

    Nothing where the strategy was measured with nets of that body: the expectation has it already.
    """
    evidence = setting.evidence
    if planned.pretraining is None or not planned.stages:
        return 0.0
    if setting.fused is not None and setting.fused.measured(evidence.ranked.checkpoint.name, planned.strategy):
        return 0.0
    share = evidence.unlabelled / (evidence.unlabelled + evidence.rows)
    return ADAPTED * share * ADAPTED_PAIRS / (ADAPTED_PAIRS + PRIOR_OUTCOMES)


def _like(planned: Plan) -> str:
    """The strategy that does the same without pretraining."""
    return "lp-ft" if planned.stages else "linear-probe"


def _unfused(planned: Plan, setting: _Setting) -> _Guess:
    """From the probe, a prior on what training adds, and results of the strategy on other samples."""
    evidence, sample, history = setting.evidence, setting.sample, setting.history
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


def _fused(planned: Plan, setting: _Setting) -> _Guess | None:
    """From all that is known of cases like this one; None of a plug-in's strategy, or where too little is known."""
    evidence, probe = setting.evidence, setting.evidence.ranked.expected
    handful = evidence.rows < HANDFUL_ROWS * evidence.classes
    if setting.fused is None or handful or planned.strategy in strategies.brought:
        return None
    kind = kind_of(planned.strategy, {"from_scratch": planned.from_scratch, "stages": planned.stages})
    rows = evidence.rows if planned.from_scratch else max(1, _unseen(evidence, setting.sample))
    epochs = sum(stage.epochs for stage in planned.stages)
    expectation = setting.fused.expect(evidence.ranked.checkpoint.name, planned.strategy, kind, rows, epochs)
    if expectation is None:
        return None
    case, fused = expectation
    anchor = case.anchor if kind is Kind.SCRATCH else _read_score(planned, evidence, probe.mean)
    mean = fused.score(anchor)
    reach = max(probe.high - probe.mean, probe.mean - probe.low) / Z
    sampling = float(np.sqrt(max(reach**2 - PROBE_SPREAD**2, 0.0)))
    deviation, own, common = fused.deviation(mean, sampling)
    points = fused.points(anchor)
    basis = Basis(case.anchor, case.body, case.features, points, fused.cases, fused.elsewhere, fused.usual)
    why = _fused_words(basis, kind, anchor, mean, probe.metric)
    return _Guess(probe.metric, mean, deviation, common, why, own, basis)


def _fused_words(basis: Basis, kind: Kind, anchor: float, mean: float, metric: Metric) -> tuple[str, ...]:
    """What moves the expectation away from where it starts, with its points."""
    start = "a probe of such a net" if kind is Kind.SCRATCH else "its probe"
    moves = (
        "; ".join(contribution_words(basis.contributions, basis.features, basis.usual)) or "nothing moves it by much"
    )
    words: tuple[str, ...] = (
        f"expected is {metric.words(mean)} where {start} stands at {metric.words(anchor)}, by "
        f"{basis.outcomes:,} outcomes of other samples (in points: {moves})",
    )
    if basis.elsewhere:
        words += (
            "none of these is of this modality: only what means the same in all is used, and the interval is wider",
        )
    return words


def _after(
    prior: _Guess, strategy: str, earlier: Sequence[Outcome], setting: _Setting
) -> tuple[_Guess, tuple[str, ...]]:
    """The expectation after results of the same checkpoint on the same sample, by any strategy.

    How far each result lay from what was expected of it is an error of the checkpoint's, which `SHARED` of the variance
    of every strategy's has in common, and the strategy's own. Where errors are larger than thought, all deviations were
    too small, and are stretched until they fit: so what was measured outweighs what was thought. Those of `AFRESH`
    share less with any other, and neither they nor the others stretch each other. What is measured again has the noise
    of a measurement, and is no less sure than before any.
    """
    if not earlier:
        return prior, prior.why
    before = [_thought(o.strategy, strategy, prior, setting) for o in earlier]
    noise = np.array([max(o.standard_error or _NOISE, _LEAST) for o in earlier]) ** 2
    error = np.array([o.score for o in earlier]) - np.array([guess.mean for guess in before])
    deviation = np.array([guess.deviation for guess in before])
    names = [o.strategy for o in earlier]
    afresh = np.array([name in AFRESH for name in names])
    large, stretch = error**2 / (deviation**2 + noise), {True: 1.0, False: 1.0}
    for side in set(afresh.tolist()):
        stretch[side] = max(1.0, float(np.mean(large[afresh == side])))
    deviation = deviation * np.sqrt(np.where(afresh, stretch[True], stretch[False]))
    own = prior.deviation * np.sqrt(stretch[strategy in AFRESH])
    covariance = _correlation(names, names) * np.outer(deviation, deviation)
    ours = _correlation(names, [strategy])[:, 0] * deviation * own
    weight = np.linalg.solve(covariance + np.diag(noise), ours)
    mean = float(np.clip(prior.mean + weight @ error, prior.metric.lowest, 1))
    left = max(own**2 - float(weight @ ours), 0.0)
    again = min(left + float(np.min(noise)), own**2)
    words = prior.metric.words
    reports = [
        f"{_reached(o, strategy, prior.metric)} (expected was {words(guess.mean)})"
        for o, guess in zip(earlier[-_MOST_REPORTED:], before[-_MOST_REPORTED:], strict=True)
    ]
    return replace(prior, mean=mean, deviation=float(np.sqrt(again))), (*prior.why, *reports)


def _correlation(ones: Sequence[str], others: Sequence[str]) -> Float[np.ndarray, "ones others"]:
    """Of the errors of what is expected of strategies of one checkpoint on one sample."""

    def shared(one: str, other: str) -> float:
        return SHARED_AFRESH if {one, other} & AFRESH else SHARED

    return np.array([[1.0 if one == other else shared(one, other) for other in others] for one in ones])


def _reached(earlier: Outcome, strategy: str, metric: Metric) -> str:
    """A result on the same sample in words; of a short trial what it comes to for all rows."""
    what = "the same tuning" if earlier.strategy == strategy else f"its {earlier.strategy}"
    trial = earlier.conditions.get("trial")
    if not isinstance(trial, Mapping):
        return f"{what} on this sample reached {metric.words(earlier.score)} before"
    moved = metric.difference(float(trial["score"]) - float(trial["head_score"]))
    return (
        f"a trial of {what}, {trial['epochs']} epochs on {trial['rows_train']:,} rows, scored {moved} beside a head "
        f"on {trial['rows_test']:,} others, which comes to {metric.words(earlier.score)}"
    )


def _thought(strategy: str, ours: str, prior: _Guess, setting: _Setting) -> _Guess:
    """What was thought of a strategy of this checkpoint; of one that is not offered here, what the probe says."""
    if strategy == ours:
        return prior
    try:
        return _prior(_plan_of(strategy, setting.evidence), setting)
    except (NotOffered, UnknownName):
        probe = setting.evidence.ranked.expected
        return _Guess(probe.metric, probe.mean, max((probe.high - probe.low) / (2 * Z), _LEAST), 0.0, ())


def _gain(guess: _Guess, prior: _Guess, ranked: Ranked, reference: Baseline) -> Expected:
    """Expected minus no transfer, paired: the probe's rows are the baseline's."""
    mean = guess.mean - reference.expected.mean
    paired = (ranked.gain.high - ranked.gain.low) / (2 * Z)
    reach = Z * float(np.sqrt(paired**2 + guess.training**2 + guess.own**2)) * guess.deviation / prior.deviation
    return Expected(guess.metric, mean, mean - reach, mean + reach)


def _head_gain(planned: Plan, setting: _Setting) -> Expected:
    """The gain of the fitted head, which stands where training does not help.

    It is that of a plan with nothing but this head: the cross-validated probe that is best of many promises too much.
    """
    head = replace(_plan_of("linear-probe", setting.evidence), read=planned.read)
    guess = _prior(head, setting)
    return _gain(guess, guess, setting.evidence.ranked, setting.reference)


def _read_score(planned: Plan, evidence: Evidence, probed: float) -> float:
    """The probe's expected score, less what folds say is lost by the block that the plan reads.

    One that is better, which is not beyond chance or it would be `Transferability.read`, is credited with nothing.
    """
    scored = evidence.ranked.transferability
    curve = {row.block: row.score for row in scored.blocks}
    lost = max(0.0, scored.read.score - curve[planned.read])
    return float(np.clip(probed - lost, evidence.ranked.expected.metric.lowest, 1))


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
