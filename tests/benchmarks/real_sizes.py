"""Real sizes: what nets of the size that practitioners use cost here, against what transformers takes alone.

    python -m tests.benchmarks.real_sizes [--rows N] [--rounds N] [--nets vit,resnet] [--threads N]

Random weights made from the default configurations of ViT-B/16 (86 M parameters) and ResNet-50, pictures of 224 px of
noise. Everything is a ratio of two things done in turn in one run, for a busy machine changes its pace: of several
rounds the median ratio counts. Embedding: rows a second of `Zoo.encode` over those of a loop of
``model(pixel_values)`` over decoded tensors. Adding: seconds of the command ``zoo add`` over those of ``sha256sum`` and
of a process that calls `from_pretrained`; beside it the same within one process, where all libraries are loaded: there
`from_pretrained` maps the file and reads no weight, so that a pass over one picture is counted with it. Memory: the
most that a process of its own held while it probed, less the weights. Then what a second advice opens, and what a
linear probe's tuning and its benefit encode with (nothing, all three); one epoch of the same net from scratch goes with
the benefit.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
import transformers
from rich.console import Console
from rich.table import Table

from recommender import flow
from recommender.benefit import benefit, for_epochs
from recommender.constraints import Constraints
from recommender.runs.job import Job, TuneOptions
from recommender.runs.provider import ZooProvider
from recommender.runs.tracking import no_tracking
from recommender.tuning.recipe import run_local
from registry.encoders.loading import quiet
from registry.sample import Sample
from registry.zoo import Zoo

NETS: dict[str, Callable[[], transformers.PreTrainedModel]] = {
    "vit": lambda: transformers.ViTForImageClassification(transformers.ViTConfig(num_labels=1000)),
    "resnet": lambda: transformers.ResNetForImageClassification(transformers.ResNetConfig(num_labels=1000)),
}
SIDE = 224
_GIB = 1 << 30


def main() -> None:
    """Measure and print."""
    options = _arguments()
    if options.probe is not None:
        _probe(*options.probe)
        return
    torch.set_num_threads(options.threads)
    table = Table(title=f"{options.rows} pictures, {options.rounds} rounds, {options.threads} threads")
    for column in ("net", "what", "figure", "wanted", "of the rounds"):
        table.add_column(column)
    with tempfile.TemporaryDirectory() as place:
        for name in options.nets.split(","):
            folder = _saved(name, Path(place))
            sample = _sample(options.rows)
            for row in _figures(name, folder, sample, Path(place), options.rounds):
                print(" | ".join(row), flush=True)
                table.add_row(*row)
    Console(width=140).print(table)


def _figures(name: str, folder: Path, sample: Sample, place: Path, rounds: int) -> Iterator[tuple[str, ...]]:
    ratios = [_added_by_command(folder, place / "commands") for _ in range(rounds)]
    yield (
        name,
        "zoo add / (sha256sum + from_pretrained), commands",
        f"{median(ratios):.2f}",
        "at most 1.5",
        _all(ratios),
    )
    ratios = [_added(folder, place / f"{name}-{number}") for number in range(rounds)]
    yield (name, "the same within one process, with a pass over a picture", f"{median(ratios):.2f}", "", _all(ratios))
    with Zoo.open(place / f"{name}-home") as zoo:
        zoo.add(folder, name=name)
        ratios = _embedded(zoo, name, folder, sample, rounds)
    yield (name, "zoo.encode / bare loop, rows a second", f"{median(ratios):.2f}", "at least .9", _all(ratios))
    beyond = _memory(name, folder, place, len(sample))
    yield (name, "GiB beyond the weights while probing", f"{beyond:.2f}", "at most 1.2", "")
    for row in _reused(name, folder, sample, place):
        yield (name, *row, "")


def _saved(name: str, place: Path) -> Path:
    """A net at random weights, in a folder as transformers saves it."""
    torch.manual_seed(0)
    folder = place / name
    with quiet():
        model = NETS[name]()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
        model.save_pretrained(folder)
    settings = {"image_processor_type": "ViTImageProcessor", "size": {"height": SIDE, "width": SIDE}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def _sample(rows: int) -> Sample:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (rows, SIDE, SIDE, 3), dtype=np.uint8)
    pictures[::2] //= 2
    return Sample.from_arrays(pictures, [str(row % 2) for row in range(rows)], name=f"{rows} pictures")


def _added_by_command(folder: Path, home: Path) -> float:
    """Seconds of `zoo add` over those of hashing the weights and opening them, each a command of its own."""
    with Zoo.open(home):
        pass
    opens = f"import transformers as t; t.AutoModelForImageClassification.from_pretrained({str(folder)!r})"
    ours = [sys.executable, "-m", "ui.cli", "zoo"]

    def seconds(*command: str) -> float:
        return _seconds(lambda: subprocess.run(command, check=True, capture_output=True))

    theirs = seconds("sha256sum", str(folder / "model.safetensors")) + seconds(sys.executable, "-c", opens)
    added = seconds(*ours, "add", str(folder), "--home", str(home))
    seconds(*ours, "remove", folder.name, "--home", str(home))
    return added / theirs


def _added(folder: Path, home: Path) -> float:
    """Seconds of `Zoo.add` over those of hashing the weights, opening them and seeing a picture."""
    picture = torch.zeros(1, 3, SIDE, SIDE)

    def looked_at() -> None:
        _hashed(folder / "model.safetensors")
        with torch.inference_mode():
            _opened(folder)(pixel_values=picture)

    with Zoo.open(home) as zoo:
        theirs = _seconds(looked_at)
        ours = _seconds(lambda: zoo.add(folder))
    return ours / theirs


def _embedded(zoo: Zoo, name: str, folder: Path, sample: Sample, rounds: int) -> list[float]:
    """Rows a second of `Zoo.encode` over those of a bare loop, in turn."""
    model, encoder = _opened(folder), zoo.encoder(name)
    pixels = torch.from_numpy(np.stack([item.pixels for item in sample.items])).permute(0, 3, 1, 2).float() / 255
    batches = [batch.contiguous() for batch in pixels.split(encoder.batch)]  # type: ignore[attr-defined]
    ratios = []

    def bare() -> None:
        with torch.inference_mode():
            for batch in batches:
                model(pixel_values=batch)

    for number in range(rounds + 1):
        theirs = _seconds(bare)
        for kept in zoo.home.features.glob("*"):
            kept.unlink()
        ours = _seconds(lambda: zoo.encode(name, sample))
        if number:  # the first round is to warm up
            ratios.append(theirs / ours)
    return ratios


def _memory(name: str, folder: Path, place: Path, rows: int) -> float:
    """GiB that a process of its own held at most while it probed, less the weights."""
    command = [sys.executable, "-m", "tests.benchmarks.real_sizes", "--probe", name, str(folder), str(place / "child")]
    done = subprocess.run([*command, str(rows)], check=True, capture_output=True, text=True)
    held = int(done.stdout.split()[-1])
    return (held - (folder / "model.safetensors").stat().st_size) / _GIB


def _probe(name: str, folder: str, home: str, rows: str) -> None:
    """Add, probe, and print the most memory that was held, in bytes."""
    with Zoo.open(Path(home)) as zoo:
        zoo.add(Path(folder), name=name)
        flow.evaluate(_sample(int(rows)), zoo, name)
    print(_most_held())


def _most_held() -> int:
    """Bytes that this process held at most, by Linux's own mark.

    `getrusage` would not do: what it says of a process begins with what its parent held when it was started.
    """
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _reused(name: str, folder: Path, sample: Sample, place: Path) -> list[tuple[str, str, str]]:
    """Which nets a second advice, a linear probe's tuning and its benefit open, after the first advice."""
    home = place / f"{name}-reused"
    with Zoo.open(home) as zoo:
        zoo.add(folder, name=name)
        others = tuple(card.name for card in zoo.checkpoints() if card.name != name)
        limits = Constraints(exclude=others)
        flow.recommend(sample, zoo, constraints=limits)
    rows = []
    with Zoo.open(home) as zoo:
        flow.recommend(sample, zoo, constraints=limits)
        rows.append(("nets that a second advice opens", _names(zoo), "none"))
        choice = flow.evaluate(sample, zoo, name, "linear-probe")
        job = Job.of(choice, sample, zoo, TuneOptions(0))
        run_local(job, no_tracking, provider=ZooProvider(zoo))
        rows.append(("nets that tuning a linear probe encodes with", _names(zoo), "none"))
        scratch = for_epochs(flow.evaluate(sample, zoo, name, "scratch").plan, 1)
        benefit(choice, scratch, sample, zoo, budgets=1)
        rows.append(("nets that its benefit encodes with", _names(zoo), "none"))
    return rows


def _names(zoo: Zoo) -> str:
    return ", ".join(zoo.opened) or "none"


def _hashed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(folder: Path) -> transformers.PreTrainedModel:
    with quiet():
        model: transformers.PreTrainedModel = transformers.AutoModelForImageClassification.from_pretrained(folder)
        return model.eval()


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _all(ratios: list[float]) -> str:
    return " ".join(f"{ratio:.2f}" for ratio in ratios)


def _arguments() -> argparse.Namespace:
    requested = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    requested.add_argument("--rows", type=int, default=64)
    requested.add_argument("--rounds", type=int, default=3)
    requested.add_argument("--nets", default="vit,resnet")
    requested.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    requested.add_argument("--probe", nargs=4, help=argparse.SUPPRESS)
    return requested.parse_args()


if __name__ == "__main__":
    main()
