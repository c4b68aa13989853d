"""Baseline of no transfer: raw features with a linear head and with nearest neighbors, the better one.

Raw features are those of the modality (`Modality.raw`), fitted inside each fold; the folds, and so the rows, are the
probe's own, which makes the two paired. Where a modality has several, each model reads those with which it says most of
the training rows (or whole groups) rightly when each is left out: they are chosen in every fold anew, so that the rows
which judge have no say in it (nested cross-validation; Varma & Simon 2006). What is no better than the plainest
features does not stand for *no transfer*.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.sparse import vstack

from recommender.resampling import draw_weights, resample
from recommender.results import BASELINE_SPREAD, Baseline, Expected
from recommender.transfer.decomposition import decompose
from recommender.transfer.linear import fit_ridge, linear
from registry.cards import Task
from registry.encoders import BlockSize
from registry.errors import EstimatorError, NoVariation, SingleClass, TooFewRows
from registry.features import Encoded, Features
from registry.index import neighbors, other_neighbors
from registry.metrics import Z, score
from registry.modalities import Item, Modality, modalities
from registry.progress import Phase, Progress, advance, silent, tracked
from registry.sample import Sample
from registry.targets import Positions, Targets

__all__ = [
    "LINEAR",
    "NEAREST",
    "NEIGHBORS",
    "NOTHING",
    "STRATEGIES",
    "HeldOut",
    "RawEncoder",
    "RawRows",
    "baseline",
    "better",
    "fit_tagger",
    "held_out",
    "is_raw",
    "no_transfer",
    "predicted_by",
    "raw_features_of",
    "raw_strategy",
    "raw_words",
    "votes",
]

NEIGHBORS = 5
NOTHING = "no transfer"
"""What stands for the checkpoint there; no checkpoint can have that name."""
LINEAR, NEAREST = "linear", f"{NEIGHBORS} nearest neighbors"
"""The models; each is named after the raw features that it reads: ``raw pixels + linear``."""
STRATEGIES: Mapping[str, str] = {LINEAR: "raw-linear", NEAREST: "raw-neighbors"}
"""The strategy of a run that carries a model of no transfer out."""
_AT_ONCE = 32
_TAGGER_STRENGTH, _TAGGER_TOLERANCE, _TAGGER_STEPS = 10.0, 1e-3, 1000
"""Inverse strength of regularization of the linear model of tags, and when it is done."""


def raw_strategy(model: str) -> str | None:
    """The strategy that carries out the model of that name; None where it is no model of raw features."""
    return STRATEGIES.get(model.rpartition(" + ")[2])


def raw_features_of(model: str) -> str:
    """The raw features that the model of that name reads."""
    return model.rpartition(" + ")[0]


def is_raw(strategy: str) -> bool:
    """Whether a run of that strategy transfers nothing."""
    return strategy in STRATEGIES.values()


@dataclass(frozen=True, eq=False)
class RawRows:
    """Items on their way to raw features: what needs no fitting was done to them, once for all folds."""

    modality: Modality
    rows: Any
    """The items, or what the leading steps of `Modality.raw` made of them."""
    steps: int
    """How many these were."""
    named: str
    """What messages call the plainest features."""
    rivals: tuple[str, ...] = ()
    """Other features that are made of them, by name."""

    @classmethod
    def of(
        cls, modality: str, items: Sequence[Item], progress: Progress = silent, *, task: Task = Task.CLASSIFICATION
    ) -> "RawRows":
        """The items of a modality; read once, in small batches. Of those labelled at positions, a table of each."""
        kind, named = modalities[modality], raw_words(modality, task)
        positions = kind.positions if task is Task.TOKEN_CLASSIFICATION else None
        if positions is not None:
            raw = positions.raw()
            tables = np.empty(len(items), object)
            for row, item in enumerate(tracked(items, progress, Phase.BASELINE, len(items), named)):
                tables[row] = raw.transform([item])
            return cls(kind, tables, 0, named)
        leading = []
        for _, step in getattr(kind.raw(), "steps", ()):
            if step.__sklearn_tags__().requires_fit:
                break
            leading.append(step)
        if not leading:
            return cls(kind, tuple(items), 0, named, kind.words.rivals)
        return cls(kind, _in_batches(leading, items, named, progress), len(leading), named, kind.words.rivals)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: Int[np.ndarray, " r"] | Bool[np.ndarray, " n"]) -> "RawRows":
        """Those rows."""
        places = np.arange(len(self))[rows]
        taken = self.rows[places] if isinstance(self.rows, np.ndarray) else tuple(self.rows[row] for row in places)
        return replace(self, rows=taken)

    def with_model(self, model: Any) -> "RawEncoder":  # noqa: ANN401 - scikit-learn has no types
        """What makes raw features of positions, and a model that was fitted on them, as one."""
        from sklearn.pipeline import Pipeline  # noqa: PLC0415 - heavy, and needed for tags alone

        positions = self.modality.positions
        assert positions is not None  # noqa: S101 - the rows are tables of positions
        raw = Pipeline([("features", positions.raw()), ("linear", model)])
        return RawEncoder(self.modality.name, raw, self.named, Task.TOKEN_CLASSIFICATION)

    def fitted(
        self, train: Int[np.ndarray, " r"] | Bool[np.ndarray, " n"] | None = None, named: str = ""
    ) -> "RawEncoder":
        """What makes raw features, fitted on some of the rows; without ``train`` on all. The plainest, if not named.

        Raises:
            UnknownName: the modality has no features of that name.
        """
        name = named or self.named
        raw = self.modality.raw(name)
        self._rest(raw).fit((self if train is None else self.take(train)).rows)
        return RawEncoder(self.modality.name, raw, name)

    def features(
        self, train: Int[np.ndarray, " r"] | Bool[np.ndarray, " n"] | None = None, named: str = ""
    ) -> Float[np.ndarray, "n d"]:
        """Raw features of all rows, fitted on some of them; the plainest, if not named.

        Raises:
            UnknownName: as `fitted`.
        """
        return np.asarray(self._rest(self.fitted(train, named).raw).transform(self.rows), np.float32)

    def _rest(self, raw: Any) -> Any:  # noqa: ANN401 - a scikit-learn transformer
        """What is still to be done to the rows."""
        return raw[self.steps :] if self.steps else raw


@dataclass(frozen=True, eq=False)
class RawEncoder:
    """The encoder of no transfer: a fitted `Modality.raw`, whose features stand for the only block.

    Of positions it is a whole model, and its features are the log probabilities that it gives each tag.
    """

    modality: str
    raw: Any
    name: str
    """Of the features: what stands for its only block."""
    task: Task = Task.CLASSIFICATION
    digest: str = ""
    adaptable: tuple[str, ...] = ()
    sizes: tuple[BlockSize, ...] = ()

    @property
    def blocks(self) -> tuple[str, ...]:
        """As `Encoder.blocks`."""
        return (self.name,)

    def remarks(self, items: Sequence[Item]) -> tuple[str, ...]:
        """As `Encoder.remarks`: it sees them whole."""
        del items
        return ()

    def encode(self, items: Sequence[Item], *, progress: Progress = silent) -> Encoded:
        """As `Encoder.encode`."""
        if self.task is Task.TOKEN_CLASSIFICATION:
            vectors = np.asarray(self.raw.predict_log_proba(items), np.float32)
        else:
            vectors = np.asarray(_in_batches([self.raw], items, self.name, progress), np.float32)
        return Encoded((Features(vectors, f"{self.name} {vectors.shape[1]}"),), self.blocks)


def raw_words(modality: str, task: Task) -> str:
    """What messages call the plainest features of no transfer for a task."""
    kind = modalities[modality]
    return (kind if task is not Task.TOKEN_CLASSIFICATION or kind.positions is None else kind.positions).words.raw


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a model says of rows of each fold after the others; -1 where fold is -1."""

    features: str
    """The raw features that it reads in most folds; of as many the plainer."""
    predicted: Shaped[np.ndarray, "n ..."]
    """On the features that the training rows of each fold choose."""
    plain: Shaped[np.ndarray, "n ..."]
    """On the plainest features."""


