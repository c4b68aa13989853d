"""A planted world: true accuracies are known, test halves are drawn from them, and rankers know what we let them."""

from pathlib import Path

import numpy as np

from tests.benchmarks.proving_ground.cells import NO_TRANSFER, Cell, Figure, Result, append

CHECKPOINTS, TARGETS, TEST_ROWS = 10, 18, 1000


def world(seed=0, favorite=0.02, special=0.04):
    """True accuracies (checkpoints x targets): a target's ease, a checkpoint's standing, and what is theirs alone."""
    random = np.random.default_rng(seed)
    ease = random.uniform(0.55, 0.8, TARGETS)
    standing = favorite * random.standard_normal(CHECKPOINTS)[:, None]
    return np.clip(ease + standing + special * random.standard_normal((CHECKPOINTS, TARGETS)), 0.05, 0.95)


def families():
    """Two targets a family, and the last four alone."""
    return tuple(f"family{min(t // 2, 7) if t < 14 else t}" for t in range(TARGETS))


def drawn(true, seed=1):
    """Test rows told rightly: (checkpoints, targets, rows)."""
    return np.random.default_rng(seed).random((*true.shape, TEST_ROWS)) < true[..., None]


def tables(folder: Path, true, figures, *, skip=()):
    """Write design, outcomes and scores of the world; ``figures`` maps a name to (checkpoints x targets) values."""
    for name, lines in zip(("design", "outcomes", "scores"), lines_of(true, figures, skip=skip), strict=True):
        append(folder / f"{name}.csv", lines)


def lines_of(true, figures, *, skip=()):
    """The three tables' lines."""
    design, results, scores = [], [], []
    right = drawn(true)
    for k in range(CHECKPOINTS):
        for t, family in enumerate(families()):
            number = len(design) + 1
            of = (f"net{k}", f"{k:08d}", f"body{k // 5}", 1000 + k, f"source{k}", f"target{t}", family)
            design.append(Cell(number, 1, *of, "linear-probe", 800, 0, 0))
            if (k, t) not in skip:
                results.append(result(design[-1], right[k, t]))
            scores += [Figure(number, "", name, repr(float(table[k, t])), "abc") for name, table in figures.items()]
    for t, family in enumerate(families()):
        of = (NO_TRANSFER, "", "", 0, "", f"target{t}", family)
        design.append(Cell(len(design) + 1, 1, *of, NO_TRANSFER, 800, 0, 0))
        results.append(result(design[-1], drawn(np.full((1, 1), 0.4))[0, 0]))
    return design, results, scores


def result(cell, right):
    return Result(
        cell.cell,
        cell.checkpoint,
        cell.target,
        cell.strategy,
        "rows",
        cell.rows,
        len(right),
        right.mean(),
        right[::2].mean(),
        right[1::2].mean(),
        np.packbits(right).tobytes().hex(),
        1.0,
        "{}",
        "abc",
        "none",
        "2026-01-01T00:00:00Z",
    )
