"""Opens a checkpoint's folder: what it holds, whether it may be trusted, and the model itself. Never a network."""

import hashlib
import json
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import SafetensorError, safe_open
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.utils import logging

from registry.cards import UNKNOWN_LICENSE
from registry.encoders.anatomy import is_classifier
from registry.errors import (
    BadWeights,
    MalformedWeights,
    NoWeights,
    PathMissing,
    PickleRefused,
    RemoteCodeRefused,
    ShapeMismatch,
    Unsupported,
)
from registry.modalities import DEFAULT_CAP, Modality, Network, modalities, modality_of

__all__ = ["Opened", "inspect", "load", "modality_at", "open_network", "quiet"]

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_PICKLED = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
_HEADER_LIMIT = 100_000_000
_PLACEHOLDER = "LABEL_"


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


def inspect(folder: Path) -> Opened:
    """Check everything that can be checked without running the model.

    Raises:
        PathMissing: no such folder.
        NoWeights: no config.json or no safetensors file.
        PickleRefused: pickled weights only.
        RemoteCodeRefused: a config that asks for code from elsewhere.
        MalformedWeights: a safetensors file that does not parse.
        BadWeights: a tensor that is stored twice, or is NaN or infinite.
        ShapeMismatch: config and weights disagree.
        Unsupported: not a model of transformers that takes items of a known modality.
    """
    settings, files = _trusted(folder)
    for file in files:
        _check_tensors(file)
    network = open_network(folder, bare=True)
    model = network.model
    labels = _real_labels(type(model).__name__, settings)
    return Opened(
        modality=_modality(folder, type(model)).name,
        architecture=type(model).__name__,
        model_type=str(model.config.model_type),
        parameters=sum(p.numel() for p in model.parameters()),
        digest=_digest(folder, files),
        input_size=network.stated,
        num_labels=len(labels),
        id2label=labels,
        license=_license(folder),
    )


def load(folder: Path, *, from_scratch: bool = False, bare: bool = False) -> PreTrainedModel:
    """The model: float32, in evaluation mode, strictly the stored weights.

    ``from_scratch`` leaves the weights at torch's seeded random initialization; ``bare`` makes all but the values.

    Raises:
        NoWeights, PickleRefused, RemoteCodeRefused, MalformedWeights, BadWeights, ShapeMismatch, Unsupported:
            as `inspect`, but for the values.
    """
    settings, _ = _trusted(folder)
    with quiet():
        kind, config = _architecture(folder, settings)
        if from_scratch:
            model: PreTrainedModel = kind(config).float()
        else:
            model = _strictly_loaded(folder, kind, config, bare)
    model.eval()
    return model


def open_network(
    folder: Path, *, cap: int = DEFAULT_CAP, from_scratch: bool = False, bare: bool = False
) -> Network:
    """The model, loaded as `load` does, with what its modality knows of its two ends.

    Raises:
        CheckpointError: as `inspect`, but for the values.
    """
    model = load(folder, from_scratch=from_scratch, bare=bare)
    return _modality(folder, type(model)).open(folder, model, cap)


def modality_at(folder: Path) -> Modality:
    """What the items are that the model in a folder takes.

    Raises:
        CheckpointError: as `inspect`, but for the values.
    """
    settings, _ = _trusted(folder)
    return _modality(folder, _architecture(folder, settings)[0])


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


def _trusted(folder: Path) -> tuple[dict[str, Any], list[Path]]:
    if not folder.is_dir():
        raise PathMissing(folder)
    for name in ("config.json", "preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            _refuse_code(folder, _json(folder, name))
    if (folder / "adapter_config.json").is_file():
        raise Unsupported(folder, "it is an adapter, not a whole model")
    files = _weight_files(folder)
    if not (folder / "config.json").is_file():
        raise NoWeights(folder, "config.json")
    for file in files:
        _check_header(file)
    return _json(folder, "config.json"), files


def _json(folder: Path, file: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / file).read_text())
    except (ValueError, OSError) as cause:
        raise Unsupported(folder, f"{file} cannot be read ({cause})") from cause
    if not isinstance(found, dict):
        raise Unsupported(folder, f"{file} holds no settings")
    return found


def _refuse_code(folder: Path, found: object, place: str = "") -> None:
    """Refuse auto_map anywhere, and attention kernels that would be fetched from a hub."""
    if isinstance(found, Mapping):
        for key, value in found.items():
            here = f"{place}.{key}" if place else str(key)
            fetched = "implementation" in str(key) and isinstance(value, str) and "/" in value
            if key == "auto_map" or fetched:
                raise RemoteCodeRefused(folder, here)
            _refuse_code(folder, value, here)
    elif isinstance(found, list):
        for row, value in enumerate(found):
            _refuse_code(folder, value, f"{place}[{row}]")


def _weight_files(folder: Path) -> list[Path]:
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    if (folder / _INDEX).is_file():
        return _shards(folder)
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
    if pickled:
        raise PickleRefused(folder, pickled[0])
    raise NoWeights(folder)


