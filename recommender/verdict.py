"""What follows, in one sentence: where to start, or why not to; doubt says what would settle it.

What beats *no transfer* beyond chance is where to start. What does not may still be the better bet: it is too close to
call, and the side with the higher expected score net of its cost is advised, as between strategies
(`recommender.strategies.cost.price`), with the rows that would tell. Where neither does better than a guess, or *no
transfer* is expected to score as much, the advice is not to transfer. A bootstrap of a handful of rows that are all
right, or all wrong, knows no doubt, and one of a handful of groups too little: there an exact sign test has to agree,
for all that was probed.
"""

from math import ceil, log10

import numpy as np
from jaxtyping import Float, Shaped
from scipy.stats import binom

from recommender.results import Baseline, Choice, Verdict
from recommender.strategies.cost import price
from registry.cards import Metric, Task
from registry.metrics import LEVEL
from registry.sample import Sample

__all__ = ["guess_score", "rows_that_tell", "rows_to_tell", "verdict_of"]

_HANDFUL = 50
"""Rows, or groups of them, up to which a sign test has to agree."""

_BY_CHANCE = 0.05
MOST_TIMES = 50
"""Times the rows, above which no number is named: the difference is too small to be worth them."""


def verdict_of(best: Choice, reference: Baseline, sample: Sample, probed: int = 1, *, shifted: bool = False) -> Verdict:
    """Whether transfer is worth it; ``probed`` checkpoints were looked at to find the best.

    Where the test part is ``shifted``, that leaves open what more rows of the training part would not settle.
    """
    predicted = best.ranked.transferability.predicted, reference.predicted
    groups = len(np.unique(sample.group_ids))
    handful = groups <= _HANDFUL and all(len(one) == len(sample) for one in predicted)
    enough = rows_that_tell(*predicted, sample, probed) if handful else len(sample)
    e, gain, raw = best.expected, best.ranked.gain, reference.expected
    rival = f"no transfer, {reference.model} ({raw.metric.words(raw.mean)})"
    start = f"Start from {best.checkpoint.name} with {best.plan.strategy}"
    if best.plan.from_scratch:
        card = best.checkpoint
        start = f"Train {card.architecture} from random weights, for those of {card.name} gain less"
    if gain.low > 0 and enough == len(sample):
        return Verdict(True, f"{start}: {e.metric} {e.words} expected, {e.metric.difference(gain.mean)} over {rival}.")
    if not best.ranked.transferability.scores and not best.realized:
        unsure = f"{best.checkpoint.name} is expected at {e.words}, which does not beat {rival}, beyond chance"
        sentence = f"Not known: nothing was probed; {unsure}. `--effort normal` tells more."
        return Verdict(False, sentence, beyond_chance=False)
    between = f"{LEVEL}: {e.metric.difference(gain.low)} to {e.metric.difference(gain.high)}"
    differs = (
        f"the best choice, {best.checkpoint.name} with {best.plan.strategy}, is expected to differ by "
        f"{e.metric.difference(gain.mean)} ({between})"
    )
    guess = guess_score(sample)
    if guess is not None and max(e.low, raw.low) <= guess:
        because = f"neither {rival}, nor any checkpoint ({e.words}) is better beyond chance than a guess"
        sentence = f"Do not transfer: {because} ({e.metric.words(guess)}); {differs}."
        return Verdict(False, sentence, beyond_chance=False)
    rows = enough if gain.low > 0 else rows_to_tell(len(sample), gain.mean, gain.low)
    counted = f"{len(sample):,} rows" + (f" in {groups:,} groups" if groups <= _HANDFUL < len(sample) else "")
    few = f"; {counted} are too few to tell"
    would = f"{few}, about {rows:,} would" if rows is not None else few if gain.low > 0 else ""
    if would and shifted and gain.low <= 0:
        would = "; the test part is of another source, and labels of its kind would tell"
    if gain.mean > price(best.plan, [row.block for row in best.ranked.transferability.blocks], len(sample)):
        bet = f"{start[0].lower()}{start[1:]}, which is the better bet"
        over = f"{e.metric.difference(gain.mean)} ({between}) over {rival}"
        sentence = f"Too close to call, {bet}: {e.metric} {e.words} expected, {over}{would}."
        return Verdict(True, sentence, beyond_chance=False)
    if gain.high < 0:
        return Verdict(False, f"Do not transfer: {rival}, is better beyond chance; {differs}.")
    sentence = f"Do not transfer: {rival}, is not beaten beyond chance; {differs}{would}."
    return Verdict(False, sentence, beyond_chance=False)


def guess_score(sample: Sample) -> float | None:
    """What a guess that looks at no row scores: the commonest class, or each in turn; None where that is no number.

    Of a quantity it is the mean (R squared 0), of spans none at all (F1 0).
    """
    if sample.metric in {Metric.R2, Metric.ENTITY_F1}:
        return 0.0
    if sample.task is not Task.CLASSIFICATION or not sample.counts:
        return None
    shares = np.array([*sample.counts.values()]) / len(sample.items)
    most = float(shares.max())
    if sample.metric is Metric.ACCURACY:
        return most
    return 1 / len(shares) if sample.metric is Metric.BALANCED_ACCURACY else 2 * most / (1 + most) / len(shares)


def rows_that_tell(
    ours: Shaped[np.ndarray, "n ..."], raw: Shaped[np.ndarray, "n ..."], sample: Sample, probed: int
) -> int | None:
    """Rows of which a sign test would tell that these predictions are the better ones, of as many as were probed.

    Groups in which one of the two is nearer to the truth count, each alike (p up to .05, times ``probed``). Where these
    rows do, it is their number; None where `MOST_TIMES` as many would not.
    """
    truth = sample.targets.values
    nearer = np.bincount(sample.group_ids, _off(raw, truth, sample.task) - _off(ours, truth, sample.task))
    won, lost = int((nearer > 0).sum()), int((nearer < 0).sum())
    for times in range(1, MOST_TIMES + 1):
        if probed * binom.sf(won * times - 1, (won + lost) * times, 0.5) <= _BY_CHANCE:
            return len(sample) * times
    return None


def _off(
    predicted: Shaped[np.ndarray, "n ..."], truth: Shaped[np.ndarray, "n ..."], task: Task
) -> Float[np.ndarray, " n"]:
    """How far each row's prediction lies from the truth: 0 or 1 for a class, the labels that are wrong, a distance."""
    if task is Task.CLASSIFICATION:
        return np.asarray(predicted != truth, np.float64)
    return np.asarray(np.abs(predicted - truth).reshape(len(truth), -1).sum(axis=1), np.float64)


def rows_to_tell(rows: int, mean: float, low: float) -> int | None:
    """Rows with which the same difference would be beyond chance, two digits of it; None where none would do.

    The reach of an interval falls with the root of the number of rows.
    """
    if mean <= 0 or low > 0:
        return None
    times = ((mean - low) / mean) ** 2
    if times > MOST_TIMES:
        return None
    needed = rows * times
    unit = 10.0 ** max(0, int(log10(needed)) - 1)
    return int(unit * ceil(needed / unit - 1e-9))