def baseline(sample: Sample, *, folds: Int[np.ndarray, " n"], seed: int = 0, progress: Progress = silent) -> Baseline:
    """Cross-validate the models on the sample's rows; the one with the better score stands for *no transfer*."""
    raw = RawRows.of(sample.modality, sample.items, progress, task=sample.task)
    groups = None if sample.groups is None else sample.group_ids
    results = held_out(raw, sample.targets, folds, groups)
    weights = draw_weights(sample.group_ids, seed=seed)
    truth, tested = sample.targets.values, folds >= 0
    predicted = _by_name(results, raw.named)
    scored = {
        model: resample(sample.metric, truth[tested], guess[tested], weights[:, tested])
        for model, guess in predicted.items()
    }
    model = max(scored, key=lambda name: scored[name].value)
    mean, test_rows = scored[model].value, round(0.25 * len(sample)) if sample.test is None else len(sample.test)
    reach = Z * float(
        np.sqrt(scored[model].standard_error ** 2 * (1 + len(sample) / max(test_rows, 1)) + BASELINE_SPREAD**2)
    )
    plain = max(score(sample.metric, truth[tested], result.plain[tested]) for result in results.values())
    return Baseline(model, Expected.around(sample.metric, mean, reach), predicted[model], plain)


def no_transfer(
    train: Sample, test: Sample, *, seed: int = 0, progress: Progress = silent
) -> tuple[str, Shaped[np.ndarray, "m ..."]]:
    """What *no transfer* says of test rows: the model with the better score in folds of the training rows.

    Raises:
        TooFewRows: the training rows cannot be folded.
    """
    raw = RawRows.of(train.modality, (*train.items, *test.items), progress, task=train.task)
    best = better(train, raw.take(np.arange(len(train))), seed)
    folds = np.repeat([-1, 0], [len(train), len(test)])
    groups = np.concatenate([train.group_ids, len(train) + np.arange(len(test))])
    predicted = predicted_by(best, raw, train.targets.followed_by(test.targets), folds, groups)
    return best, predicted[len(train) :]


