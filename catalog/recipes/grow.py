"""Grow seedlings: train the small backbones of seedlings.yaml on their sources; resumable, seeded, with progress.

    python catalog/recipes/grow.py --shared ../shared --work .cache/grow --minutes 60 [NAME ...]

A step draws its batch and its augmentation from (seed, step) alone, so a run that was killed continues as if
it had not been. Finished seedlings lie in WORK/<name>/done, in transformers format with fp16 weights.
"""

import argparse
import json
import time
from datetime import date
from pathlib import Path

import numpy as np
import torch
import yaml
from objectives import Learner, new_learner, teacher_features
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sources import hold_out, read_sources
from torch.nn import functional

HERE = Path(__file__).parent
SAVE_EVERY = 60.0
TELL_EVERY = 10.0


def main() -> None:
    """Grow what was asked for, one after the other, until the minutes are over."""
    requested = _arguments()
    torch.set_num_threads(requested.threads)
    recipes = yaml.safe_load((HERE / "seedlings.yaml").read_text())
    deadline = time.monotonic() + 60 * requested.minutes
    for name in requested.names or list(recipes["seedlings"]):
        if time.monotonic() < deadline:
            grow(name, settings_of(recipes, name), requested, deadline)


def settings_of(recipes: dict, name: str) -> dict:
    """The whole recipe of one seedling: defaults, then its body's, then its own."""
    own = recipes["seedlings"][name]
    return {**recipes["defaults"], **recipes["bodies"][own["body"]], **own}


