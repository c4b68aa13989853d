"""A run as its backbone with the linear head beside it, where transformers has no classifier that computes the same.

What of the backbone's output the head reads is found by comparing with what the run reads, and written down as a few
lines of Python, which say how both belong together and are carried out once to be checked.
"""

import runpy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import layer_norm, normalize
from transformers import AutoModel, PreTrainedModel

from recommender.tuning.heads import LinearHead, save_head
from registry.encoders.layers import arguments
from registry.encoders.loading import quiet
from registry.modalities import Network

__all__ = ["SCRIPT", "SavedBackbone", "logits_beside", "save_beside"]

SCRIPT = "classifier.py"
_MOST_BEFORE = 16
"""Positions in front of those that are averaged: class tokens and registers."""
_LAYER_NORM, _LEAST_VARIANCE = "torch.nn.functional.layer_norm", 1e-12
"""What brings a mean to zero mean and unit variance."""
_CODE = '''"""{architecture} with the linear head of a run of transferzoo, opened by transformers and safetensors alone.

    logits(**inputs), of what the processor in this folder gives
"""

from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import {opener}

HERE = Path(__file__).parent
CLASSES = {classes}
backbone = {opener}.from_pretrained(HERE, dtype=torch.float32, local_files_only=True).eval()
head = load_file(HERE / "head.safetensors")


@torch.inference_mode()
def logits(**inputs):
    """A row for each item, a column for each of CLASSES."""
    output = backbone({arguments})
    features = {features}
    return features @ head["weight"].T + head["bias"]
'''


@dataclass(frozen=True)
class SavedBackbone:
    """What lies in the folder."""

    architecture: str
    """The backbone's class."""
    opener: str
    """The class of transformers that opens it: `AutoModel`, or where this does not know it, the class itself."""


def save_beside(
    network: Network, head: LinearHead, features: torch.Tensor, classes: tuple[str, ...], folder: Path, within: float
) -> SavedBackbone | None:
    """Write backbone, head and the lines that join them; None where nothing of its output is what the head reads.

    ``features`` (n, d) are what the head reads of the network's own examples; ``within`` is how far they may lie apart,
    for values beyond 1 in proportion to the largest.
    """
    model: PreTrainedModel = network.model
    known = AutoModel._model_mapping.get(type(model.config), ())
    kinds = known if isinstance(known, tuple | list) else (known,)
    parts: tuple[Any, ...] = (model, model.base_model)
    backbone: PreTrainedModel = next((part for part in parts if type(part) in kinds), model)
    batch = network.batch([network.prepare(item) for item in network.examples()])
    with quiet():
        backbone.save_pretrained(folder, save_original_format=False)  # a tower's names, not those of the whole
        opener: Any = AutoModel if type(backbone) in kinds else type(backbone)
        opened: PreTrainedModel = opener.from_pretrained(folder, dtype=torch.float32, local_files_only=True).eval()
    settings = {**network.settings(opened), "output_hidden_states": True}
    inputs = arguments(network, batch)
    with torch.inference_mode():
        output = opened(**inputs, **settings)
    reach = within * max(1.0, float(features.abs().max()))
    fitting = (
        code
        for code, values in _readings(output, inputs)
        if values.shape == features.shape and float((values - features).abs().max()) <= reach
    )
    code = next(fitting, None)
    if code is None:
        return None
    options = "".join(f", {name}={value!r}" for name, value in settings.items())
    written = SavedBackbone(type(opened).__name__, opener.__name__)
    script = _CODE.format(
        architecture=written.architecture,
        opener=written.opener,
        classes=ascii(list(classes)),
        arguments=f"**inputs{options}",
        features=code,
    )
    (folder / SCRIPT).write_text(script)
    save_head(head, folder)
    network.save_processor(folder)
    return written


def logits_beside(folder: Path, batch: Mapping[str, torch.Tensor]) -> np.ndarray:
    """The logits that what was written gives, opened anew."""
    with quiet():
        logits: torch.Tensor = runpy.run_path(str(folder / SCRIPT))["logits"](**batch)
    return logits.numpy()


def _readings(output: Mapping[str, Any], inputs: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """What a head may read of a backbone's output, each as Python and as the values of these inputs."""
    for name in ("pooler_output", "last_hidden_state"):
        if isinstance(output.get(name), torch.Tensor):
            yield from _pooled(f"output.{name}", output[name], inputs)
    for place, hidden in enumerate(output.get("hidden_states") or ()):
        yield from _pooled(f"output.hidden_states[{place}]", hidden, inputs)


def _pooled(code: str, hidden: torch.Tensor, inputs: Mapping[str, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """One vector a row of a backbone's hidden state."""
    match hidden.ndim:
        case 2:
            yield code, hidden
        case 4:
            yield f"{code}.mean((2, 3))", hidden.mean((2, 3))
        case 3:
            yield f"{code}[:, 0]", hidden[:, 0]
            for before in range(min(_MOST_BEFORE, hidden.shape[1] - 1) + 1):
                places = f"{code}[:, {before}:]" if before else code
                yield f"{places}.mean(1)", hidden[:, before:].mean(1)
            for name, mask in inputs.items():
                if isinstance(mask, torch.Tensor) and mask.shape == hidden.shape[:2]:
                    share = (mask / mask.sum(1, keepdim=True))[..., None]
                    written = f'(inputs["{name}"] / inputs["{name}"].sum(1, keepdim=True))[..., None]'
                    mean, summed = (hidden * share).sum(1), f"({code} * {written}).sum(1)"
                    yield summed, mean
                    level = layer_norm(mean, mean.shape[1:], eps=_LEAST_VARIANCE)
                    leveled = f"{_LAYER_NORM}({summed}, {code}.shape[2:], eps={_LEAST_VARIANCE})"
                    yield leveled, level
                    yield f"torch.nn.functional.normalize({leveled}, dim=1)", normalize(level, dim=1)
