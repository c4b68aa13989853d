"""Step 1: which checkpoints are worth probing. Constraints filter, sketches prune, an exact distance orders.

Mean embeddings (one FAISS search) find the nearest domains; the exact MMD of Gretton et al. (2012) with the lens's
own bandwidth and column scales re-orders that shortlist. A checkpoint whose domain has no sketch is never pruned by
distance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from recommender.distance import distances
from recommender.distance.mmd import mmd
from recommender.verdicts import Candidate, Distance, DomainDistance, Skipped
from registry.cards import UNKNOWN_LICENSE, Checkpoint, Origin
from registry.features import Features
from registry.licenses import permits, require_license
from registry.progress import Progress, silent
from registry.sample import Sample
from registry.zoo import Zoo

__all__ = ["Constraints", "Shortlist", "measure", "measure_domains", "shortlist"]

ROOM = 3
"""The sketch search keeps this many times the domains asked for, at least `LEAST`, for the exact distance."""
LEAST = 10


@dataclass(frozen=True)
class Constraints:
    """What the user will not go beyond.

    Licenses are names, as people write them or as SPDX does (`registry.licenses`).

    Raises:
        UnknownName: a license that is none.
    """

    max_parameters: int | None = None
    licenses: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    """Names of checkpoints that are not to be considered."""

    def __post_init__(self) -> None:
        for license in self.licenses:
            require_license(license)

    def objection(self, checkpoint: Checkpoint) -> str | None:
        """Why the checkpoint is out, or None. An unknown license is never a permissive one."""
        if checkpoint.name in self.exclude:
            return "excluded by name"
        if self.max_parameters is not None and checkpoint.parameters > self.max_parameters:
            return f"{checkpoint.parameters:,} parameters, more than {self.max_parameters:,}"
        if self.licenses and not permits(checkpoint.license, self.licenses):
            what = "unknown" if checkpoint.license == UNKNOWN_LICENSE else f"{checkpoint.license!r}"
            return f"license {what}, asked for {' or '.join(self.licenses)}"
        return None


@dataclass(frozen=True)
class Shortlist:
    """Candidates nearest first (those without a sketch last), what was left out, and all distances measured."""

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]
    domains: tuple[DomainDistance, ...]


def shortlist(
    sample: Sample, seen: Features, zoo: Zoo, *, keep: int = 5, constraints: Constraints | None = None,
    of: str | None = None, seed: int = 0, progress: Progress = silent,
) -> Shortlist:  # fmt: skip
    """Choose at most ``keep`` sketched checkpoints by distance, and as many again without a sketch.

    ``of`` is the digest of the whole sample, where ``sample`` is a part: what was tuned on it here is left out.

    Each near domain sends its best checkpoint (by history, then by accuracy at the source) before any sends a second:
    distance says little of which body to take, and a wrong nearest domain costs only one place.
    """
    allowed, skipped = _filter(zoo.checkpoints(sample.modality), constraints or Constraints())
    own = [c for c in allowed if c.origin is Origin.OURS and _tuned_on(c, zoo) in (of or sample.digest, sample.digest)]
    allowed = [c for c in allowed if c not in own]
    skipped += [Skipped(c.name, "it was tuned on this very sample, so that its probe would flatter it") for c in own]
    measured = measure_domains(sample, seen, zoo, keep=keep, seed=seed, progress=progress)
    distance_of = {row.domain: row for row in measured}
    sketched = [c for c in allowed if c.domain is not None and zoo.sketch(c.domain) is not None]
    near = _in_turn(sorted((c for c in sketched if c.domain in distance_of), key=_by_distance(distance_of, zoo)))
    bare = sorted((c for c in allowed if c not in sketched), key=_by_history(zoo))
    skipped += [
        Skipped(c.name, f"its domain {c.domain} lies beyond the nearest {len(measured)} by sketch")
        for c in sketched
        if c.domain not in distance_of
    ]
    kept = {c.domain for c in near[:keep]}
    skipped += [Skipped(c.name, _left_out(distance_of[str(c.domain)], keep, c.domain in kept)) for c in near[keep:]]
    skipped += [
        Skipped(c.name, f"its domain has no sketch, and {keep} such checkpoints are probed already")
        for c in bare[keep:]
    ]
    chosen = [Candidate(c, distance_of[str(c.domain)]) for c in near[:keep]] + [Candidate(c, None) for c in bare[:keep]]
    return Shortlist(tuple(chosen), tuple(skipped), tuple(measured))


def measure_domains(
    sample: Sample, seen: Features, zoo: Zoo, *, keep: int = 5, seed: int = 0, metric: str = "mmd",
    progress: Progress = silent,
) -> list[DomainDistance]:  # fmt: skip
    """The exact distance of what the lens saw to the domains that the sketches call nearest, nearest first.

    The percentile among the registry's own pairs is told for ``mmd`` alone, whose pairs the sketches hold.
    """
    lens = zoo.lens(sample.modality)
    names = [domain.name for domain, _ in zoo.near(seen, max(LEAST, ROOM * keep))]
    pairs = _pair_distances(zoo, sample) if metric == "mmd" else np.array([])
    rows = []
    for done, name in enumerate(names):
        progress("exact distances", done, len(names))
        sketch = zoo.sketch(name)
        if sketch is not None:
            ours, theirs = lens.standardize(seen.vectors), lens.standardize(sketch.rows.vectors)
            groups = None if sample.groups is None else (sample.group_ids, np.arange(len(theirs)))
            found = measure(metric, ours, theirs, lens.sigma, groups, seed)
            rows.append(DomainDistance(name, lens.name, found, _percentile(found.value, pairs)))
    progress("exact distances", len(names), len(names))
    return sorted(rows, key=lambda row: (row.distance.value, row.distance.statistic, row.domain))


def measure(
    metric: str, x: np.ndarray, y: np.ndarray, sigma: float, groups: tuple[np.ndarray, np.ndarray] | None, seed: int
) -> Distance:
    """A distance of two standardized clouds of one lens; ``mmd`` with the lens's own bandwidth."""
    if metric == "mmd":
        return mmd(x, y, seed=seed, groups=groups, sigma=sigma)
    return distances[metric](x, y, seed=seed, groups=groups)


