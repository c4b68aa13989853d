"""Benefit of transfer: test score by number of labels, for a plan, for the net from scratch, for no transfer.

Subsets of the labels are nested and stratified, groups whole; the test part is the same for all. Every run is carried
out in a folder that is thrown away: nothing of it becomes history.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from tempfile import TemporaryDirectory

import numpy as np

from recommender.baseline import LINEAR, RawRows, better, predicted_by
from recommender.resampling import draw_weights, resample
from recommender.results import Benefit, BenefitPoint, Choice, EpochsToEqual, LabelSaving, Measured, Plan
from recommender.runs.event_log import EventLog
from recommender.runs.job import Job
from recommender.runs.provider import RowsProvider
from recommender.runs.tracking import no_tracking
from recommender.tuning.recipe import run_local
from registry.cards import Checkpoint, Metric
from registry.errors import NotOffered, TooFewRows
from registry.home import Home
from registry.metrics import Z, score
from registry.progress import Phase, Progress, advance, silent
from registry.sample import Sample
from registry.zoo import Zoo

__all__ = ["SCRATCH_EPOCHS", "benefit", "equal_epochs", "for_epochs", "label_saving", "nested"]

SCRATCH_EPOCHS = 20
"""Epochs that scratch is given: a control on the few that a tuning needs makes any transfer look good."""
_HELD_OUT = 0.25
_FEWEST, _FEWEST_A_CLASS = 16, 2
"""Labels of the smallest subset: so many, or so many a class where that is more."""


def benefit(
    choice: Choice,
    scratch: Plan,
    sample: Sample,
    zoo: Zoo,
    *,
    budgets: int = 5,
    repeats: int = 1,
    seed: int = 0,
    progress: Progress = silent,
) -> Benefit:
    """Carry out a choice's plan, a plan from scratch (`for_epochs` of it), and no transfer with few to all labels.

    ``repeats`` draws other subsets and trains from other seeds. Writes nothing but features to the cache.

    Raises:
        NotOffered: ``scratch`` is a plan that trains nothing.
        TooFewRows: the sample cannot be split.
        TuningError: a run did not come to its end.
    """
    if not scratch.stages:
        raise NotOffered(scratch.strategy, "from scratch nothing is worth anything before it is trained")
    train = sample if sample.test is not None else sample.split(_HELD_OUT, seed)[0]
    rows = RowsProvider.of(choice.checkpoint.name, sample, zoo, progress)
    plans = {name: replace(plan, controls=()) for name, plan in (("plan", choice.plan), ("scratch", scratch))}
    ground = _Ground(choice.checkpoint, plans, train, rows, _raw_rows(train, progress))
    seeds = tuple(range(seed, seed + repeats))
    ladders = [nested(train, budgets, turn) for turn in seeds]
    most = min(len(ladder) for ladder in ladders)
    with TemporaryDirectory(prefix="transferzoo-benefit-") as place:
        home, counter = Home.find(place), _Count(progress, 2 * most * repeats)
        rungs = [
            [_rung(ground, part, home, turn, counter) for part in ladder[-most:]]
            for ladder, turn in zip(ladders, seeds, strict=True)
        ]
    return _concluded(ground, choice.plan.strategy, seeds, rungs)


def for_epochs(plan: Plan, epochs: int = SCRATCH_EPOCHS) -> Plan:
    """The plan, each stage of so many epochs."""
    return replace(plan, stages=tuple(replace(stage, epochs=epochs) for stage in plan.stages))


def nested(sample: Sample, budgets: int, seed: int = 0) -> tuple[Sample, ...]:
    """Subsets in geometric steps up to all rows, each within the next: stratified, every class in each, groups whole.

    Fewer than ``budgets`` where rows or groups are too few to be parted further.
    """
    fewest = min(len(sample), max(_FEWEST, _FEWEST_A_CLASS * len(sample.classes)))
    parts = [sample]
    for wanted in np.geomspace(len(sample), fewest, budgets)[1:]:
        share = 1 - float(wanted) / len(parts[0])
        if share <= 0:
            break
        try:
            part, _ = parts[0].split(share, seed)
        except TooFewRows:
            break
        parts.insert(0, replace(part, test=sample.test))
    return tuple(parts)


def label_saving(labels: Sequence[int], scores: Sequence[float], target: float) -> LabelSaving:
    """Where scores over rising numbers of labels first reach a target; between two, linear in log(labels)."""
    place = next((place for place, value in enumerate(scores) if value >= target), None)
    if place is None:
        return LabelSaving("never", None, None)
    if place == 0:
        return LabelSaving("before", float(labels[0]), 1 - labels[0] / labels[-1])
    low, high = scores[place - 1], scores[place]
    share = (target - low) / (high - low)
    at = float(np.exp((1 - share) * np.log(labels[place - 1]) + share * np.log(labels[place])))
    return LabelSaving("between", at, 1 - at / labels[-1])


def equal_epochs(plan: Mapping[int, float], scratch: Mapping[int, float]) -> EpochsToEqual:
    """From validation scores by epoch, of which 0 is before any: the first as good as the best of scratch."""
    target = max(scratch.values())
    reached = (epoch for epoch in sorted(plan) if plan[epoch] >= target)
    return EpochsToEqual(target, min(e for e, value in scratch.items() if value == target), next(reached, None))


@dataclass(frozen=True, eq=False)
class _Ground:
    """What is the same for all numbers of labels."""

    checkpoint: Checkpoint
    plans: Mapping[str, Plan]
    train: Sample
    rows: RowsProvider
    raw: RawRows
    """The training rows, then the test rows, as no transfer reads them."""

    @property
    def test(self) -> Sample:
        return _tested(self.train)


@dataclass(frozen=True, eq=False)
class _Rung:
    """One repeat at one number of labels: score and standard error of each arm, validation scores by epoch."""

    labels: int
    scores: Mapping[str, tuple[float, float]]
    curves: Mapping[str, Mapping[int, float]]


@dataclass
class _Count:
    """Reports how many runs are over, beside what each reports itself."""

    progress: Progress
    of: int
    done: int = 0

    def __post_init__(self) -> None:
        advance(self.progress, Phase.BENEFIT, 0, self.of)

    def one_more(self) -> None:
        self.done += 1
        advance(self.progress, Phase.BENEFIT, self.done, self.of)


def _tested(train: Sample) -> Sample:
    if train.test is None:
        raise TooFewRows("a test part", 1, 0)
    return train.test


def _raw_rows(train: Sample, progress: Progress) -> RawRows:
    return RawRows.of(train.modality, (*train.items, *_tested(train).items), progress, task=train.task)


def _rung(ground: _Ground, part: Sample, home: Home, seed: int, count: _Count) -> _Rung:
    scores, curves = {"no transfer": _untransferred(ground, part, seed)}, {}
    for arm, plan in ground.plans.items():
        job = Job(
            id=f"{arm}-{len(part)}-{seed}", checkpoint=ground.checkpoint, plan=plan, sample=part, home=home, seed=seed
        )
        run, _ = run_local(job, no_tracking, count.progress, ground.rows)
        scores[arm] = run.metrics["score"], run.metrics["standard_error"]
        curves[arm] = EventLog(job.folder).curves.get(f"validation {part.metric}", {})
        shutil.rmtree(job.folder)
        count.one_more()
    return _Rung(len(part), scores, curves)


def _untransferred(ground: _Ground, part: Sample, seed: int) -> tuple[float, float]:
    """The model of raw features that is the better by cross-validation on these rows, on the test rows."""
    places = {item: row for row, item in enumerate(ground.train.items)}
    rows = np.array([places[item] for item in part.items])
    test = ground.test
    model = _model(part, ground.raw.take(rows), seed)
    fold = np.concatenate([np.full(len(rows), -1), np.zeros(len(test), np.int64)])
    targets = part.targets.followed_by(test.targets)
    groups = np.concatenate([part.group_ids, len(part) + np.arange(len(test))])
    features = ground.raw.take(np.concatenate([rows, len(ground.train) + np.arange(len(test))]))
    predicted = predicted_by(model, features, targets, fold, groups)[len(rows) :]
    drawn = resample(part.metric, test.targets.values, predicted, draw_weights(test.group_ids, seed=seed))
    return score(part.metric, test.targets.values, predicted), drawn.standard_error


def _model(part: Sample, raw: RawRows, seed: int) -> str:
    """Its name; the linear one on the plainest features where rows are too few to cross-validate."""
    try:
        return better(part, raw, seed)
    except TooFewRows:
        return f"{raw.named} + {LINEAR}"


def _concluded(ground: _Ground, strategy: str, seeds: tuple[int, ...], rungs: Sequence[Sequence[_Rung]]) -> Benefit:
    points = tuple(_point(same) for same in zip(*rungs, strict=True))
    savings = tuple(
        label_saving([r.labels for r in row], [r.scores["plan"][0] for r in row], row[-1].scores["scratch"][0])
        for row in rungs
    )
    saving = label_saving([p.labels for p in points], [p.plan.mean for p in points], points[-1].scratch.mean)
    measured = Benefit(
        sample=ground.train.to_dict(),
        checkpoint=ground.checkpoint.name,
        strategy=strategy,
        epochs={arm: sum(stage.epochs for stage in plan.stages) for arm, plan in ground.plans.items()},
        test_rows=len(ground.test),
        seeds=seeds,
        points=points,
        saving=saving,
        savings=savings,
        to_equal=tuple(_to_equal(row[-1]) for row in rungs),
        curves=rungs[0][-1].curves,
        sentences=(),
    )
    return replace(measured, sentences=tuple(sentence(measured) for sentence in (_scores, _where, _saved, _epochs)))


def _point(same: Sequence[_Rung]) -> BenefitPoint:
    def measured(arm: str) -> Measured:
        values = [rung.scores[arm] for rung in same]
        means = [value for value, _ in values]
        return Measured(fmean(means), fmean(e for _, e in values), stdev(means) if len(means) > 1 else None)

    labels = round(fmean(rung.labels for rung in same))
    return BenefitPoint(labels, measured("plan"), measured("scratch"), measured("no transfer"))


def _to_equal(rung: _Rung) -> EpochsToEqual:
    """By the validation scores; for a plan that trains nothing but a head by the test score."""
    scratch = rung.curves["scratch"]
    if rung.curves["plan"]:
        return equal_epochs(rung.curves["plan"], scratch)
    needed = equal_epochs({}, scratch)
    return replace(needed, plan=0 if rung.scores["plan"][0] >= rung.scores["scratch"][0] else None)


# ---------------------------------------------------------------- in words


def _scores(measured: Benefit) -> str:
    last, metric = measured.points[-1], measured.sample["metric"]
    arms = {"the plan": last.plan, "scratch": last.scratch, "no transfer": last.no_transfer}
    best, second = sorted(arms, key=lambda arm: -arms[arm].mean)[:2]
    chance = "" if _above(arms[best], arms[second]) else f", but not above {second} beyond chance"
    words = [_measured(arm, measured) for arm in arms.values()]
    return (
        f"With all {last.labels:,} labels {measured.strategy} on {measured.checkpoint} has a test {metric} of "
        f"{words[0]}, the same net from scratch ({measured.epochs['scratch']} epochs) {words[1]}, "
        f"no transfer {words[2]}: "
        f"{best} is best{chance}."
    )


def _where(measured: Benefit) -> str:
    """With how many labels either is the better."""
    ahead = [f"{point.labels:,}" for point in measured.points if _above(point.plan, point.scratch)]
    behind = [f"{point.labels:,}" for point in measured.points if _above(point.scratch, point.plan)]
    parts = [f"the plan is above scratch with {_listed(ahead)} labels"] if ahead else []
    if behind:
        form = "scratch above the plan with {}" if ahead else "scratch is above the plan with {} labels"
        parts.append(form.format(_listed(behind)))
    return f"Beyond chance {', '.join(parts) or 'the plan and scratch differ with no number of labels'}."


def _above(one: Measured, other: Measured) -> bool:
    """Beyond the error that the test rows leave, were they not the same for both: said rather too seldom."""
    return one.mean - other.mean > Z * float(np.hypot(one.standard_error, other.standard_error))


def _saved(measured: Benefit) -> str:
    last, saving = measured.points[-1], measured.saving
    words = f"scratch's {_worded(last.scratch.mean, measured)}"
    if saving.labels is None or saving.share is None:
        return (
            f"The plan does not reach {words} even with all {last.labels:,} labels: it saves no label.{_each(measured)}"
        )
    if saving.reached == "before":
        return (
            f"The plan is above {words} already with the fewest labels that were tried, {saving.labels:.0f} of "
            f"{last.labels:,}: it saves more than {_floor(saving.share)} of the labels.{_each(measured)}"
        )
    return (
        f"The plan reaches {words} with about {saving.labels:,.0f} of {last.labels:,} labels: it saves "
        f"{100 * saving.share:.0f} % of the labels.{_each(measured)}"
    )


def _each(measured: Benefit) -> str:
    """The saving of each repeat, where there are several."""
    if len(measured.savings) == 1:
        return ""
    parts = [
        "none"
        if s.share is None
        else f"more than {_floor(s.share)}"
        if s.reached == "before"
        else f"{100 * s.share:.0f} %"
        for s in measured.savings
    ]
    return f" Repeat by repeat: {', '.join(parts)}."


def _epochs(measured: Benefit) -> str:
    needed = [row.scratch for row in measured.to_equal]
    if not max(needed):
        return (
            f"Scratch never rose above where it began in {measured.epochs['scratch']} epochs: nothing to be equal to."
        )
    target = _worded(fmean(row.target for row in measured.to_equal), measured)
    scratch = f"Scratch needs {_listed(needed)} epochs to its best validation score, {target}"
    plan = [row.plan for row in measured.to_equal if row.plan is not None]
    if not measured.epochs["plan"]:
        rest = "at least scratch's" if len(plan) == len(measured.to_equal) else "below scratch's"
        return f"{scratch}; {measured.strategy} trains no backbone: 0 epochs of it, and its test score is {rest}."
    if len(plan) < len(measured.to_equal):
        missed = f" in {len(measured.to_equal) - len(plan)} of {len(measured.to_equal)} repeats" if plan else ""
        return f"{scratch}; the plan does not reach that in {measured.epochs['plan']} epochs{missed}."
    if not max(plan):
        return f"{scratch}; the plan's head is as good on its features before any epoch: 0 epochs."
    return f"{scratch}, the plan {_listed(plan)} to one as good: {_ratio(needed, plan)}."


def _ratio(needed: Sequence[int], plan: Sequence[int]) -> str:
    few, many = fmean(plan), fmean(needed)
    return f"{many / few:.1f} times fewer" if few <= many else f"{few / many:.1f} times more"


def _listed(numbers: Sequence[object]) -> str:
    words = [str(number) for number in numbers]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]


def _measured(arm: Measured, measured: Benefit) -> str:
    form, unit = (".3f", 1) if measured.sample["metric"] == Metric.R2 else (".1f", 100)
    spread = "" if arm.spread is None else f", {unit * arm.spread:{form}} between repeats"
    return f"{_worded(arm.mean, measured)} (± {unit * arm.standard_error:{form}}{spread})"


def _worded(value: float, measured: Benefit) -> str:
    """A score as its metric is read."""
    return f"{value:.3f}" if measured.sample["metric"] == Metric.R2 else f"{100 * value:.1f} %"


def _floor(share: float) -> str:
    """Rounded down: it is a bound from below."""
    return f"{np.floor(1000 * share) / 10:.1f} %"
