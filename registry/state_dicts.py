"""Weights that lie in a file of their own: with a config and a processor from elsewhere they become a checkpoint."""

import json
import os
import shutil
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

from registry.cards import Checkpoint
from registry.documents import read_text
from registry.errors import (
    AlreadyThere,
    NoWeights,
    PathMissing,
    PickleRefused,
    ProcessorMissing,
    Unsupported,
)
from registry.files import disk_full_named, matching
from registry.hub import Hub, parse_hub_id, small_files
from registry.modalities import Modality, modalities
from registry.naming import naming
from registry.progress import Progress, silent
from registry.statements import FOREIGN_WEIGHTS
from registry.zoo import Zoo

__all__ = ["add_state_dict"]

_CONFIG, _WEIGHTS, _SETTINGS = "config.json", "model.safetensors", "preprocessor_config.json"


def add_state_dict(
    zoo: Zoo,
    weights: Path,
    architecture: str,
    *,
    name: str | None = None,
    license: str | None = None,
    domain: str | None = None,
    hub: Hub | None = None,
    progress: Progress = silent,
) -> Checkpoint:
    """Register a safetensors file of weights as the checkpoint that ``architecture`` describes.

    That is a config.json, a folder with one, or the id of a checkpoint of a hub, of which config and processor are
    fetched and nothing else. A processor comes from the same place; where there is none, the one that transformers
    has for the type of model is taken, and `Zoo.notes` warns. The registry's folder for it holds the weights by a link
    where the file system has them, not a second time.

    Raises:
        PathMissing: there is no such file, or no config at that place.
        PickleRefused: the file is no safetensors file, but a pickled one.
        ProcessorMissing: its items need a tokenizer, and none lies beside the config.
        AlreadyThere: the name belongs to something else.
        HubError, CheckpointError, DiskFull: as `registry.upstream.add` and `Zoo.add`.
    """
    file = weights.expanduser().resolve()
    _require_safetensors(file)
    called = name or file.stem
    place = zoo.home.checkpoints / called
    with naming(zoo.home, f"{called} (its folder)"):
        if place.exists():
            if (place / _WEIGHTS).is_file() and (place / _WEIGHTS).samefile(file):
                return zoo.add(place, name=called, license=license, domain=domain, progress=progress)
            raise AlreadyThere("checkpoint", called)
        with TemporaryDirectory(dir=zoo.home.checkpoints, prefix=f"{called}.", suffix=f".{os.getpid()}.tmp") as scratch:
            folder = Path(scratch) / called
            folder.mkdir()
            with disk_full_named(place):
                _copy_settings(_source(zoo, architecture, hub or Hub(), progress), folder)
                _link(file, folder / _WEIGHTS)
                assumed = _with_processor(folder)
            try:
                folder.rename(place)
                card = zoo.add(place, name=called, license=license, domain=domain, progress=progress)
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
    if assumed:
        zoo.remark(f"{called} came without its preprocessing: {assumed} is assumed, as models of its type usually have")
    return card


def _require_safetensors(file: Path) -> None:
    if not file.is_file():
        raise PathMissing(file)
    if file.suffix in FOREIGN_WEIGHTS:
        raise PickleRefused(file.parent, file.name)
    if file.suffix != ".safetensors":
        raise Unsupported(file, "it is no safetensors file", "Save the weights with safetensors.torch.save_file().")


def _source(zoo: Zoo, architecture: str, hub: Hub, progress: Progress) -> Path:
    """The folder in which the config of an architecture lies."""
    place = Path(architecture).expanduser()
    if place.name == _CONFIG and place.is_file():
        return place.resolve().parent
    if place.is_dir():
        if not (place / _CONFIG).is_file():
            raise NoWeights(place, _CONFIG)
        return place.resolve()
    if place.suffix == ".json":
        raise PathMissing(place)
    remote = hub.remote(*parse_hub_id(architecture))
    return hub.fetch(remote.hub, remote.commit, small_files(remote), aside=zoo.home.damaged, progress=progress)


def _copy_settings(source: Path, folder: Path) -> None:
    wanted = {_CONFIG, *(name for modality in modalities.each() for name in modality.processor_files)}
    for name in matching(sorted(wanted), source):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(read_text(source / name), encoding="utf-8")


def _link(file: Path, to: Path) -> None:
    """The same file under another name; a copy where the file system has it not."""
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


def _with_processor(folder: Path) -> str:
    """Write the processor that is usual for the type of model, where there is none; which one that is."""
    modality: Modality = import_module("registry.encoders.loading").modality_at(folder)
    if matching(modality.processor_files, folder):
        return ""
    usual: Mapping[str, object] | None = modality.usual_processor(folder)
    if usual is None:
        raise ProcessorMissing(folder)
    (folder / _SETTINGS).write_text(json.dumps(usual, indent=1))
    return str(usual.get("image_processor_type"))
