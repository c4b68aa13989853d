"""Scores and distances of a probed pair, from the features that its linear probe was fitted on."""

import subprocess
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from recommender.distance import distances
from recommender.transfer import scores
from recommender.transfer.decomposition import Decomposition, decompose
from registry.errors import EstimatorError
from registry.features import Encoded
from registry.zoo import Zoo
from tests.benchmarks.proving_ground.bench import Bench
from tests.benchmarks.proving_ground.cells import GONE, LAYER_MEAN, Cell, Figure

__all__ = ["commit", "distance_figures", "score_figures"]

Key = tuple[int, str, str]
HEADED = ("leep", "nce")
"""Scores of the source head's class probabilities."""
SCALED = ("mmd", "mean_embedding")
"""Distances that take the lens's bandwidth."""
BLOCKWISE = ("logme", "hscore", "knn", "linear")
OF_THE_MEAN = ("logme",)
"""Scores of the mean over blocks, too, where all are of one width."""


def score_figures(cell: Cell, bench: Bench, known: Mapping[Key, Figure], anew: Collection[str] = ()) -> list[Figure]:
    """What is not known yet of a pair: every score of the shelf on the last block, some on each block before it.

    Scores ``anew`` are computed once more, and told where they differ; of a pair whose weights are gone, that they are.
    """
    if not bench.has(cell):
        return _gone(cell, known, anew)
    part = bench.part(cell)
    encoded, targets = bench.train_features(cell), part.train.targets
    results = []
    for where, vectors, offered in _views(encoded):
        wanted = [s for s in offered if s in anew or (cell.cell, where, f"score.{s}") not in known]
        thin = decompose(vectors) if wanted else None
        for score in wanted:
            value = _score(score, encoded.head if score in HEADED else thin, targets)
            before = known.get((cell.cell, where, f"score.{score}"))
            if before is None or _in_short(before.value) != value:
                results.append(Figure(cell.cell, where, f"score.{score}", value, commit()))
    if (cell.cell, "", "effort.seconds") not in known:
        seconds = bench.forward_seconds(cell) * len(part.train)
        results.append(Figure(cell.cell, "", "effort.seconds", f"{seconds:.2f}", commit()))
    return results


def _views(encoded: Encoded) -> Iterator[tuple[str, Float[np.ndarray, "n d"], Collection[str]]]:
    """What scores read: each block (the last has no name), and the mean of all; with the scores that read it."""
    for name, block in zip(encoded.names[:-1], encoded.blocks[:-1], strict=True):
        yield name, block.vectors, BLOCKWISE
    yield "", encoded.blocks[-1].vectors, [*scores]
    if len(encoded.blocks) > 1 and len({block.vectors.shape[1] for block in encoded.blocks}) == 1:
        yield LAYER_MEAN, np.mean([block.vectors for block in encoded.blocks], axis=0), OF_THE_MEAN


def _gone(cell: Cell, known: Mapping[Key, Figure], anew: Collection[str]) -> list[Figure]:
    stale = [
        figure
        for figure in known.values()
        if figure.cell == cell.cell and figure.figure.removeprefix("score.") in anew and figure.value != GONE
    ]
    return [Figure(cell.cell, figure.block, figure.figure, GONE, commit()) for figure in stale]


def _in_short(value: str) -> str:
    """As it is written now; the first cells hold all digits."""
    try:
        return f"{float(value):.6g}"
    except ValueError:
        return value


def _score(name: str, passed: Decomposition | np.ndarray | None, targets: np.ndarray) -> str:
    """The score, or the name of what forbids it."""
    if passed is None:
        return "NoSourceHead"
    try:
        return f"{scores[name](passed, targets):.6g}"
    except EstimatorError as refused:
        return type(refused).__name__


def distance_figures(cell: Cell, bench: Bench, zoo: Zoo, scores_known: Mapping[Key, Figure]) -> list[Figure]:
    """Every distance of the shelf between the target and the checkpoint's own source, through the catalog's lens.

    Nothing where the registry has no sketch of the source. Through a new lens all is measured anew.
    """
    modality = bench.ground.modality
    source, lens = cell.lineage.split(";")[0], zoo.lens(modality)
    if source not in {domain.name for domain in zoo.domains(modality)} or zoo.sketch(source) is None:
        return []
    report = scores_known.get((cell.cell, "", "lens.digest"))
    same = report is not None and report.value == lens.digest
    wanted = [name for name in distances if not same or (cell.cell, "", f"distance.{name}") not in scores_known]
    by_name = {f"distance.{name}": _distance(name, bench, cell.target, cell.seed, source, zoo) for name in wanted}
    if wanted:
        by_name |= {"lens": lens.checkpoint, "lens.digest": lens.digest}
    return [Figure(cell.cell, "", name, value, commit()) for name, value in by_name.items()]


@lru_cache(maxsize=4096)
def _distance(name: str, bench: Bench, target: str, seed: int, source: str, zoo: Zoo) -> str:
    """The raw statistic, which orders near sources too, or the name of what forbids it."""
    lens, sketch = zoo.lens(bench.ground.modality), zoo.sketch(source)
    seen = zoo.lens_features(bench.rows_of(target, bench.ground.probe_rows, seed).train)
    ours, theirs = lens.standardize(seen.vectors), lens.standardize(sketch.rows.vectors)
    more = {"sigma": lens.sigma} if name in SCALED else {}
    try:
        return f"{distances[name](ours, theirs, seed=seed, **more).statistic:.6g}"
    except EstimatorError as refused:
        return type(refused).__name__


@lru_cache(maxsize=1)
def commit() -> str:
    """The commit that this runs at."""
    requests = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(requests, capture_output=True, text=True, check=True).stdout.strip()
