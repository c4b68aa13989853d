"""Forgetting: how far a net has moved from the checkpoint that it began as, block by block, and what the source lost.

Two answers need no data of the source: how alike a block's features are to those it began with (linear CKA, Kornblith
et al. 2019, eqs. 2 and 3, with the unbiased HSIC of Song et al. 2012, eq. 5, for with few rows and wide features the
plain one tends to 1), and how far its weights have moved. The third does: a linear head, cross-validated on labelled
rows of the source, on the features before and after.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from recommender.resampling import draw_weights, resample
from recommender.runs.job import Job
from recommender.transfer.linear import out_of_fold
from recommender.tuning.classifier import Classifier, fresh_head
from recommender.tuning.data import ItemRows, TrainingRows, block_features, prepare_rows
from registry.cards import Checkpoint, Metric, Task
from registry.encoders.layers import layers_of
from registry.encoders.loading import load_network
from registry.errors import NotDefined
from registry.forms import Record
from registry.metrics import Z
from registry.progress import Phase, Progress, advance
from registry.sample import Sample

__all__ = ["RECOGNIZED", "BlockChange", "FeatureDrift", "Forgetting", "SourceProbe", "linear_cka", "probe_source"]

RECOGNIZED = 0.5
"""CKA below which a block has changed beyond recognition: about what trained nets have in common with the same nets at
random weights. In the upper halves of four seedlings on two sets 16 of 18 blocks lay below it (0.08 to 0.47; two at
0.54 and 0.60), so a block above may be lost too. Of 14 tunings ten kept 0.8 or more at the least, one fell below."""
_MOST_ROWS = 256
"""Held-out rows on which features are compared."""
_MOST_POSITIONS = 1024
_FEWEST_ROWS = 4
_MOST_SOURCE_ROWS = 1000


@dataclass(frozen=True)
class BlockChange:
    """What became of a block: CKA of its features to those it began with, and ||w - w0|| / ||w0|| of its weights."""

    block: str
    cka: float | None
    """None where it cannot be measured: too few rows, or features that are all alike."""
    weights: float


@dataclass(frozen=True)
class SourceProbe:
    """What a linear head reads of the source's classes before and after, and the error of the paired difference."""

    before: float
    after: float
    standard_error: float
    rows: int
    metric: Metric

    @property
    def fell(self) -> bool:
        """Whether less is read than before, beyond chance (nominal 90 %)."""
        return self.after - self.before < -Z * self.standard_error


@dataclass(frozen=True)
class Forgetting(Record):
    """What a run kept of its checkpoint. No blocks: the backbone did not learn. ``source`` is None if not measured."""

    blocks: tuple[BlockChange, ...] = ()
    weights: float = 0.0
    """||w - w0|| / ||w0|| over all of the blocks."""
    source: SourceProbe | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """The figures of a run."""
        measured = [block.cka for block in self.blocks if block.cka is not None]
        metrics = {"weight_change": self.weights}
        if measured or not self.blocks:
            metrics["cka_lowest"] = min(measured, default=1.0)
        if self.source is not None:
            metrics |= {
                "source_before": self.source.before,
                "source_after": self.source.after,
                "source_standard_error": self.source.standard_error,
            }
        return metrics

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings."""
        notes = []
        changed = [block for block in self.blocks if block.cka is not None and block.cka < RECOGNIZED]
        if changed:
            listed = ", ".join(f"{block.block} (CKA {block.cka:.2f} to its start)" for block in changed)
            notes.append(
                f"changed beyond recognition: {listed}; what the source taught it is mostly gone there. "
                "A lower backbone rate, fewer epochs, or lora or norm-only keep more"
            )
        if self.source is not None and self.source.fell:
            metric, error = self.source.metric, self.source.metric.difference(self.source.standard_error).lstrip("+")
            notes.append(
                f"the source was partly forgotten: a linear head's {metric} on it was "
                f"{metric.words(self.source.before)} before and is {metric.words(self.source.after)} after "
                f"(± {error}, paired). A lower backbone rate, or lora, forgets less"
            )
        return tuple(notes)


class FeatureDrift:
    """Holds a classifier against what it was when this was made: before any training, also of a run that goes on."""

    def __init__(self, classifier: Classifier, held_out: ItemRows) -> None:
        """Remember the weights and the features of some held-out rows as they are in the checkpoint."""
        self._classifier = classifier
        self._rows = np.unique(np.linspace(0, len(held_out) - 1, min(_MOST_ROWS, len(held_out))).round().astype(int))
        self._weights = {name: tensor.cpu().clone() for name, tensor in classifier.weights().items()}
        self._buffers = {name: tensor.cpu().clone() for name, tensor in classifier.body.named_buffers()}
        self._features = [_thinned(block) for block in block_features(classifier, held_out, self._rows)]

    def restore(self) -> None:
        """Put the classifier's backbone back to where it began; what adapters have learned is gone."""
        self._classifier.restore(self._weights, self._buffers)

    def drift(self, rows: TrainingRows) -> Mapping[str, float]:
        """Where the classifier stands now, as points of the learning curve; ``rows`` are the held-out ones."""
        points: dict[str, float] = {}
        for change in self.changes(rows):
            points[f"weight change {change.block}"] = change.weights
            if change.cka is not None:
                points[f"CKA {change.block}"] = change.cka
        return points

    def forgetting(self, rows: TrainingRows) -> Forgetting:
        """What the classifier as it is now has kept."""
        moved, length = (sum(column) for column in zip(*self._distances(), strict=True))
        return Forgetting(self.changes(rows), (moved / length) ** 0.5 if length else 0.0)

    def changes(self, rows: TrainingRows) -> tuple[BlockChange, ...]:
        """Of each block up to the one that is read. Features of leading blocks that are as they were are not run."""
        names = self._classifier.layers.names[: self._classifier.place + 1]
        weights = [(moved / length) ** 0.5 if length else 0.0 for moved, length in self._distances()]
        same = [not weight and self._same_statistics(name) for name, weight in zip(names, weights, strict=True)]
        leading = same.index(False) if False in same else len(same)
        cka: list[float | None] = [1.0] * leading
        if leading < len(names):
            now = [_thinned(block) for block in block_features(self._classifier, rows, self._rows)]
            cka += [linear_cka(x, y) for x, y in zip(self._features[leading:], now[leading:], strict=True)]
        return tuple(BlockChange(*row) for row in zip(names, cka, weights, strict=True))

    def _distances(self) -> list[tuple[float, float]]:
        """||w - w0||^2 and ||w0||^2 of each block."""
        now, distances = self._classifier.weights(), []
        for block in self._classifier.layers.blocks[: self._classifier.place + 1]:
            own = [name for name in self._weights if name.startswith(block.prefixes)]
            moved = sum(float((now[name].cpu() - self._weights[name]).double().square().sum()) for name in own)
            distances.append((moved, sum(float(self._weights[name].double().square().sum()) for name in own)))
        return distances

    def _same_statistics(self, name: str) -> bool:
        prefixes = self._classifier.layers.block(name).prefixes
        now = dict(self._classifier.body.named_buffers())
        own = [buffer for buffer in self._buffers if buffer.startswith(prefixes)]
        return all(torch.equal(now[buffer].cpu(), self._buffers[buffer]) for buffer in own)


