"""What a run leaves in its folder: backbone, head and processor, read back and found the same; no scaffolding."""

import torch

from recommender.baseline import RawEncoder
from recommender.runs.job import Job
from recommender.tuning.classifier import Classifier
from recommender.tuning.heads import FittedHead, save_head, save_raw
from registry.encoders.loading import load, quiet
from registry.errors import ShapeMismatch
from registry.files import copy_files
from registry.modalities import modalities

__all__ = ["store"]


def store(job: Job, head: FittedHead, classifier: Classifier | None, raw: RawEncoder | None = None) -> None:
    """Write the trained backbone, or the checkpoint's own where nothing but a head was fitted; or what is ``raw``.

    Raises:
        ShapeMismatch: what was written is not what was trained.
    """
    if raw is not None:
        save_raw(raw, job.folder)
        save_head(head, job.folder)
        return
    if classifier is None:
        copy_files(("*.safetensors*", "config.json"), job.checkpoint.folder, job.folder)
    else:
        _store_body(job, classifier)
    copy_files(modalities[str(job.checkpoint.modality)].processor_files, job.checkpoint.folder, job.folder)
    save_head(head, job.folder)


def _store_body(job: Job, classifier: Classifier) -> None:
    classifier.merge()
    classifier.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch's stub lacks it
    with quiet():
        classifier.body.save_pretrained(job.folder)
    stored, ours = load(job.folder).state_dict(), classifier.body.state_dict()
    for name, tensor in ours.items():
        if not torch.equal(stored[name], tensor.cpu()):
            raise ShapeMismatch(job.folder, f"{name} was not stored as it was trained")