def _shards(folder: Path) -> list[Path]:
    stated = _json(folder, _INDEX).get("weight_map")
    names = sorted({str(name) for name in stated.values()}) if isinstance(stated, dict) else []
    if not names:
        raise MalformedWeights(folder / _INDEX, "it names no shards")
    for name in names:
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise MalformedWeights(folder / _INDEX, f"shard {name!r} is not a safetensors file of this folder")
        if not (folder / name).is_file():
            raise NoWeights(folder, name)
    return [folder / name for name in names]


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 0 < length < _HEADER_LIMIT:
            raise MalformedWeights(path, "its header has no plausible length")
        header = file.read(length)
    try:
        pairs = json.loads(header, object_pairs_hook=list)
        names = [name for name, _ in pairs]
    except (ValueError, TypeError) as cause:
        raise MalformedWeights(path, f"its header is not JSON ({cause})") from cause
    twice = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise BadWeights(path, str(twice), "is stored twice")
    try:
        with safe_open(path, "pt") as stored:
            stored.keys()
    except (SafetensorError, OSError) as cause:
        raise MalformedWeights(path, str(cause)) from cause


def _check_tensors(path: Path) -> None:
    with safe_open(path, "pt") as stored:
        for name in stored.keys():  # noqa: SIM118 - not a dict
            tensor = stored.get_tensor(name)
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                raise BadWeights(path, name, "holds NaN or infinity")


def _architecture(folder: Path, settings: Mapping[str, Any]) -> tuple[type[PreTrainedModel], PretrainedConfig]:
    named = settings.get("architectures") or []
    kind = getattr(transformers, str(named[0]), None) if isinstance(named, list) and named else None
    if not (isinstance(kind, type) and issubclass(kind, transformers.PreTrainedModel)):
        raise Unsupported(folder, f"architecture {named} is not one of transformers'")
    modality = _modality(folder, kind)
    for key in ("quantization_config", "use_pretrained_backbone", "use_timm_backbone"):
        if settings.get(key):
            raise Unsupported(folder, f"{key} is set in its config")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as cause:  # any config class may raise anything
        raise Unsupported(folder, f"its config is refused ({_first_line(cause)})") from cause
    objection = modality.objection(config)
    if objection is not None:
        raise Unsupported(folder, objection)
    return kind, config


def _modality(folder: Path, kind: type[PreTrainedModel]) -> Modality:
    modality = modality_of(kind.main_input_name)
    if modality is None:
        known = ", ".join(modalities)
        raise Unsupported(folder, f"{kind.__name__} takes {kind.main_input_name}; what can be made are {known}s")
    return modality


def _strictly_loaded(
    folder: Path, kind: type[PreTrainedModel], config: PretrainedConfig, bare: bool
) -> PreTrainedModel:
    try:
        loaded: Any = kind.from_pretrained(
            folder, config=config, dtype=torch.float32, local_files_only=True, use_safetensors=True,
            trust_remote_code=False, ignore_mismatched_sizes=True, output_loading_info=True,
            device_map="meta" if bare else None,
        )  # fmt: skip
    except Exception as cause:  # any architecture may raise anything
        raise Unsupported(folder, f"{kind.__name__} cannot be built ({_first_line(cause)})") from cause
    model: PreTrainedModel = loaded[0]
    told: dict[str, Any] = loaded[1]
    for key in sorted(told["mismatched_keys"], key=str):
        name, stored, wanted = key
        raise ShapeMismatch(folder, f"{name} is stored as {tuple(stored)}, the config wants {tuple(wanted)}")
    for name in sorted(told["missing_keys"]):
        raise ShapeMismatch(folder, f"{name} is not stored")
    for name in sorted(told["unexpected_keys"]):
        if _of_backbone(model, name):
            raise ShapeMismatch(folder, f"{name} is stored, the config has no such weight")
    return model


def _of_backbone(model: PreTrainedModel, name: str) -> bool:
    inner = name.removeprefix(f"{model.base_model_prefix}.")
    return inner.split(".", 1)[0] in {child for child, _ in model.base_model.named_children()}


def _real_labels(architecture: str, settings: Mapping[str, Any]) -> dict[int, str]:
    """Class names of a source head; regression heads and placeholder names do not count."""
    stated = settings.get("id2label")
    if not is_classifier(architecture) or settings.get("problem_type") == "regression":
        return {}
    if not isinstance(stated, dict) or all(str(name).startswith(_PLACEHOLDER) for name in stated.values()):
        return {}
    return {int(place): str(name) for place, name in stated.items()}


def _digest(folder: Path, files: list[Path]) -> str:
    known = hashlib.sha256()
    for path in [folder / _INDEX, *files] if files[0].name != _WEIGHTS else files:
        with path.open("rb") as file:
            while part := file.read(1 << 20):
                known.update(part)
    return known.hexdigest()


def _license(folder: Path) -> str:
    """A license stated in SOURCE.json, card.json or README.md's front matter; else ``unknown``."""
    for file in ("SOURCE.json", "card.json"):
        if (folder / file).is_file():
            found = _json(folder, file)
            stated = found.get("license") or found.get("licence")
            if isinstance(stated, str) and stated.strip():
                return stated.strip()
    readme = folder / "README.md"
    if readme.is_file():
        lines = readme.read_text(errors="replace").splitlines()
        front = lines[1 : lines.index("---", 1)] if lines[:1] == ["---"] and "---" in lines[1:] else []
        stated = next((line.partition(":")[2].strip() for line in front if line.startswith("license:")), "")
        return stated or UNKNOWN_LICENSE
    return UNKNOWN_LICENSE


def _first_line(cause: Exception) -> str:
    return (str(cause).strip().splitlines() or [type(cause).__name__])[0]
