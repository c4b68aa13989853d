"""What going on with pretraining adds: domain-adaptive beside LP-FT and a linear probe, on the same rows.

    python -m tests.benchmarks.adaptation --sets FOLDER [--results FILE] [--rows N] [--test-rows N] [--seed N]
        [--checkpoint NAME ...] [NAME ...]

Each set is a folder with train.csv and test.csv: so many training rows keep their labels, all others are handed over
without. Every strategy carries out its own plan on the same rows and is judged on the same test rows. Beside what was
realized stands what was expected of each, and which one the planner would have taken. One thread; what is in RESULTS
already is not run again.
"""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from rich.table import Table

from recommender import flow
from recommender.runs.job import Job, TuneOptions
from recommender.runs.tracking import no_tracking
from recommender.tuning.recipe import run_local
from registry.sample import Sample
from registry.zoo import Zoo

STRATEGIES = ("linear-probe", "lp-ft", "domain-adaptive")
CHECKPOINTS = ("pupil-minilm", "bert-tweets")
TARGETS = ("chemprot", "financial_phrasebank", "hate_offensive", "trec")
"""Of four families: biomedicine, finance, social media, questions."""
Row = dict[str, object]


def main() -> None:
    """Run what is missing, then print the table."""
    options = _arguments()
    torch.set_num_threads(1)
    for target in options.targets:
        sample = labelled_part(options.sets / target, options.rows, options.test_rows, options.seed)
        for checkpoint in options.checkpoint:
            known = {(row["set"], row["checkpoint"], row["seed"]) for row in read_rows(options.results)}
            if (target, checkpoint, options.seed) not in known:
                row = run(sample, target, checkpoint, options.seed)
                options.results.parent.mkdir(parents=True, exist_ok=True)
                with options.results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(row, flush=True)
    Console(width=160).print(table(read_rows(options.results)))


def labelled_part(folder: Path, rows: int, test_rows: int, seed: int) -> Sample:
    """So many labelled rows of a set, the other training rows without labels, and so many test rows."""
    whole = Sample.from_folder(folder)
    labelled = whole.subsample(rows, seed)
    own = {item.identity for item in labelled.items}
    others = tuple(item for item in whole.items if item.identity not in own)
    return replace(labelled, unlabelled=others, test=whole.test and whole.test.subsample(test_rows, seed))


def run(sample: Sample, target: str, checkpoint: str, seed: int) -> Row:
    """Every strategy on one set, from one checkpoint."""
    row: Row = {"set": target, "checkpoint": checkpoint, "seed": seed, "rows": len(sample)}
    row["unlabelled"] = len(sample.unlabelled)
    with TemporaryDirectory() as home, Zoo.open(home) as zoo:
        row["planned"] = flow.evaluate(sample, zoo, checkpoint, seed=seed).plan.strategy
        for name in STRATEGIES:
            choice = flow.evaluate(sample, zoo, checkpoint, name, seed=seed)
            run, _ = run_local(Job.of(choice, sample, zoo, TuneOptions(seed=seed, controls=False)), no_tracking)
            metrics = ("score", "standard_error", "seconds")
            row[name] = {"expected": choice.expected.mean, **{key: run.metrics[key] for key in metrics}}
    return row


def table(rows: list[Row]) -> Table:
    """Sets and checkpoints down, strategies across, and what domain-adaptive adds to LP-FT."""
    drawn = Table(title="realized (expected), seconds; the standard error of a difference takes both to be independent")
    for column in ("set, rows + unlabelled", "checkpoint", "planned", *STRATEGIES, "more than lp-ft"):
        drawn.add_column(column)
    gains = []
    for row in rows:
        base, adapted = row["lp-ft"], row["domain-adaptive"]
        gains.append(adapted["score"] - base["score"])
        error = math.hypot(adapted["standard_error"], base["standard_error"])
        cells = (f"{c['score']:.3f} ({c['expected']:.3f}), {c['seconds']:.0f}" for c in map(row.get, STRATEGIES))
        of = f"{row['set']}, {row['rows']} + {row['unlabelled']}"
        drawn.add_row(of, row["checkpoint"], row["planned"], *cells, f"{gains[-1]:+.3f} ± {error:.3f}")
    if gains:
        drawn.add_row("mean", *[""] * (len(STRATEGIES) + 2), f"{sum(gains) / len(gains):+.3f}")
    return drawn


def read_rows(path: Path) -> list[Row]:
    """What was run already."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What going on with pretraining adds to LP-FT.")
    parser.add_argument("targets", nargs="*", default=TARGETS, metavar="NAME")
    parser.add_argument("--sets", type=Path, default=Path("../shared/data/text"))
    parser.add_argument("--checkpoint", nargs="+", default=CHECKPOINTS)
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--test-rows", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=Path(".cache/adaptation.jsonl"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
