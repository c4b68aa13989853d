"""Opens a checkpoint's folder: what it holds, whether it may be trusted, and the model itself. Never a network."""

import hashlib
import inspect as signatures
import json
import math
import re
import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors import SafetensorError, safe_open
from transformers import CONFIG_MAPPING, PretrainedConfig, PreTrainedModel
from transformers.models.auto import modeling_auto
from transformers.utils import logging

from registry.cards import UNKNOWN_LICENSE, Task
from registry.documents import MOST_YAML_BYTES, Plain, pointer, read_text, yaml_of
from registry.encoders.layers import is_classifier
from registry.errors import (
    BadWeights,
    CheckpointError,
    ExtraMissing,
    ExtraUnusable,
    MalformedWeights,
    NotFetched,
    NoWeights,
    PathMissing,
    PickleRefused,
    ShapeMismatch,
    TransferZooError,
    UnreadableDocument,
    Unsupported,
)
from registry.files import matching
from registry.modalities import Modality, Network, modalities, modality_of
from registry.statements import (
    FOREIGN_WEIGHTS,
    MOST_HEADER,
    SHARD_INDEX,
    refuse_code,
    require_modest,
    shard_names,
    stated,
)

__all__ = [
    "Opened",
    "auto_class",
    "inspect",
    "load",
    "load_network",
    "modality_at",
    "open_checkpoint",
    "pooled_for",
    "quiet",
]

_WEIGHTS = "model.safetensors"
_MOST_TENSORS = 50_000
_FLOATS = {"F64", "F32", "F16", "BF16"}
_DTYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8},
    "BOOL": torch.bool,
}
_READ_AT_ONCE = 16 << 20
_INFINITE = "holds NaN or infinity"
_BYTE_OR_LESS = ("I8", "U8", "F8", "F6", "F4", "I4", "U4", "C")
_PLACEHOLDER = "LABEL_"
_UNSTATED = {"text"}
"""What transformers says that a class takes whose authors did not say it."""
_LIBRARY = re.compile(r"requires the (\w+) library")
_EXTRAS = {"timm"}
_TIMM = "timm_wrapper"
"""Libraries for which there is an extra of that name."""
_MOST_LABELS = 100_000
_LONGEST_LICENSE = 500


@dataclass(frozen=True)
class Opened:
    """What a checkpoint's folder says about itself, found sound."""

    modality: str
    architecture: str
    model_type: str
    parameters: int
    digest: str
    """SHA-256 of model.safetensors; of the index and its shards where it is sharded."""
    input_size: int
    """Of the input that it states (pixels of a side, tokens, frames), before any cap."""
    num_labels: int
    id2label: Mapping[int, str]
    """Names of the source head's classes; empty where it has none worth the name."""
    license: str
    """As it is stated; of several all hold."""


@dataclass(frozen=True)
class _Folder:
    """What was found in a folder before anything was built from it."""

    path: Path
    settings: Mapping[str, Any]
    files: Sequence[Path]
    dtypes: Mapping[str, str]
    """The kind of number of every stored tensor."""


def inspect(folder: Path, *, values: bool = True) -> Opened:
    """Check everything that can be checked without running the model.

    Without ``values`` the stored numbers are not looked at, so that headers in files of the right size are enough; the
    digest is then empty.

    Raises:
        PathMissing: no such folder.
        NoWeights: no config.json or no safetensors file.
        PickleRefused: pickled weights only.
        RemoteCodeRefused: a config that asks for code from elsewhere.
        MalformedWeights: a safetensors file that does not parse.
        BadWeights: a tensor that is stored twice, is NaN or infinite, or a weight that is no float.
        NotFetched: a Git LFS pointer where a file should be.
        ShapeMismatch: config and weights disagree.
        Unsupported: not a model of transformers that takes items of a known modality.
    """
    checked = _trusted(folder)
    model = load(folder, bare=True)
    _refuse_integers(checked, model)
    for file in checked.files if values else ():
        _check_tensors(file)
    modality = _modality(folder, type(model))
    network = modality.open(folder, model, modality.defaults.cap)
    return _opened(checked, network, _digest(folder, checked.files) if values else "")


