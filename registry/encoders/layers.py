"""The blocks of a backbone: where each ends, which parameters belong to it, and how its output is read.

Blocks are the members of the backbone's largest module list (stages of a ResNet or Swin, layers of a ViT, inverted
residuals of a MobileNet), neighbors joined so that there are at most eight. What comes before the list counts to the
first block, what comes after it to the last. An output is read as its network pools it (`Network.pool`). The last block
is read as the source's head reads it: the input of its linear layer (CLS token, pooled map ...); without such a head
the pooled output, else the last hidden state as the network pools it.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.utils.generic import ModelOutput

from registry.modalities import Network

__all__ = ["Block", "Layers", "Reading", "is_classifier", "layers_of", "read_blocks"]

_MOST_BLOCKS = 8
_CLASSIFIER = re.compile(r"For(?!Token)\w*Classification$")
"""Names of transformers' models that end in one label, or several, an item."""


@dataclass(frozen=True)
class Block:
    """A stretch of the backbone."""

    name: str
    end: str
    """Path of the module whose output is this block's."""
    prefixes: tuple[str, ...]
    """What the names of its parameters begin with."""


@dataclass(frozen=True)
class Layers:
    """A model seen as blocks and a head."""

    blocks: tuple[Block, ...]
    head: str | None
    """Path of the source head's linear layer, where there is one."""

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks' names, input side first."""
        return tuple(block.name for block in self.blocks)

    def block(self, name: str) -> Block:
        """The block of that name."""
        return self.blocks[self.names.index(name)]


@dataclass(frozen=True, eq=False)
class Reading:
    """What one forward pass gave: each block's features (n, d), and the head's logits where there is one."""

    blocks: tuple[torch.Tensor, ...]
    logits: torch.Tensor | None


def layers_of(model: PreTrainedModel) -> Layers:
    """Find the blocks of a transformers model."""
    head = _head_of(model)
    units = _units(model)
    ends = units[_step(len(units)) - 1 :: _step(len(units))]
    if not ends or ends[-1] != units[-1]:
        ends = [*ends, units[-1]]
    owners = _owners(model, head, units)
    blocks = []
    for place, end in enumerate(ends):
        first = 0 if place == 0 else units.index(ends[place - 1]) + 1
        held = units[first : units.index(end) + 1]
        prefixes = tuple(prefix for prefix, unit in owners.items() if unit in held)
        blocks.append(Block(f"block {place + 1:02d}", _called(model, end), prefixes))
    return Layers(tuple(blocks), head)


def is_classifier(architecture: str) -> bool:
    """Whether an architecture of transformers has a head that labels whole items."""
    return _CLASSIFIER.search(architecture) is not None


def read_blocks(network: Network, layers: Layers, batch: Mapping[str, Any]) -> Reading:
    """One forward pass, every block's features, and the logits."""
    model: PreTrainedModel = network.model
    part = model if layers.head else model.base_model
    with _recorded_outputs(model, layers) as outputs:
        output: ModelOutput = part(**batch, **network.settings(part), return_dict=True)
    middle = [network.pool(outputs[block.end], batch) for block in layers.blocks[:-1]]
    last = _before_head(network, outputs[layers.head], batch) if layers.head else network.summary(output, batch)
    return Reading((*middle, last), output["logits"] if layers.head else None)


def _before_head(network: Network, features: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
    """What the head labels: heads that label every place of a sequence are read where the network reads a block."""
    return network.pool(features, batch) if features.ndim == 3 else features.flatten(1)


def _step(units: int) -> int:
    return -(-units // _MOST_BLOCKS)


def _head_of(model: PreTrainedModel) -> str | None:
    """The last linear layer outside the backbone that makes as many outputs as there are labels."""
    if not is_classifier(type(model).__name__):
        return None
    backbone = set() if model.base_model is model else set(model.base_model.modules())
    heads = [
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and module not in backbone and module.out_features == model.config.num_labels
    ]
    return heads[-1] if heads else None


def _units(model: PreTrainedModel) -> list[str]:
    lists = [
        (sum(p.numel() for p in module.parameters()), path, len(module))
        for path, module in model.named_modules()
        if isinstance(module, nn.ModuleList | nn.Sequential) and len(module) > 1
    ]
    if not lists:
        return [next(path for path, module in model.named_modules() if module is model.base_model)]
    _, path, length = max(lists, key=lambda entry: entry[0])
    return [f"{path}.{place}" for place in range(length)]


def _called(model: PreTrainedModel, path: str) -> str:
    """The path, or of a list of modules, which is never called itself, its last member's."""
    module = model.get_submodule(path)
    while isinstance(module, nn.ModuleList) and len(module):
        path, module = f"{path}.{len(module) - 1}", module[len(module) - 1]
    return path


def _owners(model: PreTrainedModel, head: str | None, units: list[str]) -> dict[str, str]:
    """Prefixes of parameter names, each with the unit that owns it, in the order of registration."""
    inside = [name for name, _ in model.named_parameters() if not _below(name, head)]
    if head is None and model.base_model is not model:
        inside = [name for name in inside if _below(name, model.base_model_prefix)]
    owners: dict[str, str] = {}
    reached = False
    for name in inside:
        unit = next((unit for unit in units if _below(name, unit)), None)
        reached = reached or unit is not None
        prefix = f"{unit}." if unit is not None else _stem(name, units)
        owners.setdefault(prefix, unit if unit is not None else units[-1 if reached else 0])
    return owners


def _below(name: str, path: str | None) -> bool:
    return path is not None and (path == "" or name.startswith(f"{path}."))


def _stem(name: str, units: list[str]) -> str:
    """The shortest ancestor of a parameter that holds no unit, as a prefix; else the whole name."""
    parts = name.split(".")
    for depth in range(1, len(parts)):
        path = ".".join(parts[:depth])
        if not any(_below(unit, path) for unit in units):
            return f"{path}."
    return name


@contextmanager
def _recorded_outputs(model: PreTrainedModel, layers: Layers) -> Iterator[dict[str, torch.Tensor]]:
    outputs: dict[str, torch.Tensor] = {}

    def keep(path: str, output: object) -> None:
        outputs[path] = _first_tensor(output)

    handles = [
        model.get_submodule(path).register_forward_hook(lambda _module, _inputs, output, path=path: keep(path, output))
        for path in (block.end for block in layers.blocks)
    ]
    if layers.head is not None:
        path = layers.head
        handles.append(model.get_submodule(path).register_forward_pre_hook(lambda _module, inputs: keep(path, inputs)))
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


def _first_tensor(output: object) -> torch.Tensor:
    if isinstance(output, torch.Tensor):
        return output
    values = output.values() if isinstance(output, dict) else output
    return next(value for value in values if isinstance(value, torch.Tensor))  # type: ignore[attr-defined]
