"""The two ends of an image model: pictures to tensors, and a block's output to one vector a picture."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.func import functional_call
from transformers import AutoImageProcessor, PretrainedConfig, PreTrainedModel

from registry.modalities import Prepared
from registry.modalities.image.items import ImageItem, items_from_memory
from registry.modalities.image.patches import INPUTS, PatchPreprocessing
from registry.modalities.image.preprocessing import Preprocessing, read_input

__all__ = ["ImageNetwork", "open_network"]

_INPUT, _MASK, _ = INPUTS
_SCALED = "interpolate_pos_encoding"
_BATCH_PIXELS = 1 << 20
_MOST_IN_BATCH = 128
_SHAPES = ((96, 64), (64, 96), (128, 128), (300, 257), (48, 48))
_CHANNELS = 3


@dataclass(frozen=True, eq=False)
class ImageNetwork:
    """An image model with its own preprocessing. Maps lie in memory with their channels last."""

    model: PreTrainedModel
    preprocessing: Preprocessing | PatchPreprocessing
    beside: tuple[str, ...] = ()

    @property
    def blended(self) -> tuple[str, ...]:
        """As `Network.blended`."""
        return self.preprocessing.blended

    @property
    def digest(self) -> str:
        """As `Network.digest`."""
        return self.preprocessing.digest

    @property
    def stated(self) -> int:
        """Side of the input in pixels, before any cap."""
        return self.preprocessing.stated

    @property
    def at_once(self) -> int:
        """As `Network.at_once`: about a million pixels."""
        pixels = self.preprocessing.height * self.preprocessing.width
        return max(1, min(_MOST_IN_BATCH, _BATCH_PIXELS // pixels))

    def remarks(self, items: Sequence[ImageItem]) -> tuple[str, ...]:
        """As `Network.remarks`: none; what is small in a large picture is for the probe to show."""
        del items
        return ()

    def around(self, model: PreTrainedModel) -> "ImageNetwork":
        """As `Network.around`."""
        return replace(self, model=model)

    def prepare(self, item: ImageItem) -> Prepared:
        """Resized and cropped, still 8-bit."""
        return self.preprocessing.prepared(item.open())

    def batch(
        self, rows: Sequence[Prepared], chance: Sequence[np.random.Generator] | None = None
    ) -> dict[str, torch.Tensor]:
        """As `Network.batch`."""
        return _tensors(self.preprocessing.batch(rows, chance))

    def context(self, rows: Sequence[Prepared]) -> dict[str, torch.Tensor]:
        """As `Network.context`: of rows of patches, which are none."""
        return _tensors(self.preprocessing.context(rows))

    def settings(self, part: nn.Module) -> Mapping[str, object]:
        """Position embeddings are interpolated where inputs are of another size than the configuration states."""
        stated = getattr(self.model.config, "image_size", None)
        scaled = isinstance(stated, int) and stated != self.preprocessing.width
        return {_SCALED: True} if scaled and _SCALED in inspect.signature(part.forward).parameters else {}

    def pool(self, hidden: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Its mean over positions: over the map of a convolutional net, over the patch tokens of a transformer."""
        if hidden.ndim == 4:
            return hidden.mean((2, 3))
        if hidden.ndim == 3 and _MASK in batch:
            weights = batch[_MASK].to(hidden)[..., None]
            return (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
        if hidden.ndim == 3:
            patches = self._patches(batch)
            extra = hidden.shape[1] - patches if 0 < patches < hidden.shape[1] else 0
            return hidden[:, extra:].mean(1)
        return hidden.flatten(1)

    def summary(self, output: Mapping[str, Any], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """As `Network.summary`: the pooler's output where it is one vector, else the last map or sequence, pooled."""
        pooled = output.get("pooler_output")
        if isinstance(pooled, torch.Tensor) and pooled.flatten(1).shape[1] == pooled.shape[1]:
            return pooled.flatten(1)
        return self.pool(output["last_hidden_state"], batch)

    def examples(self) -> tuple[ImageItem, ...]:
        """Pictures of several shapes, smooth and rough."""
        random = np.random.default_rng(0)
        examples = []
        for place, (width, height) in enumerate(_SHAPES):
            grain = 4 + 12 * place
            noise = Image.fromarray(random.integers(0, 256, (grain, grain, _CHANNELS), dtype=np.uint8))
            pixels = np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC))
            examples.append(replace(items_from_memory(pixels[None])[0], name=f"example {place}"))
        return tuple(examples)

    def save_processor(self, folder: Path) -> None:
        """As `Network.save_processor`."""
        self.preprocessing.processor.save_pretrained(folder)

    def reopened(self, folder: Path, items: Sequence[ImageItem]) -> dict[str, torch.Tensor]:
        """As `Network.reopened`."""
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True, backend="pil")
        opened = [item.open().convert(self.preprocessing.mode) for item in items]
        batches = [processor(images=image, return_tensors="pt") for image in opened]
        return {name: torch.cat([batch[name] for batch in batches]) for name in self.batch([self.prepare(items[0])])}

    def classifiers(self, config: Any, weight: np.ndarray, bias: np.ndarray, build: Any) -> Iterator[Any]:  # noqa: ANN401 - as `Network.classifiers`
        """As `Network.classifiers`: there are none beside transformers' own."""
        del config, weight, bias, build
        return iter(())

    def configured(self, config: PretrainedConfig) -> PretrainedConfig:
        """As `Network.configured`."""
        copied = deepcopy(config)
        takes = inspect.signature(self.model.forward).parameters
        if _SCALED in takes and isinstance(getattr(copied, "image_size", None), int):
            copied.image_size = self.preprocessing.side
        return copied

    def can_run(self) -> bool:
        """Whether the model takes inputs of that size, as far as a pass without values shows it."""
        batch = {name: tensor.to("meta") for name, tensor in self.batch([self.prepare(self.examples()[0])]).items()}
        tensors = {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}
        bare = {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors.items()}
        try:
            with torch.no_grad():
                functional_call(self.model, bare, (), {**batch, **self.settings(self.model)})
        except Exception:  # any architecture may raise anything
            return False
        return True

    def resized(self, owner: Any, wanted: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - whatever holds the positions
        """As the net makes them whenever it sees that size."""
        with torch.inference_mode():
            resized = owner.interpolate_pos_encoding(
                torch.zeros_like(wanted), self.preprocessing.height, self.preprocessing.width
            )
        return torch.Tensor(resized.clone())

    def _patches(self, batch: Mapping[str, torch.Tensor]) -> int:
        """How many patch tokens the input is cut into; 0 where the net does not cut it."""
        patch = getattr(self.model.config, "patch_size", None)
        height, width = batch[_INPUT].shape[-2:]
        return (height // patch) * (width // patch) if isinstance(patch, int) else 0


def open_network(folder: Path, model: PreTrainedModel, cap: int) -> ImageNetwork:
    """The two ends of an image model, with the preprocessing in its folder.

    Inputs are no larger than ``cap`` pixels, but for a net that takes its own size alone.

    Raises:
        Unsupported: there is no preprocessing that can be reproduced.
    """
    nn.Module.to(model, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    channels = getattr(model.config, "num_channels", _CHANNELS)
    network = ImageNetwork(model, read_input(folder, cap=cap, channels=channels))
    if network.preprocessing.side == network.stated or network.can_run():
        return network
    whole = ImageNetwork(model, read_input(folder, cap=network.stated, channels=channels))
    return whole if whole.can_run() else network


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, torch.Tensor]:
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in tensors.items()
    }
