"""Heads on pooled features, as they lie in a run's folder: linear, nearest class mean, vote of neighbors.

The last two train nothing. They compare features as SimpleShot does (Wang et al. 2019, "CL2N"): centered by the mean of
the training rows and scaled to length one, where Euclidean nearness is a matter of direction.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int
from safetensors import safe_open
from safetensors.numpy import save_file

from recommender.baseline import NEIGHBORS, RawEncoder, votes
from recommender.transfer.linear import AffineHead
from registry.cards import Task
from registry.errors import PathMissing, Unsupported
from registry.index import neighbors
from registry.modalities import modalities
from registry.targets import Targets

__all__ = [
    "FittedHead",
    "LinearHead",
    "NeighborsHead",
    "PrototypeHead",
    "RawNeighborsHead",
    "RawTagsHead",
    "ScaledLinearHead",
    "named",
    "read_head",
    "read_raw",
    "save_head",
    "save_raw",
]

_FILE = "head.safetensors"
_RAW = "raw.skops"
_VOTERS = 5
_UNSEEN = -1e3
"""Log probability of a tag that no training row has."""
_NEVER = 1e-3
"""Share of the votes of a class that no neighbor names."""


@runtime_checkable
class FittedHead(Protocol):
    """What turns features into one number a class or label, or into the quantity."""

    kind: ClassVar[str]

    def logits(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """One number a row and class: the largest is the class named; a label is there where its number is above 0."""

    def tensors(self) -> Mapping[str, np.ndarray]:
        """All that it consists of."""

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> "FittedHead":
        """The head that consists of these."""


@dataclass(frozen=True, eq=False)
class LinearHead:
    """Logits = W x + b, any scaling of the features folded in."""

    kind: ClassVar[str] = "linear"
    weight: Float[np.ndarray, "c d"]
    bias: Float[np.ndarray, " c"]

    def logits(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """As `FittedHead.logits`."""
        return np.asarray(features @ self.weight.T + self.bias)

    def tensors(self) -> Mapping[str, np.ndarray]:
        """As `FittedHead.tensors`."""
        return {"weight": self.weight, "bias": self.bias}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> "LinearHead":
        """As `FittedHead.of`."""
        return cls(tensors["weight"], tensors["bias"])


@dataclass(frozen=True, eq=False)
class PrototypeHead:
    """Nearest class mean: minus the squared distance, in units of the mean squared distance within classes."""

    kind: ClassVar[str] = "prototype"
    center: Float[np.ndarray, " d"]
    means: Float[np.ndarray, "c d"]
    within: Float[np.ndarray, " 1"]

    @classmethod
    def fit(cls, features: Float[np.ndarray, "n d"], targets: Int[np.ndarray, " n"], classes: int) -> "PrototypeHead":
        """The means of the classes; a class without rows is never the nearest."""
        center = features.mean(0)
        unit = _unit(features, center)
        means = np.full((classes, features.shape[1]), 1e3, np.float32)
        for label in np.unique(targets):
            means[label] = unit[targets == label].mean(0)
        spread = float(((unit - means[targets]) ** 2).sum(1).mean())
        return cls(center, means, np.array([spread or 1.0], np.float32))

    def logits(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """As `FittedHead.logits`."""
        unit = _unit(features, self.center)
        squares = (unit**2).sum(1)[:, None] - 2 * unit @ self.means.T + (self.means**2).sum(1)
        return np.asarray(-squares / self.within, np.float32)

    def tensors(self) -> Mapping[str, np.ndarray]:
        """As `FittedHead.tensors`."""
        return {"center": self.center, "means": self.means, "within": self.within}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> "PrototypeHead":
        """As `FittedHead.of`."""
        return cls(tensors["center"], tensors["means"], tensors["within"])


@dataclass(frozen=True, eq=False)
class NeighborsHead:
    """The logarithm of each class's share of the votes of the five nearest training rows; a nearer one counts more."""

    kind: ClassVar[str] = "neighbors"
    center: Float[np.ndarray, " d"]
    rows: Float[np.ndarray, "m d"]
    targets: Int[np.ndarray, " m"]
    classes: Int[np.ndarray, " 1"]

    @classmethod
    def fit(cls, features: Float[np.ndarray, "n d"], targets: Int[np.ndarray, " n"], classes: int) -> "NeighborsHead":
        """Remember every training row."""
        center = features.mean(0)
        return cls(center, _unit(features, center), targets, np.array([classes]))

    def logits(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """As `FittedHead.logits`."""
        distances, near = neighbors(_unit(features, self.center), self.rows, min(_VOTERS, len(self.rows)))
        votes = np.full((len(features), int(self.classes[0])), _NEVER, np.float32)
        for distance, row in zip(distances.T, near.T, strict=True):
            votes[np.arange(len(features)), self.targets[row]] += 1 / (1 + distance)
        return np.asarray(np.log(votes / votes.sum(1, keepdims=True)))

    def tensors(self) -> Mapping[str, np.ndarray]:
        """As `FittedHead.tensors`."""
        return {"center": self.center, "rows": self.rows, "targets": self.targets, "classes": self.classes}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> "NeighborsHead":
        """As `FittedHead.of`."""
        return cls(tensors["center"], tensors["rows"], tensors["targets"], tensors["classes"])


@dataclass(frozen=True, eq=False)
class ScaledLinearHead:
    """Logits = W (x - mean) / scale + b: what a scaler and a linear model say of raw features."""

    kind: ClassVar[str] = "raw-linear"
    mean: Float[np.ndarray, " d"]
    scale: Float[np.ndarray, " d"]
    weight: Float[np.ndarray, "c d"]
    bias: Float[np.ndarray, " c"]

    @classmethod
    def of_ridge(cls, fitted: AffineHead) -> "ScaledLinearHead":
        """A ridge on standardized features; a column that never varied weighs nothing."""
        varied = np.isfinite(fitted.scale)
        return cls(fitted.mean, np.where(varied, fitted.scale, 1.0), np.where(varied, fitted.weight, 0.0), fitted.bias)

    def logits(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """As `FittedHead.logits`."""
        return np.asarray((features - self.mean) / self.scale @ self.weight.T + self.bias)

    def tensors(self) -> Mapping[str, np.ndarray]:
        """As `FittedHead.tensors`."""
        return {"mean": self.mean, "scale": self.scale, "weight": self.weight, "bias": self.bias}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> "ScaledLinearHead":
        """As `FittedHead.of`."""
        return cls(tensors["mean"], tensors["scale"], tensors["weight"], tensors["bias"])


@dataclass(frozen=True, eq=False)
class RawNeighborsHead:
    """What the nearest training rows say of raw features, as 1 / distance; shares and means as log odds, or values."""

    kind: ClassVar[str] = "raw-neighbors"
    rows: Float[np.ndarray, "m d"]
    targets: Targets
    classes: Int[np.ndarray, " 1"]
    """How many classes or labels; 0 for a quantity."""

    @classmethod
    def fit(cls, features: Float[np.ndarray, "n d"], targets: Targets, classes: int) -> "RawNeighborsHead":
        """Remember every training row."""
        return cls(features, targets, np.array([classes]))

    def shares(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """Shares of the votes of each class, of those for each label, or the mean quantity."""
        distances, near = neighbors(features, self.rows, min(NEIGHBORS, len(self.rows)))
        return votes(distances, self.targets.take(near), int(self.classes[0]))

    def logits(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """As `FittedHead.logits`."""
        shares = self.shares(features)
        if self.targets.task is Task.REGRESSION:
            return shares
        if self.targets.task is Task.CLASSIFICATION:
            return np.asarray(np.log(np.clip(shares, _NEVER, None)))
        sure = np.clip(shares, _NEVER, 1 - _NEVER)
        return np.asarray(np.log(sure) - np.log(1 - sure))

    def tensors(self) -> Mapping[str, np.ndarray]:
        """As `FittedHead.tensors`."""
        return {"rows": self.rows, "targets": self.targets.values, "classes": self.classes}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> "RawNeighborsHead":
        """As `FittedHead.of`: labels are kept in columns, and a quantity has no classes."""
        values, classes = tensors["targets"], tensors["classes"]
        of_one = Task.CLASSIFICATION if classes[0] else Task.REGRESSION
        return cls(tensors["rows"], Targets(Task.MULTI_LABEL if values.ndim > 1 else of_one, values), classes)


@dataclass(frozen=True, eq=False)
class RawTagsHead:
    """The log probabilities that a whole model of no transfer gives; a tag that it has not seen is never named."""

    kind: ClassVar[str] = "raw-tags"
    seen: Int[np.ndarray, " k"]
    """Numbers of the tags that it knows."""
    classes: Int[np.ndarray, " 1"]

    def logits(self, features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n c"]:
        """As `FittedHead.logits`."""
        logits = np.full((len(features), int(self.classes[0])), np.float32(_UNSEEN))
        logits[:, self.seen] = features
        return logits

    def tensors(self) -> Mapping[str, np.ndarray]:
        """As `FittedHead.tensors`."""
        return {"seen": self.seen, "classes": self.classes}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> "RawTagsHead":
        """As `FittedHead.of`."""
        return cls(tensors["seen"], tensors["classes"])


_KINDS: Mapping[str, type[FittedHead]] = {
    kind.kind: kind
    for kind in (LinearHead, PrototypeHead, NeighborsHead, ScaledLinearHead, RawNeighborsHead, RawTagsHead)
}


def named(task: Task, logits: Float[np.ndarray, "n c"]) -> np.ndarray:
    """What logits say, in the form of the truth: class numbers (of each position), 0 or 1 for each label, or values."""
    if task in {Task.CLASSIFICATION, Task.TOKEN_CLASSIFICATION}:
        return np.asarray(logits.argmax(1))
    return (logits > 0).astype(np.float64) if task is Task.MULTI_LABEL else logits[:, 0].astype(np.float64)


def save_head(head: FittedHead, folder: Path) -> None:
    """Write a head into a run's folder."""
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in head.tensors().items()}
    save_file(tensors, folder / _FILE, {"kind": head.kind})


def read_head(folder: Path) -> FittedHead:
    """The head in a run's folder.

    Raises:
        PathMissing: there is none.
    """
    if not (folder / _FILE).is_file():
        raise PathMissing(folder / _FILE)
    with safe_open(folder / _FILE, "numpy") as stored:
        kind = (stored.metadata() or {}).get("kind", LinearHead.kind)
        return _KINDS[kind].of({name: stored.get_tensor(name) for name in stored.keys()})  # noqa: SIM118 - no mapping


def save_raw(encoder: RawEncoder, folder: Path) -> None:
    """Write what makes raw features into a run's folder, without pickle."""
    from skops import io  # noqa: PLC0415 - a second to import

    io.dump(encoder.raw, folder / _RAW)


def read_raw(folder: Path, modality: str, named: str, task: Task = Task.CLASSIFICATION) -> RawEncoder:
    """What makes raw features of that name, from a run's folder.

    Nothing is trusted but scikit-learn and the modality's own types.

    Raises:
        PathMissing: there is none.
        Unsupported: it holds something else, or is damaged.
    """
    from skops import io  # noqa: PLC0415 - as above

    file, room = folder / _RAW, type(modalities[modality]).__module__
    if not file.is_file():
        raise PathMissing(file)
    try:
        foreign = io.get_untrusted_types(file=file)
        strange = [name for name in foreign if not name.startswith(f"{room}.")]
        if not strange:
            return RawEncoder(modality, io.load(file, trusted=foreign), named, task)
    except Exception as fault:  # a damaged archive may raise anything
        raise Unsupported(folder, f"{_RAW} cannot be read ({type(fault).__name__})", "Fit it anew.") from fault
    raise Unsupported(folder, f"{_RAW} holds {strange[0]}, which is not trusted", "Fit it anew.")


def _unit(features: Float[np.ndarray, "n d"], center: Float[np.ndarray, " d"]) -> Float[np.ndarray, "n d"]:
    moved = features - center
    return np.asarray(moved / np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-12), np.float32)
