"""A job that is carried out again: on rows read again, or handed over where they lie nowhere."""

import pytest

from recommender.runs.folder import RunFolder
from recommender.runs.job import Job
from registry.errors import OtherRows, RowsInMemory
from registry.zoo import Zoo
from tests.recommender.tuning import jobs


@pytest.fixture
def interrupted(tmp_path):
    """A run on arrays that was begun and not finished, and its zoo."""
    zoo = Zoo.open(tmp_path / "home")
    card = zoo.checkpoint("resnet-photos")
    begun = jobs.job(tmp_path, card, jobs.plan(card))
    run = RunFolder(begun.folder)
    run.start(begun.to_dict())
    return run, zoo


def test_a_run_on_arrays_goes_on_with_the_same_arrays(interrupted):
    again = Job.again(*interrupted, sample=jobs.sample())
    assert again.id == "run"
    assert again.sample.digest == jobs.sample().digest


def test_a_run_on_arrays_that_are_not_handed_over_says_so_and_what_to_do(interrupted):
    with pytest.raises(RowsInMemory, match="colors were arrays in memory") as caught:
        Job.again(*interrupted)
    assert "recommender.resume(RUN, zoo, sample=" in caught.value.remedy


def test_a_run_goes_on_with_no_other_rows(interrupted):
    with pytest.raises(OtherRows):
        Job.again(*interrupted, sample=jobs.sample(rows=24))
