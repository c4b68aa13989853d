"""Grow seedlings: train the small backbones of seedlings.yaml on their sources; resumable, seeded, with progress.

    python catalog/recipes/grow.py --shared ../shared --work .cache/grow --minutes 60 [NAME ...]

A step draws its batch and its augmentation from (seed, step) alone, so a run that was killed continues as if
it had not been. Finished seedlings lie in WORK/<name>/done, in transformers format with fp16 weights.
"""

import argparse
import json
import os
import time
from datetime import date
from pathlib import Path

import numpy as np
import torch
import transformers
import yaml
from safetensors import safe_open
from safetensors.torch import save_file
from sources import hold_out, read_source
from torch.nn import functional

HERE = Path(__file__).parent
SAVE_EVERY = 60.0
TELL_EVERY = 10.0


def main() -> None:
    asked = _arguments()
    torch.set_num_threads(asked.threads)
    recipes = yaml.safe_load((HERE / "seedlings.yaml").read_text())
    deadline = time.monotonic() + 60 * asked.minutes
    for name in asked.names or list(recipes["seedlings"]):
        if time.monotonic() < deadline:
            grow(name, settings_of(recipes, name), asked, deadline)


def settings_of(recipes: dict, name: str) -> dict:
    """The whole recipe of one seedling: defaults, then its body's, then its own."""
    own = recipes["seedlings"][name]
    return {**recipes["defaults"], **recipes["bodies"][own["body"]], **own}


def grow(name: str, recipe: dict, asked: argparse.Namespace, deadline: float) -> None:
    """Train one seedling until it is done or the deadline passes."""
    work = asked.work / name
    if (work / "done" / "card.json").exists():
        print(f"{name}: done already", flush=True)
        return
    work.mkdir(parents=True, exist_ok=True)
    pixels, labels = read_source(asked.shared, recipe["source"], recipe["size"])
    rows, held = hold_out(labels, 0.1, recipe["seed"])
    classes = sorted(set(labels))
    targets = torch.tensor([classes.index(label) for label in labels])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    model = new_body(recipe, classes).to(asked.device, memory_format=torch.channels_last)
    steps = min(recipe["images"], recipe["epochs"] * len(rows)) // recipe["batch"]
    optimizer, schedule = _optimizer(model, recipe, steps)
    start, spent = _resume(work, model, optimizer)
    began = saved = told = time.monotonic()
    model.train()
    for step in range(start, steps):
        batch, wanted = draw(images, targets, rows, recipe, step)
        _set_rate(optimizer, schedule(step))
        loss = _loss(model, batch.to(asked.device), wanted.to(asked.device), recipe)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"{name}: loss is {loss.item()} at step {step}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        now = time.monotonic()
        if now - told > TELL_EVERY:
            told = now
            rate = (step + 1 - start) / (now - began)
            print(f"{name}: {step + 1}/{steps} loss {loss.item():.3f}, {rate * recipe['batch']:.0f} images/s, "
                  f"{(steps - step) / rate / 60:.1f} min left", flush=True)
        if now - saved > SAVE_EVERY or now > deadline:
            saved = now
            _save(work, model, optimizer, step + 1, spent + now - began)
        if now > deadline:
            return
    seconds = spent + time.monotonic() - began
    _finish(work, name, model, recipe, classes, images[held], targets[held], len(rows), steps, seconds, asked.device)


def new_body(recipe: dict, classes: list[str]) -> transformers.PreTrainedModel:
    """The architecture of a recipe at its seeded random initialisation."""
    torch.manual_seed(recipe["seed"])
    architecture = getattr(transformers, recipe["architecture"])
    names = dict(enumerate(classes))
    config = architecture.config_class(**recipe["config"], id2label=names, label2id={v: k for k, v in names.items()})
    return architecture(config)


