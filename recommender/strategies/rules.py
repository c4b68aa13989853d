"""What several strategies decide alike: which block to read, whether there are rows enough, how long to train."""

from math import ceil

from recommender.verdicts import Evidence
from registry.cards import Task
from registry.errors import NotOffered

__all__ = ["FEWEST_ROWS", "epochs_for", "read_from", "require_head", "require_rows"]

FEWEST_ROWS = 5
"""Rows a class below which training a backbone memorizes more than it learns."""
_SHOWN = 3000
"""Pictures that a training shows at least, as far as `_MOST_EPOCHS` allows."""
_LEAST_EPOCHS, _MOST_EPOCHS = 5, 20


def read_from(evidence: Evidence) -> tuple[str, str]:
    """The block to put the head on, and why: the last, unless an earlier one beats it by more than a standard error."""
    read, last = evidence.ranked.transferability.read, evidence.ranked.transferability.blocks[-1]
    if read is not last:
        return read.block, (
            f"the head reads {read.block} ({read.score:.3f}): beyond a standard error "
            f"better than {last.block} ({last.score:.3f}), whose features are too special to the source"
        )
    return last.block, f"the head reads {last.block} ({last.score:.3f}): no earlier block is better beyond chance"


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


def epochs_for(rows: int) -> int:
    """Passes over the rows: few rows are shown more often."""
    return min(_MOST_EPOCHS, max(_LEAST_EPOCHS, ceil(_SHOWN / rows)))
