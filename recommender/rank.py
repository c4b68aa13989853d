"""Step 4: history prior + probes -> predicted score of the probe's head with interval; then, of whole plans, the order.

The probe's cross-validated score is the mean; its interval adds the group bootstrap's variance, the spread between
folds and the chance error of the test part on which it will be judged. Outcomes of other samples correct the mean
and the spread (shrunk towards no correction); outcomes of the same sample are one more measurement.

Comparable scores, ours and those of plug-ins, estimate the same quantity by other means. What they say of one
checkpoint against the others moves the mean by its share of the precision: little where the probe is sure or where they
contradict it more than they state, and never where there is but one checkpoint. A score's mean error over the
checkpoints moves nothing.

A checkpoint that has seen rows of the sample is judged on the others. Where these are too few its probe is not
believed: what it scored on rows of its source that were held out there is expected of it, else what its rivals score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from zlib import crc32

import numpy as np
from jaxtyping import Float, Int

from recommender.history import Correction, History
from recommender.resampling import Draws, draw_weights, resample
from recommender.results import Baseline, Choice, Expected, Ranked, Transferability
from registry.cards import Checkpoint, Metric, Task
from registry.metrics import Z
from registry.sample import Sample

__all__ = ["DRAWS", "place", "rank"]

DRAWS = 500
UNMEASURED = 0.05
"""Least standard deviation of what is expected of a checkpoint that was judged on no row of the sample."""
_ALIKE = 1e-9
_FEWEST_COMPARED = 2
"""Checkpoints that a comparable score must tell apart before it moves any."""
_LEAST_REPORTED = 0.001
"""By how much the choice of a block must flatter a score for that to be told."""


def rank(
    sample: Sample,
    digest: str,
    scored: Sequence[Transferability],
    reference: Baseline,
    history: History,
    *,
    folds: Int[np.ndarray, " n"],
    test_rows: int,
    seed: int = 0,
) -> tuple[Ranked, ...]:
    """Order the scored candidates, best first; what ties beyond chance is said of whole plans (`place`).

    ``sample`` is what was probed, ``digest`` names the whole sample, ``test_rows`` is the size of the part on which a
    tuned model will be judged.
    """
    tested = folds >= 0
    weights = draw_weights(sample.group_ids, draws=DRAWS, seed=seed)
    raw = resample(sample.metric, sample.targets.values[tested], reference.predicted[tested], weights[:, tested])
    learned = history.probe_error(digest)
    by_name: dict[str, Ranked] = {}
    for row in scored:
        if row.believed:
            rows = tested if row.judged is None else tested & row.judged
            drawn = resample(sample.metric, sample.targets.values[rows], row.predicted[rows], weights[:, rows])
            by_name[row.candidate.checkpoint.name] = _measured(sample, row, drawn, learned, test_rows)
    by_name |= _with_estimates(by_name)
    rivals = [ranked.expected.mean for ranked in by_name.values()]
    for row in scored:
        if not row.believed:
            by_name[row.candidate.checkpoint.name] = _unmeasured(sample.metric, row, reference, rivals, test_rows, seed)
    judged = [replace(ranked, gain=_gain(ranked, reference, raw)) for ranked in by_name.values()]
    return tuple(sorted(judged, key=lambda row: _key(row, row.expected.mean)))


def place(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    """Plans by their expected score, best first, with tier and chance of being the best by that score.

    Within a tier those stand first whose checkpoints have not seen the rows; and one that was measured on no row that
    its checkpoint has not seen never stands first while another is there.
    """
    tiers = _in_tiers(sorted(choices, key=lambda choice: _key(choice.ranked, choice.expected.mean)))
    p_best = _p_best([choice.draws for choice in chain(*tiers)])
    placed: list[Choice] = []
    for number, tier in enumerate(tiers, start=1):
        for at, choice in enumerate(tier):
            reasons = [*choice.because, *_passed(choice, tier[:at], tier[at + 1 :])]
            if number == 1 and len(choices) > 1:
                reasons.append("no plan here is better beyond chance")
            before = placed[-1] if placed else None
            if before is not None and abs(choice.expected.mean - before.expected.mean) < _ALIKE:
                reasons.append(f"{before.checkpoint.name} is expected to score the same; LogME puts that first")
            ranked = replace(choice.ranked, tier=number, p_best=float(p_best[len(placed)]))
            placed.append(replace(choice, ranked=ranked, because=tuple(reasons)))
    return tuple(placed)


def _in_tiers(ordered: Sequence[Choice]) -> list[list[Choice]]:
    """Best first: a new tier begins where the difference to the tier's leader lies beyond chance.

    The best one that has not seen the rows leads a tier in which there is one, and those that have stand last there.
    """
    left = [*ordered]
    tiers: list[list[Choice]] = []
    while left:
        leader = left[0] if tiers else next((choice for choice in left if choice.measured), left[0])
        tier = _tied(leader, left)
        leader = next((choice for choice in tier if not _marked(choice)), leader)
        tier = _tied(leader, left)
        left = left[len(tier) :]
        tiers.append([leader, *sorted((choice for choice in tier if choice is not leader), key=_marked)])
    return tiers


def _tied(leader: Choice, ordered: Sequence[Choice]) -> list[Choice]:
    """The first of these, as far as the first behind the leader that is worse than it beyond chance."""
    behind = ordered.index(leader) + 1
    for at, choice in enumerate(ordered[behind:], start=behind):
        if np.quantile(leader.draws - choice.draws, 0.05) > 0:
            return [*ordered[:at]]
    return [*ordered]


def _marked(choice: Choice) -> bool:
    return choice.ranked.transferability.candidate.exposure is not None


def _passed(choice: Choice, before: Sequence[Choice], behind: Sequence[Choice]) -> tuple[str, ...]:
    """Why it stands before what is expected to score more, or behind what is expected to score less."""
    mean, name = choice.expected.mean, choice.checkpoint.name
    above = next((other for other in before if other.expected.mean < mean - _ALIKE), None)
    if above is not None and choice.measured:
        ahead = above.checkpoint.name
        return (f"{ahead} and it could not be told apart; {name} has seen rows of this sample, so it stands behind",)
    if above is not None:
        return ("it stands behind what is expected to score less: it has seen the rows, and was judged on no others",)
    below = next((other for other in behind if other.expected.mean > mean + _ALIKE), None)
    if below is None:
        return ()
    if below.measured:
        return (f"{below.checkpoint.name} and it could not be told apart; {name} has not seen these rows",)
    return ("it stands before what is expected to score more, for that has seen the rows and was judged on no others",)


def _key(row: Ranked, mean: float) -> tuple[float, float, str]:
    return (-mean, -row.transferability.scores.get("logme", 0.0), row.checkpoint.name)


def _p_best(drawn: Sequence[Float[np.ndarray, " B"]]) -> Float[np.ndarray, " c"]:
    """Share of draws in which each candidate leads; ties count in parts."""
    table = np.stack(drawn)
    leads = table >= table.max(axis=0) - 1e-12
    return np.asarray((leads / leads.sum(axis=0)).mean(axis=1))


def _measured(sample: Sample, scored: Transferability, draws: Draws, learned: Correction, test_rows: int) -> Ranked:
    expected = _expected(sample, scored, draws, learned, test_rows)
    reasons = [*_of_source(scored), *scored.remarks]
    exposure, judged = scored.candidate.exposure, scored.judged
    if exposure is not None and judged is not None:
        reasons.append(f"{exposure.because}: its probe is judged on {int(judged.sum()):,} rows that it has not seen")
        if scored.optimism >= _LEAST_REPORTED:
            moved = sample.metric.difference(-scored.optimism)
            reasons.append(f"that the block to read was chosen on these few rows moves the expectation by {moved}")
    if learned.outcomes:
        moved = sample.metric.difference(learned.mean)
        known = "1 earlier outcome moves" if learned.outcomes == 1 else f"{learned.outcomes} earlier outcomes move"
        reasons.append(f"{known} the expectation by {moved}")
    shifted = draws.draws - draws.draws.mean() + expected.mean
    return Ranked(scored, expected, 0.0, 1, expected, tuple(reasons), shifted)


def _with_estimates(measured: Mapping[str, Ranked]) -> dict[str, Ranked]:
    """Those of which comparable scores gave an estimate, moved by it; none without such scores.

    A score's residuals from the probes, less their mean, are weighed by precision: the probe's bootstrap deviation
    against what the score states, or against the residuals' own deviation where that is larger.
    """
    residuals: dict[str, dict[str, float]] = {}
    stated: dict[str, float] = {}
    for name, row in measured.items():
        for estimate in row.transferability.estimates:
            residuals.setdefault(estimate.score, {})[name] = estimate.value - row.expected.mean
            stated[estimate.score] = estimate.standard_error
    precision, pull = dict.fromkeys(measured, 0.0), dict.fromkeys(measured, 0.0)
    for score, of in residuals.items():
        if len(of) < _FEWEST_COMPARED:
            continue
        values = np.array([*of.values()])
        weight = 1 / max(stated[score] ** 2, float(values.var(ddof=1)))
        for name, residual in of.items():
            precision[name] += weight
            pull[name] += weight * (residual - float(values.mean()))
    moved = {}
    for name, row in measured.items():
        variance = float(row.draws.var(ddof=1))
        if precision[name] > 0 and variance > 0:
            moved[name] = _moved(row, pull[name] / (precision[name] + 1 / variance))
    return moved


def _moved(row: Ranked, by: float) -> Ranked:
    """Expected at so much more, as surely as before: a score sees the same rows as the probe, so it adds none."""
    before = row.expected
    mean = float(np.clip(before.mean + by, before.metric.lowest, 1))
    reach = max(before.high - before.mean, before.mean - before.low)
    reasons = row.because
    if abs(mean - before.mean) >= _LEAST_REPORTED:
        estimates = row.transferability.estimates
        words = " and ".join(f"{e.score} ({before.metric.words(e.value)})" for e in estimates)
        verb = "moves" if len(estimates) == 1 else "move"
        reasons = (*reasons, f"{words} {verb} the expectation by {before.metric.difference(by)}")
    expected = Expected.around(before.metric, mean, reach)
    return replace(row, expected=expected, because=reasons, draws=row.draws + (mean - before.mean))


def _unmeasured(
    metric: Metric, scored: Transferability, reference: Baseline, rivals: Sequence[float], test_rows: int, seed: int
) -> Ranked:
    """What is expected of a checkpoint whose probe is not believed, from the best of what is known otherwise."""
    checkpoint, exposure = scored.candidate.checkpoint, scored.candidate.exposure
    held_out = _held_out(checkpoint, metric) if exposure and checkpoint.domain in exposure.through else None
    raw, probe = reference.expected.mean, scored.read.score
    if held_out is not None:
        (mean, rows), spread = held_out, UNMEASURED
        spread = float(np.hypot(spread, np.sqrt(mean * (1 - mean) / rows)))
        why = f"expected is its score on {rows:,} held-out rows of its source, {metric.words(mean)}"
    elif rivals:
        mean, spread = float(np.mean(rivals)), max(2 * UNMEASURED, float(np.std(rivals)))
        why = f"expected is the mean of what {len(rivals)} others that have not seen the rows are expected to score"
    else:
        mean, spread = (raw + probe) / 2, max(UNMEASURED, abs(probe - raw) / 2)
        why = "expected lies half way between no transfer and that probe, for nothing else is known of it"
    deviation = float(np.hypot(spread, np.sqrt(max(mean * (1 - mean), 0.0) / max(test_rows, 1))))
    expected = Expected.around(metric, float(np.clip(mean, metric.lowest, 1)), Z * deviation)
    random = np.random.default_rng([seed, crc32(checkpoint.name.encode())])
    reasons = (
        *_of_source(scored),
        *scored.remarks,
        f"{'' if exposure is None else exposure.because}: its probe ({metric.words(probe)}) is not believed; {why}",
    )
    return Ranked(scored, expected, 0.0, 1, expected, reasons, expected.mean + spread * random.standard_normal(DRAWS))


def _held_out(checkpoint: Checkpoint, metric: Metric) -> tuple[float, int] | None:
    """A checkpoint's own score on held-out rows of what it was trained on, by the same metric; with their number."""
    known = checkpoint.measured
    if known.get("metric", Metric.ACCURACY) != metric or known.get("objective", "labels") != "labels":
        return None
    score = known.get("score", known.get("held_out_accuracy"))
    rows = known.get("held_out_rows")
    if not isinstance(score, (int, float)) or not isinstance(rows, int) or rows < 1:
        return None
    return float(score), rows


