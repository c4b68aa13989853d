"""Which linear head to fit, and on which block: python -m tests.benchmarks.heads --shared ../shared --data FOLDER.

On the proving ground's pairs of light nets and sets, from features alone, each with at most so many rows: what logistic
regression on the advised block scores on the test part; what a ridge and what the mean of the two gain over it; and
what is gained where the head then reads the block that is best in folds, though others are as good within chance.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int

from recommender.results import BlockScore, block_to_read
from recommender.transfer.linear import fit_head, fit_ridge, out_of_fold
from registry.features import Encoded
from tests.benchmarks.proving_ground.bench import Bench
from tests.benchmarks.proving_ground.cells import HERE
from tests.benchmarks.proving_ground.run import Tables
from tests.benchmarks.proving_ground.targets import GROUNDS, Part, sets_of

STRATEGY = {"image": ("block-probe", 600), "text": ("linear-probe", 600)}
FEWEST = 3
"""Rows of a class, below which a pair is left out."""


def compared(part: Part, train: Encoded, test: Encoded, most: int) -> dict[str, float] | None:
    """Test accuracies of the heads, less that of logistic regression; None where classes have too few rows."""
    kept = part.train.subsample(most, 0)
    places = {item.digest: row for row, item in enumerate(part.train.items)}
    rows = np.array([places[item.digest] for item in kept.items])
    codes, truth, classes = kept.targets.values, part.test.targets.values, len(part.train.classes)
    if np.bincount(codes, minlength=classes).min() < FEWEST:
        return None
    folds = kept.folds(seed=0)
    held_out = [out_of_fold(block.vectors[rows], codes, folds).predicted == codes for block in train.blocks]
    tested = folds >= 0
    scores = [float(right[tested].mean()) for right in held_out]
    errors = [float(np.sqrt(score * (1 - score) / tested.sum())) for score in scores]
    curve = [BlockScore(name, *row) for name, *row in zip(train.names, scores, errors, strict=True)]
    read = train.names.index(block_to_read(curve).block)
    best = max(range(len(scores)), key=lambda place: (scores[place], place))

    def accuracy(logits: Float[np.ndarray, "n c"]) -> float:
        return float((logits.argmax(axis=1) == truth).mean())

    def of(block: int) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, "n d"], Int[np.ndarray, " m"]]:
        return train.blocks[block].vectors[rows], test.blocks[block].vectors, codes

    features, new, targets = of(read)
    mean = fit_head(features, targets, classes).logits(new)
    ridge = fit_ridge(features, targets, classes).logits(new)
    logistic = accuracy(2 * mean - ridge)
    features, new, targets = of(best)
    moved = accuracy(fit_head(features, targets, classes).logits(new))
    return {
        "logistic": logistic,
        "ridge": accuracy(ridge) - logistic,
        "mean": accuracy(mean) - logistic,
        "mean, best block": moved - logistic,
        "blocks differ": float(best != read),
    }


def main() -> None:
    """Print a line for each number of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modality", choices=sorted(STRATEGY), default="image")
    parser.add_argument("--rows", type=int, nargs="+", default=[40, 80, 150, 300, 600])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--data", type=Path, default=Path(".cache/data"))
    parser.add_argument("--grown", type=Path, default=Path(".cache/grow"))
    parser.add_argument("--teachers", type=Path, default=Path(".cache/teachers"))
    parser.add_argument("--cache", type=Path, default=Path(".cache/proving"))
    requested = parser.parse_args()
    torch.set_num_threads(1)
    ground, tables = GROUNDS[requested.modality], Tables(HERE / requested.modality)
    data = sets_of(ground, requested.data, requested.shared)
    bench = Bench(data, requested.shared, requested.grown, requested.cache, ground, requested.teachers)
    strategy, rows = STRATEGY[requested.modality]
    done = tables.results
    cells = [c for c in tables.design if (c.strategy, c.rows) == (strategy, rows) and c.cell in done]
    cells = [c for c in cells if c.wave == max(cell.wave for cell in cells)]
    compared_at: dict[int, list[tuple[str, dict[str, float]]]] = {most: [] for most in requested.rows}
    for cell in cells:
        part, train, test = bench.part(cell), bench.train_features(cell), bench.test_features(cell)
        for most, so_far in compared_at.items():
            if most <= len(part.train) and (row := compared(part, train, test, most)) is not None:
                so_far.append((cell.target, row))
    print("| rows | pairs, sets | logistic | a ridge | the mean | the mean on the best block | blocks differ |")
    print("|---|---|---|---|---|---|---|")
    for most, so_far in compared_at.items():
        if so_far:
            print(f"| {most} | {_line(so_far)} |", flush=True)


def _line(rows: list[tuple[str, dict[str, float]]]) -> str:
    """Means over the sets, gains with their standard errors over them."""
    sets = sorted({target for target, _ in rows})
    table = {
        name: np.array([np.mean([row[name] for target, row in rows if target == one]) for one in sets])
        for name in rows[0][1]
    }
    gains = [
        f"{table[name].mean():+.4f} ± {table[name].std(ddof=1) / np.sqrt(len(sets)):.4f}"
        for name in ("ridge", "mean", "mean, best block")
    ]
    differ = table["blocks differ"].mean()
    return " | ".join([f"{len(rows)}, {len(sets)}", f"{table['logistic'].mean():.3f}", *gains, f"{differ:.2f}"])


if __name__ == "__main__":
    main()
