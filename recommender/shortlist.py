"""Step 2: which checkpoints are worth probing. Constraints filter, and those that are left race.

Mean embeddings (one FAISS search) find the nearest domains; the exact MMD of Gretton et al. (2012) with the lens's
own bandwidth and column scales re-orders them. Distance, history and size say in which order to look, where not all can
be looked at; none of them leaves a checkpoint out that can.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import combinations

import numpy as np

from recommender.constraints import Constraints, Objection
from recommender.distance import distances
from recommender.distance.mmd import mmd
from recommender.effort import Deadline
from recommender.exposure import Exposures
from recommender.history import History
from recommender.latency import latency
from recommender.race import UNRACED, Race, race
from recommender.results import Candidate, Distance, DomainDistance, Skipped
from recommender.workers import Workers, in_this_process
from registry.cards import Checkpoint
from registry.errors import EstimatorError
from registry.features import Features
from registry.plugins import warn_of_plugin
from registry.progress import Phase, Progress, advance, silent
from registry.sample import Sample
from registry.zoo import Zoo

__all__ = [
    "Shortlist",
    "candidate_of",
    "distances_to",
    "measure_distance",
    "measure_domains",
    "shortlist",
]

ROOM = 3
"""The sketch search keeps this many times the domains asked for, at least `LEAST`, for the exact distance."""
LEAST = 10
_MOST_MEASURED = 200
"""Checkpoints whose domain's exact distance is measured, those first of which most is to be hoped."""
_MOST_PAIRED = 200
"""Domains whose distances to one another are measured: 20,000 pairs."""
MOST_SEEN = 2
"""Checkpoints that have seen rows of the sample which are shown beside the others."""


@dataclass(frozen=True)
class Shortlist:
    """Candidates (those that have seen rows last), what was left out, and all distances measured, nearest first."""

    candidates: tuple[Candidate, ...]
    skipped: tuple[Skipped, ...]
    domains: tuple[DomainDistance, ...]
    against: Mapping[str, tuple[Objection, ...]] = field(default_factory=dict)
    """What speaks against those that the constraints left out, by name."""
    race: Race = UNRACED
    """How those that have not seen rows were chosen."""
    looks: bool = True
    """Whether there was one; else they stand in the order of what is known of them."""


def shortlist(  # noqa: PLR0913 - each says what is looked at, or how
    sample: Sample,
    features: Features,
    zoo: Zoo,
    *,
    of: Sample | None = None,
    cards: Sequence[Checkpoint] | None = None,
    history: History | None = None,
    keep: int = 5,
    finalists: int | None = None,
    constraints: Constraints | None = None,
    seed: int = 0,
    progress: Progress = silent,
    deadline: Deadline | None = None,
    looks: bool = True,
    workers: Workers = in_this_process,
) -> Shortlist:
    """Choose at most ``keep`` checkpoints that win the race, beside at most `MOST_SEEN` that have seen rows.

    Where they race and ``finalists`` are stated, no more than these are chosen.

    ``cards`` are those to choose among, else all of the modality.

    ``sample`` is what is probed, ``features`` the lens's of it; ``of`` is the whole of which it is part. What has seen
    rows does not race, for it would flatter itself; of these, the most accurate at their source are kept.

    All others race (`recommender.race`), those first of which most is to be hoped (see `_hope`). Without ``looks`` the
    first of these are taken as they come.
    """
    among = zoo.checkpoints(sample.modality) if cards is None else cards
    allowed, skipped, against = _filter(among, zoo, sample, constraints or Constraints())
    measured = measure_domains(sample, features, zoo, keep=keep, seed=seed, progress=progress)
    distance_of = {row.domain: row for row in measured}
    exposures = Exposures(of or sample, sample, features, zoo, allowed)
    candidates = []
    for card in allowed:
        declared = exposures.declared(card)
        domain = declared.name if declared is not None else str(card.domain)
        candidates.append(Candidate(card, distance_of.get(domain), exposures.of(card)))
    known = history or History(())
    run = partial(
        race,
        sample,
        zoo=zoo,
        keep=keep,
        finalists=finalists,
        seed=seed,
        progress=progress,
        deadline=deadline,
        workers=workers,
    )
    candidates.sort(key=lambda candidate: _hope(candidate, known))
    own = sorted((c for c in candidates if c.exposure is not None), key=lambda c: -_own_score(c.checkpoint))
    skipped += [
        Skipped(c.checkpoint.name, f"{c.exposure.because}, and {MOST_SEEN} such checkpoints are shown")
        for c in own[MOST_SEEN:]
        if c.exposure is not None
    ]
    fresh = [c for c in candidates if c.exposure is None]
    raced = run(fresh) if looks else Race(tuple(fresh))
    hoped, others = raced.ahead[:_MOST_MEASURED], raced.ahead[_MOST_MEASURED:]
    placed = _with_distances([*hoped, *own[:MOST_SEEN]], sample, features, zoo, seed, exposures)
    kept = [*placed[: len(hoped)], *others, *placed[len(hoped) :]]
    domains = {row.distance.domain: row.distance for row in kept if row.distance is not None} | distance_of
    nearest = tuple(sorted(domains.values(), key=_nearness))
    return Shortlist(tuple(kept), (*skipped, *raced.skipped), nearest, against, raced, looks)


