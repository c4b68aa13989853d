"""The blocks of a backbone: where each ends, which parameters belong to it, and how its output is read.

What a net consists of is seen in one forward pass of examples, without values (on torch's meta device) where the net
allows: which modules are called, in which order, and which of them hand on a tensor with a row for each item. Blocks
are the members of the backbone's largest list of modules (stages of a ResNet or Swin, layers of a ViT, inverted
residuals of a MobileNet) that are called one after another, neighbors joined so that there are at most eight. A member
that is a mere container ends with the last call inside it. A parameter belongs to the block in whose stretch its module
is called first: what runs before the list counts to the first block, what runs after it to the last. An output is read
as its network pools it (`Network.pool`). The last block is read as the source's head reads it: the input of its linear
layer (CLS token, pooled map ...); without such a head the pooled output, else the last hidden state as the network
pools it, else the output of the last block.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import signature
from itertools import groupby, pairwise
from typing import Any

import torch
from torch import nn
from torch.func import functional_call
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D
from transformers.utils.generic import ModelOutput

from registry.modalities import Network, Prepared

__all__ = [
    "LINEAR",
    "Block",
    "BlockReading",
    "Layers",
    "arguments",
    "is_classifier",
    "layers_of",
    "read_blocks",
    "size_of",
]

LINEAR = (nn.Linear, Conv1D)
"""Layers that adapters may lie beside; GPT-2's have their weights transposed."""

_MOST_BLOCKS = 8
_ROWS = 3
"""Items of the pass in which the net is watched."""
_NUMBERED = re.compile(r"(.*?)\d+")
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
    part: str = ""
    """Path of the module that is run to read them; of the whole model it is empty."""
    swelling: float = 0.0
    """Bytes of the largest output of any module for each byte of a prepared item."""

    @property
    def names(self) -> tuple[str, ...]:
        """The blocks' names, input side first."""
        return tuple(block.name for block in self.blocks)

    def block(self, name: str) -> Block:
        """The block of that name."""
        return self.blocks[self.names.index(name)]


@dataclass(frozen=True, eq=False)
class BlockReading:
    """What one forward pass gave: each block's features (n, d), and the head's logits where there is one."""

    blocks: tuple[torch.Tensor, ...]
    logits: torch.Tensor | None


def layers_of(network: Network) -> Layers:
    """Find the blocks of an opened checkpoint.

    Raises:
        Exception: whatever the net raises when it sees its network's own examples.
    """
    model: PreTrainedModel = network.model
    rows = [network.prepare(item) for item in network.examples()[:_ROWS]]
    batch = network.batch(rows)
    head = None if network.beside else _head_of(model)  # a head of whole items reads no positions
    part = _part(model, head, arguments(network, batch))
    calls = _calls(network, part, batch, len(rows))
    if head is not None and not calls.called(head):
        head, part = None, _part(model, None, arguments(network, batch))
        calls = _calls(network, part, batch, len(rows))
    units = _units(model, part, calls)
    joined = [units[first : first + _step(len(units))] for first in range(0, len(units), _step(len(units)))]
    ends = [calls.end(held[-1]) for held in joined]
    prefixes = _prefixes(model, head, part, calls, ends)
    blocks = (
        Block(f"block {place + 1:02d}", end, owned)
        for place, (end, owned) in enumerate(zip(ends, prefixes, strict=True))
    )
    item = max(size_of(row) for row in rows)
    return Layers(tuple(blocks), head, part, calls.largest / (len(rows) * item))


def arguments(network: Network, batch: Mapping[str, Any]) -> dict[str, Any]:
    """What of a batch the model takes."""
    return {name: value for name, value in batch.items() if name not in network.beside}


def size_of(row: Prepared) -> int:
    """Bytes of a prepared item: of texts as many times as it has tokens."""
    return sum(part.nbytes for part in row.values())


def is_classifier(architecture: str) -> bool:
    """Whether an architecture of transformers has a head that labels whole items."""
    return _CLASSIFIER.search(architecture) is not None


