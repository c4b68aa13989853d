"""A job travels to another process as it is, or is carried out again on rows read again or handed over."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import pytest

from recommender.runs.folder import RunFolder
from recommender.runs.job import Job
from recommender.runs.tracking import no_tracking
from recommender.tuning.recipe import run_local
from registry.errors import OtherRows, RowsInMemory
from registry.zoo import Zoo
from tests.recommender.tuning import jobs


@pytest.fixture
def interrupted(tmp_path, new_home):
    """A run on arrays that was begun and not finished, and its zoo."""
    zoo = Zoo.open(new_home)
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


def test_a_job_is_data_that_comes_out_of_a_pickle_as_it_went_in(tmp_path):
    card = jobs.checkpoint(tmp_path / "net")
    job = jobs.job(tmp_path, card, jobs.plan(card))
    again = pickle.loads(pickle.dumps(job))  # noqa: S301 - written in the same line
    assert again.to_dict() == job.to_dict()
    assert again.sample.order == job.sample.order


def metrics_of(packed: bytes) -> dict[str, float]:
    """What a process comes to that knows nothing but the job."""
    run, _ = run_local(pickle.loads(packed), no_tracking)  # noqa: S301 - packed by the test
    return dict(run.metrics)


@pytest.mark.slow
def test_a_job_sent_to_a_fresh_process_comes_to_the_same_run(tmp_path):
    card = jobs.checkpoint(tmp_path / "net")
    job = jobs.job(tmp_path, card, jobs.plan(card, jobs.whole(card)))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        there = pool.submit(metrics_of, pickle.dumps(job)).result()
    here = metrics_of(pickle.dumps(replace(job, id="here")))
    assert RunFolder(job.folder).result["id"] == job.id
    measured = {"seconds", "peak_memory_bytes"}
    assert there.keys() == here.keys()
    for name in here.keys() - measured:
        assert there[name] == pytest.approx(here[name], rel=1e-3), name
