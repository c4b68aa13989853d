"""How a plan becomes a head: fitted on raw features, on a net's features, or trained with the net in stages."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Shaped

from recommender.baseline import RawEncoder, RawRows, fit_tagger, is_raw
from recommender.resampling import draw_weights, resample
from recommender.runs.job import Job
from recommender.runs.provider import Provider
from recommender.strategies.rules import require_head
from recommender.transfer.linear import fit_ridge
from recommender.tuning import controls
from recommender.tuning.classifier import Classifier, fresh_head, logistic_head
from recommender.tuning.data import ItemRows, block_features, prepare_rows
from recommender.tuning.feature_drift import FeatureDrift, Forgetting
from recommender.tuning.heads import (
    FittedHead,
    LinearHead,
    NeighborsHead,
    PrototypeHead,
    RawNeighborsHead,
    RawTagsHead,
    ScaledLinearHead,
    named,
)
from recommender.tuning.keeper import Training, logits_of
from recommender.tuning.loop import train
from recommender.tuning.splitting import Split, places
from recommender.tuning.storing import store
from registry.cards import Task
from registry.encoders.layers import layers_of
from registry.encoders.loading import load_network
from registry.errors import Diverged, TooFewRows
from registry.modalities import modalities
from registry.progress import Phase, Progress, advance
from registry.sample import Sample
from registry.targets import Positions

__all__ = ["Fit", "fit_plan", "predicted_of"]


_NO_BETTER = (
    "training did not improve on the fitted head beyond chance: "
    "the backbone is left as it was, and the head fitted to all rows"
)
_BEYOND = 1.0
"""Standard errors by which the best of many epochs must beat a fitted head that has yet to see the held-out rows."""
_VALIDATION = 0.2
_MOST_FITTED = 2500
"""Rows whose positions a linear head is fitted to, of eight positions each; more are drawn from."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A head, the classifier it belongs to if that was trained, what they say of the test rows, and notes."""

    head: FittedHead
    classifier: Classifier | None
    logits: Float[np.ndarray, "n c"]
    metrics: Mapping[str, float]
    notes: tuple[str, ...]
    forgetting: Forgetting | None = None
    """None where there was nothing to forget: the net started from random weights."""
    against: tuple[controls.Control, ...] = ()
    raw: RawEncoder | None = None
    """What makes the features that the head reads, where nothing is transferred."""


@dataclass(frozen=True)
class _Unit:
    """What a quantity is measured in while a net learns it: deviations from its mean. Classes and labels have none."""

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, sample: Sample) -> "_Unit":
        """The unit of the rows that are learned from."""
        if sample.task is not Task.REGRESSION:
            return cls()
        return cls(float(sample.targets.values.mean()), float(sample.targets.values.std()) or 1.0)

    def measured(self, part: Sample) -> Positions:
        """Targets in this unit."""
        known = part.positions
        if part.task is not Task.REGRESSION:
            return known
        return replace(
            known, targets=replace(known.targets, values=(known.targets.values - self.mean) / self.deviation)
        )

    def put_on(self, head: torch.nn.Linear) -> None:
        """Rescale a head that predicts the quantity to this unit, in which a zero-initialized one predicts the mean."""
        if self != _Unit() and bool(head.weight.any()):
            _rescale(head, 1 / self.deviation, -self.mean / self.deviation)

    def take_off(self, head: torch.nn.Linear) -> None:
        """Let a head that says the quantity in this unit say it as it is."""
        if self != _Unit():
            _rescale(head, self.deviation, self.mean)


def fit_plan(
    job: Job, provider: Provider, split: Split, point: Callable[[str, int, float], None], progress: Progress
) -> Fit:
    """What the plan of a job comes to on its rows.

    Raises:
        Diverged: the loss became NaN or infinite; the best weights so far are stored.
        NotOffered: a head that names classes, in another task.
    """
    if job.plan.stages:
        return _trained(job, provider, split, point, progress)
    if job.plan.pretraining is not None:
        return _pretrained(job, split, point, progress)
    if is_raw(job.plan.strategy):
        return _untransferred(job, split, progress)
    return _probed(job, provider, split, progress)