def _hope(candidate: Candidate, history: History) -> tuple[float, float, float, int, str]:
    """What is known before any look, best first: adjusted history, distance, accuracy at the source, size, name."""
    card, distance = candidate.checkpoint, candidate.distance
    far = np.inf if distance is None else distance.distance.value
    return (-history.advantage(card.name), far, -_own_score(card), -card.parameters, card.name)


def _with_distances(
    candidates: Sequence[Candidate], sample: Sample, features: Features, zoo: Zoo, seed: int, exposures: Exposures
) -> list[Candidate]:
    """With the distances of their domains, where these have a sketch; measured now if not among the nearest."""
    domains: dict[str, str] = {}
    for candidate in candidates:
        card = candidate.checkpoint
        declared = exposures.declared(card)
        domain = card.domain if declared is None else declared.name
        if candidate.distance is None and domain is not None:
            domains[card.name] = domain
    far = distances_to([*dict.fromkeys(domains.values())], sample, features, zoo, seed=seed)
    return [replace(one, distance=one.distance or far.get(domains.get(one.checkpoint.name, ""))) for one in candidates]


def measure_domains(
    sample: Sample,
    features: Features,
    zoo: Zoo,
    *,
    keep: int = 5,
    seed: int = 0,
    metric: str = "mmd",
    family: str | None = None,
    progress: Progress = silent,
) -> list[DomainDistance]:
    """The exact distance of what the lens saw to the domains that the sketches call nearest, nearest first.

    With ``family`` the domains of that family alone count.

    The percentile among the registry's own pairs is told for ``mmd`` alone, whose pairs the sketches hold.
    """
    names = [domain.name for domain, _ in zoo.near(features, max(LEAST, ROOM * keep), family=family)]
    pairs = _pair_distances(zoo, sample) if metric == "mmd" else np.array([])
    rows = []
    for done, name in enumerate(names):
        advance(progress, Phase.DISTANCES, done, len(names))
        measured = _measured(name, sample, features, zoo, metric, pairs, seed)
        rows += [] if measured is None else [measured]
    advance(progress, Phase.DISTANCES, len(names), len(names))
    return sorted(rows, key=_nearness)


def distances_to(
    domains: Sequence[str], sample: Sample, features: Features, zoo: Zoo, *, seed: int = 0
) -> dict[str, DomainDistance]:
    """The exact distance of what the lens saw to these domains, by name; those without a sketch are left out."""
    pairs = _pair_distances(zoo, sample) if domains else np.array([])
    rows = {name: _measured(name, sample, features, zoo, "mmd", pairs, seed) for name in domains}
    return {name: row for name, row in rows.items() if row is not None}


def candidate_of(
    checkpoint: Checkpoint, sample: Sample, features: Features, zoo: Zoo, of: Sample, seed: int
) -> Candidate:
    """One checkpoint that is not chosen but named, with its distance and what it has seen; as `shortlist` has them."""
    exposures = Exposures(of, sample, features, zoo)
    bare = Candidate(checkpoint, None, exposures.of(checkpoint))
    (candidate,) = _with_distances([bare], sample, features, zoo, seed, exposures)
    return candidate


