"""Distances that a person asks for: two samples, or a sample and a known domain."""

import pytest

from recommender.flow import compare, near
from registry.errors import EncoderMismatch, UnknownName
from tests.recommender.planted import Reader, planted_sample, planted_zoo
from tests.registry.fakes import SHADES


@pytest.fixture
def zoo(tmp_path):
    return planted_zoo(tmp_path, {"reader": (Reader("reader", (0, 0)), None)})


def test_a_sample_is_nearest_to_the_domain_of_its_shade(zoo):
    for name, shade in SHADES.items():
        nearest = near(planted_sample(60, (1.0,), shade=shade), zoo)
        assert nearest[0].domain == name
        assert nearest[0].percentile is not None
        assert len(nearest) == len(SHADES)


def test_the_distance_to_a_domain_is_that_of_the_list(zoo):
    sample = planted_sample(60, (1.0,), shade=100)
    listed = {row.domain: row.distance.value for row in near(sample, zoo)}
    assert compare(sample, "gray", zoo).value == pytest.approx(listed["gray"])


def test_two_samples_of_one_shade_are_nearer_than_two_of_different_shades(zoo):
    gray, again, dark = (planted_sample(60, (1.0,), shade=s, seed=n) for n, s in enumerate((128, 128, 40)))
    for metric in ("mmd", "knn", "energy", "frechet", "classifier"):
        same, different = compare(gray, again, zoo, metric=metric), compare(gray, dark, zoo, metric=metric)
        assert same.value < different.value
    assert compare(gray, dark, zoo, through="reader").metric == "mmd"


def test_a_domain_is_known_through_its_lens_alone(zoo):
    with pytest.raises(EncoderMismatch):
        compare(planted_sample(60, (1.0,)), "gray", zoo, through="reader")


def test_a_misspelt_domain_or_metric_gets_a_hint(zoo):
    with pytest.raises(UnknownName) as caught:
        compare(planted_sample(60, (1.0,)), "grey", zoo)
    assert "gray" in caught.value.remedy
    with pytest.raises(UnknownName):
        compare(planted_sample(60, (1.0,)), "gray", zoo, metric="mdm")