def predicted_of(split: Split, fit: Fit) -> Shaped[np.ndarray, "n ..."]:
    """What a fit says of the test rows, in the form of their targets."""
    return split.test.positions.gathered(named(split.test.task, fit.logits))


def _untransferred(job: Job, split: Split, progress: Progress) -> Fit:
    """A head on raw features, which are fitted on the training rows as it is."""
    if job.sample.task is Task.TOKEN_CLASSIFICATION:
        return _tagged(job, split, progress)
    train, items = len(split.train), (*split.train.items, *split.test.items)
    raw = RawRows.of(job.sample.modality, items, progress)
    features = raw.features(np.arange(train), job.plan.read)
    head = _raw_head(job, split.train, features[:train])
    trainable = sum(tensor.size for tensor in head.tensors().values())
    return Fit(
        head,
        None,
        head.logits(features[train:]),
        {"trainable_parameters": float(trainable)},
        (),
        raw=raw.fitted(np.arange(train), job.plan.read),
    )


def _tagged(job: Job, split: Split, progress: Progress) -> Fit:
    """The linear model on raw features of positions, as one with what makes them."""
    require_head(job.plan.strategy, job.plan.head, job.sample.task)
    positions = split.train.positions
    rows = RawRows.of(job.sample.modality, split.train.items, progress, task=job.sample.task)
    model = fit_tagger(rows, positions.targets.values)
    raw = rows.with_model(model)
    head = RawTagsHead(np.asarray(model.classes_, np.int64), np.array([len(job.sample.classes)]))
    logits = head.logits(raw.encode(split.test.items, progress=progress).last.vectors)
    return Fit(
        head, None, logits, {"trainable_parameters": float(model.coef_.size + model.intercept_.size)}, (), raw=raw
    )


def _probed(job: Job, provider: Provider, split: Split, progress: Progress) -> Fit:
    """A head on cached features; the backbone is not run again."""
    head = _fitted(job, provider, split.train, progress)
    trainable = sum(tensor.size for tensor in head.tensors().values())
    logits = head.logits(_features(job, provider, split.test, progress))
    return Fit(
        head,
        None,
        logits,
        {"trainable_parameters": float(trainable)},
        (),
        Forgetting(),
    )


def _pretrained(job: Job, split: Split, point: Callable[[str, int, float], None], progress: Progress) -> Fit:
    """A head on features of a backbone that has learned before; from all training rows, for few can spare none."""
    from recommender.tuning.pretraining import pretrain  # noqa: PLC0415 - seconds to import the Trainer

    classifier = _classifier(job, fresh_head(1, 1))
    rows = {
        name: _rows(job, classifier, part, _Unit(), name, progress)
        for name, part in (("training", split.train), ("test", split.test))
    }
    drift = FeatureDrift(classifier, rows["training"])
    notes = _sparing(classifier, job)
    notes += pretrain(classifier, job, split.train, [split.test], point, progress)
    classifier.head = _head_of(job, classifier, rows["training"], split.train, progress)
    trainable = sum(p.numel() for p in classifier.parameters())
    metrics = {"trainable_parameters": float(trainable)}
    logits, kept = logits_of(classifier, rows["test"]), drift.forgetting(rows["training"])
    return Fit(_linear(classifier.head), classifier, logits, metrics, notes, kept)


