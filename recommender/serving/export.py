"""A finished run as others open it: a folder for the Auto classes of transformers, or an ONNX file.

transformers decides what its own classifier reads. Where that is what the run's head reads (or contains it, as DINOv2's
CLS token beside the mean of the patches), the head is put in. A head on an earlier block is put on a net that is cut
there, where the architecture has such a net. Where neither can be, the net is written with the head beside it
(`beside`). What was written is opened anew and held against the run.
"""

import logging
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from os import getpid
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from recommender.baseline import is_raw
from recommender.runs.folder import RunFolder
from recommender.serving.beside import SCRIPT, SavedBackbone, logits_beside, save_beside
from recommender.serving.pipeline import write_pipeline
from recommender.serving.predict import cap_of, finished
from recommender.tuning.classifier import Classifier
from recommender.tuning.heads import FittedHead, LinearHead, read_head
from registry.cards import Task
from registry.encoders.layers import Layers, arguments, layers_of, read_blocks
from registry.encoders.loading import auto_class, load_network, modality_at, quiet
from registry.errors import ExtraMissing, FolderUnusable, NotExportable, TransferZooError
from registry.forms import Record
from registry.modalities import Modality, Network, Prepared
from registry.progress import Phase, Progress, advance, silent

__all__ = ["Exported", "export", "export_onnx", "save_classifier", "staged"]

TOLERANCE = 1e-4
"""Largest difference of two logits, for logits beyond 1 in proportion to the largest."""

_PROBLEMS = {
    Task.CLASSIFICATION: "single_label_classification",
    Task.MULTI_LABEL: "multi_label_classification",
    Task.REGRESSION: "regression",
}
_ONNX_LIBRARIES = ("onnx", "onnxscript", "onnxruntime")
_PROTOBUF_LIMIT = 1_800_000_000
_INSTEAD = "`transferzoo predict` uses the run as it is; `--onnx` exports just what it computes."


@dataclass(frozen=True)
class Exported(Record):
    """What was written, and how far its logits lie from the run's."""

    run: str
    folder: Path
    form: str
    """``transformers``, ``onnx`` or ``scikit-learn``."""
    architecture: str
    classes: tuple[str, ...]
    difference: float
    notes: tuple[str, ...] = ()
    opener: str | None = None
    """The Auto class that opens it, where one does: a name of transformers', or where it lies, with dots."""
    card: str | None = None
    """The file that describes it, where one was written."""
    pushed: str | None = None
    """Where on a hub it was uploaded to."""
    script: str | None = None
    """The file that puts net and head together, where no class of transformers does."""

    def to_form(self) -> "ExportedForm":
        """The difference under its full name."""
        return ExportedForm(
            self.run,
            self.folder,
            self.form,
            self.architecture,
            self.classes,
            self.difference,
            self.notes,
            self.opener,
            self.card,
            self.pushed,
            self.script,
        )


@dataclass(frozen=True)
class ExportedForm:
    """`Exported` as it is printed."""

    run: str
    folder: Path
    form: str
    architecture: str
    classes: tuple[str, ...]
    largest_difference: float
    notes: tuple[str, ...]
    opener: str | None
    card: str | None = None
    pushed: str | None = None
    script: str | None = None


