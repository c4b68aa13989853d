"""A run without transfer as others open it: a scikit-learn pipeline on raw features, without pickle (skops).

The pipeline takes raw features, which README.md beside it says how to make: a scaler and a linear model, or the nearest
neighbors. It is read back, with nothing trusted but scikit-learn's own types, and held against the run.
"""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from jaxtyping import Float
from sklearn.base import BaseEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import LabelBinarizer, StandardScaler

from recommender.baseline import NEIGHBORS, RawEncoder
from recommender.runs.folder import RunFolder
from recommender.serving.predict import Predictions, Predictor
from recommender.tuning.heads import RawNeighborsHead, ScaledLinearHead
from registry.cards import Task
from registry.errors import NotExportable
from registry.modalities import RawRecipe
from registry.progress import Phase, Progress, advance, silent

__all__ = ["Pipelined", "write_pipeline"]

FILE = "model.skops"
PIPELINE_TOLERANCE = 1e-4
"""Largest difference of two probabilities or, of values, as a share of the largest."""
_ROWS = 16


@dataclass(frozen=True)
class Pipelined:
    """What was written, and how far its answers lie from the run's."""

    architecture: str
    classes: tuple[str, ...]
    difference: float


def write_pipeline(run: RunFolder, folder: Path, progress: Progress = silent) -> Pipelined:
    """Write ``model.skops``, ``features.json`` and a README.md that says how to use them.

    Raises:
        NotFinished: the run has not come to its end.
        NotExportable: what was written answers otherwise than the run.
    """
    from skops import io  # noqa: PLC0415 - a second to import

    predictor = Predictor.open(run.path)
    if predictor.task is Task.TOKEN_CLASSIFICATION:
        why = f"{predictor.read} are made of items position by position, which takes transferzoo"
        raise NotExportable(run.id, why, "`transferzoo predict` uses the run as it is.")
    advance(progress, Phase.EXPORT, 0, 2)
    pipeline = _pipeline(predictor)
    io.dump(pipeline, folder / FILE)
    features = _example(predictor)
    assert isinstance(predictor.encoder, RawEncoder)  # noqa: S101 - a run without transfer
    recipe = predictor.modality.raw_recipe(predictor.encoder.raw)
    settings = {**recipe.settings, "task": predictor.task, "classes": predictor.classes}
    (folder / "features.json").write_text(json.dumps(settings))
    (folder / "README.md").write_text(_readme(recipe), encoding="utf-8")
    advance(progress, Phase.EXPORT, 1, 2)
    foreign = [name for name in io.get_untrusted_types(file=folder / FILE) if not name.startswith("sklearn.")]
    difference = _difference(predictor, io.load(folder / FILE, trusted=[]), features) if not foreign else np.inf
    if not difference <= PIPELINE_TOLERANCE:
        why = f"what was written differs from the run by {difference:.1e}"
        raise NotExportable(run.id, why, "`transferzoo predict` uses the run as it is.")
    advance(progress, Phase.EXPORT, 2, 2)
    return Pipelined(" + ".join(type(step).__name__ for _, step in pipeline.steps), predictor.classes, difference)


def _pipeline(predictor: Predictor) -> Pipeline:
    head = predictor.head
    if isinstance(head, RawNeighborsHead):
        kind = KNeighborsRegressor if predictor.task is Task.REGRESSION else KNeighborsClassifier
        model = kind(min(NEIGHBORS, len(head.rows)), weights="distance")
        targets = head.targets.values
        if predictor.task is Task.CLASSIFICATION:
            targets = np.array(predictor.classes)[targets]
        return Pipeline([("neighbors", model.fit(head.rows, targets))])
    assert isinstance(head, ScaledLinearHead)  # noqa: S101 - the only other head on raw features
    scaler = StandardScaler()
    scaler.mean_, scaler.scale_, scaler.var_ = head.mean, head.scale, np.square(head.scale)
    scaler.n_features_in_, scaler.n_samples_seen_ = len(head.mean), 1
    return Pipeline([("scale", scaler), ("linear", _linear(predictor, head))])


def _linear(predictor: Predictor, head: ScaledLinearHead) -> BaseEstimator:
    if predictor.task is Task.REGRESSION:
        model = LinearRegression()
        model.coef_, model.intercept_, model.n_features_in_ = head.weight[0], float(head.bias[0]), len(head.mean)
        return model
    if predictor.task is Task.CLASSIFICATION:
        if len(predictor.classes) == 2:
            weight, bias = head.weight[1:] - head.weight[:1], head.bias[1:] - head.bias[:1]
            return _logistic(weight, bias, np.array(predictor.classes))
        return _logistic(head.weight, head.bias, np.array(predictor.classes))
    each = OneVsRestClassifier(LogisticRegression())
    pairs = zip(head.weight, head.bias, strict=True)
    each.estimators_ = [_logistic(weight[None], bias[None], np.array([0, 1])) for weight, bias in pairs]
    each.label_binarizer_ = LabelBinarizer().fit(np.eye(len(head.bias), dtype=int))
    return each


def _logistic(weight: np.ndarray, bias: np.ndarray, classes: np.ndarray) -> LogisticRegression:
    """One that was not fitted here."""
    model = LogisticRegression()
    model.coef_, model.intercept_, model.classes_ = weight, bias, classes
    model.n_features_in_, model.n_iter_ = weight.shape[1], np.array([0])
    return model


def _example(predictor: Predictor) -> Float[np.ndarray, "n d"]:
    """Noise in place of raw features."""
    head = predictor.head
    width = head.rows.shape[1] if isinstance(head, RawNeighborsHead) else len(head.tensors()["mean"])
    return np.random.default_rng(0).random((_ROWS, width), np.float32)


def _difference(predictor: Predictor, opened: Pipeline, features: Float[np.ndarray, "n d"]) -> float:
    """Of probabilities, or of values as a share of the largest."""
    ours = Predictions(predictor.task, predictor.classes, ("",) * len(features), predictor.head.logits(features)).scores
    if isinstance(predictor.head, RawNeighborsHead):
        ours = predictor.head.shares(features)
    if predictor.task is Task.REGRESSION:
        theirs = opened.predict(features).reshape(len(features), -1)
        return float(np.abs(ours - theirs).max() / max(1.0, float(np.abs(ours).max())))
    theirs = opened.predict_proba(features)
    if isinstance(theirs, list):  # one array a label
        theirs = np.column_stack([_of_label(one, known) for one, known in zip(theirs, opened.classes_, strict=True)])
    at = np.searchsorted(predictor.classes, opened.classes_) if predictor.task is Task.CLASSIFICATION else slice(None)
    return float(np.abs(ours[:, at] - theirs).max())


def _of_label(shares: Float[np.ndarray, "n k"], known: np.ndarray) -> Float[np.ndarray, " n"]:
    """The share of a label's 1, of which there may be none."""
    return shares[:, list(known).index(1)] if 1 in known else np.zeros(len(shares))


def _readme(recipe: RawRecipe) -> str:
    return f"""# A model without transfer

`{FILE}` is a scikit-learn {version("scikit-learn")} pipeline, kept by skops without pickle.

```python
from skops.io import load

{recipe.code}
print(load("{FILE}", trusted=[]).predict([features(path)]))
```
"""