def _filter(all_known: Sequence[Checkpoint], constraints: Constraints) -> tuple[list[Checkpoint], list[Skipped]]:
    allowed, skipped = [], []
    for checkpoint in all_known:
        objection = constraints.objection(checkpoint)
        if objection is None:
            allowed.append(checkpoint)
        else:
            skipped.append(Skipped(checkpoint.name, objection))
    return allowed, skipped


def _tuned_on(checkpoint: Checkpoint, zoo: Zoo) -> str:
    """Content digest of the sample that is its domain."""
    return "" if checkpoint.domain is None else zoo.domain(checkpoint.domain).digest


def _by_distance(distance_of: dict[str, DomainDistance], zoo: Zoo) -> Callable[[Checkpoint], tuple[object, ...]]:
    def key(c: Checkpoint) -> tuple[object, ...]:
        found = distance_of[str(c.domain)].distance
        return (found.value, found.statistic, -_best_score(zoo, c), -_own_score(c), -c.parameters, c.name)

    return key


def _in_turn(by_distance: Sequence[Checkpoint]) -> list[Checkpoint]:
    """The best of each domain first, nearest domain first; then the second best of each, and so on."""
    turns: dict[str | None, int] = {}
    places = []
    for checkpoint in by_distance:
        turns[checkpoint.domain] = turns.get(checkpoint.domain, -1) + 1
        places.append(turns[checkpoint.domain])
    return [by_distance[i] for i in sorted(range(len(places)), key=lambda i: (places[i], i))]


def _own_score(checkpoint: Checkpoint) -> float:
    """Held-out accuracy at its source, comparable between checkpoints of one source."""
    return float(str(checkpoint.measured.get("held_out_accuracy", 0.0)))


def _by_history(zoo: Zoo) -> Callable[[Checkpoint], tuple[object, ...]]:
    return lambda c: (-_best_score(zoo, c), c.name)


def _best_score(zoo: Zoo, checkpoint: Checkpoint) -> float:
    scores = [outcome.score for outcome in zoo.history(checkpoint=checkpoint.name)]
    return sum(scores) / len(scores) if scores else 0.0


def _left_out(row: DomainDistance, keep: int, sibling: bool) -> str:
    if sibling:
        return f"another checkpoint of its domain {row.domain} is probed, and room is for {keep}"
    return f"its domain {row.domain} is farther (MMD² {row.distance.value:.3f}) than the {keep} kept"


def _pair_distances(zoo: Zoo, sample: Sample) -> np.ndarray:
    """Squared mean-embedding distances (the sketch's MMD²) between all of the registry's sketched domains."""
    sketches = [sketch for domain in zoo.domains(sample.modality) if (sketch := zoo.sketch(domain.name)) is not None]
    return np.array([float(((a.embedding - b.embedding) ** 2).sum()) for a, b in combinations(sketches, 2)])


def _percentile(value: float, pairs: np.ndarray) -> float | None:
    if len(pairs) == 0:
        return None
    return float(100 * np.mean(pairs > value))