@dataclass(frozen=True, eq=False)
class _Tuned:
    """A run's net and head."""

    run: str
    task: Task
    classes: tuple[str, ...]
    modality: Modality
    network: Network
    layers: Layers
    read: str
    head: LinearHead

    @classmethod
    def of(cls, run: RunFolder) -> "_Tuned":
        result = finished(run)
        task, head = Task(result["task"]), _linear(run.id, read_head(run.path))
        network = load_network(run.path, cap=cap_of(result), task=task)
        return cls(
            run.id,
            task,
            tuple(result["classes"]),
            modality_at(run.path),
            network,
            layers_of(network),
            result["plan"]["read"],
            head,
        )

    @property
    def body(self) -> PreTrainedModel:
        """The net."""
        model: PreTrainedModel = self.network.model
        return model

    @property
    def prepared(self) -> list[Prepared]:
        """The network's own examples, prepared."""
        return [self.network.prepare(item) for item in self.network.examples()]

    @property
    def labels(self) -> dict[int, str]:
        """A name for each output; a regression has one, and its name says nothing."""
        return dict(enumerate(self.classes if self.task is not Task.REGRESSION else ("value",)))

    @property
    def positional(self) -> bool:
        """Whether positions of items are labelled."""
        return self.task is Task.TOKEN_CLASSIFICATION

    def features(self, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """What the head reads."""
        with torch.inference_mode():
            return read_blocks(self.network, self.layers, batch).blocks[self.layers.names.index(self.read)]

    def logits(self) -> Float[np.ndarray, "n c"]:
        """What the run says of the examples."""
        return self.head.logits(self.features(self.network.batch(self.prepared)).numpy())

    def cannot(self, why: str, remedy: str = _INSTEAD) -> NotExportable:
        """The error that says why not."""
        return NotExportable(self.run, why, remedy)


def export(run: RunFolder, to: Path, *, progress: Progress = silent) -> Exported:
    """Write a folder that transformers' Auto classes of the run's modality open.

    Of a net that transformers has no such classifier of, `AutoModel` opens the backbone, and a script beside it puts
    the head on.

    Raises:
        NotFinished: the run has not come to its end.
        NotExportable: nothing in the formats of transformers computes the same.
        FolderUnusable: ``to`` is not empty, or cannot be written.
        CheckpointError: the run's folder is damaged.
    """
    if is_raw(finished(run)["plan"]["strategy"]):
        with staged(to) as folder:
            written = write_pipeline(run, folder, progress)
        return Exported(run.id, to, "scikit-learn", written.architecture, written.classes, written.difference)
    tuned = _Tuned.of(run)
    opener = auto_class(tuned.modality, tuned.task).__name__ if tuned.positional else tuned.modality.classifier
    script: str | None = None
    with staged(to) as folder:
        advance(progress, Phase.EXPORT, 0, 3)
        try:
            model, notes = _classifier(tuned)
        except NotExportable as refusal:
            if tuned.positional:
                raise
            beside, difference, notes = _save_beside(tuned, folder, progress, refusal)
            architecture, opener, script = beside.architecture, beside.opener, SCRIPT
        else:
            architecture, difference = type(model).__name__, _save(tuned, model, folder, progress)
    classes = tuple(tuned.labels.values())
    return Exported(run.id, to, "transformers", architecture, classes, difference, notes, opener, script=script)


def export_onnx(run: RunFolder, to: Path, *, progress: Progress = silent) -> Exported:
    """Write ``model.onnx`` (the model's inputs -> logits, any number of rows), with config and processor beside it.

    Raises:
        ExtraMissing: the libraries of the extra ``onnx`` are not installed.
        NotFinished, NotExportable, FolderUnusable, CheckpointError: as `export`.
    """
    for library in _ONNX_LIBRARIES:
        if find_spec(library) is None:
            raise ExtraMissing(library, "onnx")
    plan = finished(run)["plan"]
    if is_raw(plan["strategy"]):
        raise NotExportable(run.id, f"it is a scikit-learn pipeline on {plan['read']}", "Export without --onnx.")
    tuned = _Tuned.of(run)
    if tuned.positional:
        raise tuned.cannot("an ONNX graph would label tokens, and say nothing of the words", "Export without --onnx.")
    with staged(to) as folder:
        advance(progress, Phase.EXPORT, 0, 2, "to ONNX")
        _write_onnx(tuned, folder / "model.onnx")
        advance(progress, Phase.EXPORT, 1, 2, "to ONNX")
        difference = _onnx_difference(tuned, folder / "model.onnx")
        config = _config(tuned, tuned.body.config)
        config.save_pretrained(folder)
        tuned.network.save_processor(folder)
        advance(progress, Phase.EXPORT, 2, 2, "to ONNX")
    return Exported(run.id, to, "onnx", type(tuned.body).__name__, tuple(tuned.labels.values()), difference)


def save_classifier(run: RunFolder, folder: Path, *, progress: Progress = silent) -> tuple[str, ...]:
    """Write the run's classifier as `export` does into a folder that is there; notes on how it was made.

    Raises:
        NotFinished, NotExportable, CheckpointError: as `export`.
    """
    tuned = _Tuned.of(run)
    advance(progress, Phase.EXPORT, 0, 3)
    model, notes = _classifier(tuned)
    _save(tuned, model, folder, progress)
    return notes


@contextmanager
def staged(to: Path) -> Iterator[Path]:
    """A folder beside ``to`` that takes its place when all is well, and is gone when it is not.

    Raises:
        FolderUnusable: ``to`` is not empty, no folder, or cannot be written.
    """
    place = to.expanduser().absolute()
    beside = place.with_name(f"{place.name}.{getpid()}.tmp")
    try:
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise FolderUnusable(place, "it is not empty" if place.is_dir() else "it is a file")
        beside.mkdir(parents=True)
        yield beside
        if place.is_dir():
            place.rmdir()
        beside.rename(place)
    except TransferZooError:
        raise
    except OSError as cause:
        raise FolderUnusable(place, cause.strerror or str(cause)) from cause
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _linear(run: str, head: FittedHead) -> LinearHead:
    if isinstance(head, LinearHead):
        return head
    why = {
        "prototype": "its head names the class whose mean is nearest in direction, and a net's classifier is linear",
        "neighbors": "its head lets the training rows themselves vote, and a net's classifier is linear",
    }[head.kind]
    raise NotExportable(run, why, "Use `transferzoo predict`, or tune with --strategy linear-probe and export that.")


def _save(tuned: _Tuned, model: PreTrainedModel, folder: Path, progress: Progress) -> float:
    """Write a classifier of transformers; how far its logits lie from the run's."""
    advance(progress, Phase.EXPORT, 1, 3)
    with quiet():
        model.save_pretrained(folder)
        tuned.network.save_processor(folder)
    advance(progress, Phase.EXPORT, 2, 3)
    difference = _difference(tuned, folder)
    advance(progress, Phase.EXPORT, 3, 3)
    return difference


def _save_beside(
    tuned: _Tuned, folder: Path, progress: Progress, refusal: NotExportable
) -> tuple[SavedBackbone, float, tuple[str, ...]]:
    """Write the backbone with the head beside it; where its output has not what the head reads, the refusal stands."""
    advance(progress, Phase.EXPORT, 1, 3)
    features = tuned.features(tuned.network.batch(tuned.prepared))
    try:
        written = save_beside(tuned.network, tuned.head, features, tuple(tuned.labels.values()), folder, TOLERANCE)
    except (TransferZooError, MemoryError):
        raise
    except Exception as cause:  # any architecture may raise anything
        raise refusal from cause
    if written is None:
        raise refusal
    advance(progress, Phase.EXPORT, 2, 3)
    batch = tuned.network.reopened(folder, tuned.network.examples())
    difference = _close_enough(tuned, logits_beside(folder, arguments(tuned.network, batch)))
    advance(progress, Phase.EXPORT, 3, 3)
    note = f"{refusal.why}: {written.opener} opens the net, the head lies beside it, and {SCRIPT} puts it on"
    return written, difference, (note,)


def _classifier(tuned: _Tuned) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The classifier of transformers that computes what the run does."""
    names = tuned.layers.names
    notes: tuple[str, ...] = ()
    if tuned.read == names[-1]:
        config = _config(tuned, tuned.body.config)
    else:
        config = _config(tuned, _cut(tuned))
        notes = (f"cut after {tuned.read} of {len(names)}, where the run's head reads",)
    try:
        model, layers = _built(tuned, config)
        _fill(tuned, model, f"{layers.head}.")
        _put_head(tuned, model, layers)
    except NotExportable:
        offered = _offered(tuned, config)
        if offered is None:
            raise
        return offered, (*notes, f"fitted to what {type(offered).__name__} reads: load it with 32 bits a number")
    return model, notes


def _offered(tuned: _Tuned, config: PretrainedConfig) -> PreTrainedModel | None:
    """A classifier of those that the run's network offers, where one computes the same."""

    def build(other: PretrainedConfig) -> PreTrainedModel:
        with quiet():
            model: PreTrainedModel = _auto(tuned).from_config(other, dtype=torch.float32).eval()
        _fill(tuned, model, f"{_last_linear(model)}.", strictly=False)
        return model

    rows, expected = [tuned.network.batch([row]) for row in tuned.prepared], tuned.logits()
    try:
        model: PreTrainedModel
        for model in tuned.network.classifiers(config, tuned.head.weight, tuned.head.bias, build):
            with torch.inference_mode():
                logits = np.concatenate([model(**row).logits.numpy() for row in rows])
            if _distance(logits, expected) <= TOLERANCE:
                return model
    except Exception:  # any config class may raise anything, and any model of what it is not meant for
        return None
    return None


def _config(tuned: _Tuned, start: PretrainedConfig) -> PretrainedConfig:
    """A configuration with the run's labels and the size of its inputs."""
    config: PretrainedConfig = tuned.network.configured(start)
    config.architectures = []
    config.num_labels = len(tuned.labels)
    config.id2label = tuned.labels
    config.label2id = {name: place for place, name in tuned.labels.items()}
    config.problem_type = _PROBLEMS.get(tuned.task)  # type: ignore[assignment]  # one of three literals
    return config


def _cut(tuned: _Tuned) -> PretrainedConfig:
    """The configuration of a net that ends with the block that is read: fewer layers, shorter lists of stages."""
    block = tuned.layers.block(tuned.read)
    path, _, place = block.end.rpartition(".")
    kept, units = int(place) + 1, len(list(tuned.body.get_submodule(path).children()))
    settings = tuned.body.config.to_dict()
    cut = {
        key: value[: kept + len(value) - units]
        for key, value in settings.items()
        if isinstance(value, list) and len(value) in (units, units + 1)
    }
    left = {key: value for key, value in settings.items() if key not in ("stage_names", "out_features", "out_indices")}
    config = type(tuned.body.config).from_dict({**left, **cut})
    if getattr(config, "num_hidden_layers", None) == units:
        config.num_hidden_layers = kept
    return config


def _built(tuned: _Tuned, config: PretrainedConfig) -> tuple[PreTrainedModel, Layers]:
    try:
        with quiet():
            model: PreTrainedModel = _auto(tuned).from_config(config, dtype=torch.float32).eval()
            layers = layers_of(tuned.network.around(model))
            layers = replace(layers, head=_last_linear(model), part="") if tuned.positional else layers
    except Exception as cause:  # any config class may raise anything
        kind, (*_, last) = type(tuned.body).__name__, tuned.layers.names
        why = (
            f"transformers builds no {tuned.modality.name} classifier of {kind}"
            if tuned.read == last
            else f"its head reads {tuned.read}, and {kind} cannot be cut there"
        )
        raise tuned.cannot(why) from cause
    if layers.head is None:
        raise tuned.cannot(f"{type(model).__name__} has no linear classifier to put the head in")
    return model, layers


def _last_linear(model: PreTrainedModel) -> str | None:
    """Path of the last linear layer outside the backbone that makes as many outputs as there are labels."""
    backbone = set(model.base_model.modules())
    outside = [(path, module) for path, module in model.named_modules() if module not in backbone]
    linear = [path for path, m in outside if isinstance(m, nn.Linear) and m.out_features == model.config.num_labels]
    return linear[-1] if linear else None


def _fill(tuned: _Tuned, model: PreTrainedModel, head: str, *, strictly: bool = True) -> None:
    """Give the net the run's weights, all but the head's; not ``strictly``, those that it has."""
    known = {_inner(tuned.body, name): tensor for name, tensor in tuned.body.state_dict().items()}
    filled = {}
    for name, wanted in model.state_dict().items():
        stored = known.get(_inner(model, name))
        if name.startswith(head) or (stored is None and not strictly):
            filled[name] = wanted
        elif stored is not None and stored.shape == wanted.shape:
            filled[name] = stored
        elif stored is not None and name.endswith("position_embeddings"):
            filled[name] = _positions(tuned, model, name, stored, wanted)
        else:
            raise _elsewhere(tuned, model)
    model.load_state_dict(filled)


def _inner(model: PreTrainedModel, name: str) -> str:
    return name.removeprefix(f"{model.base_model_prefix}.")


def _positions(
    tuned: _Tuned, model: PreTrainedModel, name: str, stored: torch.Tensor, wanted: torch.Tensor
) -> torch.Tensor:
    """Position embeddings for the size of the run's inputs, as the net makes them whenever it sees that size."""
    owner = next(
        module
        for path, module in tuned.body.named_modules()
        if _inner(tuned.body, f"{path}.position_embeddings") == _inner(model, name)
    )
    resized: torch.Tensor = tuned.network.resized(owner, wanted)
    if resized.shape != wanted.shape or stored.shape[-1] != resized.shape[-1]:
        raise _elsewhere(tuned, model)
    return resized


def _put_head(tuned: _Tuned, model: PreTrainedModel, layers: Layers) -> None:
    """Put the head in, where in its classifier's input the net hands over what the head reads."""
    layer = model.get_submodule(str(layers.head))
    batch = tuned.network.batch(tuned.prepared)
    read, width = tuned.features(batch), tuned.head.weight.shape[1]
    with torch.inference_mode():
        features = read_blocks(tuned.network.around(model), layers, batch).blocks[-1]
    places = [
        at
        for at in range(0, features.shape[1] - width + 1, width)
        if _distance(features[:, at : at + width].numpy(), read.numpy()) <= TOLERANCE
    ]
    if not places or not isinstance(layer, nn.Linear) or layer.bias is None:
        raise _elsewhere(tuned, model)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, places[0] : places[0] + width] = torch.from_numpy(tuned.head.weight)
        layer.bias.copy_(torch.from_numpy(tuned.head.bias))