def better(sample: Sample, raw: RawRows, seed: int = 0) -> str:
    """Name of the model with the better score in folds of the sample's rows.

    Raises:
        TooFewRows: they cannot be folded.
    """
    folds, targets = sample.folds(seed=seed), sample.targets
    results, tested = held_out(raw, targets, folds, sample.group_ids), folds >= 0
    truth = targets.values[tested]
    predicted = _by_name(results, raw.named)
    return max(predicted, key=lambda name: score(sample.metric, truth, predicted[name][tested]))


def held_out(
    raw: RawRows,
    targets: Targets,
    folds: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None = None,
) -> dict[str, HeldOut]:
    """What the models (`LINEAR`, `NEAREST`) say of the rows of each fold after the others.

    Raw features are fitted on the others, and chosen by them: rows that are held out are not looked at. Of positions a
    linear model speaks alone.

    Raises:
        SingleClass: the training part of a fold holds one class.
    """
    if targets.task is Task.TOKEN_CLASSIFICATION:
        predicted = _tagged(raw, Positions.of(targets), folds)
        return {LINEAR: HeldOut(raw.named, predicted, predicted)}
    names = (raw.named, *raw.rivals)
    chosen, plain = ({model: np.full_like(targets.values, -1) for model in _MODELS} for _ in range(2))
    votes_for = {model: dict.fromkeys(names, 0) for model in _MODELS}
    for fold in np.unique(folds[folds >= 0]):
        train, test = folds != fold, folds == fold
        fitted = _fitted(raw, train, targets.take(train), None if groups is None else groups[train])
        for model in _MODELS:
            features, plainest = fitted[model][raw.named]
            plain[model][test] = chosen[model][test] = plainest.predict(features[test])
            best = raw.named
            if len(fitted[model]) > 1:
                best = max(fitted[model], key=lambda name: _agreement(fitted[model][name][1]))
            if best != raw.named:
                features, model_of_best = fitted[model][best]
                chosen[model][test] = model_of_best.predict(features[test])
            votes_for[model][best] += 1
    return {
        model: HeldOut(max(names, key=votes_for[model].__getitem__), chosen[model], plain[model]) for model in _MODELS
    }


