"""Suspected labels: labels are flipped, and advice asked which ones it doubts; precision and recall.

    python -m tests.benchmarks.label_noise IMAGE_SET ... TEXT_SET [--rows N] [--keep N]

A share of the training labels, drawn at random, names another class. *Precision* is the share of suspects that were
flipped, *recall* the share of the flipped that are suspects, *meant* how often the suggestion is the label that was
there before. With no flips every suspect counts as false, though some of the sets' own labels are wrong. *Top* is the
precision among the most doubtful, as many as were flipped.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from recommender import recommend
from registry.sample import Sample
from registry.zoo import Zoo

SHARES = (0.0, 0.05, 0.2)


def main() -> None:
    """Flip, ask and count, for every set and share."""
    parser = argparse.ArgumentParser(description="Precision and recall of suspected labels.")
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--keep", type=int, default=5)
    wanted = parser.parse_args()
    print("set                   flipped  suspects  precision  recall  meant  top")
    with tempfile.TemporaryDirectory() as place, Zoo.open(place) as zoo:
        for folder in wanted.sets:
            sample = replace(Sample.from_folder(folder).subsample(wanted.rows), test=None)
            for share in SHARES:
                print(f"{folder.name:20s}  {_judged(sample, share, zoo, wanted.keep)}", flush=True)


def _judged(sample: Sample, share: float, zoo: Zoo, keep: int) -> str:
    """One line of the table."""
    random = np.random.default_rng(1)
    flipped = np.isin(np.arange(len(sample)), random.choice(len(sample), round(share * len(sample)), replace=False))
    truth = sample.targets.values
    others = (truth + random.integers(1, len(sample.classes), len(sample))) % len(sample.classes)
    codes = np.where(flipped, others, truth)
    noisy = replace(sample, labels=tuple(sample.classes[code] for code in codes)).take(np.arange(len(sample)))
    suspects = recommend(noisy, zoo, keep=keep).suspects
    rows = () if suspects is None else suspects.rows
    meant = {item.name: label for item, label, wrong in zip(sample.items, sample.labels, flipped, strict=True) if wrong}
    hits = [row for row in rows if row.item in meant]
    top = [row for row in rows[: len(meant)] if row.item in meant]
    right = [row for row in hits if row.suggested == meant[row.item]]
    shares = [
        f"{part / whole:.2f}" if whole else "   -"
        for part, whole in (
            (len(hits), len(rows)),
            (len(hits), len(meant)),
            (len(right), len(hits)),
            (len(top), min(len(rows), len(meant))),
        )
    ]
    return f"{len(meant):7d}  {len(rows):8d}  {shares[0]:>9s}  {shares[1]:>6s}  {shares[2]:>5s}  {shares[3]:>4s}"


if __name__ == "__main__":
    main()