def measure_distance(
    metric: str, x: np.ndarray, y: np.ndarray, sigma: float, groups: tuple[np.ndarray, np.ndarray] | None, seed: int
) -> Distance:
    """A distance of two standardized clouds of one lens; ``mmd`` with the lens's own bandwidth."""
    if metric == "mmd":
        return mmd(x, y, seed=seed, groups=groups, sigma=sigma)
    return distances[metric](x, y, seed=seed, groups=groups)


def _filter(
    cards: Sequence[Checkpoint], zoo: Zoo, sample: Sample, constraints: Constraints
) -> tuple[list[Checkpoint], list[Skipped], dict[str, tuple[Objection, ...]]]:
    """What the constraints allow, and what speaks against each of the others."""
    allowed, skipped, against = [], [], {}
    licenses = zoo.licenses_once()
    for checkpoint in cards:
        if checkpoint.locator is not None and not zoo.here(checkpoint):
            continue  # it is known, and not here: `recommender.unprobed` shows it
        objections = constraints.objections(checkpoint, zoo, licenses) or _too_slow(
            zoo, checkpoint, sample, constraints
        )
        if objections:
            skipped.append(Skipped(checkpoint.name, objections[0].reason))
            against[checkpoint.name] = objections
        else:
            allowed.append(checkpoint)
    return allowed, skipped, against


def _too_slow(zoo: Zoo, checkpoint: Checkpoint, sample: Sample, constraints: Constraints) -> tuple[Objection, ...]:
    """Measured only where it is limited; what cannot be opened is left to the probe, which says why."""
    if constraints.max_latency is None:
        return ()
    try:
        return constraints.too_slow(latency(zoo.encoder(checkpoint.name), sample))
    except Exception:  # a stranger's net may raise anything
        return ()


def _measured(
    domain: str, sample: Sample, features: Features, zoo: Zoo, metric: str, pairs: np.ndarray, seed: int
) -> DomainDistance | None:
    """The exact distance of what the lens saw to a domain; None where that has no sketch."""
    lens, sketch = zoo.lens(sample.modality), zoo.sketch(domain)
    if sketch is None:
        return None
    ours, theirs = lens.standardize(features.vectors), lens.standardize(sketch.rows.vectors)
    groups = None if sample.groups is None else (sample.group_ids, np.arange(len(theirs)))
    distance = measure_distance(metric, ours, theirs, lens.sigma, groups, seed)
    brought = _of_plugins(ours, theirs, groups, seed)
    return DomainDistance(domain, lens.name, distance, _percentile(distance.value, pairs), brought)


def _of_plugins(
    x: np.ndarray, y: np.ndarray, groups: tuple[np.ndarray, np.ndarray] | None, seed: int
) -> dict[str, float]:
    """What each distance of a plug-in makes of two clouds; one that fails is left out with a warning."""
    values = {}
    for name in distances.brought:
        try:
            values[name] = float(distances[name](x, y, seed=seed, groups=groups).value)
        except EstimatorError:
            continue
        except Exception as failure:
            warn_of_plugin("distance", name, failure)
    return values


def _nearness(row: DomainDistance) -> tuple[float, float, str]:
    return (row.distance.value, row.distance.statistic, row.domain)


def _own_score(checkpoint: Checkpoint) -> float:
    """Held-out accuracy at its source, comparable between checkpoints of one source."""
    return float(str(checkpoint.measured.get("held_out_accuracy", 0.0)))


def _pair_distances(zoo: Zoo, sample: Sample) -> np.ndarray:
    """Squared mean-embedding distances (the sketch's MMD²) between the registry's sketched domains.

    Of more than `_MOST_PAIRED` domains so many stand for all, the oldest, the newest and evenly between.
    """
    embeddings = zoo.embeddings(sample.modality, _MOST_PAIRED)
    return np.array([float(((a - b) ** 2).sum()) for a, b in combinations(embeddings, 2)])


def _percentile(value: float, pairs: np.ndarray) -> float | None:
    if len(pairs) == 0:
        return None
    return float(100 * np.mean(pairs > value))
