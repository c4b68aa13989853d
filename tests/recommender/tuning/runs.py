"""Finished runs without the training: a tiny net, a head drawn at random, and what a run tells at its end."""

import json
from pathlib import Path

import numpy as np
from transformers import PreTrainedModel

from recommender.runs.folder import RunFolder
from recommender.tuning.heads import FittedHead, LinearHead, save_head
from registry.cards import METRICS, Task
from registry.encoders.encoder import load_encoder
from tests.registry.encoders.nets import pictures, save_net

CLASSES = ("blue", "green", "red", "=sum")


def finished_run(
    folder: Path,
    net: str | PreTrainedModel = "resnet",
    *,
    block: int = -1,
    task: str = "classification",
    classes: tuple[str, ...] = CLASSES,
    head: FittedHead | None = None,
    preprocessor: dict | None = None,
) -> RunFolder:
    save_net(folder, net, preprocessor)
    encoder = load_encoder(folder)
    width = encoder.encode(pictures(1)).blocks[block].vectors.shape[1]
    random, outputs = np.random.default_rng(0), max(1, len(classes))
    drawn = LinearHead(
        random.normal(size=(outputs, width)).astype(np.float32), random.normal(size=outputs).astype(np.float32)
    )
    save_head(head or drawn, folder)
    metric = str(METRICS[Task(task)][0])
    record = {
        "task": task,
        "classes": classes,
        "plan": {"strategy": "linear-probe", "read": encoder.blocks[block]},
        "sample": {"metric": metric, "modality": "image", "origin": str(folder / "data")},
    }
    (folder / "run.json").write_text(json.dumps(record))
    return RunFolder(folder)
