"""Whose statistics a net normalizes by while it learns: its own, or those of each batch.

Where a net's running statistics are not those of its activations, for how it was made or for how far the rows lie from
its source, it says something else as soon as batches speak for themselves: what the head was fitted to is gone with the
first step, at whatever rate (LOG.md). Then the statistics stay as they are, and only weights learn (on both ways see Wu
and Johnson 2021, "Rethinking Batch in BatchNorm").
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from recommender.resampling import draw_weights, resample
from recommender.results import Stage
from recommender.tuning.classifier import Classifier
from recommender.tuning.data import ItemRows
from recommender.tuning.heads import named
from registry.cards import Metric, Task

__all__ = ["why_own_statistics"]

_BATCHES = 4
"""Batches of the learning rows on which both are held against each other."""
_BEYOND = 2.0
"""Standard errors of the paired difference."""


def why_own_statistics(
    classifier: Classifier, stages: Sequence[Stage], rows: ItemRows, metric: Metric, task: Task, batch: int, seed: int
) -> str:
    """Why the statistics of a net with a fitted head stay as they are, in words; empty where batches may speak.

    Neither weights nor statistics are changed.
    """
    widest = max(stages, key=lambda stage: len(stage.train))
    classifier.eval()
    classifier.learn(widest.train, widest.only)
    norms = classifier.normalizing
    count = min(len(rows), _BATCHES * batch)
    if not norms or count <= batch:
        classifier.learn(())
        return ""
    parts = [part for part in np.array_split(np.arange(count), count // batch) if len(part)]
    own = _logits(classifier, rows, parts)
    with _by_batch(norms):
        by_batch = _logits(classifier, rows, parts)
    classifier.learn(())
    if not np.isfinite(by_batch).all():
        return "with those of batches the net says what is no number"
    truth, weights = rows.targets[:count], draw_weights(np.arange(count), seed=seed)
    before, after = (resample(metric, truth, named(task, logits), weights) for logits in (own, by_batch))
    if before.value - after.value <= _BEYOND * after.error_beside(before):
        return ""
    return (
        f"with those of batches the fitted head falls from {metric.words(before.value)} to {metric.words(after.value)}"
    )


def _logits(classifier: Classifier, rows: ItemRows, parts: Sequence[np.ndarray]) -> np.ndarray:
    device = classifier.head.weight.device
    logits = []
    with torch.inference_mode():
        for part in parts:
            batch = {name: tensor.to(device) for name, tensor in rows.batch(part.tolist()).items() if name != "labels"}
            logits.append(classifier(**batch).float().cpu())
    return torch.cat(logits).numpy()


@contextmanager
def _by_batch(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """These normalize by the batch they see, and remember nothing of it."""
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm in norms:
            norm.training, norm.track_running_stats = False, True