def _trained(
    job: Job, provider: Provider, split: Split, point: Callable[[str, int, float], None], progress: Progress
) -> Fit:
    """The stages of the plan, the best weights by validation on rows that neither head nor net has seen.

    Where no epoch scores better than the fitted head beyond chance, that is fitted anew to all rows: a linear probe.
    """
    learning, validation = _validation(split.train, job.seed)
    unit = _Unit.of(learning)
    classifier = _classifier(job, _logistic(job, provider, learning, progress))
    unit.put_on(classifier.head)
    learned, validated, tested = (
        _rows(job, classifier, part, unit, name, progress)
        for name, part in (("training", learning), ("validation", validation), ("test", split.test))
    )
    trainable, spared = _most_trainable(classifier, job), _sparing(classifier, job)
    drift = None if job.plan.from_scratch else FeatureDrift(classifier, validated)
    training = _training(job, learned, validated, drift)
    training = training if validation.groups is None else replace(training, together=validation.group_ids)
    before = logits_of(classifier, validated)
    first = _after_pretraining(job, classifier, learned, learning, [validation, split.test], point, progress)
    if first is not None:
        unit.put_on(classifier.head)
    try:
        trained = train(classifier, training, point, progress)
    except Diverged:
        unit.take_off(classifier.head)
        store(job, _linear(classifier.head), classifier)
        raise
    better = _beyond_chance(job, validation, before, logits_of(classifier, validated))
    unit.take_off(classifier.head)
    notes, best = (*spared, *(first or ()), *trained.notes), trained.best.epoch
    if job.plan.head == "logistic" and not better:
        best = 0
        fitted = _logistic(job, provider, split.train, progress)
        if drift is None:
            classifier.load_state_dict(_classifier(job, fitted).state_dict())
        else:
            drift.restore()
            classifier.head.load_state_dict(fitted.state_dict())
        notes = (*notes, _NO_BETTER)
    metrics = {
        "trainable_parameters": float(trainable),
        "validation_start": trained.start.score,
        "validation_best": trained.best.score,
        "best_epoch": float(best),
    }
    if trained.slowed:
        metrics["rate_restarts"] = float(trained.slowed)
    kept = None if drift is None else drift.forgetting(validated)
    return Fit(_linear(classifier.head), classifier, logits_of(classifier, tested), metrics, notes, kept)


def _training(job: Job, learned: ItemRows, validated: ItemRows, drift: FeatureDrift | None) -> Training:
    """What the loop is to do, on rows that are prepared."""
    training = Training(
        job.plan, learned, validated, job.sample.metric, job.folder, job.seed, job.device, job.sample.task
    )
    return training if drift is None else replace(training, drift=drift.drift)


def _after_pretraining(
    job: Job,
    classifier: Classifier,
    rows: ItemRows,
    learning: Sample,
    judging: Sequence[Sample],
    point: Callable[[str, int, float], None],
    progress: Progress,
) -> tuple[str, ...] | None:
    """Notes on what the backbone has learned first, and a head fitted to what came of it; None where there is nothing.

    The unlabelled copies of rows that judge it are left out.
    """
    if job.plan.pretraining is None:
        return None
    from recommender.tuning.pretraining import pretrain  # noqa: PLC0415 - seconds to import the Trainer

    notes = pretrain(classifier, job, learning, judging, point, progress)
    classifier.head = _head_of(job, classifier, rows, learning, progress)
    return notes


def _head_of(job: Job, classifier: Classifier, rows: ItemRows, part: Sample, progress: Progress) -> torch.nn.Linear:
    """A head fitted to the features that the classifier's backbone has now."""
    advance(progress, Phase.HEAD, 0, 1)
    features = block_features(classifier, rows, np.arange(len(rows)))[-1]
    groups = None if part.groups is None else part.group_ids
    head = logistic_head(features, part.targets, len(job.sample.classes), groups)
    advance(progress, Phase.HEAD, 1, 1)
    return head.to(job.device)


def _beyond_chance(job: Job, rows: Sample, before: Float[np.ndarray, "n c"], after: Float[np.ndarray, "n c"]) -> bool:
    """Whether predictions of held-out rows became better by more than the error of the difference."""
    weights = draw_weights(rows.group_ids, seed=job.seed)
    truth, gathered = rows.targets.values, rows.positions.gathered
    old, new = (
        resample(job.sample.metric, truth, gathered(named(job.sample.task, logits)), weights)
        for logits in (before, after)
    )
    return new.value - old.value > _BEYOND * new.error_beside(old)


def _features(job: Job, provider: Provider, part: Sample, progress: Progress) -> Float[np.ndarray, "n d"]:
    """Features of the block that is read; of rows of the job's sample, from those of the whole sample."""
    test = job.sample.test
    whole = job.sample if test is None or part.items[0] not in set(test.items) else test
    encoded = provider.features(job, whole, progress)
    vectors = encoded.blocks[encoded.names.index(job.plan.read)].vectors
    return vectors if part is whole else vectors[whole.positions.within(places(whole, part))]