def _elsewhere(tuned: _Tuned, model: PreTrainedModel) -> NotExportable:
    names = tuned.layers.names
    where = f"{tuned.read} of {len(names)}" if tuned.read != names[-1] else f"what {type(tuned.body).__name__} pools"
    return tuned.cannot(f"its head reads {where}, and {type(model).__name__} never hands that to its classifier")


def _auto(tuned: _Tuned) -> Any:  # noqa: ANN401 - an Auto class of transformers
    return auto_class(tuned.modality, tuned.task)


def _difference(tuned: _Tuned, folder: Path) -> float:
    """How far the logits of what was written lie from the run's, both from the items on.

    Where a model refuses a batch of items that differ in kind, each is asked alone.
    """
    network, items = tuned.network, tuned.network.examples()
    with quiet(), torch.inference_mode():
        model = _auto(tuned).from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()

        def answers(some: Sequence[Any]) -> torch.Tensor:
            batch = network.reopened(folder, some)
            logits: torch.Tensor = model(**arguments(network, batch))[0]
            if not tuned.positional:
                return logits
            bias = torch.from_numpy(tuned.head.bias)  # of what was cut off, the run says what its bias does
            pooled: torch.Tensor = network.pool(logits - bias, batch)
            return pooled + bias

        try:
            logits = answers(items)
        except ValueError:
            logits = torch.cat([answers([item]) for item in items])
    return _close_enough(tuned, logits.numpy())


