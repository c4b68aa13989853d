"""Activation cache: where a frozen prefix ends, what it gave is kept, and only the rest of the net is run.

A net is resumed in its middle by letting the modules of the prefix answer from memory for the length of one forward
pass: the last of them with the kept activations, those before it with anything of the right form. That works wherever
a net hands one tensor from block to block, and whether it does is not assumed but tried on the first rows.
"""

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float
from torch import nn

from recommender.tuning.classifier import Classifier

__all__ = ["ActivationCache", "fits", "frozen_prefix"]

_MOST_BYTES = 8 << 30
_TOLERANCE = 1e-4


def frozen_prefix(classifier: Classifier, learned: frozenset[str]) -> str | None:
    """The last of the leading blocks that have not learned so far and do not now; None where the first one does."""
    last = None
    for name in classifier.layers.names[: classifier.place]:
        if name in learned:
            break
        last = name
    return last


def fits(rows: int, activation: Float[torch.Tensor, "n ..."], folder: Path) -> bool:
    """Whether the activations of so many rows may be kept on the disk of that folder."""
    wanted = 4 * rows * activation[0].numel()
    return wanted <= min(_MOST_BYTES, shutil.disk_usage(folder).free // 2)


class _Reached(Exception):
    """The boundary was reached; nothing behind it need be run."""


class ActivationCache:
    """The end of a block of a classifier, up to which nothing learns."""

    def __init__(
        self, classifier: Classifier, block: str, batch: Mapping[str, torch.Tensor], context: Collection[str] = ()
    ) -> None:
        """Look at how the net behaves on a few rows; ``context`` names what of them blocks behind it read too.

        Raises:
            ValueError: resumed there, it says something else than from the start.
        """
        self.classifier = classifier
        layers = classifier.layers
        before = layers.blocks[: layers.names.index(block) + 1]
        self.end = layers.block(block).end
        self._paths = _outermost(classifier.body, [prefix for one in before for prefix in one.prefixes], self.end)
        self._items = {name: tensor[:1] for name, tensor in batch.items() if name not in context}
        beside = {name: tensor for name, tensor in batch.items() if name in context}
        self._outputs: Mapping[str, object] = {}
        self._places: int | None = None
        """Places of the sequences that were looked at; None where all items are of one size."""
        self._written_into = any(getattr(module, "inplace", False) for module in classifier.body.modules())
        with torch.inference_mode():
            whole = self._remembered(batch)
            kept = self.activations(batch)
            self._places = kept.shape[1] if kept.ndim == 3 and beside else None
            self._refuse_what_hangs_on_length(block)
            resumed = self.logits(kept, **beside)
        if not torch.allclose(whole, resumed, atol=_TOLERANCE * float(whole.abs().max() + 1), rtol=0):
            raise ValueError(f"{type(classifier.body).__name__} cannot be resumed behind {block}")

    def activations(self, batch: Mapping[str, torch.Tensor]) -> Float[torch.Tensor, "n ..."]:
        """What flows out of the block; nothing behind it is run."""
        caught: list[torch.Tensor] = []

        def stop(_module: nn.Module, _inputs: object, output: object) -> None:
            caught.append(_tensors(output)[0])
            raise _Reached

        handle = self.classifier.body.get_submodule(self.end).register_forward_hook(stop)
        try:
            self.classifier(**batch)
        except _Reached:
            return caught[0]
        finally:
            handle.remove()
        raise ValueError(f"{self.end} was never run")

    def logits(self, kept: Float[torch.Tensor, "n ..."], **context: torch.Tensor) -> Float[torch.Tensor, "n c"]:
        """What the net makes of activations, and of what else its blocks read."""
        with self._replaying(kept) as items:
            logits: torch.Tensor = self.classifier(**items, **context)
        return logits

    def blocks(self, kept: Float[torch.Tensor, "n ..."], **context: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features after each block up to the one that is read; those before the boundary are not true."""
        with self._replaying(kept) as items:
            return self.classifier.blocks(**items, **context)

    def _remembered(self, batch: Mapping[str, torch.Tensor]) -> Float[torch.Tensor, "n c"]:
        """Logits, and the form of what each module of the prefix gives."""
        outputs: dict[str, object] = {}
        handles = [
            self.classifier.body.get_submodule(path).register_forward_hook(
                lambda _module, _inputs, output, path=path: outputs.__setitem__(path, output)
            )
            for path in self._paths
        ]
        try:
            logits: torch.Tensor = self.classifier(**batch)
        finally:
            for handle in handles:
                handle.remove()
        self._outputs = {
            path: _mapped(output, lambda t: t[:1].clone() if t.ndim else t) for path, output in outputs.items()
        }
        return logits

    @contextmanager
    def _replaying(self, kept: torch.Tensor) -> Iterator[dict[str, torch.Tensor]]:
        """The modules of the prefix answer from memory, whatever the items; gives items of the right form to go in."""
        modules = {path: self.classifier.body.get_submodule(path) for path in self._outputs}
        for path, module in modules.items():
            module.forward = self._answer(path, kept)
        try:
            yield {
                name: torch.zeros((), dtype=tensor.dtype, device=kept.device).expand(self._shape(tensor, kept))
                for name, tensor in self._items.items()
            }
        finally:
            for module in modules.values():
                del module.forward

    def _answer(self, path: str, kept: torch.Tensor) -> Callable[..., object]:
        answer = _mapped(self._outputs[path], lambda t: self._formed(t, kept) if t.ndim else t)
        if path == self.end:
            answer = _with_first(answer, kept)
        return lambda *_inputs, **_settings: answer

    def _shape(self, tensor: torch.Tensor, kept: torch.Tensor) -> tuple[int, ...]:
        """The shape of an output that was recorded of one row, for as many rows and places as are given."""
        sequence = tensor.ndim > 1 and tensor.shape[1] == self._places
        return (len(kept), *(kept.shape[1:2] if sequence else tensor.shape[1:2]), *tensor.shape[2:])

    def _formed(self, output: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        shape = self._shape(output, kept)
        formed = (output if output.shape[1:] == shape[1:] else output[:, :1]).expand(shape)
        return formed.clone() if self._written_into else formed

    def _refuse_what_hangs_on_length(self, block: str) -> None:
        """What is handed on beside the activations is remembered of one row: it must be the same for every length."""
        beside = _tensors(self._outputs[self.end])[1:]
        if self._places is not None and any(self._places in tensor.shape[1:] for tensor in beside):
            kind = type(self.classifier.body).__name__
            raise ValueError(f"{kind} cannot be resumed behind {block}: it hands on what depends on a row's length")


def _outermost(body: nn.Module, prefixes: list[str], end: str) -> list[str]:
    """Paths of the modules that the prefixes stand for; single parameters need no module."""
    modules = dict(body.named_modules())
    outer = [prefix.removesuffix(".") for prefix in prefixes if prefix.endswith(".")]
    return [path for path in dict.fromkeys([*outer, end]) if path in modules]


def _tensors(output: object) -> list[torch.Tensor]:
    tensors: list[torch.Tensor] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        tensors.append(tensor)
        return tensor

    _mapped(output, note)
    return tensors


def _with_first(output: object, tensor: torch.Tensor) -> object:
    waiting = [tensor]
    return _mapped(output, lambda other: waiting.pop() if waiting else other)


def _mapped(output: object, change: Callable[[torch.Tensor], torch.Tensor]) -> object:
    """The same structure of tuples, lists and mappings with its tensors changed, in order."""
    if isinstance(output, torch.Tensor):
        return change(output)
    if isinstance(output, dict):
        return type(output)(**{key: _mapped(value, change) for key, value in output.items()})
    if isinstance(output, list | tuple):
        return type(output)(_mapped(value, change) for value in output)
    return output