def _expected(sample: Sample, scored: Transferability, draws: Draws, learned: Correction, test_rows: int) -> Expected:
    mean = float(np.clip(draws.value - scored.optimism + learned.mean, sample.metric.lowest, 1))
    folds = np.array(scored.fold_scores)
    between = float(folds.var(ddof=1) / len(folds)) if len(folds) > 1 else 0.0
    chance = _chance(sample, mean, draws, max(test_rows, 1))
    own = max(draws.standard_error**2, between) + scored.optimism**2
    if sample.task is Task.CLASSIFICATION:
        rows = len(scored.predicted) if scored.judged is None else int(scored.judged.sum())
        sure = (max(mean, 0.0) * rows + 1) / (rows + 2)
        chance, own = (max(known, sure * (1 - sure) / of) for known, of in ((chance, max(test_rows, 1)), (own, rows)))
    deviation = float(np.sqrt(own + chance + learned.spread**2))
    return Expected.around(sample.metric, mean, Z * deviation)


def _chance(sample: Sample, mean: float, draws: Draws, test_rows: int) -> float:
    """Variance of the score on a test part of that many rows: binomial, else as the bootstrap found it, by rows."""
    if sample.task is Task.CLASSIFICATION:
        return mean * (1 - mean) / test_rows
    return draws.standard_error**2 * len(sample) / test_rows


def _gain(ranked: Ranked, reference: Baseline, raw: Draws) -> Expected:
    """Expected minus no transfer; the bootstrap of the difference has the rows in common."""
    mean = ranked.expected.mean - reference.expected.mean
    deviation = float((ranked.draws - raw.draws).std(ddof=1))
    return Expected(ranked.expected.metric, mean, mean - Z * deviation, mean + Z * deviation)


def _of_source(scored: Transferability) -> tuple[str, ...]:
    distance = scored.candidate.distance
    if distance is None:
        return ("its source domain has no sketch here, so distance says nothing",)
    if distance.percentile is None:
        return ()
    share = f"nearer than {distance.percentile:.0f} % of the registry's domain pairs"
    card = scored.candidate.checkpoint
    if card.domain is None:
        return (f"its source in words, {card.source!r}, is taken for {distance.domain}, which is {share}",)
    return (f"its source {distance.domain} is {share}",)
