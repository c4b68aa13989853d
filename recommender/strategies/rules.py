"""What several strategies decide alike: the block to read, rows enough, how long, how fast, and against overfitting."""

from collections.abc import Callable, Sequence
from math import ceil, sqrt

from recommender.results import Evidence, Plan, Stage
from registry.cards import Metric, Task
from registry.errors import NotOffered
from registry.modalities import Modality, modalities

__all__ = [
    "FEWEST_ROWS",
    "LAYER_DECAY",
    "backbone_rate",
    "best_read",
    "epochs_for",
    "first_rate",
    "head_on",
    "head_rate",
    "rate_ratio",
    "read_from",
    "require_fitting",
    "require_head",
    "require_rows",
    "training",
    "used_blocks",
]

FEWEST_ROWS = 5
"""Rows a class below which training a backbone memorizes more than it learns."""
LAYER_DECAY = 0.8
"""Of the rate of the block above, where the head was fitted before all learn."""
_MILLION = 1e6
_BATCH, _DECAY = 32, 0.01
_LOWER, _LOWEST = 2.6, 0.02
"""ULMFiT's ratio of the rates of neighboring blocks, and the least that is left of the top's rate at the bottom."""
_SMOOTHED, _SMOOTHING = 2000, 0.1
"""Rows from which labels are smoothed, and by how much (Szegedy et al. 2016)."""
_DROPPED, _DROPOUT = 1000, 0.1
"""Rows below which some of the head's inputs are dropped, and how many."""
_UNEVEN = 3
"""Rows of an average class for one of the smallest, from which classes count as uneven."""


def read_from(evidence: Evidence) -> tuple[str, str]:
    """The block to put the head on, and why: the last, unless an earlier one beats it beyond chance."""
    read, last = evidence.ranked.transferability.read, evidence.ranked.transferability.blocks[-1]
    words = evidence.ranked.expected.metric.words
    if read is not last:
        return read.block, (
            f"the head reads {read.block} ({words(read.score)}): beyond {_errors(evidence)} "
            f"better than {last.block} ({words(last.score)}), whose features are too special to the source"
        )
    return last.block, f"the head reads {last.block} ({words(last.score)}): no earlier block is better beyond chance"


def best_read(evidence: Evidence) -> tuple[str, str]:
    """The block whose linear head is best in folds, and why; where few unseen rows judge them, that of `read_from`.

    Nothing below it learns, so that a later block is worth no more than its score: where the two differ, heads on the
    better one score .014 more on test parts, as folds say (LOG.md). Of nearest means and neighbors that does not hold.
    """
    scored, words = evidence.ranked.transferability, evidence.ranked.expected.metric.words
    best, read = max(reversed(scored.blocks), key=lambda row: row.score), scored.read
    if best is read or scored.judged is not None:
        return read_from(evidence)
    return best.block, (
        f"the head reads {best.block} ({words(best.score)}), the best in folds; {read.block} ({words(read.score)}) is "
        "not worse beyond chance, but is of use only where it learns too"
    )


def _errors(evidence: Evidence) -> str:
    errors = evidence.ranked.transferability.errors
    return "a standard error" if errors == 1 else f"{errors:.0f} standard errors"


def used_blocks(evidence: Evidence) -> tuple[str, ...]:
    """The blocks up to the one that is read, input side first."""
    return evidence.blocks[: evidence.blocks.index(read_from(evidence)[0]) + 1]


def require_rows(strategy: str, evidence: Evidence) -> None:
    """Refuse to train a backbone on a handful of rows.

    Raises:
        NotOffered: fewer than `FEWEST_ROWS` rows a class on average.
    """
    if evidence.rows < FEWEST_ROWS * evidence.classes:
        raise NotOffered(strategy, f"{evidence.rows} rows for {evidence.classes} classes are too few to train on")


def require_head(strategy: str, head: str, task: Task) -> None:
    """Refuse a head that names the nearest class where there are no classes.

    Raises:
        NotOffered: nearest class means or a vote, in multi-label or regression.
    """
    if head in {"prototype", "neighbors"} and task is not Task.CLASSIFICATION:
        raise NotOffered(strategy, f"its head names one class of a row, which {task} does not have")


def require_fitting(strategy: str, plan: Plan, blocks: Sequence[str]) -> None:
    """Refuse a plan that is not of this strategy, or that does not fit a net of these blocks.

    Raises:
        NotOffered: it freezes, reads or trains what is no block, or what it also freezes.
    """
    trained = {block for stage in plan.stages for block in stage.train}
    strange = sorted({plan.read, *plan.frozen, *trained} - set(blocks))
    both = sorted(trained & set(plan.frozen))
    through = blocks[: blocks.index(plan.read) + 1] if plan.read in blocks else ()
    neither = sorted(set(through) - trained - set(plan.frozen))
    if plan.strategy != strategy:
        raise NotOffered(strategy, f"its plan is called {plan.strategy}")
    if strange:
        raise NotOffered(strategy, f"its plan names {', '.join(strange)}, which this net does not have")
    if both:
        raise NotOffered(strategy, f"its plan both freezes and trains {', '.join(both)}")
    if neither:
        raise NotOffered(strategy, f"its plan neither freezes nor trains {', '.join(neither)}")
    if not plan.because:
        raise NotOffered(strategy, "its plan does not say why")