def read_blocks(network: Network, layers: Layers, batch: Mapping[str, Any]) -> BlockReading:
    """One forward pass, every block's features, and the logits."""
    model: PreTrainedModel = network.model
    part = model.get_submodule(layers.part)
    with _recorded_outputs(model, layers) as outputs:
        output: ModelOutput = part(**arguments(network, batch), **_as_output(network, part))
    middle = [network.pool(outputs[block.end], batch) for block in layers.blocks[:-1]]
    if layers.head:
        read, logits = outputs[layers.head], output.get("logits")
        if logits is None:  # a classifier that calls them otherwise
            logits = model.get_submodule(layers.head)(read)
        return BlockReading((*middle, _before_head(network, read, batch)), logits)
    stated = any(output.get(key) is not None for key in ("pooler_output", "last_hidden_state"))
    last = network.summary(output, batch) if stated else network.pool(outputs[layers.blocks[-1].end], batch)
    return BlockReading((*middle, last), None)


def _as_output(network: Network, part: nn.Module) -> dict[str, object]:
    """Arguments of a forward pass beside the batch, so that it gives a ModelOutput."""
    return {**network.settings(part), "return_dict": True}


def _before_head(network: Network, features: torch.Tensor, batch: Mapping[str, Any]) -> torch.Tensor:
    """What the head labels: heads that label every place of a sequence are read where the network reads a block."""
    return network.pool(features, batch) if features.ndim == 3 else features.flatten(1)


def _step(units: int) -> int:
    return -(-units // _MOST_BLOCKS)


def _head_of(model: PreTrainedModel) -> str | None:
    """The last linear layer outside the backbone that makes as many outputs as there are labels.

    A wrapper's backbone is the whole net, with the head in it.
    """
    if not is_classifier(type(model).__name__):
        return None
    backbone = set(model.base_model.modules())
    if backbone >= set(model.modules()) - {model}:
        backbone = set()
    heads = [
        path
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear) and module not in backbone and module.out_features == model.config.num_labels
    ]
    return heads[-1] if heads else None


@dataclass(eq=False)
class _Calls:
    """Which modules were called in a pass, by their paths: each time from when to when, on one clock."""

    spans: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    gives: set[str] = field(default_factory=set)
    """Those whose output begins with a tensor of floats that has a row for each item."""
    clock: int = 0
    largest: int = 0
    """Bytes of the largest tensor that any of them hands on, of all items."""

    def called(self, path: str) -> bool:
        """Whether it was called at all."""
        return path in self.spans

    def inside(self, path: str) -> list[str]:
        """What was called of a module and of all below it."""
        return [other for other in self.spans if other == path or _below(other, path)]

    def end(self, path: str) -> str:
        """What handed on a tensor last, of a module and all below it: mostly itself, a mere container's last member."""
        return max((one for one in self.inside(path) if one in self.gives), key=lambda one: self.spans[one][-1][1])

    def span(self, path: str) -> tuple[int, int]:
        """From the first call to the end of the last, of a module and all below it."""
        spans = [span for one in self.inside(path) for span in self.spans[one]]
        return min(began for began, _ in spans), max(ended for _, ended in spans)


def _part(model: PreTrainedModel, head: str | None, batch: Mapping[str, Any]) -> str:
    """What is run: with a head the whole model, else the backbone inside it, as far as that takes the same batch."""
    backbone: nn.Module = model.base_model
    if head is not None or backbone is model or not set(batch) <= set(signature(backbone.forward).parameters):
        return ""
    paths: dict[nn.Module, str] = {module: path for path, module in model.named_modules()}
    return paths[backbone]


def _calls(network: Network, part: str, batch: Mapping[str, Any], rows: int) -> _Calls:
    """What is called when a part of the model sees a batch; run without values where it can be run so."""
    batch = arguments(network, batch)
    module: nn.Module = network.model.get_submodule(part)
    options = _as_output(network, module)
    with torch.no_grad():
        try:
            with _watching(network.model, part, rows) as calls:
                values = {**dict(module.named_parameters()), **dict(module.named_buffers())}
                bare = {name: _without_values(tensor) for name, tensor in values.items()}
                inputs = {name: _without_values(value) for name, value in batch.items()}
                functional_call(module, bare, (), {**inputs, **options})
        except Exception:  # what a net computes may hang on values, and any error may say so
            with _watching(network.model, part, rows) as calls:
                module(**batch, **options)
    return calls


def _without_values(value: Any) -> Any:  # noqa: ANN401 - whatever a batch holds
    return torch.empty_like(value, device="meta") if isinstance(value, torch.Tensor) else value


