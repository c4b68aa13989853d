"""Novel rows: planted strangers come first, and what is like the domain is not called novel."""

import numpy as np

from recommender.novelty import MOST_NOVEL, NEIGHBOR, novel_rows
from registry.features import Features
from registry.sample import Sample
from registry.sketch import fit_lens, sketch_of

SPACE = "net@00#last"


def cloud(rows: int, seed: int, center: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(center, 1.0, (rows, 8)).astype(np.float32)


def judged(features: np.ndarray, domain_rows: int = 100):
    domain = Features(cloud(domain_rows, 0), SPACE)
    lens = fit_lens("lens", "image", [domain])
    images = np.random.default_rng(9).integers(0, 256, (len(features), 4, 4), dtype=np.uint8)
    sample = Sample.from_arrays(images, ["a", "b"] * (len(features) // 2), name="rows", keep_duplicates=True)
    return novel_rows(sample, Features(features, SPACE), sketch_of("known", domain, lens), lens)


def test_strangers_among_like_rows_are_listed_first_with_how_far_they_are():
    features = cloud(60, 1)
    features[[7, 20]] += np.array([[30.0], [15.0]], np.float32)
    novelty = judged(features)
    assert [row.item for row in novelty.rows[:2]] == ["7", "20"]
    assert [row.farther_than for row in novelty.rows[:2]] == [1.0, 1.0]
    assert (novelty.domain, novelty.rows_judged, novelty.rows_of_domain) == ("known", 60, 100)
    assert 2 <= novelty.rows_beyond < 10
    assert len(novelty.rows) == MOST_NOVEL
    distances = [row.distance for row in novelty.rows]
    assert distances == sorted(distances, reverse=True)


def test_rows_of_the_domain_itself_are_not_beyond_it():
    assert judged(cloud(100, 0)).rows_beyond == 0


def test_a_domain_of_too_few_rows_tells_nothing():
    assert judged(cloud(10, 1), domain_rows=NEIGHBOR) is None
