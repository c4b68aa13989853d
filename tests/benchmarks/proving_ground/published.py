"""Published tables: the figures that this proving ground must reproduce before it may judge anything.

``catalog/outcomes/imagenet_ten.csv`` holds ten ImageNet models on eight sets: accuracy after fine-tuning and five
transferability scores (its README names the sources). Truth is the accuracy, a ranking's figure is the mean over the
sets of the weighted tau, and the static list of a set is made from the other seven.
"""

import csv
from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

from registry.home import catalog_folder
from tests.benchmarks.proving_ground.figures import standing, weighted_tau

__all__ = ["read_published", "reproduce"]

Table = dict[str, Float[np.ndarray, "k t"]]


def read_published(path: Path | None = None) -> Table:
    """Each column of numbers as a table of models x sets."""
    with (path or catalog_folder() / "outcomes" / "imagenet_ten.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    models, sets = (list(dict.fromkeys(row[key] for row in rows)) for key in ("checkpoint", "sample_name"))
    places = [(models.index(row["checkpoint"]), sets.index(row["sample_name"])) for row in rows]
    tables = {}
    for column in ("score", "logme", "hscore", "nce", "leep", "nleep"):
        table = np.full((len(models), len(sets)), np.nan)
        for place, row in zip(places, rows, strict=True):
            table[place] = float(row[column])
        tables[column] = table
    return tables


def reproduce(tables: Table) -> dict[str, float]:
    """Mean weighted tau over the sets, by method."""
    truth = tables["score"]
    sets = range(truth.shape[1])
    z = {name: _each_standing(table) for name, table in tables.items()}
    static = np.stack([standing(np.delete(truth, t, axis=1)) for t in sets], axis=1)
    ranks = np.stack([np.delete(rankdata(truth, axis=0), t, axis=1).mean(axis=1) for t in sets], axis=1)
    z_static = _each_standing(static)
    methods = {
        "LogME": tables["logme"],
        "H-score": tables["hscore"],
        "static": static,
        "static by ranks": ranks,
        "z(LogME) + z(static)": z["logme"] + z_static,
        "z(LogME) + z(H) + z(NCE) + 3 z(static)": z["logme"] + z["hscore"] + z["nce"] + 3 * z_static,
    }
    return {name: float(np.mean([weighted_tau(truth[:, t], by[:, t]) for t in sets])) for name, by in methods.items()}


def _each_standing(table: Float[np.ndarray, "k t"]) -> Float[np.ndarray, "k t"]:
    """Every set's column as z-scores."""
    return np.stack([standing(column[:, None]) for column in table.T], axis=1)