def open_checkpoint(folder: Path, *, cap: int | None = None, digest: str | None = None) -> tuple[Opened, Network]:
    """What a checkpoint's folder says, and its model as `load_network` gives it; all of `inspect` is checked.

    Every weight is read from the disk once.

    Raises:
        CheckpointError: as `inspect`.
        BadWeights: the weights are not those of ``digest``.
    """
    checked = _trusted(folder)
    registered = None if digest is None else _read(checked, digest)
    with quiet():
        kind = _kind(checked)
        config = _config(checked, kind)
        weights = registered or _read(checked)
        model = _strictly_loaded(checked, kind, config, _parts(checked, kind, config), weights.tensors)
    model.eval()
    _refuse_integers(checked, model)
    modality = _modality(folder, kind)
    network = modality.open(folder, model, modality.defaults.cap if cap is None else cap)
    return _opened(checked, network, weights.digest), network


def load(folder: Path, *, from_scratch: bool = False, bare: bool = False) -> PreTrainedModel:
    """The model: float32, in evaluation mode, strictly the stored weights.

    ``from_scratch`` leaves the weights at torch's seeded random initialization; ``bare`` makes all but the values.

    Raises:
        NoWeights, PickleRefused, RemoteCodeRefused, MalformedWeights, BadWeights, NotFetched, ShapeMismatch,
        Unsupported: as `inspect`, but for the values.
    """
    checked = _trusted(folder)
    with quiet():
        kind = _kind(checked)
        config = _config(checked, kind)
        parts = _parts(checked, kind, config)
        if from_scratch:
            model: PreTrainedModel = kind(config, **parts).float()
        else:
            model = _strictly_loaded(checked, kind, config, parts, bare=bare)
    model.eval()
    return model


def load_network(
    folder: Path,
    *,
    cap: int | None = None,
    from_scratch: bool = False,
    bare: bool = False,
    task: Task = Task.CLASSIFICATION,
) -> Network:
    """The model, loaded as `load` does, with what its modality knows of its two ends; without ``cap`` its default.

    It is pooled as the task asks for it: one vector an item, or one for each of its positions.

    Raises:
        CheckpointError: as `inspect`, but for the values.
        Unsupported: the task labels positions, and the modality's items have none.
    """
    model = load(folder, from_scratch=from_scratch, bare=bare)
    modality = _modality(folder, type(model))
    network = modality.open(folder, model, modality.defaults.cap if cap is None else cap)
    return pooled_for(task, network, modality)


def pooled_for(task: Task, network: Network, modality: Modality) -> Network:
    """A network that is pooled as the task asks for it.

    Raises:
        Unsupported: the task labels positions, and the modality's items have none.
    """
    if task is not Task.TOKEN_CLASSIFICATION or network.beside:
        return network
    if modality.positions is None:
        raise Unsupported(modality.name, f"{modality.words.many} have no positions that could be labelled")
    return modality.positions.network(network)


def modality_at(folder: Path) -> Modality:
    """What the items are that the model in a folder takes.

    Raises:
        CheckpointError: as `inspect`, but for the values.
    """
    return _modality(folder, _kind(_trusted(folder)))


def auto_class(modality: Modality, task: Task = Task.CLASSIFICATION) -> Any:  # noqa: ANN401 - one of transformers' kind
    """The Auto class that opens exported classifiers of a modality."""
    positions = modality.positions if task is Task.TOKEN_CLASSIFICATION else None
    module, _, name = (modality if positions is None else positions).classifier.rpartition(".")
    return getattr(import_module(module or "transformers"), name)


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars and load reports; its settings are put back."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(50)
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def _trusted(folder: Path) -> _Folder:
    if not folder.is_dir():
        raise PathMissing(folder)
    names = {name for modality in modalities.each() for name in modality.processor_files}
    for name in matching(["config.json", *sorted(name for name in names if name.endswith("config.json"))], folder):
        refuse_code(folder, stated(folder, name))
    if (folder / "adapter_config.json").is_file():
        raise Unsupported(folder, "it is an adapter, not a whole model", "Save it merged: model.merge_and_unload().")
    files = _weight_files(folder)
    if not (folder / "config.json").is_file():
        raise NoWeights(folder, "config.json")
    dtypes = {name: dtype for file in files for name, dtype in _checked_header(file).items()}
    settings = _tidy(folder, stated(folder, "config.json"))
    if settings.get("model_type") == _TIMM:
        _require_timm()
    return _Folder(folder, settings, files, dtypes)