def draw(
    images: torch.Tensor, targets: torch.Tensor, rows: np.ndarray, recipe: dict, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """The augmented batch of a step, a function of (seed, step) alone."""
    batch = recipe["batch"]
    per_pass = max(1, len(rows) // batch)
    order = np.random.default_rng([recipe["seed"], step // per_pass]).permutation(rows)
    chosen = torch.from_numpy(order[(step % per_pass) * batch:][:batch])
    random = torch.Generator().manual_seed(recipe["seed"] * 1_000_003 + step)
    return augment(images[chosen].float() / 127.5 - 1, random, recipe["flip"]), targets[chosen]


def augment(batch: torch.Tensor, random: torch.Generator, flip: bool) -> torch.Tensor:
    """Random crop and zoom, flip, brightness, contrast and grey, for a batch (n, 3, s, s) in [-1, 1]."""
    n = len(batch)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, generator=random)

    zoom = uniform(0.6, 1.1)
    room = (1 - zoom).abs() + 0.1
    theta = torch.zeros(n, 2, 3)
    mirrored = torch.where(torch.rand(n, generator=random) < (0.5 if flip else 0.0), -1.0, 1.0)
    theta[:, 0, 0] = zoom * mirrored * uniform(0.9, 1.1)
    theta[:, 1, 1] = zoom * uniform(0.9, 1.1)
    theta[:, 0, 2] = room * uniform(-1, 1)
    theta[:, 1, 2] = room * uniform(-1, 1)
    grid = functional.affine_grid(theta, list(batch.shape), align_corners=False)
    moved = functional.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    grey = (torch.rand(n, generator=random) < 0.15).view(n, 1, 1, 1)
    moved = torch.where(grey, moved.mean(1, keepdim=True).expand_as(moved), moved)
    moved = moved * uniform(0.7, 1.3).view(n, 1, 1, 1) + uniform(-0.2, 0.2).view(n, 1, 1, 1)
    return moved.to(memory_format=torch.channels_last)


def accuracy(model: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor, device: str = "cpu") -> float:
    """Share of rows (uint8 images) that the model's largest logit names rightly."""
    model.eval()
    right = 0
    with torch.no_grad():
        for part in range(0, len(images), 256):
            batch = (images[part:part + 256].float() / 127.5 - 1).to(device, memory_format=torch.channels_last)
            right += int((model(pixel_values=batch).logits.argmax(1).cpu() == targets[part:part + 256]).sum())
    return right / len(images)


def _loss(model: torch.nn.Module, batch: torch.Tensor, wanted: torch.Tensor, recipe: dict) -> torch.Tensor:
    with torch.autocast(batch.device.type, torch.bfloat16, enabled=recipe["half"]):
        logits = model(pixel_values=batch).logits
    return functional.cross_entropy(logits.float(), wanted, label_smoothing=recipe["smoothing"])


def _optimizer(model: torch.nn.Module, recipe: dict, steps: int) -> tuple[torch.optim.Optimizer, object]:
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe["weight_decay"]}, {"params": others, "weight_decay": 0.0}]
    )
    warm = max(1, steps // 10)

    def schedule(step: int) -> float:
        if step < warm:
            return recipe["rate"] * (step + 1) / warm
        return recipe["rate"] * 0.5 * (1 + np.cos(np.pi * (step - warm) / max(1, steps - warm)))

    return optimizer, schedule


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _save(work: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int, spent: float) -> None:
    tensors = {f"model.{key}": value.contiguous() for key, value in model.state_dict().items()}
    for place, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{place}.{key}": value.contiguous() for key, value in state.items()}
    save_file(tensors, work / "state.tmp", metadata={"step": str(step), "spent": str(spent)})
    os.replace(work / "state.tmp", work / "state.safetensors")


def _resume(work: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    path = work / "state.safetensors"
    if not path.exists():
        return 0, 0.0
    with safe_open(path, "pt") as stored:
        told = stored.metadata()
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 - not a dict
    model.load_state_dict({key[6:]: value for key, value in tensors.items() if key.startswith("model.")})
    whole = optimizer.state_dict()
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, place, entry = key.split(".", 2)
            whole["state"].setdefault(int(place), {})[entry] = value
    optimizer.load_state_dict(whole)
    return int(told["step"]), float(told["spent"])


def _finish(
    work: Path, name: str, model: transformers.PreTrainedModel, recipe: dict, classes: list[str],
    images: torch.Tensor, targets: torch.Tensor, rows: int, steps: int, seconds: float, device: str,
) -> None:
    done = work / "done"
    model.half().cpu().to(memory_format=torch.contiguous_format).save_pretrained(done)
    side = recipe["size"]
    (done / "preprocessor_config.json").write_text(json.dumps({
        "image_processor_type": "ViTImageProcessor", "do_resize": True, "size": {"height": side, "width": side},
        "resample": 2, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
    }, indent=1))
    stored = type(model).from_pretrained(done, dtype=torch.float32)
    card = {
        "name": name, "source": recipe["source"], "architecture": recipe["architecture"], "classes": len(classes),
        "parameters": sum(p.numel() for p in stored.parameters()), "rows": rows, "steps": steps,
        "images_seen": steps * recipe["batch"], "held_out_rows": len(targets),
        "held_out_accuracy": round(accuracy(stored, images, targets), 4), "seed": recipe["seed"],
        "seconds": round(seconds), "date": date.today().isoformat(), "recipe": recipe,
    }
    (done / "card.tmp").write_text(json.dumps(card, indent=1))
    os.replace(done / "card.tmp", done / "card.json")
    print(f"{name}: held-out accuracy {card['held_out_accuracy']:.3f} in {seconds / 60:.1f} min", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Grow the seedlings of seedlings.yaml.")
    parser.add_argument("names", nargs="*", help="which seedlings; all when none is named")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the folder that holds data/")
    parser.add_argument("--work", type=Path, default=Path(".cache/grow"), help="where states and results lie")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop, resumable, after this long")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
