"""Advice made of verdict objects, whose every number can be read off."""

from pathlib import Path

import numpy as np

from recommender.results import (
    Baseline,
    BlockScore,
    Candidate,
    Choice,
    Cost,
    Distance,
    DomainDistance,
    Expected,
    Plan,
    Ranked,
    Recommendation,
    Skipped,
    Stage,
    Transferability,
    Verdict,
)
from registry.cards import Checkpoint, Metric

HEALTH = {
    "rows": 560,
    "unreadable": 0,
    "unreadable_items": [],
    "converted": {},
    "exact_duplicates": 0,
    "near_duplicates": 0,
    "leaked": 0,
    "near_leaked": 0,
    "sampled_from": None,
    "balance": 1.0,
    "warnings": [],
}
SAMPLE = {
    "name": "surfaces",
    "digest": "ab" * 32,
    "modality": "image",
    "task": "classification",
    "rows": 560,
    "classes": 14,
    "metric": "accuracy",
    "health": HEALTH,
    "counts": {"brick": 40, "moon": 38},
    "groups": 42,
    "test_rows": 540,
    "origin": "/data/surfaces",
    "groups_from": "/data/groups.csv",
    "test_from": None,
    "labels_from": None,
    "values": None,
    "keep_duplicates": False,
}


def score(mean: float, reach: float) -> Expected:
    return Expected(Metric.ACCURACY, mean, mean - reach, mean + reach)


def choice(
    name: str,
    mean: float,
    *,
    gain: float,
    tier: int = 1,
    distance: float | None = 0.12,
    percentile: float | None = 93.0,
    tuned: bool = False,
) -> Choice:
    blocks = ("stem", "stage1", "stage2", "stage3")
    card = Checkpoint(name, "image", "ResNet", Path("/none"), "cd" * 32, 1_300_000, 64, license="MIT")
    measured = (
        None
        if distance is None
        else DomainDistance(
            f"{name}-source", "lens", Distance("mmd", distance, distance, distance / 2, distance * 2, 0.01), percentile
        )
    )
    curve = tuple(BlockScore(block, 0.2 + 0.15 * place, 0.02) for place, block in enumerate(blocks))
    scores = {"logme": -0.4, "knn": mean - 0.1, "linear": mean}
    result = Transferability(Candidate(card, measured), scores, curve, (mean, mean), np.zeros(4, np.int64), 0.001)
    reasons = ("no probed checkpoint is better beyond chance", f"{name} reads the classes from stage3")
    ranked = Ranked(result, score(mean, 0.04), 0.6, tier, score(gain, 0.05), reasons)
    stages = (Stage(("head",), 2, 1e-3, 0.0), Stage(("head", "stage2", "stage3"), 5, 1e-3, 1e-4)) if tuned else ()
    frozen = ("stem", "stage1") if tuned else blocks
    strategy = "lp-ft" if tuned else "linear-probe"
    plan = Plan(strategy, "stage3", "logistic", stages, frozen, False, False, 32, 1e-4, 0.0, ("few rows a class",))
    return Choice(ranked, plan, score(mean, 0.04), Cost(12.0, 310 * 2**20, 120_000), ("few rows a class", *reasons))


def advice(*choices: Choice, transfer: bool = True, skipped: tuple[Skipped, ...] = ()) -> Recommendation:
    reference = Baseline("raw pixels + linear", score(0.22, 0.03), np.zeros(4, np.int64), 0.22)
    sentence = "Start from the first." if transfer else "Do not transfer: no transfer is not beaten."
    near = tuple(c.ranked.transferability.candidate.distance for c in choices)
    measured = tuple(row for row in near if row is not None)
    judgment = Verdict(transfer, sentence)
    settings = {"keep": 5, "max_parameters": None, "licenses": [], "exclude": [], "seed": 0}
    return Recommendation("0123456789abcdef", SAMPLE, reference, choices, skipped, measured, judgment, settings)