class _Positional(nn.Module):
    """A classifier that takes its inputs by place, as ONNX graphs do."""

    def __init__(self, classifier: Classifier, names: Sequence[str]) -> None:
        super().__init__()
        self.classifier = classifier
        self.names = tuple(names)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(**dict(zip(self.names, inputs, strict=True)))
        return logits


def _write_onnx(tuned: _Tuned, file: Path) -> None:
    classes, width = tuned.head.weight.shape
    layer = nn.Linear(width, classes)
    layer.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tuned.head.tensors().items()})
    batch = tuned.network.batch(tuned.prepared[:2])
    net = _Positional(Classifier(tuned.network, tuned.layers, tuned.read, layer), tuple(batch)).eval()
    size = sum(p.numel() * p.element_size() for p in net.parameters())
    try:
        with _hushed(), torch.no_grad():
            torch.onnx.export(
                net,
                tuple(batch.values()),
                file,
                input_names=list(batch),
                output_names=["logits"],
                dynamic_shapes=(_dynamic_shapes(tuned),),
                dynamo=True,
                external_data=size > _PROTOBUF_LIMIT,
                verbose=False,
            )
    except OSError:
        raise
    except Exception as cause:  # an architecture may hold whatever the exporter does not know
        first = next(iter(str(cause).strip().splitlines()), type(cause).__name__)
        why = f"torch.onnx cannot express {type(tuned.body).__name__} ({first})"
        raise tuned.cannot(why, "Export without --onnx.") from cause