def _logistic(job: Job, provider: Provider, part: Sample, progress: Progress) -> torch.nn.Linear:
    fitted = part.subsample(_MOST_FITTED, job.seed) if part.task is Task.TOKEN_CLASSIFICATION else part
    features = _features(job, provider, fitted, progress)
    if job.plan.head == "fresh":
        return fresh_head(features.shape[1], len(job.sample.classes) or 1)
    advance(progress, Phase.HEAD, 0, 1)
    positions = fitted.positions
    units = positions.units(None if fitted.groups is None else fitted.group_ids)
    head = logistic_head(features, positions.targets, len(job.sample.classes), units)
    advance(progress, Phase.HEAD, 1, 1)
    return head


def _fitted(job: Job, provider: Provider, part: Sample, progress: Progress) -> FittedHead:
    """The head of a plan that trains nothing else.

    Raises:
        NotOffered: a head that names classes, in another task.
    """
    require_head(job.plan.strategy, job.plan.head, job.sample.task)
    if job.plan.head == "prototype":
        return PrototypeHead.fit(_features(job, provider, part, progress), part.targets.values, len(job.sample.classes))
    if job.plan.head == "neighbors":
        return NeighborsHead.fit(_features(job, provider, part, progress), part.targets.values, len(job.sample.classes))
    return _linear(_logistic(job, provider, part, progress))


def _raw_head(job: Job, part: Sample, features: Float[np.ndarray, "n d"]) -> FittedHead:
    """The model of no transfer that the plan names."""
    require_head(job.plan.strategy, job.plan.head, job.sample.task)
    classes = len(job.sample.classes)
    if job.plan.head == RawNeighborsHead.kind:
        return RawNeighborsHead.fit(features, part.targets, classes)
    groups = None if part.groups is None else part.group_ids
    return ScaledLinearHead.of_ridge(fit_ridge(features, part.targets, classes or 1, groups=groups))


def _linear(layer: torch.nn.Linear) -> LinearHead:
    weight, bias = (tensor.detach().cpu().numpy() for tensor in (layer.weight, layer.bias))
    return LinearHead(weight, bias)


def _classifier(job: Job, head: torch.nn.Linear) -> Classifier:
    torch.manual_seed(job.seed)
    network = load_network(
        job.checkpoint.folder, cap=job.checkpoint.cap, from_scratch=job.plan.from_scratch, task=job.sample.task
    )
    classifier = Classifier(network, layers_of(network), job.plan.read, head, dropout=job.plan.dropout)
    if job.plan.adapter_rank:
        classifier.adapt([block for stage in job.plan.stages for block in stage.train], job.plan.adapter_rank)
    classifier.to(job.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    return classifier.eval()


def _sparing(classifier: Classifier, job: Job) -> tuple[str, ...]:
    """Spare memory where inputs are longer than usual, as far as the net is able to; a note on that."""
    card, modality = job.checkpoint, modalities[job.checkpoint.modality]
    longer = modality.defaults.used(card.input_size, card.cap) > modality.defaults.cap
    if not longer or not classifier.spare_memory():
        return ()
    return (f"for {modality.words.many} longer than usual activations are computed anew in the backward pass",)


def _validation(sample: Sample, seed: int) -> tuple[Sample, Sample]:
    """A part for learning and one for choosing among epochs; where rows are too few the learning rows choose."""
    try:
        return sample.split(_VALIDATION, seed)
    except TooFewRows:
        return sample, sample


def _rows(job: Job, classifier: Classifier, part: Sample, unit: _Unit, name: str, progress: Progress) -> ItemRows:
    spill = job.folder / f"rows-{name}"
    return prepare_rows(part.items, unit.measured(part), classifier.network, spill, progress, name)


def _most_trainable(classifier: Classifier, job: Job) -> int:
    most = 0
    for stage in job.plan.stages:
        classifier.learn(stage.train, stage.only)
        most = max(most, sum(p.numel() for p in classifier.parameters() if p.requires_grad))
    classifier.learn(())
    return most


def _rescale(head: torch.nn.Linear, scale: float, shift: float) -> None:
    with torch.no_grad():
        head.weight.mul_(scale)
        head.bias.mul_(scale).add_(shift)
