"""What a seedling learns by: labels, two views of one image (Barlow Twins), or a teacher's features (distillation)."""

from pathlib import Path

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

TEACHER_BATCH = 64


class Learner(nn.Module):
    """A backbone with whatever its objective puts on top; only ``body`` is shipped."""

    def __init__(self, body: transformers.PreTrainedModel, top: nn.Module, recipe: dict) -> None:
        super().__init__()
        self.body, self.top, self.recipe = body, top, recipe

    def loss(self, views: list[torch.Tensor], wanted: torch.Tensor) -> torch.Tensor:
        """The training loss of a batch: one augmented view of it, or two."""
        with torch.autocast(views[0].device.type, torch.bfloat16, enabled=self.recipe["half"]):
            out = [self.output(view) for view in views]
        match self.recipe["objective"]:
            case "labels":
                return functional.cross_entropy(out[0].float(), wanted, label_smoothing=self.recipe["smoothing"])
            case "teacher":
                return 1 - functional.cosine_similarity(out[0].float(), wanted).mean()
            case "views":
                return barlow(out[0].float(), out[1].float())
            case other:
                raise ValueError(f"no objective named {other!r}")

    def output(self, pixels: torch.Tensor) -> torch.Tensor:
        """Logits for labels; else the projection of the pooled features."""
        if self.recipe["objective"] == "labels":
            return self.body(pixel_values=pixels).logits
        return self.top(self.body(pixel_values=pixels).pooler_output.flatten(1))


def barlow(one: torch.Tensor, other: torch.Tensor, weight: float = 5e-3) -> torch.Tensor:
    """Redundancy-reduction loss of two (n, d) projections (Zbontar et al. 2021, eq. 1)."""
    one, other = ((z - z.mean(0)) / (z.std(0) + 1e-4) for z in (one, other))
    c = one.T @ other / len(one)
    on = (torch.diagonal(c) - 1).pow(2).sum()
    off = c.pow(2).sum() - torch.diagonal(c).pow(2).sum()
    return (on + weight * off) / len(c)


def new_learner(recipe: dict, classes: list[str], teacher_width: int) -> Learner:
    """The architecture of a recipe at its seeded random initialization, with the top that its objective needs."""
    torch.manual_seed(recipe["seed"])
    names = dict(enumerate(classes))
    architecture = getattr(transformers, recipe["architecture"])
    if recipe["objective"] == "labels":
        numbers = {label: number for number, label in names.items()}
        config = architecture.config_class(**recipe["config"], id2label=names, label2id=numbers)
        return Learner(architecture(config), nn.Identity(), recipe)
    backbone = getattr(transformers, recipe["architecture"].replace("ForImageClassification", "Model"))
    body = backbone(backbone.config_class(**recipe["config"]))
    width = recipe["config"]["hidden_sizes"][-1]
    if recipe["objective"] == "teacher":
        return Learner(body, nn.Linear(width, teacher_width), recipe)
    top = nn.Sequential(nn.Linear(width, 512), nn.BatchNorm1d(512), nn.ReLU(), nn.Linear(512, 512))
    return Learner(body, top, recipe)


def teacher_features(folder: Path, pictures: np.ndarray, kept: Path) -> torch.Tensor:
    """Standardized pooled features (n, d) of the teacher on uint8 images (n, s, s, 3), computed once and kept."""
    if kept.exists():
        return load_file(kept)["features"]
    teacher = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    side = teacher.config.image_size
    rows = []
    with torch.no_grad():
        for start in range(0, len(pictures), TEACHER_BATCH):
            batch = torch.from_numpy(pictures[start : start + TEACHER_BATCH]).permute(0, 3, 1, 2).float()
            batch = functional.interpolate(batch, (side, side), mode="bilinear", antialias=True) / 127.5 - 1
            rows.append(teacher(pixel_values=batch.to(memory_format=torch.channels_last)).pooler_output.flatten(1))
            if start % (TEACHER_BATCH * 40) == 0:
                print(f"teacher: {start}/{len(pictures)}", flush=True)
    features = torch.cat(rows)
    features = (features - features.mean(0)) / (features.std(0) + 1e-3)
    save_file({"features": features}, kept)
    return features