def _dynamic_shapes(tuned: _Tuned) -> tuple[dict[int, Any], ...]:
    """For each input the axes that change with the items: the first, and those in which batches of two differ."""
    one, other = (tuned.network.batch([row]) for row in tuned.prepared[:2])
    return tuple(
        {0: torch.export.Dim("rows")}
        | {
            axis: torch.export.Dim.DYNAMIC
            for axis in range(1, tensor.ndim)
            if tensor.shape[axis] != other[name].shape[axis]
        }
        for name, tensor in one.items()
    )


@contextmanager
def _hushed() -> Iterator[None]:
    """Without what the exporter warns of: what it wrote is checked."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _onnx_difference(tuned: _Tuned, file: Path) -> float:
    from onnxruntime import InferenceSession  # noqa: PLC0415 - of the extra `onnx`

    session, prepared = InferenceSession(file, providers=["CPUExecutionProvider"]), tuned.prepared
    parts = [tuned.network.batch(rows) for rows in (prepared[:1], prepared[1:])]
    logits = np.concatenate(
        [session.run(["logits"], {name: tensor.numpy() for name, tensor in part.items()})[0] for part in parts]
    )
    return _close_enough(tuned, logits)


def _close_enough(tuned: _Tuned, logits: Float[np.ndarray, "n c"]) -> float:
    difference = _distance(logits, tuned.logits())
    if not difference <= TOLERANCE:
        raise tuned.cannot(f"what was written differs from the run by {difference:.1e} in a logit")
    return difference


def _distance(one: Float[np.ndarray, "n c"], other: Float[np.ndarray, "m k"]) -> float:
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one - other).max() / max(1.0, float(np.abs(other).max())))
