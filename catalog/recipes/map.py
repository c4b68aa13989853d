"""A map of all domains through the lens: classical scaling of their MMDs, colored by family.

    python catalog/recipes/map.py map.png [text]

Needs matplotlib. Domains that lie close look alike to the lens; squares are the sources of seedlings.
"""

import sys
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from registry.catalog import Catalog, read_catalog

CATALOG = Path(__file__).parent.parent


def main() -> None:
    """Draw the map, and print each domain's nearest other."""
    whole, modality = read_catalog(CATALOG), sys.argv[2] if len(sys.argv) > 2 else "image"
    lens = whole.lenses[modality].digest
    known = replace(whole, sketches=tuple(sketch for sketch in whole.sketches if sketch.lens == lens))
    names = [sketch.domain for sketch in known.sketches]
    squares = squared_distances(known)
    for row, name in enumerate(names):
        order = np.argsort(squares[row])
        print(f"{name:20s} nearest {names[order[1]]}, then {names[order[2]]}")
    draw(known, names, scaled(squares), Path(sys.argv[1]))


def squared_distances(known: Catalog) -> np.ndarray:
    """MMD² of every pair of sketches (K, K)."""
    squares = np.zeros((len(known.sketches),) * 2)
    for a, b in combinations(range(len(known.sketches)), 2):
        squares[a, b] = squares[b, a] = known.sketches[a].squared_distance(known.sketches[b])
    return squares


def scaled(squares: np.ndarray) -> np.ndarray:
    """Two coordinates a domain (Torgerson 1952)."""
    n = len(squares)
    center = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * center @ squares @ center)
    return vectors[:, [-1, -2]] * np.sqrt(np.maximum(values[[-1, -2]], 0))


def draw(known: Catalog, names: list[str], places: np.ndarray, path: Path) -> None:
    """Write the picture."""
    mpl.use("Agg")
    family = {domain.name: domain.family for domain in known.domains}
    families = sorted(set(family.values()))
    sources = {card.domain for card in known.checkpoints}
    figure, axes = plt.subplots(figsize=(9, 7))
    for name, (x, y) in zip(names, places, strict=True):
        color = mpl.colormaps["tab20"](families.index(family[name]) / len(families))
        axes.scatter(x, y, color=color, s=90, marker="s" if name in sources else "o")
        axes.annotate(name, (x, y), xytext=(7, 4), textcoords="offset points", fontsize=9)
    axes.set_title("Domains through the lens: the closer, the more alike (squares: sources of seedlings)")
    axes.set_xlabel("first coordinate of the MMD")
    axes.set_ylabel("second coordinate of the MMD")
    axes.set_aspect("equal")
    axes.margins(0.15)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