def _fitted(
    raw: RawRows, train: Bool[np.ndarray, " n"], known: Targets, units: Int[np.ndarray, " r"] | None
) -> dict[str, dict[str, tuple[Float[np.ndarray, "n d"], "_Linear | _Nearest"]]]:
    """For each model the features of all rows by name, the plainest first, with what is fitted on the training rows.

    A rival that sees no difference between these is left out.
    """
    fitted: dict[str, dict[str, tuple[Float[np.ndarray, "n d"], _Linear | _Nearest]]] = {one: {} for one in _MODELS}
    for name in (raw.named, *raw.rivals):
        features = raw.features(train, name)
        try:
            for model, kind in _MODELS.items():
                fitted[model][name] = features, kind(features[train], known, units)
        except NoVariation:
            if name == raw.named:
                raise
    return fitted


def _agreement(fitted: "_Linear | _Nearest") -> float:
    """As the model has it; nothing beats nothing where rows left out cannot tell."""
    try:
        return fitted.agreement()
    except EstimatorError:
        return -np.inf


def _by_name(results: Mapping[str, HeldOut], plainest: str) -> dict[str, Shaped[np.ndarray, "n ..."]]:
    """What each model says by its full name, on the plainest features first: where others are no better these stand."""
    named = {f"{plainest} + {model}": result.plain for model, result in results.items()}
    chosen = {f"{result.features} + {model}": result.predicted for model, result in results.items()}
    return named | {name: guess for name, guess in chosen.items() if name not in named}


def predicted_by(
    model: str,
    raw: RawRows,
    targets: Targets,
    folds: Int[np.ndarray, " n"],
    groups: Int[np.ndarray, " n"] | None = None,
) -> Shaped[np.ndarray, "n ..."]:
    """What the model of that name says of the rows of each fold after the others; -1 where fold is -1.

    Raises:
        SingleClass: the training part of a fold holds one class.
        UnknownName: the modality has no such features.
    """
    if targets.task is Task.TOKEN_CLASSIFICATION:
        return _tagged(raw, Positions.of(targets), folds)
    named, _, kind = model.rpartition(" + ")
    predicted = np.full_like(targets.values, -1)
    for fold in np.unique(folds[folds >= 0]):
        train, test = folds != fold, folds == fold
        features = raw.features(train, named)
        fitted = _MODELS[kind](features[train], targets.take(train), None if groups is None else groups[train])
        predicted[test] = fitted.predict(features[test])
    return predicted


