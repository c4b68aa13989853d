import os
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from registry.cards import JobState
from registry.errors import NotFinite, UnknownName
from registry.progress import Event, Phase
from registry.store import Store, locks, schema


@pytest.fixture
def jobs(place):
    return Store.open(place).jobs


@pytest.fixture
def quick_look(monkeypatch):
    """Whether a lock is taken is known at once."""
    monkeypatch.setattr(locks, "_LOOKED", 0.05)


def change(jobs, job, **values):
    order = sa.update(schema.jobs).where(schema.jobs.c.id == job).values(**values)
    jobs._database.run(lambda c: c.execute(order), write=True)


def long_ago(minutes=60):
    return (datetime.now(UTC) - timedelta(minutes=minutes)).isoformat()


def test_a_started_job_is_queued_with_what_it_was_asked(jobs):
    job = jobs.start("tune", {"path": "/data", "seed": 0}, "key")
    assert (job.kind, job.spec, job.state, job.key) == ("tune", {"path": "/data", "seed": 0}, JobState.QUEUED, "key")
    assert jobs.get(job.id) == job
    assert jobs.list() == (job,)


def test_a_double_click_gives_the_same_job(jobs):
    first = jobs.start("tune", {}, "key")
    assert jobs.start("tune", {}, "key").id == first.id
    assert jobs.start("tune", {}, "another key").id != first.id
    jobs.finish(first.id, {"score": 0.5})
    assert jobs.start("tune", {}, "key").state is JobState.FINISHED


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_what_went_wrong_is_queued_anew_under_its_own_id(jobs, end):
    job = jobs.start("tune", {"seed": 0}, "key")
    jobs.claim(job.id)
    jobs.fail(job.id, "out of memory") if end == "fail" else jobs.cancel(job.id)
    again = jobs.start("tune", {"seed": 1}, "key")
    assert (again.id, again.state, again.error, again.spec) == (job.id, JobState.QUEUED, None, {"seed": 1})


def test_only_one_worker_gets_a_job(jobs):
    job = jobs.start("tune", {}, "key")
    assert jobs.claim(job.id)
    assert not jobs.claim(job.id)
    assert jobs.get(job.id).state is JobState.RUNNING


def test_a_lane_gives_what_is_under_way_and_then_the_oldest(jobs):
    first, second = (jobs.start("tune", {}, key) for key in "ab")
    other = jobs.start("recommend", {}, "c", lane="advice")
    assert jobs.lanes() == ("advice", "cpu")
    assert (jobs.next("cpu").id, jobs.next("advice").id, jobs.next("cuda:0")) == (first.id, other.id, None)
    assert [jobs.ahead(job.id) for job in (first, second, other)] == [0, 1, 0]
    jobs.claim(second.id)
    assert jobs.next("cpu").id == second.id
    assert [jobs.ahead(job.id) for job in (first, second)] == [1, 0]
    jobs.finish(second.id, {})
    assert jobs.next("cpu").id == first.id
    jobs.cancel(first.id)
    assert jobs.next("cpu") is None
    assert jobs.lanes() == ("advice",)


def test_what_is_queued_anew_waits_behind_the_others(jobs):
    first, second = (jobs.start("tune", {}, key) for key in "ab")
    jobs.cancel(first.id)
    assert jobs.start("tune", {}, "a").id == first.id
    assert jobs.next("cpu").id == second.id


def test_what_another_machine_was_asked_for_is_not_done_here(jobs):
    change(jobs, jobs.start("tune", {}, "key").id, host="another machine")
    assert jobs.next("cpu") is None
    assert jobs.lanes() == ()


def test_no_clock_makes_a_queued_or_claimed_job_look_lost(jobs):
    queued, claimed = jobs.start("tune", {}, "a"), jobs.start("tune", {}, "b")
    jobs.claim(claimed.id)
    for moment in (long_ago(), long_ago(-60), long_ago(60 * 24 * 3650)):
        for one in (queued, claimed):
            change(jobs, one.id, heartbeat=moment)
        assert jobs.reap() == ()


def test_only_what_is_not_over_can_be_lost_and_not_before_it_was_begun_three_times(jobs):
    job, done = jobs.start("tune", {}, "a"), jobs.start("tune", {}, "b")
    jobs.finish(done.id, {})
    states = [jobs.lose(job.id).state for _ in range(3)]
    assert states == [JobState.QUEUED, JobState.QUEUED, JobState.LOST]
    assert jobs.lose(done.id).state is JobState.FINISHED
    assert jobs.start("tune", {}, "a").tries == 0


def test_progress_and_curves_are_seen_by_whoever_asks(jobs, place):
    job = jobs.start("tune", {}, "key")
    assert jobs.report(job.id, Event(Phase.TUNE, "lp-ft", 3, 10, 2, 4)) is JobState.RUNNING
    for step, value in [(2, 0.5), (1, 0.9), (2, 0.4)]:
        jobs.point(job.id, "loss", step, value)
    jobs.point(job.id, "accuracy", 1, 0.3)
    seen = Store.open(place).jobs.get(job.id)
    assert seen.event == Event(Phase.TUNE, "lp-ft", 3, 10, 2, 4)
    assert seen.to_dict()["stage"] == "tune"
    assert (seen.host, seen.pid) == (socket.gethostname(), os.getpid())
    assert seen.curve == {"accuracy": ((1, 0.3),), "loss": ((1, 0.9), (2, 0.4))}
    assert seen.to_dict()["curve"]["loss"] == [[1, 0.9], [2, 0.4]]


def test_a_point_that_is_nan_is_refused(jobs):
    job = jobs.start("tune", {}, "key")
    with pytest.raises(NotFinite, match="loss"):
        jobs.point(job.id, "loss", 1, float("nan"))


