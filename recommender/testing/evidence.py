"""Evidence with a curve over blocks that one writes down."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from recommender.results import Baseline, BlockScore, Candidate, Evidence, Expected, Ranked, Transferability
from registry.cards import Checkpoint, Metric

CHECKPOINT = Checkpoint("net", "image", "ResNetModel", Path("net"), "0" * 64, parameters=400_000, input_size=64)


def evidence(  # noqa: PLR0913, PLR0917 - each can be written down
    curve=(0.5, 0.6, 0.7, 0.8),
    error=0.02,
    rows=600,
    classes=5,
    fewest=None,
    parameters=400_000,
    metric=Metric.ACCURACY,
    adaptable=None,
    modality="image",
) -> Evidence:
    """A checkpoint whose blocks read the classes as well as the curve says."""
    blocks = tuple(BlockScore(f"block {n:02d}", score, error) for n, score in enumerate(curve, start=1))
    expected = Expected(metric, curve[-1], curve[-1] - 0.03, curve[-1] + 0.03)
    predicted = np.zeros(rows, np.int64)
    candidate = Candidate(replace(CHECKPOINT, parameters=parameters, modality=modality), None)
    scored = Transferability(
        candidate,
        {"linear": curve[-1]},
        blocks,
        (curve[-1],),
        predicted,
        0.001,
        adaptable=tuple(block.block for block in blocks) if adaptable is None else adaptable,
    )
    ranked = Ranked(scored, expected, 1.0, 1, Expected(Metric.ACCURACY, 0.2, 0.1, 0.3), ())
    raw = Baseline("raw pixels + linear", Expected(Metric.ACCURACY, 0.4, 0.3, 0.5), predicted, 0.4)
    names = tuple(block.block for block in blocks)
    return Evidence(ranked, rows, classes, fewest or rows // classes, raw, CHECKPOINT.architecture, names)
