"""The story: recommend() and tune(). Only this module knows the order of the steps."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.metadata import version

import numpy as np
from jaxtyping import Int

from recommender.baseline import baseline
from recommender.distance import distances
from recommender.history import History
from recommender.plan import plan
from recommender.probe import MOST_ROWS, probe
from recommender.rank import rank
from recommender.shortlist import Constraints, Shortlist, measure, measure_domains, shortlist
from recommender.tuning.executors import here
from recommender.tuning.folder import find_run
from recommender.tuning.job import USUAL, Job, Terms
from recommender.tuning.tracking import mlflow_runs
from recommender.tuning.trial import measure as measure_cost
from recommender.verdicts import (
    Baseline,
    Candidate,
    Choice,
    Cost,
    Distance,
    DomainDistance,
    Expected,
    Ranked,
    Recommendation,
    Skipped,
    TuningRun,
    Verdict,
)  # fmt: skip
from registry.cards import Outcome, Task
from registry.errors import EncoderMismatch, NoCandidates
from registry.progress import Progress, silent
from registry.sample import Sample
from registry.zoo import Zoo

__all__ = ["MOST_COMPARED", "compare", "consider", "near", "price", "recommend", "resume", "tune"]

MOST_COMPARED = 2000
"""Rows of each side that a comparison looks at."""
WORTH_A_TRIAL = 10.0
"""Seconds that a tuning is thought to take, from which a trial that takes some too tells more than it costs."""


def recommend(
    sample: Sample, zoo: Zoo, *, keep: int = 5, constraints: Constraints | None = None, seed: int = 0,
    progress: Progress = silent,
) -> Recommendation:  # fmt: skip
    """Which checkpoint to start from and how much of it to freeze, beside what no transfer would score.

    At most 800 rows are probed. Writes nothing: ``zoo.keep(advice)`` does.

    Raises:
        NoCandidates: the constraints left nothing, or every probe failed.
    """
    probed = sample.subsample(MOST_ROWS, seed)
    seen = zoo.see(probed, progress=progress)
    found = shortlist(
        probed, seen, zoo, keep=keep, constraints=constraints, of=sample.digest, seed=seed, progress=progress
    )  # fmt: skip
    limits = constraints or Constraints()
    settings: dict[str, object] = {
        "keep": keep, "max_parameters": limits.max_parameters, "licenses": list(limits.licenses),
        "exclude": list(limits.exclude), "seed": seed,
    }  # fmt: skip
    name = _id(sample, zoo, settings)
    if len(set(sample.labels)) < 2:
        return _distances_only(name, sample, found, settings)
    ranked, reference, failed = _judge(sample, probed, found.candidates, zoo, seed, progress)
    skipped = (*found.skipped, *failed)
    if not ranked:
        raise NoCandidates("; ".join(f"{row.checkpoint}: {row.reason}" for row in skipped) or "the registry is empty")
    history = _history(zoo, sample)
    choices = tuple(replace(plan(row, sample, reference, history), recommendation=name) for row in ranked)
    return Recommendation(
        name, sample.to_dict(), reference, choices, skipped, found.domains, _verdict(choices[0], reference), settings
    )


def consider(
    sample: Sample, zoo: Zoo, checkpoint: str, strategy: str | None = None, *, seed: int = 0,
    progress: Progress = silent,
) -> Choice:  # fmt: skip
    """The choice for one checkpoint (and strategy) that the user names.

    Raises:
        UnknownName: no such checkpoint or strategy.
        NotOffered: the strategy does not fit.
        NoCandidates: the checkpoint cannot be probed.
    """
    probed = sample.subsample(MOST_ROWS, seed)
    candidate = Candidate(zoo.checkpoint(checkpoint), None)
    ranked, reference, failed = _judge(sample, probed, (candidate,), zoo, seed, progress)
    if not ranked:
        raise NoCandidates("; ".join(row.reason for row in failed))
    return plan(ranked[0], sample, reference, _history(zoo, sample), strategy=strategy)


def compare(
    one: Sample, other: Sample | str, zoo: Zoo, *, metric: str = "mmd", through: str | None = None, seed: int = 0,
    progress: Progress = silent,
) -> Distance:  # fmt: skip
    """How far a sample lies from another one, or from a known domain (by name), through the lens or a checkpoint.

    Through the lens, ``mmd`` uses the lens's own bandwidth and scales, so that values of different pairs compare.

    Raises:
        UnknownName: no such metric, domain or checkpoint.
        EncoderMismatch: a domain is known through its lens alone, not through another checkpoint.
    """
    lens = zoo.lens(one.modality)
    if isinstance(other, str):
        return _to_domain(one, zoo.domain(other).name, zoo, metric, through, seed, progress)
    pair = [part.subsample(MOST_COMPARED, seed) for part in (one, other)]
    groups = None if all(part.groups is None for part in pair) else (pair[0].group_ids, pair[1].group_ids)
    if through is not None:
        x, y = (zoo.encode(through, part, progress=progress).last.vectors for part in pair)
        return distances[metric](x, y, seed=seed, groups=groups)
    x, y = (lens.standardize(zoo.see(part, progress=progress).vectors) for part in pair)
    return measure(metric, x, y, lens.sigma, groups, seed)


def near(
    sample: Sample, zoo: Zoo, *, most: int = 10, metric: str = "mmd", seed: int = 0, progress: Progress = silent
) -> tuple[DomainDistance, ...]:
    """The nearest known domains by exact distance, nearest first.

    Raises:
        UnknownName: no such metric, or no lens for this modality.
    """
    part = sample.subsample(MOST_ROWS, seed)
    seen = zoo.see(part, progress=progress)
    found = measure_domains(part, seen, zoo, keep=most, seed=seed, metric=metric, progress=progress)
    return tuple(found[:most])


def price(
    choice: Choice, sample: Sample, zoo: Zoo, terms: Terms = USUAL, *, progress: Progress = silent
) -> Cost:  # fmt: skip
    """What carrying out a choice will cost, measured on a few rows of it; where that is soon done, as advised.

    Raises:
        TuningError: even the trial failed.
    """
    if choice.cost.seconds < WORTH_A_TRIAL:
        return choice.cost
    return measure_cost(
        Job.of(choice, sample, zoo, terms), lambda part: zoo.encoded(choice.checkpoint.name, part), progress
    )


def tune(
    choice: Choice, sample: Sample, zoo: Zoo, terms: Terms = USUAL, *,
    execute: Callable[..., tuple[TuningRun, Outcome]] = here, track: Callable[..., object] = mlflow_runs,
    progress: Progress = silent,
) -> TuningRun:  # fmt: skip
    """Carry out a choice, and return its outcome to the registry.

    Raises:
        DeviceMissing: the device asked for is not there.
        TuningError: it did not come to its end; nothing is recorded.
    """
    run, outcome = execute(replace(Job.of(choice, sample, zoo, terms), record=zoo.record), track, progress)
    zoo.record(outcome)
    return run


def resume(
    name: str, zoo: Zoo, *, execute: Callable[..., tuple[TuningRun, Outcome]] = here,
    track: Callable[..., object] = mlflow_runs, progress: Progress = silent,
) -> TuningRun:  # fmt: skip
    """Carry on an interrupted run from its last complete save, to the result that it would have come to.

    Raises:
        UnknownName: there is no such run.
        NotResumable: it is over or still going on, or its checkpoint has changed.
        OtherRows: its data have changed.
        TuningError: it did not come to its end.
    """
    found = find_run(zoo.home, name)
    run, outcome = execute(replace(Job.again(found, zoo, progress), record=zoo.record), track, progress)
    zoo.record(outcome)
    return run


def _to_domain(
    sample: Sample, domain: str, zoo: Zoo, metric: str, through: str | None, seed: int, progress: Progress
) -> Distance:
    lens, sketch = zoo.lens(sample.modality), zoo.sketch(domain)
    if sketch is None or (through is not None and through != lens.checkpoint):
        raise EncoderMismatch(through or lens.name, f"the sketch of {domain}")
    part = sample.subsample(MOST_COMPARED, seed)
    seen = zoo.see(part, progress=progress)
    groups = None if part.groups is None else (part.group_ids, np.arange(len(sketch.rows)))
    x, y = lens.standardize(seen.vectors), lens.standardize(sketch.rows.vectors)
    return measure(metric, x, y, lens.sigma, groups, seed)


def _judge(
    sample: Sample, probed: Sample, candidates: tuple[Candidate, ...], zoo: Zoo, seed: int, progress: Progress
) -> tuple[tuple[Ranked, ...], Baseline, tuple[Skipped, ...]]:
    folds: Int[np.ndarray, " n"] = probed.folds(seed=seed)
    reference = baseline(probed, folds=folds, seed=seed, progress=progress)
    scored, failed = probe(probed, candidates, zoo, folds=folds, seed=seed, progress=progress)
    test_rows = len(sample.test.items) if sample.test is not None else round(0.25 * len(sample.items))
    history = _history(zoo, sample)
    ranked = rank(
        probed, sample.digest, scored, reference, history, folds=folds, test_rows=test_rows, seed=seed
    ) if scored else ()  # fmt: skip
    return ranked, reference, failed


def _history(zoo: Zoo, sample: Sample) -> History:
    """Outcomes of the same task: a score of another one says nothing here."""
    return History(tuple(outcome for outcome in zoo.history() if outcome.task is sample.task))


def _verdict(best: Choice, reference: Baseline) -> Verdict:
    e, b, gain = best.expected, reference.expected, best.ranked.gain
    raw = f"{reference.model} ({b.mean:.2f})"
    if gain.low > 0:
        return Verdict(True, (
            f"Start from {best.checkpoint.name} with {best.plan.strategy}: {e.metric} {e.mean:.2f} expected "
            f"({e.low:.2f} to {e.high:.2f}); its probe beats no transfer, {raw}, by {gain.mean:.2f}."
        ))  # fmt: skip
    return Verdict(False, (
        f"Do not transfer: no transfer, {raw}, is not beaten; the best probe, {best.checkpoint.name}, differs by "
        f"{gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})."
    ))  # fmt: skip


def _distances_only(
    name: str, sample: Sample, found: Shortlist, settings: Mapping[str, object]
) -> Recommendation:
    metric = sample.metric
    target, same = ("class", "belong to one class") if sample.task is Task.CLASSIFICATION else (
        "target", "have the same target")  # fmt: skip
    constant = Baseline(f"the only {target}", Expected(metric, 1.0, 1.0, 1.0), sample.targets)
    near: tuple[DomainDistance, ...] = found.domains
    sentence = f"All rows {same}: there is nothing to tell apart, so only distances are given."
    return Recommendation(name, sample.to_dict(), constant, (), found.skipped, near, Verdict(False, sentence), settings)


def _id(sample: Sample, zoo: Zoo, settings: Mapping[str, object]) -> str:
    """The digest of sample, settings, registry state and version."""
    state = {
        "sample": sample.digest, "test": None if sample.test is None else sample.test.digest,
        "settings": dict(settings),
        "checkpoints": sorted((c.name, c.digest) for c in zoo.checkpoints(sample.modality)),
        "domains": sorted(d.name for d in zoo.domains(sample.modality) if zoo.sketch(d.name) is not None),
        "lens": zoo.lens(sample.modality).digest, "outcomes": sorted(o.id for o in zoo.history()),
        "version": version("transferzoo"),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]