def fit_tagger(raw: RawRows, codes: Int[np.ndarray, " p"]) -> Any:  # noqa: ANN401 - scikit-learn has no types
    """Multinomial logistic regression on the sparse features of positions.

    Raises:
        SingleClass: there is but one tag.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - heavy, and needed for tags alone

    if len(np.unique(codes)) < 2:
        raise SingleClass("a model of tags")
    return LogisticRegression(C=_TAGGER_STRENGTH, tol=_TAGGER_TOLERANCE, max_iter=_TAGGER_STEPS).fit(
        vstack([*raw.rows]), codes
    )


def _tagged(raw: RawRows, positions: Positions, folds: Int[np.ndarray, " n"]) -> Shaped[np.ndarray, " n"]:
    predicted, codes = np.full(len(positions), -1), positions.targets.values
    for fold in np.unique(folds[folds >= 0]):
        model = fit_tagger(raw.take(folds != fold), codes[positions.within(folds != fold)])
        predicted[positions.within(folds == fold)] = model.predict(vstack([*raw.take(folds == fold).rows]))
    return positions.gathered(predicted)


def votes(distances: Float[np.ndarray, "m k"], near: Targets, classes: int) -> Float[np.ndarray, "m c"]:
    """What neighbors say, a nearer one counting more, as 1 / distance; one at no distance alone.

    ``near`` are their targets, (m, k) or of labels (m, k, c): the shares of each class, or the mean.
    """
    with np.errstate(divide="ignore"):
        weights = 1 / np.asarray(distances, np.float64)
    same = np.isinf(weights)
    weights = np.where(same.any(axis=1, keepdims=True), same, weights)
    weights /= weights.sum(axis=1, keepdims=True)
    columns = near.values if near.task is Task.MULTI_LABEL else near.values[:, :, None]
    if near.task is Task.CLASSIFICATION:
        columns = columns == np.arange(classes)
    return np.asarray(np.einsum("mk,mkc->mc", weights, columns.astype(np.float64)))


def _in_batches(
    steps: Sequence[Any], items: Sequence[Item], what: str, progress: Progress
) -> Shaped[np.ndarray, "n ..."]:
    """Items after steps that look at each row by itself."""
    advance(progress, Phase.BASELINE, 0, len(items), what)
    batches = []
    for start in range(0, len(items), _AT_ONCE):
        rows: Any = items[start : start + _AT_ONCE]
        for step in steps:
            rows = step.transform(rows)
        batches.append(np.asarray(rows))
        advance(progress, Phase.BASELINE, min(start + _AT_ONCE, len(items)), len(items), what)
    return np.concatenate(batches)


class _Linear:
    """A ridge on raw features; how strong it is follows from rows left out."""

    def __init__(
        self, features: Float[np.ndarray, "n d"], targets: Targets, groups: Int[np.ndarray, " n"] | None
    ) -> None:
        self._thin, self._targets, self._groups = decompose(features), targets, groups

    def agreement(self) -> float:
        """As `recommender.transfer.linear.linear`."""
        return linear(self._thin, self._targets, groups=self._groups)

    def predict(self, features: Float[np.ndarray, "m d"]) -> Shaped[np.ndarray, "m ..."]:
        """In the form of the targets."""
        targets = self._targets
        classes = int(targets.values.max()) + 1 if targets.task is Task.CLASSIFICATION else 0
        logits = fit_ridge(self._thin, targets, classes, groups=self._groups).logits(features)
        if targets.task is Task.CLASSIFICATION:
            return np.asarray(logits.argmax(axis=1))
        return np.asarray(logits > 0 if targets.task is Task.MULTI_LABEL else logits[:, 0])


class _Nearest:
    """Vote of the nearest rows; the labels that most of them have; or the mean of their quantities."""

    def __init__(
        self, features: Float[np.ndarray, "n d"], targets: Targets, groups: Int[np.ndarray, " n"] | None
    ) -> None:
        self._features, self._targets, self._groups = features, targets, groups

    def agreement(self) -> float:
        """The share of rows, or labels, of which those of other groups say what is; of quantities R squared."""
        units = np.arange(len(self._features)) if self._groups is None else self._groups
        others = len(units) - int(np.unique(units, return_counts=True)[1].max())
        if others < 1:
            raise TooFewRows("groups to choose raw features by", 2, 1)
        distances, near = other_neighbors(self._features, min(NEIGHBORS, others), groups=units)
        predicted, truth = self._voted(distances, near), self._targets.values
        if self._targets.task is not Task.REGRESSION:
            return float((predicted == truth).mean())
        return float(1 - np.square(predicted - truth).mean() / max(float(truth.var()), 1e-12))

    def predict(self, features: Float[np.ndarray, "m d"]) -> Shaped[np.ndarray, "m ..."]:
        """In the form of the targets."""
        return self._voted(*neighbors(features, self._features, min(NEIGHBORS, len(self._features))))

    def _voted(self, distances: Float[np.ndarray, "m k"], near: Int[np.ndarray, "m k"]) -> Shaped[np.ndarray, "m ..."]:
        targets = self._targets
        classes = int(targets.values.max()) + 1 if targets.task is Task.CLASSIFICATION else 0
        shares = votes(distances, targets.take(near), classes)
        if targets.task is Task.CLASSIFICATION:
            return np.asarray(shares.argmax(axis=1))
        return np.asarray(shares > 0.5 if targets.task is Task.MULTI_LABEL else shares[:, 0])


_MODELS: Mapping[str, type[_Linear] | type[_Nearest]] = {LINEAR: _Linear, NEAREST: _Nearest}
