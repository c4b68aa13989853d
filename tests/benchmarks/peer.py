"""Beside a peer: transformer-ranker's LogME of the mean of layers against our expectation, same rows and checkpoints.

    pip install --no-deps transformer-ranker torchmetrics lightning-utilities
    python -m tests.benchmarks.peer --teachers FOLDER [--results FILE] [TARGET ...]

600 training rows of the proving ground's texts, every bundled text checkpoint and the real ones of its design, one
thread, a new registry: ours is a whole `recommend` of all of them. Either side is timed by wall and by processor, in
turn, a target at a time; what is in RESULTS already is not run again. Orders are held against the accuracies that the
proving ground has measured: weighted tau, where a checkpoint never meets its own family.
"""

import argparse
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import datasets
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from recommender.flow import recommend
from registry.sample import Sample
from registry.zoo import Zoo
from tests.benchmarks.proving_ground.cells import HERE, read_design, read_outcomes
from tests.benchmarks.proving_ground.design import REAL_TEXTS, TUNED_ROWS, TUNED_TEXTS
from tests.benchmarks.proving_ground.figures import weighted_tau
from tests.benchmarks.proving_ground.targets import TEXTS, part_of
from tests.benchmarks.proving_ground.truth import Truth, truth_of

SIDES = ("ours", "theirs")
TRUTHS = ("linear-probe", "block-probe", "lp-ft")
WANTED = 5
"""Times as fast."""
Timed = dict[str, object]


def main() -> None:
    """Run what is missing, then print both tables."""
    options = _arguments()
    torch.set_num_threads(1)
    for target in options.targets:
        if target not in {row["target"] for row in _rows(options.results)}:
            row = _one(target, options.shared, options.teachers)
            options.results.parent.mkdir(parents=True, exist_ok=True)
            with options.results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print({key: row[key] for key in ("target", "wall", "processor")}, flush=True)
    rows = [row for row in _rows(options.results) if row["target"] in options.targets]
    console = Console(width=130)
    console.print(speeds(rows))
    console.print(orders(rows))


def speeds(rows: Sequence[Mapping[str, object]]) -> Table:
    """Seconds of both, and how many times as long theirs took."""
    drawn = Table(title=f"seconds for {len(rows[0]['scores']['ours'])} checkpoints; {WANTED} times as fast is wanted")
    clocks = ("wall", "processor")
    for column in ("set", *(f"{side}, {clock}" for clock in clocks for side in SIDES), *clocks):
        drawn.add_column(column, justify="left" if column == "set" else "right")
    total = {clock: {side: sum(row[clock][side] for row in rows) for side in SIDES} for clock in clocks}
    for row in [*rows, {"target": "all", **total}]:
        each = [row[clock][side] for clock in clocks for side in SIDES]
        ratios = [row[clock]["theirs"] / row[clock]["ours"] for clock in clocks]
        drawn.add_row(row["target"], *(f"{value:.1f}" for value in each), *(f"{ratio:.2f}x" for ratio in ratios))
    return drawn


def orders(rows: Sequence[Mapping[str, object]]) -> Table:
    """Weighted tau of both orders with each truth that has at least three of the checkpoints."""
    drawn = Table(title="weighted tau with what the proving ground measured")
    for column in ("set", *(f"{side}: {truth}" for truth in TRUTHS for side in SIDES)):
        drawn.add_column(column, justify="left" if column == "set" else "right")
    design, results = read_design(HERE / "text" / "design.csv"), read_outcomes(HERE / "text" / "outcomes.csv")
    truths = {name: truth_of(design, results, {}, strategy=name, rows=TUNED_ROWS) for name in TRUTHS}
    taus = {row["target"]: [_tau(truths[name], row, side) for name in TRUTHS for side in SIDES] for row in rows}
    table = np.array([*taus.values()])
    known = np.isfinite(table)
    counts = known.sum(axis=0)
    mean = np.where(counts > 0, np.where(known, table, 0).sum(axis=0) / np.maximum(counts, 1), np.nan)
    for target, figures in [*taus.items(), ("mean", mean)]:
        drawn.add_row(target, *(f"{value:.3f}" if np.isfinite(value) else "" for value in figures))
    return drawn


def _tau(truth: Truth, row: Mapping[str, object], side: str) -> float:
    if row["target"] not in truth.targets:
        return float("nan")
    column, scores = truth.targets.index(row["target"]), row["scores"][side]
    names = [weights.split("@")[0] for weights in truth.checkpoints]
    pairs = [(truth.whole[at, column], scores[name]) for at, name in enumerate(names) if name in scores]
    real, predicted = np.array([pair for pair in pairs if np.isfinite(pair[0])]).reshape(-1, 2).T
    return weighted_tau(real, predicted) if len(real) >= 3 else float("nan")


def _one(target: str, shared: Path, teachers: Path) -> Timed:
    sample = replace(part_of(shared / "data" / "text", target, TUNED_ROWS, 0, TEXTS).train, test=None)
    with TemporaryDirectory() as home, Zoo.open(home) as zoo:
        for name in REAL_TEXTS:
            zoo.add(teachers / name, domain="sentence-pairs")
        folders = {card.name: str(card.folder) for card in zoo.checkpoints() if card.modality == TEXTS.modality}
        timed = {
            "theirs": _timed(lambda: _theirs(sample, folders)),
            "ours": _timed(lambda: _ours(sample, zoo, len(folders))),
        }
    return {
        "target": target,
        "wall": {side: timed[side][0] for side in SIDES},
        "processor": {side: timed[side][1] for side in SIDES},
        "scores": {side: timed[side][2] for side in SIDES},
    }


def _ours(sample: Sample, zoo: Zoo, keep: int) -> dict[str, float]:
    advice = recommend(sample, zoo, keep=keep, seed=0)
    return {choice.checkpoint.name: choice.expected.mean for choice in advice.choices}


def _theirs(sample: Sample, folders: Mapping[str, str]) -> dict[str, float]:
    rows = datasets.Dataset.from_dict({"text": [item.parts[0] for item in sample.items], "label": [*sample.labels]})
    peer = import_module("transformer_ranker")
    logging.getLogger("transformer_ranker").setLevel(logging.ERROR)
    ranked = peer.TransformerRanker(rows).run(
        models=[*folders.values()], estimator="logme", layer_aggregator="layermean", device="cpu"
    )
    return {name: float(ranked.scores[folder]) for name, folder in folders.items()}


def _timed(work: Callable[[], dict[str, float]]) -> tuple[float, float, dict[str, float]]:
    wall, processor = time.perf_counter(), time.process_time()
    scores = work()
    return time.perf_counter() - wall, time.process_time() - processor, scores


def _rows(path: Path) -> list[dict[str, object]]:
    with suppress(FileNotFoundError):
        return [json.loads(line) for line in path.read_text().splitlines()]
    return []


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and order beside transformer-ranker's.")
    parser.add_argument("targets", nargs="*", default=TUNED_TEXTS)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--teachers", type=Path, default=Path(".cache/teachers"), help="real text checkpoints")
    parser.add_argument("--results", type=Path, default=Path(".cache/peer.jsonl"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
