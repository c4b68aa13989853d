"""What follows, in one sentence: where to start, or why not to; a refusal says what would change it.

Refused is what does not beat *no transfer* beyond chance. Of these it is told apart: neither does better than a guess;
there are too few rows to tell, and how many would; or *no transfer* is simply as good.
"""

from math import ceil, log10

import numpy as np

from recommender.results import Baseline, Choice, Verdict
from registry.cards import Metric, Task
from registry.sample import Sample

__all__ = ["guess_score", "rows_to_tell", "verdict_of"]

MOST_TIMES = 50
"""Times the rows, above which no number is named: the difference is too small to be worth them."""


def verdict_of(best: Choice, reference: Baseline, sample: Sample) -> Verdict:
    """Whether transfer is worth it."""
    e, gain, raw = best.expected, best.ranked.gain, reference.expected
    rival = f"no transfer, {reference.model} ({raw.metric.words(raw.mean)})"
    if gain.low > 0:
        start = f"Start from {best.checkpoint.name} with {best.plan.strategy}"
        if best.plan.from_scratch:
            card = best.checkpoint
            start = f"Train {card.architecture} from random weights, for those of {card.name} gain less"
        return Verdict(True, f"{start}: {e.metric} {e.words} expected, {e.metric.difference(gain.mean)} over {rival}.")
    if not best.ranked.transferability.scores and not best.realized:
        unsure = f"{best.checkpoint.name} is expected at {e.words}, which does not beat {rival}, beyond chance"
        return Verdict(False, f"Not known: nothing was probed; {unsure}. `--effort normal` tells more.")
    between = f"{e.metric.difference(gain.low)} to {e.metric.difference(gain.high)}"
    differs = (
        f"the best choice, {best.checkpoint.name} with {best.plan.strategy}, is expected to differ by "
        f"{e.metric.difference(gain.mean)} ({between})"
    )
    guess = guess_score(sample)
    if guess is not None and max(e.low, raw.low) <= guess:
        because = f"neither {rival}, nor any checkpoint ({e.words}) is better beyond chance than a guess"
        return Verdict(False, f"Do not transfer: {because} ({e.metric.words(guess)}); {differs}.")
    rows = rows_to_tell(len(sample), gain.mean, gain.low)
    would = "" if rows is None else f"; {len(sample):,} rows are too few to tell, about {rows:,} would"
    return Verdict(False, f"Do not transfer: {rival}, is not beaten beyond chance; {differs}{would}.")


def guess_score(sample: Sample) -> float | None:
    """What a guess that looks at no row scores: the commonest class, or each in turn; None where that is no number."""
    if sample.task is not Task.CLASSIFICATION or not sample.counts:
        return None
    shares = np.array([*sample.counts.values()]) / len(sample.items)
    most = float(shares.max())
    if sample.metric is Metric.ACCURACY:
        return most
    return 1 / len(shares) if sample.metric is Metric.BALANCED_ACCURACY else 2 * most / (1 + most) / len(shares)


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
