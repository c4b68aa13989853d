"""Tiny repositories as a hub has them: a net that works, and what is wrong with others."""

import json
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

CARD = """---
license: mit
language: [en]
datasets: [imagenet-1k]
base_model: org/older
pipeline_tag: image-classification
model-index:
- name: net
  results:
  - task: {type: image-classification}
    dataset: {name: ImageNet-1k, type: imagenet-1k, split: validation}
    metrics:
    - {type: accuracy, value: 0.75}
    - {type: passed, value: true}
    - {type: note, value: "very good"}
---
# A net
"""


@lru_cache(maxsize=1)
def _net() -> dict[str, bytes]:
    from tests.registry.encoders.nets import save_net

    with TemporaryDirectory() as place:
        folder = save_net(Path(place) / "net", "resnet")
        return {path.name: path.read_bytes() for path in folder.iterdir()} | {"README.md": CARD.encode()}


def a_net(**changes: bytes | None) -> dict[str, bytes]:
    """The files of a small ResNet; a name with None is left out (write ``config_json`` for config.json)."""
    files = dict(_net())
    for key, content in changes.items():
        name = key.replace("__", ".")
        if content is None:
            files.pop(name, None)
        else:
            files[name] = content
    return files


def a_config(**changes: object) -> bytes:
    """Its config, changed."""
    return json.dumps({**json.loads(_net()["config.json"]), **changes}).encode()


def padded(megabytes: int) -> dict[str, bytes]:
    """The same net in a file that is larger by a tensor which belongs to no part of it."""
    import numpy as np
    from safetensors.numpy import load, save

    files = dict(_net())
    tensors = load(files["model.safetensors"])
    files["model.safetensors"] = save(
        {**tensors, "elsewhere.weight": np.ones(megabytes << 18, np.float32)}, metadata={"format": "pt"}
    )
    return files


def in_shards(*names: str, index: dict[str, str] | None = None) -> dict[str, bytes]:
    """The same net with its weights in as many files as there are names; the index may lie."""
    from safetensors.numpy import load, save

    files = dict(_net())
    tensors = load(files.pop("model.safetensors"))
    places = {tensor: names[place % len(names)] for place, tensor in enumerate(sorted(tensors))}
    for name in names:
        part = {tensor: tensors[tensor] for tensor, place in places.items() if place == name}
        files[name] = save(part, metadata={"format": "pt"})
    stated = {"metadata": {}, "weight_map": places if index is None else index}
    files["model.safetensors.index.json"] = json.dumps(stated).encode()
    return files
