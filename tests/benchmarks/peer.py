"""Beside a peer: transformer-ranker's LogME of the mean of layers, and ours; and our expectation. Same rows, same nets.

    pip install --no-deps transformer-ranker torchmetrics lightning-utilities
    python -m tests.benchmarks.peer --teachers FOLDER [--results FILE] [TARGET ...]

600 training rows of the proving ground's texts, every bundled text checkpoint and the real ones of its design, one
thread, each side in a new registry. Theirs is held against three of ours: ``same``, what they do and no more (features
of all layers, LogME of their mean); ``advice``, a whole `recommend` as it comes, where a race drops who is behind; and
``all``, a whole `recommend` in which nobody drops out. All are timed by wall and by processor, in turn, a target at a
time; what is in RESULTS already is not run again. Orders are held against the accuracies that the proving ground has
measured: weighted tau, where a checkpoint never meets its own family, and whom a race dropped stand last, all alike.
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
from recommender.results import Recommendation
from recommender.transfer import scores
from registry.cards import Checkpoint
from registry.sample import Sample
from registry.zoo import Zoo
from tests.benchmarks.proving_ground.cells import HERE, Setting, read_design, read_outcomes
from tests.benchmarks.proving_ground.design import REAL_TEXTS, TUNED_EPOCHS, TUNED_ROWS
from tests.benchmarks.proving_ground.figures import weighted_tau
from tests.benchmarks.proving_ground.targets import TEXTS, part_of
from tests.benchmarks.proving_ground.truth import Truth, truth_of

SIDES = ("theirs", "same", "advice", "all")
OURS = SIDES[1:]
TRUTHS = {
    "linear-probe": Setting(TUNED_ROWS, 0, 0),
    "block-probe": Setting(TUNED_ROWS, 0, 0),
    "lp-ft": Setting(TUNED_ROWS, TUNED_EPOCHS, 0),
}
TARGETS = ("banking77", "financial_phrasebank", "paper_field", "subj", "trec", "tweet_emotion")
"""Those of which the proving ground has probes of most of the checkpoints."""
CLOCKS = ("processor", "wall")
WANTED = 5
"""Times as fast."""
WARMING = 100
LAST = -1.0
"""Stands for an expectation of whom the race dropped."""
Timed = dict[str, object]
Work = Callable[[Sample, Zoo], dict[str, float]]


def main() -> None:
    """Run what is missing, then print both tables."""
    options = _arguments()
    torch.set_num_threads(1)
    missing = [name for name in options.targets if name not in {row["target"] for row in _rows(options.results)}]
    if missing:  # what is imported late is imported before anybody is timed
        _one(missing[0], options.shared, options.teachers, rows=WARMING)
    for target in missing:
        row = _one(target, options.shared, options.teachers)
        options.results.parent.mkdir(parents=True, exist_ok=True)
        with options.results.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print({key: row[key] for key in ("target", "wall", "processor")}, flush=True)
    rows = [row for row in _rows(options.results) if row["target"] in options.targets]
    console = Console(width=170)
    console.print(speeds(rows))
    console.print(orders(rows))


def speeds(rows: Sequence[Mapping[str, object]]) -> Table:
    """Seconds of each, by processor and by wall, and how many times as long theirs took."""
    drawn = Table(
        title=f"seconds of the processor (wall) for {len(rows[0]['scores']['theirs'])} checkpoints, and theirs / ours; "
        f"{WANTED} times as fast is wanted"
    )
    for column in ("set", *SIDES, *(f"theirs / {side}" for side in OURS)):
        drawn.add_column(column, justify="left" if column == "set" else "right")
    total = {clock: {side: sum(row[clock][side] for row in rows) for side in SIDES} for clock in CLOCKS}
    for row in [*rows, {"target": "total", **total}]:
        processor, wall = (row[clock] for clock in CLOCKS)
        seconds = (f"{processor[side]:.1f} ({wall[side]:.1f})" for side in SIDES)
        times = (f"{processor['theirs'] / processor[of]:.2f} ({wall['theirs'] / wall[of]:.2f})" for of in OURS)
        drawn.add_row(row["target"], *seconds, *times)
    return drawn


def orders(rows: Sequence[Mapping[str, object]]) -> Table:
    """Weighted tau of each order with each truth that has at least three of the checkpoints."""
    drawn = Table(title="weighted tau with what the proving ground measured")
    for column in ("set", *(f"{side}: {truth}" for truth in TRUTHS for side in SIDES)):
        drawn.add_column(column, justify="left" if column == "set" else "right")
    design, results = read_design(HERE / "text" / "design.csv"), read_outcomes(HERE / "text" / "outcomes.csv")
    truths = {name: truth_of(design, results, {}, strategy=name, setting=setting) for name, setting in TRUTHS.items()}
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
    column, values = truth.targets.index(row["target"]), row["scores"][side]
    names = [weights.split("@")[0] for weights in truth.checkpoints]
    pairs = [(truth.whole[at, column], values[name]) for at, name in enumerate(names) if name in values]
    real, predicted = np.array([pair for pair in pairs if np.isfinite(pair[0])]).reshape(-1, 2).T
    return weighted_tau(real, predicted) if len(real) >= 3 else float("nan")


def _one(target: str, shared: Path, teachers: Path, rows: int = TUNED_ROWS) -> Timed:
    sample = replace(part_of(shared / "data" / "text", target, rows, 0, TEXTS).train, test=None)
    works: Mapping[str, Work] = {"theirs": _theirs, "same": _same, "advice": _advice, "all": _all}
    timed = {}
    for side, work in works.items():
        with TemporaryDirectory() as home, Zoo.open(home) as zoo:
            for name in REAL_TEXTS:
                zoo.add(teachers / name, domain="sentence-pairs")
            timed[side] = _timed(work, sample, zoo)
    return {
        "target": target,
        "wall": {side: timed[side][0] for side in SIDES},
        "processor": {side: timed[side][1] for side in SIDES},
        "scores": {side: timed[side][2] for side in SIDES},
    }


def _cards(zoo: Zoo) -> list[Checkpoint]:
    return [card for card in zoo.checkpoints() if card.modality == TEXTS.modality]


def _same(sample: Sample, zoo: Zoo) -> dict[str, float]:
    """LogME of the mean over the layers."""
    values = {}
    for card in _cards(zoo):
        layers = [block.vectors for block in zoo.encode(card.name, sample).blocks]
        values[card.name] = float(scores["logme"](np.mean(layers, axis=0), sample.targets))
    return values


def _advice(sample: Sample, zoo: Zoo) -> dict[str, float]:
    return _expected(recommend(sample, zoo, seed=0), zoo)


def _all(sample: Sample, zoo: Zoo) -> dict[str, float]:
    return _expected(recommend(sample, zoo, keep=len(_cards(zoo)), seed=0), zoo)


def _expected(advice: Recommendation, zoo: Zoo) -> dict[str, float]:
    expected = {choice.checkpoint.name: choice.expected.mean for choice in advice.choices}
    return {card.name: expected.get(card.name, LAST) for card in _cards(zoo)}


def _theirs(sample: Sample, zoo: Zoo) -> dict[str, float]:
    folders = {card.name: str(card.folder) for card in _cards(zoo)}
    rows = datasets.Dataset.from_dict({"text": [item.parts[0] for item in sample.items], "label": [*sample.labels]})
    peer = import_module("transformer_ranker")
    logging.getLogger("transformer_ranker").setLevel(logging.ERROR)
    ranked = peer.TransformerRanker(rows).run(
        models=[*folders.values()], estimator="logme", layer_aggregator="layermean", device="cpu"
    )
    return {name: float(ranked.scores[folder]) for name, folder in folders.items()}


def _timed(work: Work, sample: Sample, zoo: Zoo) -> tuple[float, float, dict[str, float]]:
    wall, processor = time.perf_counter(), time.process_time()
    values = work(sample, zoo)
    return time.perf_counter() - wall, time.process_time() - processor, values


def _rows(path: Path) -> list[dict[str, object]]:
    with suppress(FileNotFoundError):
        return [json.loads(line) for line in path.read_text().splitlines()]
    return []


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and order beside transformer-ranker's.")
    parser.add_argument("targets", nargs="*", default=TARGETS)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--teachers", type=Path, default=Path(".cache/teachers"), help="real text checkpoints")
    parser.add_argument("--results", type=Path, default=Path(".cache/peer.jsonl"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