@contextmanager
def _watching(model: PreTrainedModel, part: str, rows: int) -> Iterator[_Calls]:
    calls = _Calls()
    open_calls: list[int] = []

    def begin(_module: nn.Module, _inputs: object) -> None:
        calls.clock += 1
        open_calls.append(calls.clock)

    def end(path: str, output: object) -> None:
        calls.clock += 1
        calls.spans.setdefault(path, []).append((open_calls.pop(), calls.clock))
        outputs = [*_tensors(output)]
        calls.largest = max(calls.largest, *(tensor.nbytes for tensor in outputs), 0)
        first = next(iter(outputs), None)
        if first is not None and first.is_floating_point() and first.ndim > 1 and len(first) == rows:
            calls.gives.add(path)

    handles = []
    for path, module in model.named_modules():
        if path == part or _below(path, part):
            handles.append(module.register_forward_pre_hook(begin))
            handles.append(module.register_forward_hook(lambda _module, _inputs, output, path=path: end(path, output)))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def _units(model: PreTrainedModel, part: str, calls: _Calls) -> list[str]:
    """Paths of what follows one another: the members of the largest list, as they are called, else all as one."""
    groups = sorted(_lists(model), key=lambda paths: -sum(_parameters(model, path) for path in paths))
    for paths in groups:
        members = [path for path in paths if _below(path, part) and calls.gives.intersection(calls.inside(path))]
        members.sort(key=calls.span)
        if len(members) > 1 and all(calls.span(one)[1] < calls.span(next_)[0] for one, next_ in pairwise(members)):
            return members
    return [part]


def _lists(model: nn.Module) -> Iterator[list[str]]:
    """Modules that stand in one list, or beside each other under one name with a number (layer1, layer2 ...)."""
    for path, module in model.named_modules():
        names = [name for name, _ in module.named_children()]
        if isinstance(module, nn.ModuleList | nn.Sequential):
            groups = [names]
        else:
            numbered = [(match[1], name) for name in names if (match := _NUMBERED.fullmatch(name))]
            groups = [[name for _, name in held] for _, held in groupby(sorted(numbered), key=lambda pair: pair[0])]
        yield from ([f"{path}.{name}" if path else name for name in group] for group in groups if len(group) > 1)


def _parameters(model: nn.Module, path: str) -> int:
    return sum(p.numel() for p in model.get_submodule(path).parameters())


def _prefixes(
    model: PreTrainedModel, head: str | None, part: str, calls: _Calls, ends: Sequence[str]
) -> list[tuple[str, ...]]:
    """What the names of each block's parameters begin with, in the order of registration.

    Each as short as it can be: a module that holds no end and none of another block's parameters, else the whole name.
    """
    places: dict[str, int] = {}
    last = 0
    for name, _ in model.named_parameters():
        if _below(name, part) and not _below(name, head):
            last = places[name] = _place(name, calls, ends, last)
    held: dict[str, set[int]] = defaultdict(set)
    for name, place in places.items():
        for path in _ancestors(name):
            held[path].add(place)
    prefixes: list[dict[str, None]] = [{} for _ in ends]
    for name, place in places.items():
        alone = (
            path for path in _ancestors(name) if len(held[path]) == 1 and not any(_below(end, path) for end in ends)
        )
        prefixes[place][next((f"{path}." for path in alone), name)] = None
    return [tuple(owned) for owned in prefixes]


def _place(name: str, calls: _Calls, ends: Sequence[str], before: int) -> int:
    """In which block's stretch the module that holds a parameter is called first.

    Where that is never called itself, what is next above it counts; where that holds blocks, the parameter before it.
    """
    owner = path = name.rpartition(".")[0]
    while not calls.called(path) and path:
        path = path.rpartition(".")[0]
    if not calls.called(path) or (path != owner and any(_below(end, path) for end in ends)):
        return before
    began = calls.spans[path][0][0]
    return next((place for place, end in enumerate(ends) if began < calls.spans[end][-1][1]), len(ends) - 1)


def _below(name: str, path: str | None) -> bool:
    return path is not None and (path == "" or name.startswith(f"{path}."))


def _ancestors(name: str) -> list[str]:
    """Paths of the modules that hold a parameter, the outermost first."""
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


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
    return next(_tensors(output))


def _tensors(output: object) -> Iterator[torch.Tensor]:
    """The tensors of an output, in order, however it is nested."""
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from _tensors(value)
    elif isinstance(output, list | tuple):
        for value in output:
            yield from _tensors(value)