def _require_timm() -> None:
    """timm, and the torchvision that it imports, load."""
    if find_spec("timm") is None:
        raise ExtraMissing("timm", "timm")
    try:
        import_module("timm")
    except Exception as cause:  # a torchvision that was built for another torch raises a RuntimeError, or what not
        raise ExtraUnusable("timm", "timm", _first_line(cause)) from cause


def _tidy(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The config with class names as a mapping and architectures as a list, in whichever form they are stated."""
    labels = settings.get("id2label")
    if isinstance(labels, list):
        labels = dict(enumerate(labels))
    if labels is not None and not (isinstance(labels, dict) and all(str(place).isdecimal() for place in labels)):
        raise Unsupported(
            folder,
            "id2label in its config does not map class numbers to names",
            'Mend config.json: "id2label": {"0": "cat", "1": "dog"}, or leave it out.',
        )
    if "pretrained_cfg" in settings and not settings.get("model_type"):  # as timm itself saves it
        settings = {**settings, "model_type": _TIMM, "architectures": _classifiers_of(_TIMM)}
    if isinstance(arguments := settings.get("model_args"), dict):  # the wrapper gives the number of classes itself
        settings = {**settings, "model_args": {k: v for k, v in arguments.items() if k != "num_classes"}}
    named = settings.get("architectures") or []
    count = settings.get("num_labels")
    if isinstance(count, int) and count > _MOST_LABELS:
        raise Unsupported(folder, f"its config states num_labels {count}, more than {_MOST_LABELS:,}")
    tidy = {**settings, "architectures": [named] if isinstance(named, str) else named}
    if labels is not None:
        tidy["id2label"] = {int(place): str(name) for place, name in labels.items()}
        tidy["label2id"] = {name: place for place, name in tidy["id2label"].items()}
    return tidy


def _classifiers_of(model_type: str) -> list[str]:
    """The classifier that transformers has for a type of models; none where it has none."""
    return [
        of_types[model_type]
        for name, of_types in vars(modeling_auto).items()
        if re.fullmatch(r"MODEL_FOR_[A-Z]+_CLASSIFICATION_MAPPING_NAMES", name) and model_type in of_types
    ]


def _weight_files(folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if (folder / SHARD_INDEX).is_file():
        return _shards(folder)
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in FOREIGN_WEIGHTS)
    if pickled:
        raise PickleRefused(folder, pickled[0])
    inside = sorted(path.parent.name for path in folder.glob(f"*/{_WEIGHTS}"))
    if inside:
        raise Unsupported(
            folder, f"it holds no model itself, but {len(inside)} below it", f"Give one of them: {folder / inside[-1]}"
        )
    raise NoWeights(folder)


def _shards(folder: Path) -> list[Path]:
    files = [folder / name for name in shard_names(folder)]
    for file in files:
        if not file.is_file():
            raise NoWeights(folder, file.name)
    return files


def _checked_header(path: Path) -> dict[str, str]:
    """The kind of number of each tensor of a safetensors file whose header is sound."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
            length = struct.unpack("<Q", start[:8])[0] if len(start) >= 8 else 0
            file.seek(8)
            header = file.read(length) if length <= MOST_HEADER else b""
    except OSError as cause:
        raise MalformedWeights(path, cause.strerror or str(cause)) from cause
    if pointer(start):
        raise NotFetched(path)
    if not 0 < length <= MOST_HEADER:
        raise MalformedWeights(path, f"its header has no plausible length ({length} bytes)")
    try:
        pairs = json.loads(header, object_pairs_hook=tuple)
        counts = Counter(name for name, _ in pairs)
    except (ValueError, TypeError, RecursionError) as cause:
        raise MalformedWeights(path, f"its header is not JSON ({cause})") from cause
    if len(counts) > _MOST_TENSORS:
        raise MalformedWeights(path, f"it holds {len(counts)} tensors, more than {_MOST_TENSORS:,}")
    name, times = counts.most_common(1)[0] if counts else ("", 0)
    if times > 1:
        raise BadWeights(path, str(name), "is stored twice")
    try:
        with safe_open(path, "pt") as stored:
            return {name: str(stored.get_slice(name).get_dtype()) for name in stored.keys()}  # noqa: SIM118 - no dict
    except (SafetensorError, OSError) as cause:
        raise MalformedWeights(path, str(cause)) from cause


def _refuse_integers(checked: _Folder, model: PreTrainedModel) -> None:
    """Refuse weights that are no floats: read as they are, without the scales that belong to them, they are garbage."""
    floats = {
        name.rpartition(".")[2]
        for tensors in (model.named_parameters(), model.named_buffers())
        for name, tensor in tensors
        if tensor.is_floating_point()
    }
    for name, dtype in sorted(checked.dtypes.items()):
        if dtype not in _FLOATS and (dtype.startswith(_BYTE_OR_LESS) or name.rpartition(".")[2] in floats):
            raise BadWeights(
                checked.path,
                name,
                f"is stored as {dtype}, not as floats of 16 bits or more",
                "Bring the checkpoint as float32, float16 or bfloat16, before it was quantized.",
            )


@dataclass(frozen=True, eq=False)
class _Weights:
    """The stored numbers of a checkpoint, and the digest of the files that they were read from."""

    tensors: Mapping[str, torch.Tensor]
    digest: str


def _read(checked: _Folder, digest: str | None = None) -> _Weights:
    """All weights, each file read once from its first byte to its last; the tensors share the memory read into.

    They are hashed in a thread of its own, while the next are read and held to be finite.

    Raises:
        MalformedWeights: a file changed while it was read.
        BadWeights: they are not those of ``digest``; a tensor is stored twice, or holds NaN or infinity.
    """
    total, tensors = hashlib.sha256(), dict[str, torch.Tensor]()
    if checked.files[0].name != _WEIGHTS:
        total.update((checked.path / SHARD_INDEX).read_bytes())
    infinite: list[str] = []
    with ThreadPoolExecutor(1) as hashing:
        for path in checked.files:
            for name, tensor in _tensors(path, lambda content: hashing.submit(total.update, content)):
                if name in tensors:
                    raise BadWeights(path, name, "is stored twice")
                tensors[name] = tensor
                if not _is_finite(tensor):
                    infinite.append(name)
    weights = _Weights(tensors, total.hexdigest())
    if digest not in {None, weights.digest}:
        raise BadWeights(checked.path, "all", "are not those that were registered")
    for name in infinite[:1]:
        raise BadWeights(checked.path, name, _INFINITE)
    return weights


def _tensors(path: Path, update: Callable[[bytes | memoryview], object]) -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a safetensors file whose header is sound; ``update`` is given all of its bytes, in their order."""
    with path.open("rb", buffering=0) as file:
        start = file.read(8)
        header = file.read(struct.unpack("<Q", start)[0])
        content = np.empty(path.stat().st_size - len(start) - len(header), np.uint8)
        update(start + header)
        view, place = content.data, 0
        while count := file.readinto(view[place : place + _READ_AT_ONCE]):
            update(view[place : place + count])
            place += count
    if place != len(content):
        raise MalformedWeights(path, "it changed while it was read")
    flat = torch.from_numpy(content)
    for name, entry in json.loads(header).items():
        if name != "__metadata__":
            first, last = entry["data_offsets"]
            dtype = _DTYPES.get(entry["dtype"])
            part = flat[first:last]
            if dtype is None:  # of a kind that is refused once it is known what it was for
                yield name, torch.zeros((), dtype=torch.uint8).expand(entry["shape"])
            else:
                aligned = part if first % dtype.itemsize == 0 else part.clone()
                yield name, aligned.view(dtype).reshape(entry["shape"])


def _is_finite(tensor: torch.Tensor) -> bool:
    """Whether no value is NaN or infinite: then neither is the sum of all, which is much quicker to see."""
    return (
        not tensor.is_floating_point()
        or math.isfinite(tensor.sum(dtype=torch.float32).item())
        or bool(torch.isfinite(tensor).all())
    )


def _check_tensors(path: Path) -> None:
    with safe_open(path, "pt") as stored:
        for name in stored.keys():  # noqa: SIM118 - not a dict
            if not _is_finite(stored.get_tensor(name)):
                raise BadWeights(path, name, _INFINITE)


def _architectures(checked: _Folder) -> list[type[PreTrainedModel]]:
    """The classes that it may be, likeliest first: what its config names, else what transformers has for its type."""
    named, of_type = checked.settings["architectures"], str(checked.settings.get("model_type"))
    if named:
        first = str(named[0]) if isinstance(named, list) else ""
        registered = (kind for kind in _registered(of_type) if kind.__name__ == first)
        kinds = [getattr(transformers, first, None) or next(registered, None)]
    else:
        kinds = _registered(of_type)
    known = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)]
    sound = [_tower(kind) or kind for kind in known]
    if not sound:
        raise Unsupported(checked.path, f"architecture {named!r:.200} is not one of transformers'")
    for kind in sound:
        _modality(checked.path, kind)
    for key in ("quantization_config", "use_pretrained_backbone", "use_timm_backbone"):
        if checked.settings.get(key):
            raise Unsupported(checked.path, f"{key} is set in its config")
    return sound


def _tower(kind: type[PreTrainedModel]) -> type[PreTrainedModel] | None:
    """The image encoder (or the first whose items can be made) inside a model that compares images with texts."""
    if not {"get_image_features", "get_text_features"} <= set(dir(kind)):
        return None
    parts = set((getattr(kind.config_class, "sub_configs", None) or {}).values())
    towers = [
        other
        for other in vars(sys.modules[kind.__module__]).values()
        if isinstance(other, type) and issubclass(other, PreTrainedModel) and other.config_class in parts
    ]
    plain = sorted(towers, key=lambda tower: len(tower.__name__))  # a projection into a shared space lengthens the name
    each = (tower for modality in modalities.each() for tower in plain if _modality_of(tower) is modality)
    return next(each, None)


def _modality_of(kind: type[PreTrainedModel]) -> Modality | None:
    """The modality whose items a class takes; None where they are of another kind, or made into something else."""
    stated = getattr(kind, "input_modalities", ())
    taken = {stated} if isinstance(stated, str) else set(stated)
    modality = modality_of(kind.main_input_name) if isinstance(kind.main_input_name, str) else None
    if modality is not None and (modality.name in taken or taken <= _UNSTATED):
        return modality
    inputs = signatures.signature(kind.forward).parameters  # a tower inherits the main input of its whole
    alone = (one for one in modalities.each() if taken == {one.name} and not one.inputs.isdisjoint(inputs))
    return next(alone, None)


def _registered(model_type: str) -> list[Any]:
    """The classes that Auto classes have for a type of model, classifiers first; those that plug-ins registered too."""
    autos = [*map(auto_class, modalities.each()), transformers.AutoModel]
    if model_type not in set(CONFIG_MAPPING):
        return []
    kinds = [auto._model_mapping.get(CONFIG_MAPPING[model_type], ()) for auto in autos]
    return [kind for several in kinds for kind in (several if isinstance(several, tuple | list) else [several])]


def _kind(checked: _Folder) -> type[PreTrainedModel]:
    """The first of the classes that it may be whose weights are those stored."""
    *others, last = _architectures(checked)
    for kind in others:
        try:
            config = _config(checked, kind)
            _strictly_loaded(checked, kind, config, _parts(checked, kind, config), bare=True)
        except CheckpointError:
            continue
        return kind
    return last


def _config(checked: _Folder, kind: type[PreTrainedModel]) -> PretrainedConfig:
    of_type = checked.settings.get("model_type")
    maker: Any = CONFIG_MAPPING[of_type] if of_type in set(CONFIG_MAPPING) else kind.config_class
    if maker is None:
        raise Unsupported(checked.path, "its config states no model_type that transformers knows")
    try:
        known = {*maker().to_dict(), "num_labels"} - {"id2label", "label2id"}
        require_modest(checked.path, {k: v for k, v in checked.settings.items() if k in known}, len(checked.dtypes))
        config: PretrainedConfig = maker.from_dict(dict(checked.settings))
    except CheckpointError:
        raise
    except ImportError as cause:
        raise _unbuildable(checked.path, kind, cause) from cause
    except Exception as cause:  # any config class may raise anything
        raise Unsupported(checked.path, f"its config is refused ({_first_line(cause)})") from cause
    if kind.config_class is not None and not isinstance(config, kind.config_class):
        parts = [getattr(config, name, None) for name in getattr(config, "sub_configs", None) or {}]
        config = next((part for part in parts if isinstance(part, kind.config_class)), config)
    objection = _modality(checked.path, kind).objection(config)
    if objection is not None:
        raise Unsupported(checked.path, objection, "Take a net that reads one kind of item alone, by itself.")
    return config


def _parts(checked: _Folder, kind: type[PreTrainedModel], config: PretrainedConfig) -> dict[str, bool]:
    """Without the pooler of a backbone that was saved without: made up, its random weights would be read."""
    optional = "add_pooling_layer" in signatures.signature(kind.__init__).parameters
    if not optional or any("pooler." in name for name in checked.dtypes):
        return {}
    try:
        with torch.device("meta"):
            wanted = any(name.startswith("pooler.") for name, _ in kind(config).named_parameters())
    except Exception as cause:  # any architecture may raise anything
        raise _unbuildable(checked.path, kind, cause) from cause
    return {"add_pooling_layer": False} if wanted else {}


def _modality(folder: Path, kind: type[PreTrainedModel]) -> Modality:
    modality = _modality_of(kind)
    if modality is not None:
        return modality
    known = ", ".join(modality.name + "s" for modality in modalities.each())
    takes, stated = kind.main_input_name, kind.input_modalities
    if modality_of(takes) is not None:
        what = stated if isinstance(stated, str) else " and ".join(stated)
        raise Unsupported(
            folder,
            f"{kind.__name__} takes {takes} that are made of {what}",
            f"Take a net that reads its items as they are; what can be made are {known}, each for nets of its own.",
        )
    raise Unsupported(
        folder,
        f"{kind.__name__} takes {takes}; what can be made are {known}",
        "Of a model of several modalities, save the tower of one alone, as model.vision_model.save_pretrained().",
    )


def _strictly_loaded(
    checked: _Folder,
    kind: type[PreTrainedModel],
    config: PretrainedConfig,
    parts: Mapping[str, bool],
    tensors: Mapping[str, torch.Tensor] | None = None,
    *,
    bare: bool = False,
) -> PreTrainedModel:
    """A model of the weights in its folder, or of those that were read from it."""
    folder, options = checked.path, dict[str, Any](parts)
    try:
        options["key_mapping"] = _inside(checked, kind, config)
        loaded: Any = kind.from_pretrained(
            folder if tensors is None else None,
            state_dict=None if tensors is None else dict(tensors),
            **options,
            config=config,
            dtype=torch.float32,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            device_map="meta" if bare else None,
        )
    except Exception as cause:  # any architecture may raise anything
        raise _unbuildable(folder, kind, cause) from cause
    model: PreTrainedModel = loaded[0]
    report: dict[str, Any] = loaded[1]
    for key in sorted(report["mismatched_keys"], key=str):
        name, stored, wanted = key
        raise ShapeMismatch(folder, f"{name} is stored as {tuple(stored)}, the config wants {tuple(wanted)}")
    for name in sorted(report["missing_keys"]):
        stored_as = next((key for key in sorted(report["unexpected_keys"]) if key.endswith(f".{name}")), None)
        if stored_as is None:
            raise ShapeMismatch(folder, f"{name} is not stored")
        raise ShapeMismatch(
            folder,
            f"{name} is not stored, but {stored_as} is",
            "Save the net inside what trained it (DataParallel, torch.compile, Lightning): no name then begins with "
            f"{stored_as.removesuffix(name)!r}.",
        )
    for name in sorted(report["unexpected_keys"]):
        if _of_backbone(model, name):
            raise ShapeMismatch(folder, f"{name} is stored, the config has no such weight")
    return model


def _inside(checked: _Folder, kind: type[PreTrainedModel], config: PretrainedConfig) -> dict[str, str] | None:
    """What of the stored names a tower's own lack, as `from_pretrained` takes it; None where they lack nothing."""
    if config.model_type == checked.settings.get("model_type"):
        return None
    with torch.device("meta"):
        first, *others = [name for name, _ in kind(config).named_parameters()]
    before = (name.removesuffix(first) for name in checked.dtypes if name.endswith(f".{first}"))
    whole = (prefix for prefix in before if all(f"{prefix}{name}" in checked.dtypes for name in others))
    prefix = next(whole, None)
    return None if prefix is None else {f"^{re.escape(prefix)}": ""}


def _unbuildable(folder: Path, kind: type[PreTrainedModel], cause: Exception) -> TransferZooError:
    """The error for a class that cannot be built; where a library is missing, with what to install."""
    missing = _LIBRARY.search(str(cause)) if isinstance(cause, ImportError) else None
    if missing is not None and missing[1] in _EXTRAS:
        return ExtraMissing(missing[1], missing[1])
    why = f"{kind.__name__} cannot be built ({_first_line(cause)})"
    if missing is None:
        return Unsupported(folder, why)
    return Unsupported(folder, why, f"Install that library where it is to be used: pip install {missing[1]}")


def _of_backbone(model: PreTrainedModel, name: str) -> bool:
    inner = name.removeprefix(f"{model.base_model_prefix}.")
    return inner.split(".", 1)[0] in {child for child, _ in model.base_model.named_children()}


def _opened(checked: _Folder, network: Network, digest: str) -> Opened:
    model = network.model
    labels = _real_labels(type(model).__name__, checked.settings)
    return Opened(
        modality=_modality(checked.path, type(model)).name,
        architecture=type(model).__name__,
        model_type=str(model.config.model_type),
        parameters=sum(p.numel() for p in model.parameters()),
        digest=digest,
        input_size=network.stated,
        num_labels=len(labels),
        id2label=labels,
        license=_license(checked.path),
    )


def _real_labels(architecture: str, settings: Mapping[str, Any]) -> dict[int, str]:
    """Class names of a source head; regression heads, placeholder names and names of other classes do not count."""
    named = settings.get("id2label") or {}
    if not is_classifier(architecture) or settings.get("problem_type") == "regression":
        return {}
    if sorted(named) != list(range(len(named))) or all(name.startswith(_PLACEHOLDER) for name in named.values()):
        return {}
    return dict(named)


def _digest(folder: Path, files: Sequence[Path]) -> str:
    known = hashlib.sha256()
    for path in [folder / SHARD_INDEX, *files] if files[0].name != _WEIGHTS else files:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                known.update(part)
    return known.hexdigest()


def _license(folder: Path) -> str:
    """A license stated in SOURCE.json, card.json or README.md's front matter, as it is stated; else ``unknown``."""
    for file in ("SOURCE.json", "card.json"):
        if (folder / file).is_file():
            front = stated(folder, file)
            words = _license_words(front.get("license") or front.get("licence"))
            if words:
                return words
    return _license_words(_front_matter(folder / "README.md").get("license")) or UNKNOWN_LICENSE


def _front_matter(readme: Path) -> Mapping[str, Plain]:
    """The YAML between the two lines of dashes that a model card begins with; nothing where that is not sound."""
    try:
        text = read_text(readme)
        front = text[:MOST_YAML_BYTES].replace("\r\n", "\n").split("\n---", 1)[0] if text.startswith("---") else ""
        content = yaml_of(front.removeprefix("---"))
    except (UnreadableDocument, NotFetched, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _license_words(front: Plain) -> str:
    """A license as one text: of a list all hold, for nothing says that one may choose; a mapping has its name."""
    if isinstance(front, dict):
        named = (front.get(key) for key in ("spdx", "spdx_id", "id", "name", "type"))
        front = next((name for name in named if isinstance(name, str)), None)
    if isinstance(front, list):
        return " AND ".join(_license_words(one) or UNKNOWN_LICENSE for one in front)
    return front.strip()[:_LONGEST_LICENSE] if isinstance(front, str) else ""


def _first_line(cause: Exception) -> str:
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
