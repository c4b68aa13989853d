"""Step 2: score the candidates on the user's labels; a candidate that fails becomes Skipped, with the reason."""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int, Shaped

from recommender.resampling import draw_weights, resample
from recommender.transfer import scores
from recommender.transfer.linear import out_of_fold
from recommender.verdicts import BlockScore, Candidate, Skipped, Transferability, block_to_read
from registry.errors import EstimatorError, TransferZooError
from registry.features import Encoded
from registry.progress import Progress, silent
from registry.sample import Sample
from registry.sample import score as metric_score
from registry.zoo import Zoo

__all__ = ["MOST_ROWS", "probe", "transferability"]

MOST_ROWS = 800
TIMED_ROWS = 16
DEFAULT_SCORES = ("logme", "knn", "linear")


def probe(
    sample: Sample, candidates: Sequence[Candidate], zoo: Zoo, *, folds: Int[np.ndarray, " n"], seed: int = 0,
    progress: Progress = silent,
) -> tuple[tuple[Transferability, ...], tuple[Skipped, ...]]:  # fmt: skip
    """Encode the sample by each candidate in one forward pass and score every block of it."""
    scored, skipped = [], []
    for candidate in candidates:
        try:
            seconds = _forward_seconds(candidate, sample, zoo)
            encoded = zoo.encode(candidate.checkpoint.name, sample, progress=progress)
            found = transferability(candidate, encoded, sample, folds, seed, seconds)
            scored.append(replace(found, adaptable=zoo.encoder(candidate.checkpoint.name).adaptable))
        except (TransferZooError, OSError, MemoryError) as failure:
            skipped.append(Skipped(candidate.checkpoint.name, str(failure) or type(failure).__name__))
    return tuple(scored), tuple(skipped)


def transferability(
    candidate: Candidate, encoded: Encoded, sample: Sample, folds: Int[np.ndarray, " n"], seed: int, seconds: float
) -> Transferability:
    """All default scores on the last block, and the linear head's cross-validated score after every block.

    The head's own predictions are those on the block to read.
    """
    weights = draw_weights(sample.group_ids, seed=seed)
    tested = folds >= 0
    truth = sample.targets
    guesses = [out_of_fold(block.vectors, truth, folds).predicted for block in encoded.blocks]
    blocks = []
    for name, guess in zip(encoded.names, guesses, strict=True):
        draws = resample(sample.metric, truth[tested], guess[tested], weights[:, tested])
        blocks.append(BlockScore(name, draws.value, draws.standard_error))
    place = encoded.names.index(block_to_read(blocks).block)
    guess = guesses[place]
    by_fold = tuple(
        metric_score(sample.metric, truth[folds == fold], guess[folds == fold]) for fold in np.unique(folds[tested])
    )
    groups = None if sample.groups is None else sample.group_ids
    return Transferability(
        candidate, _scores(encoded, truth, groups), tuple(blocks), by_fold, guess, seconds,
        encoded.blocks[place].width,
    )


def _forward_seconds(candidate: Candidate, sample: Sample, zoo: Zoo) -> float:
    """Time a few items, after as many to warm up; cached features would tell nothing of the cost."""
    encoder, items = zoo.encoder(candidate.checkpoint.name), sample.items[:TIMED_ROWS]
    encoder.encode(items, progress=silent)
    began = time.perf_counter()
    encoder.encode(items, progress=silent)
    return (time.perf_counter() - began) / len(items)


def _scores(
    encoded: Encoded, targets: Shaped[np.ndarray, "n ..."], groups: Int[np.ndarray, " n"] | None
) -> dict[str, float]:
    found = {}
    for name in DEFAULT_SCORES:
        try:
            found[name] = scores[name](encoded.last.vectors, targets, groups=groups)
        except EstimatorError:
            continue
    return found