def test_a_cancelled_job_hears_of_it_and_stays_cancelled(jobs):
    job = jobs.start("tune", {}, "key")
    jobs.claim(job.id)
    assert jobs.cancel(job.id).state is JobState.CANCELLED
    assert jobs.report(job.id, Event(Phase.TUNE, "", 1, 2)) is JobState.CANCELLED
    assert jobs.finish(job.id, {}).state is JobState.CANCELLED
    assert jobs.fail(job.id, "interrupted").state is JobState.CANCELLED
    assert not jobs.claim(job.id)


def test_the_end_of_a_job_says_what_came_of_it(jobs):
    good, bad = jobs.start("tune", {}, "a"), jobs.start("tune", {}, "b")
    assert jobs.finish(good.id, {"score": 0.5}).result == {"score": 0.5}
    assert jobs.fail(bad.id, "no images").error == "no images"
    assert jobs.fail(good.id, "late").state is JobState.FINISHED
    assert jobs.cancel(good.id).state is JobState.FINISHED


CLAIM = (
    "import sys, time; from pathlib import Path; from registry.store import Store\n"
    "place = sys.argv[1] if '://' in sys.argv[1] else Path(sys.argv[1])\n"
    "jobs = Store.open(place).jobs\n"
    "print(jobs.claim(sys.argv[2]), flush=True)\n"
    "time.sleep(60)"
)


def test_a_job_whose_process_was_killed_is_queued_again_for_another(jobs, place, quick_look):
    job = jobs.start("tune", {}, "key")
    with subprocess.Popen([sys.executable, "-c", CLAIM, str(place), job.id], stdout=subprocess.PIPE) as worker:
        assert worker.stdout.readline() == b"True\n"
        claimed = jobs.get(job.id)
        assert not jobs.claim(job.id)
        assert jobs.reap() == ()
        assert jobs.report(job.id, Event(Phase.TUNE, "", 1, 2)) is JobState.RUNNING
        assert jobs.finish(job.id, {"score": 1.0}) == jobs.fail(job.id, "broken") == claimed
        worker.kill()
    assert [one.id for one in wait_for_dead(jobs)] == [job.id]
    assert (jobs.get(job.id).state, jobs.get(job.id).tries) == (JobState.QUEUED, 1)
    assert jobs.claim(job.id)
    assert jobs.get(job.id).tries == 2


def wait_for_dead(jobs):
    """What was reaped, as soon as there is something: a server needs a moment to miss a client."""
    deadline = time.monotonic() + 20
    while not (dead := jobs.reap()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return dead


@pytest.mark.postgres
def test_of_homes_that_share_a_server_each_has_its_own_queue(postgres_url, tmp_path):
    mine, theirs = (Store.open(postgres_url, beside=tmp_path / name).jobs for name in ("mine", "theirs"))
    job = mine.start("tune", {}, "key")
    assert mine.next("cpu").id == job.id
    assert theirs.next("cpu") is None
    assert theirs.get(job.id) == job


@pytest.mark.postgres
def test_a_job_whose_connection_was_cut_is_held_on_to_until_another_has_it(postgres_url):
    ours, others = Store.open(postgres_url).jobs, Store.open(postgres_url).jobs
    job = ours.start("tune", {}, "key")
    assert ours.claim(job.id)
    cut_connections(others)
    assert ours.holds(job.id)
    assert not others.claim(job.id)
    cut_connections(others)
    assert others._locks.hold(job.id)
    assert not ours.holds(job.id)


def cut_connections(jobs):
    """End every session that holds a lock."""
    held = sa.text("SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'")
    jobs._database.run(lambda c: c.execute(held).all())


def test_a_job_of_a_file_that_is_elsewhere_is_lost_when_it_has_long_been_silent(tmp_path):
    jobs = Store.open(tmp_path / "registry.db").jobs
    job = jobs.start("tune", {}, "key")
    change(jobs, job.id, state=JobState.RUNNING, host="another machine", pid=1)
    assert jobs.reap() == ()
    change(jobs, job.id, heartbeat=long_ago())
    assert [lost.id for lost in jobs.reap()] == [job.id]


def test_a_lost_job_that_speaks_again_runs(jobs):
    job = jobs.start("tune", {}, "key")
    change(jobs, job.id, state=JobState.LOST)
    assert jobs.report(job.id, Event(Phase.TUNE, "", 1, 2)) is JobState.RUNNING


def test_an_unknown_job_is_named_with_a_hint(jobs):
    job = jobs.start("tune", {}, "key")
    with pytest.raises(UnknownName, match="no job named") as caught:
        jobs.get(job.id[:-1])
    assert job.id in caught.value.remedy


def test_jobs_come_in_pages_by_id_and_of_one_key_alone(jobs):
    mine = sorted(jobs.start("tune", {}, f"key {n}", owner="ann" if n % 2 else "ben").id for n in range(7))
    first = jobs.after("", 3)
    assert [job.id for job in first] == mine[:3]
    assert [job.id for job in jobs.after(first[-1].id, 9)] == mine[3:]
    assert jobs.after(mine[-1], 3) == ()
    assert [job.id for job in jobs.after("", 9, owner="ann")] == sorted(job.id for job in jobs.list(owner="ann"))
    change(jobs, mine[1], kind="changed")
    assert [job.id for job in jobs.after("", 2)] == [mine[0], mine[2]]
    assert jobs.open_count("ben") + jobs.open_count("ann") == len(mine)
    jobs.cancel(jobs.after("", 1, owner="ann")[0].id)
    assert jobs.open_count("ann") == 2
