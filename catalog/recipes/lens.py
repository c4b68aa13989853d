"""Which seedling sees straight: how many of expectations.csv hold through each candidate lens, for three distances.

    python catalog/recipes/lens.py --shared ../shared --work .cache/grow [--blocks last|all] [NAME ...]
    python catalog/recipes/lens.py --modality text --shared ../shared --work .cache/grow-text [NAME ...]

Also how often two lenses name another nearest domain. Features are kept in WORK/seen, as bundle.py keeps them.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from bundle import IMAGES
from bundle_text import TEXTS

from recommender.distance.classifier import classifier
from recommender.distance.knn import knn_distance
from recommender.distance.mmd import mmd
from registry.encoders.encoder import load_encoder
from registry.features import Features
from registry.sketch import fit_lens

HERE = Path(__file__).parent
ROWS = 256
OF = {"image": (IMAGES, "expectations.csv"), "text": (TEXTS, "expectations_text.csv")}
"""By modality how its domains are encoded, and what was expected of them."""


def main() -> None:
    """Print the table, then the disagreement between the lenses."""
    requested = _arguments()
    bundling, expected = OF[requested.modality]
    domains = bundling.read_domains()
    with (HERE / expected).open() as file:
        expectations = list(csv.DictReader(file))
    nearest: dict[str, dict[str, str]] = {}
    print(f"{len(expectations)} expectations".ljust(40) + "".join(m.rjust(12) for m in ("mmd", "knn", "classifier")))
    for name in requested.names:
        seen = bundling.encode_domains(
            load_encoder(requested.work / name / "done", name=name), domains, requested.shared, requested.work
        )
        names = next(iter(seen.values())).names
        blocks = range(len(names)) if requested.blocks == "all" else [-1]
        for place in blocks:
            lens = f"{name} {names[place]}"
            clouds = {domain: encoded.blocks[place] for domain, encoded in seen.items()}
            tables = distances(clouds, requested.metrics, requested.modality)
            held = {metric: held_by(table, expectations) for metric, table in tables.items()}
            nearest[lens] = nearest_of(tables["mmd"])
            print(lens.ljust(40) + "".join(f"{held[m]:>9}/{len(expectations)}" for m in tables), flush=True)
            (requested.work / "lens.jsonl").open("a").write(json.dumps({"lens": lens, **held}) + "\n")
    for one, other in combinations(nearest, 2):
        differ = sum(nearest[one][d] != nearest[other][d] for d in nearest[one])
        print(f"{one} and {other} name another nearest domain for {differ} of {len(nearest[one])}")


def distances(
    seen: dict[str, Features], metrics: Sequence[str], modality: str
) -> dict[str, dict[tuple[str, str], float]]:
    """Every pair's distance by each metric, in the lens that these domains would give."""
    lens = fit_lens("candidate", modality, list(seen.values()))
    random = np.random.default_rng(0)
    clouds = {
        name: lens.standardize(features.vectors[random.permutation(len(features))[:ROWS]])
        for name, features in seen.items()
    }
    ways = {
        "mmd": lambda x, y: mmd(x, y, sigma=lens.sigma, permutations=1).statistic,
        "knn": lambda x, y: knn_distance(x, y).statistic,
        "classifier": lambda x, y: classifier(x, y).statistic,
    }
    return {
        metric: {(a, b): ways[metric](clouds[a], clouds[b]) for a, b in combinations(clouds, 2)} for metric in metrics
    }


def held_by(table: dict[tuple[str, str], float], expectations: Sequence[dict[str, str]]) -> int:
    """How many expectations hold, strictly."""
    return sum(
        _between(table, row["domain"], row["nearer"]) < _between(table, row["domain"], row["farther"])
        for row in expectations
    )


def nearest_of(table: dict[tuple[str, str], float]) -> dict[str, str]:
    """Each domain's nearest other."""
    names = sorted({name for pair in table for name in pair})
    return {a: min((b for b in names if b != a), key=lambda b: _between(table, a, b)) for a in names}


def _between(table: dict[tuple[str, str], float], one: str, other: str) -> float:
    return table[one, other] if (one, other) in table else table[other, one]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Judge candidate lenses by what people expect.")
    parser.add_argument("names", nargs="+")
    parser.add_argument("--modality", choices=sorted(OF), default="image")
    parser.add_argument("--blocks", choices=("last", "all"), default="last")
    parser.add_argument("--metrics", nargs="+", default=("mmd", "knn", "classifier"))
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, default=Path(".cache/grow"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