def linear_cka(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "n e"]) -> float | None:
    """Linear CKA of two clouds of the same rows, debiased: 1 where distances agree, about 0 where they are unrelated.

    None where it has no value: under four rows, a cloud that is one point, a number that is none.
    """
    if len(x) < _FEWEST_ROWS or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return None
    tables = []
    for cloud in (x, y):
        centered = cloud.astype(np.float64) - cloud.astype(np.float64).mean(0)
        scale = np.abs(centered).max()
        tables.append((centered / scale) @ (centered / scale).T if scale else np.zeros((len(x), len(x))))
    both, one, other = _shared(*tables), _shared(tables[0], tables[0]), _shared(tables[1], tables[1])
    return both / (one * other) ** 0.5 if min(one, other) > 0 else None


def probe_source(job: Job, source: Sample, classifier: Classifier | None, progress: Progress) -> SourceProbe:
    """A linear head on source rows, cross-validated, on the features before and after.

    Where the source has a test part, which the checkpoint has not seen, that is used. Without a classifier nothing was
    changed, and after is as before.

    Raises:
        SampleError, EstimatorError: the rows allow no cross-validation.
    """
    whole = source if source.test is None else source.test
    part = whole.subsample(_MOST_SOURCE_ROWS, job.seed)
    folds = part.folds(seed=job.seed)
    if Task.TOKEN_CLASSIFICATION in {job.sample.task, source.task} and job.sample.task is not source.task:
        raise NotDefined(f"what a run on {job.sample.task} forgets", source.task)
    start = _begun(job.checkpoint, job.plan.read, torch.device(job.device), job.sample.task)
    spill, positions = job.folder / "source", part.positions
    rows = prepare_rows(part.items, positions, start.network, spill, progress, "source")
    weights, tested = draw_weights(part.group_ids, seed=job.seed), folds >= 0
    units, dealt = positions.units(None if part.groups is None else part.group_ids), folds[positions.rows]
    nets = [start, *([classifier] if classifier else [])]
    drawn = []
    for place, net in enumerate(nets):
        advance(progress, Phase.SOURCE, place, len(nets))
        read = block_features(net, rows, np.arange(len(part)))[-1]
        guess = positions.gathered(out_of_fold(read, positions.targets, dealt, groups=units).predicted)
        drawn.append(resample(part.metric, part.targets.values[tested], guess[tested], weights[:, tested]))
    advance(progress, Phase.SOURCE, len(nets), len(nets))
    for file in job.folder.glob(f"{spill.name}.*.npy"):
        file.unlink()
    before, after = drawn[0], drawn[-1]
    error = after.error_beside(before)
    return SourceProbe(before.value, after.value, error, int(tested.sum()), part.metric)


def _begun(checkpoint: Checkpoint, read: str, device: torch.device, task: Task) -> Classifier:
    """The net as it was before any training."""
    network = load_network(checkpoint.folder, cap=checkpoint.cap, task=task)
    return Classifier(network, layers_of(network), read, fresh_head(1, 1)).to(device).eval()


def _thinned(block: Float[np.ndarray, "p d"]) -> Float[np.ndarray, "q d"]:
    """Of items with several positions, evenly spread ones."""
    chosen = np.linspace(0, len(block) - 1, min(_MOST_POSITIONS, len(block))).round().astype(int)
    return np.asarray(block[np.unique(chosen)])


def _shared(one: Float[np.ndarray, "n n"], other: Float[np.ndarray, "n n"]) -> float:
    """The unbiased HSIC of two tables of inner products, but for its factor 1 / (n (n - 3))."""
    n = len(one)
    k, m = (table - np.diag(np.diag(table)) for table in (one, other))
    apart = 2 / (n - 2) * (k.sum(0) @ m.sum(0))
    return float((k * m).sum() + k.sum() * m.sum() / ((n - 1) * (n - 2)) - apart)
