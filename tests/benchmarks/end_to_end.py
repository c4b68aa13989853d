"""The whole path on real sets of images or texts: advice, tuning of the best choice, expected against realized.

    python -m tests.benchmarks.end_to_end --sets FOLDER [--checkpoints FOLDER] [--home HOME]
        [--rows 600] [--test-rows N] [--effort normal] [NAME ...]

Each set is a folder with train/ and test/; at most so many training rows and, where that is asked for, test rows, the
plan as it is, no controls, and beside it the model of *no transfer*, which says whether the verdict chose the better
side. Results are appended to HOME/results.jsonl as they come, and a set that is there already is not run again.
Checkpoints shaped by the set's own family of domains are left out; of text checkpoints those that grew on a corpus of
that family themselves, for all that is bundled goes back to one pupil of eleven unlabelled corpora.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from recommender.constraints import Constraints
from recommender.effort import Effort
from recommender.flow import recommend, tune
from recommender.runs.job import TuneOptions
from registry.cards import Checkpoint
from registry.sample import Sample
from registry.zoo import Zoo
from tests.benchmarks.proving_ground.targets import FAMILIES, TEXTS

TOO_LARGE = ("224", "deeplab")
SOURCES = {"imagenet": "imagenet_sample", "cifar10": "cifar10", "vww": "coco_sample"}
"""Which domain a checkpoint's name begins with tells of."""


def main() -> None:
    """Run what is missing, then print the table."""
    requested = _arguments()
    results = requested.home / "results.jsonl"
    with Zoo.open(requested.home) as zoo:
        if requested.checkpoints is not None:
            _add(zoo, requested.checkpoints)
        done = {row["set"] for row in _rows(results)}
        for folder in sorted(path for path in requested.sets.iterdir() if path.is_dir()):
            if folder.name not in done and (not requested.names or folder.name in requested.names):
                row = run(zoo, folder, requested.rows, requested.test_rows, Effort(requested.effort))
                with results.open("a") as file:
                    file.write(json.dumps(row) + "\n")
                print(row, flush=True)
    Console(width=150).print(table(_rows(results)))


def run(zoo: Zoo, folder: Path, rows: int, test_rows: int, effort: Effort = Effort.NORMAL) -> dict[str, object]:
    """One set: its advice on at most so many rows of either part and what became of it."""
    began = time.perf_counter()
    whole = Sample.from_folder(folder)
    test = whole.test and whole.test.subsample(test_rows, 0)
    sample = replace(whole.subsample(rows, 0), test=test)
    limits = Constraints(exclude=related(zoo, folder.name))
    advice = recommend(sample, zoo, keep=5, constraints=limits, effort=effort)
    advised = time.perf_counter() - began
    best = advice.best
    tuned = tune(best, sample, zoo, TuneOptions(controls=False))
    raw = tune(advice.baseline, sample, zoo, TuneOptions(controls=False))
    e, b = best.expected, advice.baseline
    return {
        "set": folder.name,
        "rows": len(sample.items),
        "checkpoint": best.checkpoint.name,
        "strategy": best.plan.strategy,
        "no_transfer": b.expected.mean,
        "no_transfer_realized": raw.metrics["score"],
        "transfer": advice.verdict.transfer,
        "beyond_chance": advice.verdict.beyond_chance,
        "expected": e.mean,
        "low": e.low,
        "high": e.high,
        "realized": tuned.metrics["score"],
        "standard_error": tuned.metrics["standard_error"],
        "advice_seconds": advised,
        "tuning_seconds": tuned.metrics["seconds"],
        "candidates": len(advice.choices),
    }


def related(zoo: Zoo, target: str) -> tuple[str, ...]:
    """Checkpoints that were shaped by the target's family of domains, which a stranger's data would not be."""
    family = {domain.name: domain.family for domain in zoo.domains()}
    own = FAMILIES.get(target, family.get(target))
    return tuple(
        card.name for card in zoo.checkpoints() if own and own in {family.get(str(name)) for name in _sources(card)}
    )


def _sources(card: Checkpoint) -> tuple[str | None, ...]:
    return (card.domain,) if card.modality == TEXTS.modality else (*card.lineage, card.domain)


def table(rows: list[dict[str, object]]) -> Table:
    """The rows as a table, with how many realized scores lie within their interval, and what each side would score."""
    within = sum(float(r["low"]) <= float(r["realized"]) <= float(r["high"]) for r in rows)
    drawn = Table(
        title=f"{within} of {len(rows)} realized scores lie within the nominal 90 % interval",
        caption=f"mean score: as advised {_mean(rows, _followed):.3f}, always transferring {_mean(rows, _tuned):.3f}, "
        f"never {_mean(rows, _raw):.3f}, always the better side {_mean(rows, lambda r: max(_tuned(r), _raw(r))):.3f}",
    )
    for column in (
        "set",
        "rows",
        "chosen checkpoint",
        "strategy",
        "no transfer, realized",
        "expected",
        "realized",
        "advice s",
        "tuning s",
    ):
        drawn.add_column(column, justify="left" if column in {"set", "chosen checkpoint", "strategy"} else "right")
    for r in rows:
        chosen = f"{r['checkpoint']}{_words_of(r)}"
        drawn.add_row(
            str(r["set"]),
            str(r["rows"]),
            chosen,
            str(r["strategy"]),
            f"{r['no_transfer']:.3f}, {r['no_transfer_realized']:.3f}",
            f"{r['expected']:.3f} ({r['low']:.2f} to {r['high']:.2f})",
            f"{r['realized']:.3f} ± {r['standard_error']:.3f}",
            f"{r['advice_seconds']:.0f}",
            f"{r['tuning_seconds']:.0f}",
        )
    return drawn


def _words_of(row: dict[str, object]) -> str:
    if not row["transfer"]:
        return " (do not transfer)"
    return "" if row["beyond_chance"] else " (too close to call)"


def _tuned(row: dict[str, object]) -> float:
    return float(str(row["realized"]))


def _raw(row: dict[str, object]) -> float:
    return float(str(row["no_transfer_realized"]))


def _followed(row: dict[str, object]) -> float:
    return _tuned(row) if row["transfer"] else _raw(row)


def _mean(rows: list[dict[str, object]], side: Callable[[dict[str, object]], float]) -> float:
    return sum(map(side, rows)) / max(1, len(rows))


def _add(zoo: Zoo, folder: Path) -> None:
    known = {card.name for card in zoo.checkpoints()}
    for place in sorted(folder.iterdir()):
        if place.name not in known and not any(mark in place.name for mark in TOO_LARGE):
            domain = next((d for start, d in SOURCES.items() if place.name.startswith(start)), None)
            zoo.add(place, domain=domain)


def _rows(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--test-rows", type=int, default=sys.maxsize)
    parser.add_argument("--effort", choices=[str(effort) for effort in Effort], default=str(Effort.NORMAL))
    parser.add_argument("--home", type=Path, default=Path(".cache/end_to_end"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