def epochs_for(evidence: Evidence) -> int:
    """Passes over the rows: few rows are shown more often."""
    defaults = _modality(evidence).defaults
    fewest, most = defaults.epochs
    return min(most, max(fewest, ceil(defaults.shown / evidence.rows)))


def head_rate(evidence: Evidence) -> float:
    """The rate of a head."""
    return _modality(evidence).defaults.head_rate


def backbone_rate(evidence: Evidence) -> float:
    """The head's rate up to a million parameters, then falling with the square root of their number."""
    return head_rate(evidence) * _share_of(evidence)


def first_rate(evidence: Evidence) -> float:
    """Likewise, of what comes before tuning."""
    return _modality(evidence).defaults.first_rate * _share_of(evidence)


def _share_of(evidence: Evidence) -> float:
    return min(1.0, sqrt(_MILLION / evidence.ranked.checkpoint.parameters))


def rate_ratio(blocks: int) -> float:
    """The rate of a block as a share of the one above's: 1/2.6 as in ULMFiT, milder where there are many blocks."""
    return max(1 / _LOWER, float(_LOWEST ** (1 / max(1, blocks - 1))))


def head_on(
    strategy: str,
    evidence: Evidence,
    head: str,
    because: Sequence[str],
    *,
    reads: Callable[[Evidence], tuple[str, str]] = read_from,
) -> Plan:
    """A plan that trains nothing but a head on features computed once."""
    read, why = reads(evidence)
    return Plan(
        strategy=strategy,
        read=read,
        head=head,
        stages=(),
        frozen=evidence.blocks,
        from_scratch=False,
        augment=False,
        batch_size=_BATCH,
        weight_decay=0.0,
        label_smoothing=0.0,
        because=(why, *because),
    )


def training(
    strategy: str,
    evidence: Evidence,
    stages: tuple[Stage, ...],
    because: Sequence[str],
    *,
    head: str = "logistic",
    augment: bool = False,
    adapter_rank: int = 0,
    anchor: float = 0.0,
) -> Plan:
    """A plan of these stages, with what holds against overfitting for so many rows; says what it chose and why.

    Raises:
        NotOffered: too few rows a class.
    """
    require_rows(strategy, evidence)
    read, why = read_from(evidence)
    learning = {block for stage in stages for block in stage.train}
    smoothed = evidence.rows >= _SMOOTHED and evidence.task is Task.CLASSIFICATION
    dropped = evidence.rows < _DROPPED and head != "fresh"
    modality, weighed = _modality(evidence), _weighs_classes(evidence)
    augment = augment and bool(modality.defaults.augmentations)
    mixup, many = modality.defaults.mixup if smoothed and augment else 0.0, modality.words.many
    return Plan(
        strategy=strategy,
        read=read,
        head=head,
        stages=stages,
        frozen=tuple(block for block in evidence.blocks if block not in learning),
        from_scratch=False,
        augment=augment,
        batch_size=_BATCH,
        weight_decay=_DECAY,
        label_smoothing=_SMOOTHING if smoothed else 0.0,
        because=(
            why,
            *because,
            _shown(evidence, learning, augment),
            *_against(many, smoothed, mixup, dropped, weighed),
        ),
        mixup=mixup,
        dropout=_DROPOUT if dropped else 0.0,
        class_weights=weighed,
        adapter_rank=adapter_rank,
        anchor=anchor,
    )


def _weighs_classes(evidence: Evidence) -> bool:
    """Whether rare classes weigh more: they are rare, and the metric counts classes and not rows."""
    if evidence.task is not Task.CLASSIFICATION:
        return False
    uneven = evidence.rows > _UNEVEN * evidence.classes * evidence.fewest
    return uneven and evidence.ranked.expected.metric is not Metric.ACCURACY


def _shown(evidence: Evidence, learning: set[str], augment: bool) -> str:
    """Whether items vary or a prefix's activations are kept, and why: both at once cannot be."""
    many = _modality(evidence).words.many
    if augment:
        return f"{many} vary a little in each epoch: nothing stays frozen whose activations could be kept instead"
    if evidence.blocks[0] in learning:
        return f"{many} are shown as they are, and every epoch runs the whole net"
    return f"{many} are shown as they are, so that the frozen blocks before what learns run only once"


def _modality(evidence: Evidence) -> Modality:
    return modalities[evidence.ranked.checkpoint.modality]


def _against(many: str, smoothed: bool, mixup: float, dropped: bool, weighed: bool) -> list[str]:
    reasons = []
    if smoothed:
        also = f" and pairs of {many} mixed" if mixup else ""
        reasons.append(f"labels are smoothed by {_SMOOTHING}{also}: there are {_SMOOTHED} rows or more")
    if dropped:
        reasons.append(f"{100 * _DROPOUT:.0f} % of the head's inputs are dropped: there are fewer than {_DROPPED} rows")
    if weighed:
        reasons.append("classes weigh alike in sum, for they are uneven and the metric counts classes")
    return reasons
