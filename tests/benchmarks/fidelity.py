"""Does the sketch find the nearest domain? Shortlists by mean embedding against exact MMD, siblings left out.

    python -m tests.benchmarks.fidelity --sets FOLDER [--other CHECKPOINT]

Every class of every image set below FOLDER is a sub-domain; those of one set are siblings and do not count as each
other's neighbors. Also: how often a second checkpoint as lens names another nearest sub-domain.
"""

import argparse
from pathlib import Path

import numpy as np

from recommender.distance.mmd import mmd
from registry.features import Features
from registry.sample import Sample
from registry.sketch import Lens, fit_lens
from registry.zoo import Zoo

ROWS, LEAST, SHORT = 60, 20, 10


def main() -> None:
    """Print both figures."""
    requested = _arguments()
    zoo = Zoo.open(requested.home)
    lens = zoo.lens("image")
    samples = {path.name: Sample.from_folder(path) for path in sorted(requested.sets.iterdir()) if path.is_dir()}
    ours = sub_domains(samples, {name: zoo.lens_features(s.subsample(1200, 0)) for name, s in samples.items()})
    exact = exact_distances(lens, ours)
    sketched = embedding_distances(lens, ours)
    names = list(ours)
    allowed = np.array([[a[0] != b[0] for b in names] for a in names])
    nearest = np.where(allowed, exact, np.inf).argmin(axis=1)
    short = np.argsort(np.where(allowed, sketched, np.inf), axis=1)[:, :SHORT]
    held = np.mean([nearest[row] in short[row] for row in range(len(names))])
    print(
        f"{len(names)} sub-domains of {len(samples)} sets: a shortlist of {SHORT} holds the exact nearest "
        f"non-sibling {held:.1%} of the time"
    )
    theirs = {name: zoo.encode(requested.other, s.subsample(1200, 0)).last for name, s in samples.items()}
    second = fit_lens("second", "image", list(theirs.values()))
    others = exact_distances(second, sub_domains(samples, theirs))
    differ = np.mean(np.where(allowed, others, np.inf).argmin(axis=1) != nearest)
    print(f"{requested.other} as lens names another nearest non-sibling {differ:.1%} of the time")


def sub_domains(samples: dict[str, Sample], seen: dict[str, Features]) -> dict[tuple[str, str], Features]:
    """The features of every class of every set that has enough rows."""
    by_name = {}
    for name, sample in samples.items():
        labels = np.array(sample.subsample(1200, 0).labels)
        for label in sorted(set(labels)):
            rows = np.flatnonzero(labels == label)[:ROWS]
            if len(rows) >= LEAST:
                by_name[name, str(label)] = seen[name].take(rows)
    return by_name


def exact_distances(lens: Lens, clouds: dict[tuple[str, str], Features]) -> np.ndarray:
    """Unbiased MMD² of every pair (K, K)."""
    rows = [lens.standardize(cloud.vectors) for cloud in clouds.values()]
    result = np.zeros((len(rows), len(rows)))
    for a in range(len(rows)):
        for b in range(a):
            result[a, b] = result[b, a] = mmd(rows[a], rows[b], sigma=lens.sigma, permutations=1).statistic
    return result


def embedding_distances(lens: Lens, clouds: dict[tuple[str, str], Features]) -> np.ndarray:
    """Squared distance of every pair of mean embeddings (K, K)."""
    table = np.stack([lens.embed(cloud.vectors).astype(np.float64) for cloud in clouds.values()])
    squares = np.square(table).sum(axis=1)
    return np.asarray(squares[:, None] + squares - 2 * table @ table.T)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--sets", type=Path, required=True)
    parser.add_argument("--other", default="resnet-photos")
    parser.add_argument("--home", type=Path, default=Path(".cache/fidelity"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
