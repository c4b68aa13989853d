"""The story: recommend() and tune(). Only this module knows the order of the steps.

What happens at ``transferzoo tune``: `recommender.service._tune` reads the sample, finds the choice of kept advice
(else asks `recommend`, or `evaluate` for a checkpoint that is named) and calls `tune` here. That makes a job of it
(`recommender.runs.job.Job.of`) and hands it to an executor, `recommender.tuning.recipe.run_local`: it splits the rows,
fits the head, trains, stores and judges, while a tracker (`recommender.runs.tracking.mlflow_runs`) logs. The outcome
goes to the registry by `recommender.runs.provider.ZooProvider.record`.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from recommender.baseline import NOTHING, RawRows, baseline, raw_features_of
from recommender.considered import consider
from recommender.constraints import Constraints, Objection, relaxation
from recommender.distance import distances
from recommender.effort import Deadline, Effort
from recommender.exposure import Exposures
from recommender.fusion import AFRESH, Candidates, Fusion, Kind, ProbePrior, Standing, body_of, kind_of
from recommender.history import History
from recommender.novelty import novel_rows
from recommender.plan import MAY_WIN, chance_of_more, choose_affordable, choose_plan, plan_unprobed
from recommender.prior import foresee
from recommender.probe import CLOSING, probe, reserved, rows_probed
from recommender.race import UNRACED, Race, looked_rows, most_finalists, row_work
from recommender.rank import place, rank
from recommender.results import (
    Baseline,
    Candidate,
    Choice,
    ChoiceForm,
    Cost,
    Distance,
    DomainDistance,
    Expected,
    Novelty,
    Ranked,
    Recommendation,
    Shift,
    Skipped,
    Trial,
    TuningRun,
    Verdict,
)
from recommender.runs.folder import RunFolder, find_run, share_run
from recommender.runs.job import DEFAULTS, Job, TuneOptions
from recommender.runs.provider import ZooProvider
from recommender.runs.tracking import mlflow_runs
from recommender.shift import WORDS, contributions, draw_unlabelled, drops, lower_expectation, source_test
from recommender.shortlist import (
    Shortlist,
    candidate_of,
    distances_to,
    measure_distance,
    measure_domains,
    shortlist,
)
from recommender.strategies.cost import passes
from recommender.suspects import suspected_labels
from recommender.trials import MOST_TRIALS, trial_outcomes, try_out
from recommender.tuning.dry_run import measure_cost
from recommender.tuning.recipe import run_local
from recommender.unprobed import rivals, trained_on, unprobed
from recommender.verdict import verdict_of
from recommender.workers import Workers, in_this_process
from registry.cards import Origin, Outcome, Task
from registry.errors import (
    DiskFull,
    EncoderMismatch,
    EstimatorError,
    NoCandidates,
    NoVariation,
    ObjectsError,
    OtherSample,
    SingleClass,
    TooFewRows,
    TransferZooError,
)
from registry.features import Features
from registry.forms import from_json
from registry.modalities import modalities
from registry.progress import Cancelled, Progress, silent
from registry.sample import Sample
from registry.sketch import RowKeys
from registry.zoo import Zoo, labelled_digests

__all__ = [
    "MOST_COMPARED",
    "compare",
    "estimate_cost",
    "evaluate",
    "kept_choice",
    "near",
    "no_transfer_model",
    "recommend",
    "resume",
    "tune",
]

MOST_COMPARED = 2000
"""Rows of each side that a comparison looks at."""
MOST_UNSEEN = 400
"""Rows that a checkpoint has not seen, up to which they are added to what is probed."""
ALIKE = 0.95
"""Share of the rows of two samples, with their targets, from which results on one are results on the other."""
MOST_REASONS = 3
"""Checkpoints of which an error says why they are left out."""
LEAST_PART = 0.0005
"""Part of a fall, below which a reason does not name it."""
NO_HISTORY = History(())
_Pair = tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]]
"""Features of the training rows and of the test rows."""
WORTH_A_TRIAL = 10.0
"""Seconds that a tuning is thought to take, from which a trial that takes some too tells more than it costs."""
MOST_WORK = 1e13
"""Multiplications that a trial in full may take: about five minutes of two cores, and no clock, as
`recommender.race.LOOKED_WORK`."""


def recommend(  # noqa: PLR0913 - each says what is asked, or how it is worked on
    sample: Sample,
    zoo: Zoo,
    *,
    keep: int = 5,
    constraints: Constraints | None = None,
    effort: Effort = Effort.NORMAL,
    deadline: Deadline | None = None,
    seed: int = 0,
    progress: Progress = silent,
    workers: Workers = in_this_process,
) -> Recommendation:
    """Which checkpoint to start from and how much of it to freeze, beside what no transfer would score.

    At most 800 rows are probed, or two of each class where these are more, and 400 more that a checkpoint which has
    seen the others has not. Where the deadline, or Ctrl-C, ends the work, what there is by then is returned, with
    what was left undone; the same question again goes on from the features that are kept. Writes nothing:
    ``zoo.keep(advice)`` does. Whoever ``workers`` are (see `recommender.workers`), the advice is the same.

    Raises:
        NoCandidates: the constraints left nothing, or every probe failed.
        TooFewRows: no row can be held out without taking a class out of training.
        ClusterError: the workers are a cluster that cannot do it.
    """
    until = deadline or Deadline()
    screened = sample.subsample(rows_probed(sample), seed)
    if not sample.is_constant:
        screened.folds(2, seed)  # refused before anything is measured
    features = zoo.lens_features(screened, progress=progress)
    history = _history(zoo, sample)
    limits = constraints or Constraints()
    considered = consider(sample.modality, features, zoo, limits, history)
    listed = shortlist(
        screened,
        features,
        zoo,
        of=sample,
        cards=considered.cards,
        history=history,
        keep=keep,
        finalists=None if effort is Effort.THOROUGH else most_finalists(keep),
        constraints=constraints,
        seed=seed,
        progress=progress,
        deadline=until,
        looks=effort is not Effort.QUICK,
        workers=workers,
    )
    settings: dict[str, object] = {
        "keep": keep,
        "max_parameters": limits.max_parameters,
        "licenses": list(limits.licenses),
        "exclude": list(limits.exclude),
        "seed": seed,
        **limits.of_cost,
        **({} if effort is Effort.NORMAL else {"effort": str(effort)}),
        **({} if until.seconds is None else {"time_budget": until.seconds}),
    }
    name = _id(sample, zoo, settings)
    if sample.is_constant:
        novelty = _novelty(screened, features, zoo, None, listed.domains)
        alone = _distances_only(name, sample, listed, settings)
        return replace(alone, novelty=novelty, considered=considered.sentence)
    question = _Question(sample, zoo, history, until, seed, progress, workers)
    judged = _judged(question, screened, listed, keep)
    skipped = (*listed.skipped, *judged.failed)
    if not judged.ranked:
        raise _nothing_left(skipped, listed.against)
    suspects = None
    if not judged.unprobed:
        suspects = suspected_labels(judged.rows, [row.transferability for row in judged.ranked])
    ranked, reference, shift, unweighed = _beside_test(question, judged, screened)
    affordable, costly = _planned(judged, ranked, sample, reference, history, zoo, limits)
    skipped += tuple(Skipped(of, objections[0].reason) for of, objections in costly.items())
    if not affordable:
        raise _nothing_left(skipped, {**listed.against, **costly})
    choices = place([replace(choice, recommendation=name) for choice in affordable])
    trials: tuple[Trial, ...] = ()
    undone = (*listed.race.undone, *judged.undone, *unweighed)
    if effort is Effort.THOROUGH and not judged.unprobed and _is_fused(sample):
        trials, late = try_out(
            _finalists(choices, sample, reference, history, zoo),
            judged.rows,
            zoo,
            in_full=_in_full(choices, judged.rows, sample, reference, history, zoo),
            deadline=until,
            seed=seed,
            progress=progress,
            workers=workers,
        )
        undone += late
        history = History((*history.outcomes, *trial_outcomes(trials, choices, sample)))
        affordable, _ = _planned(judged, ranked, sample, reference, history, zoo, limits)
        choices = place([replace(choice, recommendation=name) for choice in affordable])
    near = {row.domain: row for row in listed.domains}
    far = [domain for domain in trained_on(zoo, sample.modality, considered.cards) if domain not in near]
    near |= distances_to(far, screened, features, zoo, seed=seed)
    absent, beyond = unprobed(zoo, sample.modality, near, history, limits, considered.cards)
    return Recommendation(
        name,
        sample.to_dict(),
        reference,
        choices,
        skipped,
        listed.domains,
        verdict_of(choices[0], reference, sample, len(choices), shifted=shift is not None and shift.detected),
        settings,
        shift,
        absent,
        beyond,
        rivals(zoo, sample.modality, limits, choices),
        suspects,
        undone,
        _novelty(screened, features, zoo, choices[0], listed.domains),
        trials,
        considered.sentence,
    )


def evaluate(
    sample: Sample,
    zoo: Zoo,
    checkpoint: str,
    strategy: str | None = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Choice:
    """The choice for one checkpoint (and strategy) that the user names.

    Raises:
        UnknownName: no such checkpoint or strategy.
        NotOffered: the strategy does not fit.
        NoCandidates: the checkpoint reads another modality, or cannot be probed.
    """
    card, history = zoo.checkpoint(checkpoint), _history(zoo, sample)
    if card.modality != sample.modality:
        theirs, ours = (modalities[kind].words.many for kind in (card.modality, sample.modality))
        why = f"{card.name} reads {theirs}, and the sample holds {ours}"
        raise NoCandidates(why, f"`transferzoo zoo list --modality {sample.modality}` names those that can be taken.")
    probed = sample.subsample(rows_probed(sample), seed)
    candidate = candidate_of(card, probed, zoo.lens_features(probed, progress=progress), zoo, sample, seed)
    probed = _with_unseen(sample, probed, (candidate,), seed)
    question = _Question(sample, zoo, history, Deadline(), seed, progress)
    judged = _judge(question, probed, (candidate,), UNRACED)
    question.until.require_uninterrupted()
    if not judged.ranked:
        raise NoCandidates("; ".join(row.reason for row in (*judged.failed, *judged.undone)))
    ranked, reference, *_ = _beside_test(question, judged, probed)
    question.until.require_uninterrupted()
    fresh = _fresh(zoo, card.name, sample)
    return place([choose_plan(ranked[0], sample, reference, history, strategy=strategy, fresh=fresh)])[0]


def kept_choice(
    kept: Mapping[str, Any], place: int, sample: Sample, zoo: Zoo, *, progress: Progress = silent
) -> Choice:
    """The choice at a place of kept advice (`Recommendation.to_dict`), as it was advised: nothing is probed again.

    Raises:
        UnknownName: its checkpoint is no longer registered.
        OtherSample: the advice is about other rows.
        UnreadableForm: the advice is damaged.
    """
    if kept["sample"]["digest"] != sample.digest:
        raise OtherSample(str(kept["id"]), kept["sample"]["digest"], sample.digest)
    choice = from_json(ChoiceForm, kept["choices"][place])
    card, known = zoo.checkpoint(choice.checkpoint), choice.distance
    distance = None if known is None else known.through(zoo.lens(sample.modality).name)
    exposure = None
    if choice.exposure is not None:
        probed = sample.subsample(rows_probed(sample), kept["settings"]["seed"])
        exposure = Exposures(sample, probed, zoo.lens_features(probed, progress=progress), zoo).of(card)
    return choice.of(Candidate(card, distance, exposure), kept["id"])


def no_transfer_model(sample: Sample, zoo: Zoo, *, seed: int = 0, progress: Progress = silent) -> Baseline:
    """The model of no transfer that advice would name, with what is expected of it; no checkpoint is looked at.

    Raises:
        TooFewRows: the rows cannot be folded.
        SingleClass, NoVariation: there is nothing to tell apart.
    """
    if sample.is_constant:
        raise SingleClass("a model") if sample.task is Task.CLASSIFICATION else NoVariation("targets")
    probed = sample.subsample(rows_probed(sample), seed)
    question = _Question(sample, zoo, NO_HISTORY, Deadline(), seed, progress)
    expected = _beside_test(question, _untransferred(question, probed), probed)[1]
    question.until.require_uninterrupted()
    return expected


def compare(
    one: Sample,
    other: Sample | str,
    zoo: Zoo,
    *,
    metric: str = "mmd",
    through: str | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Distance:
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
        x, y = (zoo.encode(through, part, whole=True, progress=progress).last.vectors for part in pair)
        return distances[metric](x, y, seed=seed, groups=groups)
    x, y = (lens.standardize(zoo.lens_features(part, progress=progress).vectors) for part in pair)
    return measure_distance(metric, x, y, lens.sigma, groups, seed)


def near(
    sample: Sample,
    zoo: Zoo,
    *,
    most: int = 10,
    metric: str = "mmd",
    family: str | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[DomainDistance, ...]:
    """The nearest known domains, or those of a family, by exact distance, nearest first.

    Raises:
        UnknownName: no such metric, or no lens for this modality.
    """
    part = sample.subsample(rows_probed(sample), seed)
    features = zoo.lens_features(part, progress=progress)
    measure = partial(measure_domains, keep=most, metric=metric, family=family)
    nearest = measure(part, features, zoo, seed=seed, progress=progress)
    return tuple(nearest[:most])


def estimate_cost(
    choice: Choice, sample: Sample, zoo: Zoo, options: TuneOptions = DEFAULTS, *, progress: Progress = silent
) -> Cost:
    """What carrying out a choice will cost, measured on a few rows of it; where that is soon done, as advised.

    Raises:
        TuningError: even the trial failed.
    """
    if choice.cost.seconds < WORTH_A_TRIAL and options.of_training(choice.plan) == choice.plan:
        return choice.cost
    return measure_cost(
        Job.of(choice, sample, zoo, options), lambda part: zoo.encodings.encoded(choice.checkpoint.name, part), progress
    )


def tune(
    choice: Choice | Baseline,
    sample: Sample,
    zoo: Zoo,
    options: TuneOptions = DEFAULTS,
    *,
    execute: Callable[..., tuple[TuningRun, Outcome]] = run_local,
    track: Callable[..., object] = mlflow_runs,
    progress: Progress = silent,
) -> TuningRun:
    """Carry out a choice, and return its outcome to the registry.

    ``advice.baseline`` is a choice too, the one not to transfer: its model on raw features is fitted.

    Raises:
        DeviceMissing: the device asked for is not there.
        NotOffered: epochs, rate or batch size are set by hand where nothing but a head is trained.
        TuningError: it did not come to its end; nothing is recorded.
    """
    return _carried_out(Job.of(choice, sample, zoo, options), zoo, execute, track, progress)


def resume(
    name: str,
    zoo: Zoo,
    *,
    sample: Sample | None = None,
    execute: Callable[..., tuple[TuningRun, Outcome]] = run_local,
    track: Callable[..., object] = mlflow_runs,
    progress: Progress = silent,
) -> TuningRun:
    """Carry on an interrupted run from its last complete save, to the result that it would have come to.

    Its sample is read again from where it lay; one that was made from arrays is to be handed over.

    Raises:
        UnknownName: there is no such run.
        NotResumable: it is over or still going on, or its checkpoint has changed.
        OtherRows: its data have changed, or another sample is handed over.
        RowsInMemory: its sample was made from arrays, and is not handed over.
        TuningError: it did not come to its end.
    """
    begun = find_run(zoo.home, name)
    return _carried_out(Job.again(begun, zoo, progress, sample=sample), zoo, execute, track, progress)


def _carried_out(
    job: Job,
    zoo: Zoo,
    execute: Callable[..., tuple[TuningRun, Outcome]],
    track: Callable[..., object],
    progress: Progress,
) -> TuningRun:
    zoo.at_hand(job.checkpoint, job, progress)
    run, _ = execute(job, track, progress, ZooProvider(zoo))
    try:
        share_run(RunFolder(job.folder), zoo.home, progress)
    except (ObjectsError, DiskFull, Cancelled) as cause:
        zoo.remark(f"run {run.id} is not shared: {cause}; `transferzoo doctor --repair` tries again")
    return run


def _planned(
    judged: "_Judged",
    ranked: Sequence[Ranked],
    sample: Sample,
    reference: Baseline,
    history: History,
    zoo: Zoo,
    limits: Constraints,
) -> tuple[list[Choice], dict[str, tuple[Objection, ...]]]:
    """A choice of each whose cost is within the limits, and what speaks against each of the others."""
    if judged.unprobed:
        return [plan_unprobed(row, sample, reference) for row in ranked], {}
    fused, choices, costly = _candidates(ranked, sample, reference, history, zoo), [], {}
    for row in ranked:
        fresh = _fresh(zoo, row.checkpoint.name, sample)
        choice, objections = choose_affordable(row, sample, reference, history, limits, fresh=fresh, fused=fused)
        if objections:
            costly[row.checkpoint.name] = objections
        else:
            choices.append(choice)
    return choices, costly


def _finalists(
    choices: Sequence[Choice], sample: Sample, reference: Baseline, history: History, zoo: Zoo
) -> list[Choice]:
    """Of the choices, the best first, each with its training; where a head is advised, with the training next to it."""
    finalists: list[Choice] = []
    for choice in choices[:MOST_TRIALS]:
        if choice.ranked.transferability.candidate.exposure is not None:
            continue
        if choice.plan.stages and not choice.plan.from_scratch:
            finalists.append(choice)
            continue
        kinds = {other.strategy: kind_of(other.strategy) for other in choice.passed_over}
        name = next((name for name, kind in kinds.items() if kind is Kind.TRAINING), None)
        if name is not None:
            finalists.append(_replanned(choice, name, sample, reference, history, zoo))
    return finalists


def _in_full(
    choices: Sequence[Choice], rows: Sample, sample: Sample, reference: Baseline, history: History, zoo: Zoo
) -> list[Choice]:
    """Plans by which all of a net learns below a fresh head, where one may be the best and its trial takes minutes.

    From random weights the net of which most is expected so, where that is advised or has a chance to beat what is
    advised that is worth a word; with its weights the best choice's.
    """
    best = [c for c in choices[:MOST_TRIALS] if c.ranked.transferability.candidate.exposure is None]
    scratch = [(c.expected.mean, c, c.plan.strategy) for c in best if c.plan.from_scratch]
    scratch += [
        (other.mean, choice, other.strategy)
        for choice in best
        for other in choice.passed_over
        if kind_of(other.strategy) is Kind.SCRATCH and chance_of_more(other, choices[0].expected) >= MAY_WIN
    ]
    tried = [(choice, strategy) for _, choice, strategy in sorted(scratch, key=lambda offer: -offer[0])[:1]]
    tried += [
        (choice, other.strategy)
        for choice in best[:1]
        for other in choice.passed_over
        if other.strategy in AFRESH and kind_of(other.strategy) is Kind.TRAINING
    ]
    plans = [_replanned(choice, strategy, sample, reference, history, zoo) for choice, strategy in tried]
    return [plan for plan in plans if _work(plan, len(rows)) <= MOST_WORK]


def _replanned(
    choice: Choice, strategy: str, sample: Sample, reference: Baseline, history: History, zoo: Zoo
) -> Choice:
    """The same checkpoint by another strategy."""
    fresh = _fresh(zoo, choice.checkpoint.name, sample)
    return choose_plan(choice.ranked, sample, reference, history, strategy=strategy, fresh=fresh)


def _work(choice: Choice, rows: int) -> float:
    """About how many multiplications a plan takes on so many rows."""
    scored = choice.ranked.transferability
    blocks = [row.block for row in scored.blocks]
    return rows * row_work(scored.candidate) * passes(choice.plan, blocks, rows)


def _nothing_left(skipped: Sequence[Skipped], against: Mapping[str, Sequence[Objection]]) -> NoCandidates:
    """Why nothing is left, and which constraint to relax by how much."""
    ordered = sorted(skipped, key=lambda row: row.checkpoint not in against)
    reasons = [f"{row.checkpoint}: {row.reason}" for row in ordered[:MOST_REASONS]]
    more = [f"and {len(ordered) - MOST_REASONS} more for such reasons"] if len(ordered) > MOST_REASONS else []
    return NoCandidates("; ".join([*reasons, *more]) or "the registry is empty", relaxation([*against.items()]))


def _to_domain(
    sample: Sample, domain: str, zoo: Zoo, metric: str, through: str | None, seed: int, progress: Progress
) -> Distance:
    lens, sketch = zoo.lens(sample.modality), zoo.sketch(domain)
    if sketch is None or (through is not None and through != lens.checkpoint):
        raise EncoderMismatch(through or lens.name, f"the sketch of {domain}")
    part = sample.subsample(MOST_COMPARED, seed)
    features = zoo.lens_features(part, progress=progress)
    groups = None if part.groups is None else (part.group_ids, np.arange(len(sketch.rows)))
    x, y = lens.standardize(features.vectors), lens.standardize(sketch.rows.vectors)
    return measure_distance(metric, x, y, lens.sigma, groups, seed)


@dataclass(frozen=True, eq=False)
class _Judged:
    """What was probed, on which rows, and what was left undone."""

    rows: Sample
    reference: Baseline
    seconds: float
    """What *no transfer* took on these rows."""
    ranked: tuple[Ranked, ...] = ()
    failed: tuple[Skipped, ...] = ()
    undone: tuple[Skipped, ...] = ()
    unprobed: bool = False
    """Whether nobody was probed, so that the order is that of what was known before."""


@dataclass(frozen=True, eq=False)
class _Question:
    """What is asked, of whom, and until when."""

    sample: Sample
    zoo: Zoo
    history: History
    until: Deadline
    seed: int
    progress: Progress
    workers: Workers = in_this_process

    @property
    def late(self) -> bool:
        """Whether there is time left for what comes after probing alone."""
        return self.until.over(reserved(self.until, self.sample))


def _judged(question: _Question, screened: Sample, listed: Shortlist, keep: int) -> _Judged:
    """The probes of who is listed; where time did not do for one that is believed, those on the rows of the race.

    Where nobody was shown any row, what is known.
    """
    judged, looked = None, listed.race.rows
    rows = _with_unseen(question.sample, screened, listed.candidates, question.seed)
    if listed.looks and not question.late:
        judged = _judge(question, rows, listed.candidates, listed.race)
    if looked is not None and (judged is None or (judged.undone and not _believed(judged))):
        raced = tuple(one for one in listed.candidates if question.zoo.encodings.encoded(one.checkpoint.name, looked))
        late = tuple(Skipped(one.checkpoint.name, f"it was not probed on {len(rows):,} rows") for one in raced)
        judged = replace(_judge(replace(question, until=Deadline()), looked, raced, listed.race), undone=late)
    if judged is not None and (judged.ranked or not judged.undone):
        return judged
    if judged is None:
        judged = _untransferred(question, _few(screened, question.seed) if question.late else screened)
    ranked, failed = foresee(
        listed.candidates,
        question.sample,
        judged.reference,
        _prior(question),
        question.zoo,
        keep=keep,
        alike=_is_fused(question.sample),
        seed=question.seed,
    )
    return replace(judged, ranked=ranked, failed=failed, unprobed=True)


def _believed(judged: _Judged) -> bool:
    """Whether the probe of anybody at all is believed."""
    return any(row.transferability.believed for row in judged.ranked)


def _prior(question: _Question) -> ProbePrior:
    """What probes of other samples say; of those with classes where none of such samples is fused."""
    sample = question.sample
    if _is_fused(sample):
        return ProbePrior.of(_fusion(sample, question.history, question.zoo).cases, sample.modality)
    classes = (o for o in _unflattered(question.zoo) if o.task is Task.CLASSIFICATION)
    return ProbePrior.of(Fusion.of(classes, without=sample.digest).cases, sample.modality)


def _judge(question: _Question, probed: Sample, candidates: tuple[Candidate, ...], race: Race) -> _Judged:
    folds: Int[np.ndarray, " n"] = probed.folds(seed=question.seed)
    judged = _untransferred(question, probed)
    scored, failed, undone = probe(
        probed,
        candidates,
        question.zoo,
        folds=folds,
        seed=question.seed,
        progress=question.progress,
        deadline=question.until,
        race=race,
        workers=question.workers,
    )
    sample = question.sample
    test_rows = len(sample.test.items) if sample.test is not None else round(0.25 * len(sample.items))
    probes = NO_HISTORY if _is_fused(sample) else question.history  # what outcomes teach of probes is fused later
    against, seed = judged.reference, question.seed
    ranked = (
        rank(probed, sample.digest, scored, against, probes, folds=folds, test_rows=test_rows, seed=seed)
        if scored
        else ()
    )
    return replace(judged, ranked=ranked, failed=failed, undone=undone)


def _untransferred(question: _Question, rows: Sample) -> _Judged:
    """*No transfer* on these rows, and nobody probed."""
    began, folds = question.until.clock(), rows.folds(seed=question.seed)
    reference = baseline(rows, folds=folds, seed=question.seed, progress=question.progress)
    return _Judged(rows, reference, question.until.clock() - began)


def _few(rows: Sample, seed: int) -> Sample:
    """As many of the rows as a second look takes; all, where so few cannot be folded."""
    few = rows.subsample(looked_rows(rows)[1], seed, spread=True)
    try:
        few.folds(seed=seed)
    except TooFewRows:
        return rows
    return few


def _with_unseen(sample: Sample, probed: Sample, candidates: Sequence[Candidate], seed: int) -> Sample:
    """The rows to probe, with those that a checkpoint has not seen which has seen the others: these judge it."""
    marked = [candidate.exposure for candidate in candidates if candidate.exposure is not None]
    if len(probed) == len(sample) or not marked:
        return probed
    digests, inside = [item.digest for item in sample.items], {item.digest for item in probed.items}
    unseen = np.any([exposure.unseen(digests) for exposure in marked], axis=0)
    outside = unseen & np.array([digest not in inside for digest in digests])
    room = MOST_UNSEEN - int((unseen & ~outside).sum())
    if room <= 0 or not outside.any():
        return probed
    inside |= {item.digest for item in sample.take(outside).subsample(room, seed).items}
    return sample.take(np.array([digest in inside for digest in digests]))


def _fresh(zoo: Zoo, checkpoint: str, sample: Sample) -> tuple[int, int]:
    """How many rows of the sample, and of its test part, have no features of a checkpoint kept yet."""
    of_test = 0 if sample.test is None or zoo.encodings.encoded(checkpoint, sample.test) else len(sample.test)
    return 0 if zoo.encodings.encoded(checkpoint, sample) else len(sample), of_test


def _beside_test(
    question: _Question, judged: _Judged, screened: Sample
) -> tuple[tuple[Ranked, ...], Baseline, Shift | None, tuple[Skipped, ...]]:
    """What is expected where the test part is another source, and for what of it time did not do.

    Lowered and widened by what its unlabelled rows tell: of *no transfer* first, then of the choices by rank. A choice
    that was not weighed falls as the others do on average, and is the less certain the more these differ: who falls
    stands beside who does not. That it is another source all ``screened`` rows tell, where fewer were judged.
    """
    probed, ranked, reference = judged.rows, judged.ranked, judged.reference
    zoo, seed, until, progress = question.zoo, question.seed, question.until, question.progress
    if probed.test is None:
        return ranked, reference, None, ()
    test, closing = draw_unlabelled(probed.test, seed), until.share(CLOSING)
    needs = judged.seconds  # as long as the folds of no transfer took, the first of what follows may take
    try:
        of_source = partial(_tested, max(probed, screened, key=len), test, zoo, seed)
        shift = until.attempt(of_source, progress, reserve=closing + needs)
    except EstimatorError:
        return ranked, reference, None, ()
    if shift is None:
        untested = Skipped("the test part", "whether it is of another source was not tested")
        return ranked, reference, None, (untested,)
    if not shift.detected or probed.task is Task.TOKEN_CLASSIFICATION:  # of positions no such estimate is known
        return ranked, reference, shift, ()
    drops_by, late, unread = _weighed(question, judged, test)
    undone = (Skipped("the test part", f"not estimated what is lost on it by {', '.join(late)}"),) if late else ()
    if not drops_by:
        return ranked, reference, shift, undone
    mean, differing = _mean_drops([*drops_by.values()])
    fallen = (drops_by[NOTHING], 0.0) if NOTHING in drops_by else (mean, differing)
    lowered = reference.lowered(lower_expectation(reference.expected, *fallen))
    moved = []
    for row in ranked:
        name = row.checkpoint.name
        why = f" (its own could not be read: {unread[name]})" if name in unread else ""
        others = partial(_in_view_of, row, mean, differing, of=f" of the others{why}")
        now = _in_view_of(row, drops_by[name]) if name in drops_by else others()
        moved.append(replace(now, gain=_gain_in_view_of(row, now, reference, lowered)))
    return tuple(moved), lowered, replace(shift, drops=drops_by), undone


def _weighed(
    question: _Question, judged: _Judged, test: Sample
) -> tuple[dict[str, Mapping[str, float]], list[str], dict[str, str]]:
    """What scores lose on the test part by each estimate; for whom time did not do; whose features cannot be read."""
    probed, until, closing = judged.rows, question.until, question.until.share(CLOSING)
    folds: Int[np.ndarray, " n"] = probed.folds(seed=question.seed)
    reads: dict[str, Callable[[Progress], _Pair]] = {NOTHING: partial(_raw_pair, judged.reference.model, probed, test)}
    probes = (row for row in judged.ranked if row.transferability.scores)
    reads |= {row.checkpoint.name: partial(_pair, row, probed, test, question.zoo) for row in probes}
    drops_by: dict[str, Mapping[str, float]] = {}
    late: list[str] = []
    unread: dict[str, str] = {}
    needs = judged.seconds
    for name, read in reads.items():
        estimate = partial(_timed_drops, read, probed, folds, until)
        try:
            estimated = until.attempt(estimate, question.progress, reserve=closing + needs)
        except (TransferZooError, OSError, MemoryError) as failure:
            if name == NOTHING and not isinstance(failure, EstimatorError):
                raise
            unread[name] = str(failure) or type(failure).__name__
            continue
        if estimated is None:
            late.append(name)
        else:
            drops_by[name], needs = estimated
    return drops_by, late, unread


def _timed_drops(
    read: Callable[[Progress], _Pair], probed: Sample, folds: Int[np.ndarray, " n"], until: Deadline, progress: Progress
) -> tuple[Mapping[str, float], float]:
    """What the score of a head loses on the test part, and the seconds that this took after features were read."""
    pair = read(progress)
    began = until.clock()
    return drops(*pair, probed, folds), until.clock() - began


def _tested(train: Sample, test: Sample, zoo: Zoo, seed: int, progress: Progress) -> Shift:
    groups = None if train.groups is None and test.groups is None else (train.group_ids, test.group_ids)
    train_vectors, test_vectors = (zoo.lens_features(part, progress=progress).vectors for part in (train, test))
    return source_test(train_vectors, test_vectors, groups, seed=seed)


def _pair(row: Ranked, probed: Sample, test: Sample, zoo: Zoo, progress: Progress) -> _Pair:
    """Features of both parts after the block that its probe reads."""
    name, read = row.checkpoint.name, row.transferability.read.block
    both = [zoo.encode(name, part, progress=progress) for part in (probed, test)]
    train_rows, test_rows = (one.blocks[one.names.index(read)].vectors for one in both)
    return train_rows, test_rows


def _raw_pair(model: str, probed: Sample, test: Sample, progress: Progress) -> _Pair:
    rows = len(probed)
    raw = RawRows.of(probed.modality, (*probed.items, *test.items), progress)
    features = raw.features(np.arange(rows), raw_features_of(model))
    return features[:rows], features[rows:]


def _mean_drops(weighed: Sequence[Mapping[str, float]]) -> tuple[dict[str, float], float]:
    """Each estimate on average over those that have it, where it is a fall, and how much the falls differ."""
    names = [name for name in WORDS if any(name in one for one in weighed)]
    mean = {name: float(np.mean([max(0.0, one[name]) for one in weighed if name in one])) for name in names}
    return mean, float(np.std([sum(contributions(one).values()) for one in weighed]))


def _in_view_of(row: Ranked, drops_of: Mapping[str, float], differing: float = 0.0, *, of: str = "") -> Ranked:
    """A choice that falls by so much; ``of`` says whose rows tell, and ``differing`` how uncertain that makes it."""
    before, metric = row.expected, row.expected.metric
    expected = lower_expectation(before, drops_of, differing)
    reaches = [max(one.high - one.mean, one.mean - one.low) for one in (before, expected)]
    parts = {WORDS[name]: part for name, part in contributions(drops_of).items() if part >= LEAST_PART}
    named = "; ".join(f"{words} ({metric.difference(-part)})" for words, part in parts.items())
    fall = expected.mean - before.mean
    why = (
        f"the test part is of another source: what its unlabelled rows tell{of} moves the head's score by "
        f"{metric.difference(fall)} and its reach from {100 * reaches[0]:.1f} to {100 * reaches[1]:.1f} points"
        f"{f': {named}' if named else ''}"
    )
    return replace(row, expected=expected, because=(*row.because, why), draws=row.draws + fall)


def _gain_in_view_of(was: Ranked, now: Ranked, before: Baseline, after: Baseline) -> Expected:
    """The gain over no transfer from what is expected now, as much less certain as the two expectations became."""
    mean = now.expected.mean - after.expected.mean
    pairs = ((was.expected, now.expected), (before.expected, after.expected))
    wider = sum(max(0.0, (new.high - new.low) ** 2 - (old.high - old.low) ** 2) for old, new in pairs)
    reach = float(np.sqrt((was.gain.high - was.gain.low) ** 2 + wider)) / 2
    return replace(was.gain, mean=mean, low=mean - reach, high=mean + reach)


def _is_fused(sample: Sample) -> bool:
    """Whether expectations are fused: one class of several is named, and the metric runs from 0 to 1."""
    return sample.task is Task.CLASSIFICATION and sample.metric.lowest == 0


def _candidates(
    ranked: Sequence[Ranked], sample: Sample, reference: Baseline, history: History, zoo: Zoo
) -> Candidates | None:
    """What stands beside one another on this sample, and all outcomes of other samples to judge it by.

    A checkpoint whose probe is not believed is not among them.
    """
    if not _is_fused(sample):
        return None
    fusion = _fusion(sample, history, zoo)
    standings = {row.checkpoint.name: _standing(row) for row in ranked if row.transferability.believed}
    return Candidates.beside(fusion, standings, reference.plain, len(sample.classes), sample.modality)


def _fusion(sample: Sample, history: History, zoo: Zoo) -> Fusion:
    """All outcomes of other samples, of whatever modality."""
    others = (o for o in _unflattered(zoo) if o.modality != sample.modality)
    return Fusion.of((*history.outcomes, *others), without=sample.digest)


def _unflattered(zoo: Zoo) -> Iterator[Outcome]:
    """Outcomes on rows that their checkpoint had not seen."""
    return (outcome for outcome in zoo.history() if not outcome.conditions.get("flattered"))


def _standing(row: Ranked) -> Standing:
    scored, card = row.transferability, row.checkpoint
    distance, best = scored.candidate.distance, scored.over_blocks
    nearer = None if distance is None or distance.percentile is None else distance.percentile / 100
    return Standing(
        card.digest[:8] or card.name,
        body_of(card.architecture, scored.sizes, card.input_size),
        scored.read.score - scored.optimism,
        best.get("knn"),
        best.get("hscore"),
        nearer,
    )


def _history(zoo: Zoo, sample: Sample) -> History:
    """Outcomes of the same modality and task: another's score says nothing here.

    Where nearly all rows and their targets are those of this sample, an outcome counts as one of it.
    """
    of = (sample.modality, sample.task)
    outcomes = [o for o in _unflattered(zoo) if (o.modality, o.task) == of]
    ours = RowKeys.of("", labelled_digests(sample)).keys
    digests = {sample.digest}
    for digest in {o.sample_digest for o in outcomes if o.origin is Origin.OURS} - digests:
        theirs = zoo.rows(f"targets:{digest}")
        if theirs is not None and len(ours & theirs.keys) >= ALIKE * len(ours | theirs.keys):
            digests.add(digest)
    return History(
        tuple(replace(o, sample_digest=sample.digest) if o.sample_digest in digests else o for o in outcomes)
    )


def _novelty(
    rows: Sample, features: Features, zoo: Zoo, best: Choice | None, domains: Sequence[DomainDistance]
) -> Novelty | None:
    """The rows least like the source domain of the best choice; of one without a sketch, like the nearest domain."""
    own = None if best is None else best.ranked.transferability.candidate.distance
    named = [row.domain for row in ([*domains] if own is None else [own, *domains])]
    sketch = next((sketch for name in named if (sketch := zoo.sketch(name)) is not None), None)
    return None if sketch is None else novel_rows(rows, features, sketch, zoo.lens(rows.modality))


def _distances_only(name: str, sample: Sample, listed: Shortlist, settings: Mapping[str, object]) -> Recommendation:
    metric = sample.metric
    target, same = (
        ("class", "belong to one class") if sample.task is Task.CLASSIFICATION else ("target", "have the same target")
    )
    constant = Baseline(f"the only {target}", Expected(metric, 1.0, 1.0, 1.0), sample.targets.values, 1.0)
    near: tuple[DomainDistance, ...] = listed.domains
    sentence = f"All rows {same}: there is nothing to tell apart, so only distances are given."
    return Recommendation(
        name, sample.to_dict(), constant, (), listed.skipped, near, Verdict(False, sentence), settings
    )


def _id(sample: Sample, zoo: Zoo, settings: Mapping[str, object]) -> str:
    """The digest of sample, settings, registry state and version."""
    state = {
        "sample": sample.digest,
        "test": None if sample.test is None else sample.test.digest,
        "settings": dict(settings),
        **zoo.state(sample.modality),
        "outcomes": sorted(o.id for o in zoo.history()),
        "version": version("transferzoo"),
    }
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]