def grow(name: str, recipe: dict, requested: argparse.Namespace, deadline: float) -> None:
    """Train one seedling until it is done or the deadline passes."""
    work = requested.work / name
    if (work / "done" / "card.json").exists():
        print(f"{name}: done already", flush=True)
        return
    work.mkdir(parents=True, exist_ok=True)
    pixels, labels = read_sources(requested.shared, recipe["source"], recipe["size"])
    rows, held = hold_out(labels, 0.1, recipe["seed"])
    classes = sorted(set(labels))
    targets = torch.tensor([classes.index(label) for label in labels])
    if recipe["objective"] == "teacher":
        teacher = requested.shared / "checkpoints" / recipe["teacher"]
        targets = teacher_features(teacher, pixels, work / "teacher.safetensors")
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    model = new_learner(recipe, classes, targets.shape[-1]).to(requested.device, memory_format=torch.channels_last)
    steps = min(recipe["images"], recipe["epochs"] * len(rows)) // recipe["batch"]
    optimizer, schedule = make_optimizer(model, recipe, steps)
    start, spent = resume(work, model, optimizer)
    began = saved = report = time.monotonic()
    model.train()
    for step in range(start, steps):
        views, wanted = draw(images, targets, rows, recipe, step)
        set_rate(optimizer, schedule(step))
        loss = model.loss([view.to(requested.device) for view in views], wanted.to(requested.device))
        if not torch.isfinite(loss):
            raise FloatingPointError(f"{name}: loss is {loss.item()} at step {step}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        now = time.monotonic()
        if now - report > TELL_EVERY:
            report = now
            rate = (step + 1 - start) / (now - began)
            print(
                f"{name}: {step + 1}/{steps} loss {loss.item():.3f}, {rate * recipe['batch']:.0f} images/s, "
                f"{(steps - step) / rate / 60:.1f} min left",
                flush=True,
            )
        if now - saved > SAVE_EVERY or now > deadline:
            saved = now
            save(work, model, optimizer, step + 1, spent + now - began)
        if now > deadline:
            return
    seconds = spent + time.monotonic() - began
    _finish(work, name, model, classes, images[held], targets[held], len(rows), steps, seconds)


def draw(
    images: torch.Tensor, targets: torch.Tensor, rows: np.ndarray, recipe: dict, step: int
) -> tuple[list[torch.Tensor], torch.Tensor]:
    """The augmented views of a step's batch, a function of (seed, step) alone."""
    batch = recipe["batch"]
    per_pass = max(1, len(rows) // batch)
    order = np.random.default_rng([recipe["seed"], step // per_pass]).permutation(rows)
    chosen = torch.from_numpy(order[(step % per_pass) * batch :][:batch])
    random = torch.Generator().manual_seed(recipe["seed"] * 1_000_003 + step)
    batch = images[chosen].float() / 127.5 - 1
    views = 2 if recipe["objective"] == "views" else 1
    return [augment(batch, random, recipe["flip"], recipe["strength"]) for _ in range(views)], targets[chosen]


def augment(batch: torch.Tensor, random: torch.Generator, flip: bool, strength: float) -> torch.Tensor:
    """Random crop and zoom, flip, brightness, contrast and gray, for a batch (n, 3, s, s) in [-1, 1]."""
    n = len(batch)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(n, generator=random)

    zoom = uniform(1 - 0.4 * strength, 1.1)
    room = (1 - zoom).abs() + 0.1
    theta = torch.zeros(n, 2, 3)
    mirrored = torch.where(torch.rand(n, generator=random) < (0.5 if flip else 0.0), -1.0, 1.0)
    theta[:, 0, 0] = zoom * mirrored * uniform(0.9, 1.1)
    theta[:, 1, 1] = zoom * uniform(0.9, 1.1)
    theta[:, 0, 2] = room * uniform(-1, 1)
    theta[:, 1, 2] = room * uniform(-1, 1)
    grid = functional.affine_grid(theta, list(batch.shape), align_corners=False)
    moved = functional.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    gray = (torch.rand(n, generator=random) < 0.15 * strength).view(n, 1, 1, 1)
    moved = torch.where(gray, moved.mean(1, keepdim=True).expand_as(moved), moved)
    contrast, brightness = 1 + strength * uniform(-0.3, 0.3), strength * uniform(-0.2, 0.2)
    moved = moved * contrast.view(n, 1, 1, 1) + brightness.view(n, 1, 1, 1)
    return moved.to(memory_format=torch.channels_last)


def held_out(model: Learner, images: torch.Tensor, targets: torch.Tensor) -> float:
    """Accuracy on held-out rows (uint8 images); for a teacher's pupil the mean cosine to its features.

    Without labels in training, the accuracy of a logistic regression on the features of one half, tested on the other.
    """
    model.eval()
    with torch.no_grad():
        pieces = [(part.float() / 127.5 - 1).to(memory_format=torch.channels_last) for part in images.split(256)]
        match model.recipe["objective"]:
            case "labels":
                return float((torch.cat([model.output(p) for p in pieces]).argmax(1) == targets).float().mean())
            case "teacher":
                return float(functional.cosine_similarity(torch.cat([model.output(p) for p in pieces]), targets).mean())
            case _:
                features = torch.cat([model.body(pixel_values=p).pooler_output.flatten(1) for p in pieces]).numpy()
    half = np.arange(len(features)) % 2 == 0
    head = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(features[half], targets[half])
    return float(head.score(features[~half], targets[~half]))


def make_optimizer(model: torch.nn.Module, recipe: dict, steps: int) -> tuple[torch.optim.Optimizer, object]:
    """AdamW without decay of biases and norms, and the rate of each step: a linear warm-up, then a cosine."""
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


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Learn at this rate from now on."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def save(work: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer, step: int, spent: float) -> None:
    """Write all that `resume` needs: weights, moments, the step and the seconds so far."""
    tensors = {f"model.{key}": value.contiguous() for key, value in model.state_dict().items()}
    for place, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{place}.{key}": value.contiguous() for key, value in state.items()}
    save_file(tensors, work / "state.tmp", metadata={"step": str(step), "spent": str(spent)})
    (work / "state.tmp").replace(work / "state.safetensors")


def resume(work: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    """Read back what was saved: the step and the seconds so far, 0 where nothing was."""
    path = work / "state.safetensors"
    if not path.exists():
        return 0, 0.0
    with safe_open(path, "pt") as stored:
        report = stored.metadata()
        tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118 - not a dict
    model.load_state_dict({key[6:]: value for key, value in tensors.items() if key.startswith("model.")})
    whole = optimizer.state_dict()
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, place, entry = key.split(".", 2)
            whole["state"].setdefault(int(place), {})[entry] = value
    optimizer.load_state_dict(whole)
    return int(report["step"]), float(report["spent"])


def _finish(
    work: Path,
    name: str,
    model: Learner,
    classes: list[str],
    images: torch.Tensor,
    targets: torch.Tensor,
    rows: int,
    steps: int,
    seconds: float,
) -> None:
    recipe = model.recipe
    done = work / "done"
    model.cpu().body.half().to(memory_format=torch.contiguous_format).save_pretrained(done)
    side = recipe["size"]
    (done / "preprocessor_config.json").write_text(
        json.dumps(
            {
                "image_processor_type": "ViTImageProcessor",
                "do_resize": True,
                "size": {"height": side, "width": side},
                "resample": 2,
                "do_rescale": True,
                "rescale_factor": 1 / 255,
                "do_normalize": True,
                "image_mean": [0.5, 0.5, 0.5],
                "image_std": [0.5, 0.5, 0.5],
            },
            indent=1,
        )
    )
    stored = type(model.body).from_pretrained(done, dtype=torch.float32)
    model.body = stored.to(memory_format=torch.channels_last)
    card = {
        "name": name,
        "source": recipe["source"],
        "architecture": recipe["architecture"],
        "classes": len(classes),
        "parameters": sum(p.numel() for p in stored.parameters()),
        "rows": rows,
        "steps": steps,
        "images_seen": steps * recipe["batch"],
        "held_out_rows": len(targets),
        "held_out_accuracy": round(held_out(model, images, targets), 4),
        "seed": recipe["seed"],
        "seconds": round(seconds),
        "date": date.today().isoformat(),
        "recipe": recipe,
    }
    (done / "card.tmp").write_text(json.dumps(card, indent=1))
    (done / "card.tmp").replace(done / "card.json")
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
