import json
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from recommender.runs.folder import RunFolder, RunState, find_run, reap, run_folders, share_run
from registry.errors import NotResumable, UnknownName
from registry.home import Home


@pytest.fixture
def home(tmp_path):
    return Home.find(tmp_path)


def begun(home, name="20260101-000000-abc"):
    run = RunFolder(home.runs / name)
    run.start({"id": name})
    return run


HOLD = (
    "import sys, time; from pathlib import Path; from recommender.runs.folder import *\n"
    "run = RunFolder(Path(sys.argv[1]))\n"
    "with run.held(), run.beating():\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)"
)


@contextmanager
def held_by_another(run):
    """A process that carries the run out; it is killed at the end."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(run.path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        try:
            yield holder
        finally:
            holder.kill()


def test_a_run_is_running_while_a_process_holds_it_and_interrupted_when_that_was_killed(home):
    run = begun(home)
    with held_by_another(run):
        assert run.state is RunState.RUNNING
    assert run.state is RunState.INTERRUPTED


def test_only_one_process_carries_a_run_out(home):
    run = begun(home)
    with held_by_another(run) as holder:
        with pytest.raises(NotResumable, match=rf"still going on \(process {holder.pid} on "), run.held():
            pass
        assert json.loads((run.path / "state.json").read_text())["state"] == "running"
    with run.held():
        assert run.state is RunState.RUNNING


def test_no_clock_makes_a_living_run_look_dead(home):
    run = begun(home)
    with held_by_another(run):
        record = json.loads((run.path / "state.json").read_text())
        (run.path / "state.json").write_text(json.dumps({**record, "beat": 0, "started": 0, "host": "elsewhere"}))
        assert run.state is RunState.RUNNING
        assert reap(home) == ()


def test_a_finished_run_is_held_by_nobody_again_and_leaves_no_lock(home):
    run = begun(home)
    with run.held():
        run.finish({"id": run.id})
    assert not run.lock.exists()
    with pytest.raises(NotResumable, match="it is finished"), run.held():
        pass


def test_what_was_spent_adds_up_over_the_processes_that_worked_on_it(home):
    run = begun(home)
    assert run.spent == 0
    with run.beating():
        time.sleep(0.2)
    first = run.spent
    assert first >= 0.2
    run.mark(RunState.INTERRUPTED, "its process ended without a word")
    assert run.spent == first
    with run.beating():
        time.sleep(0.1)
    assert run.spent >= first + 0.1


def test_a_finished_run_is_finished_whatever_was_said_before(home):
    run = begun(home)
    run.mark(RunState.FAILED, "broke", "mend it")
    assert (run.state, run.reason) == (RunState.FAILED, "broke. mend it")
    run.finish({"id": run.id})
    assert (run.state, run.reason) == (RunState.FINISHED, "")


def test_what_is_to_be_done_is_written_once(home):
    run = begun(home)
    run.start({"id": "another"})
    assert run.job == {"id": run.id}


def test_runs_are_found_by_id_by_its_beginning_and_as_the_latest(home):
    old, new = begun(home, "20260101-000000-abc"), begun(home, "20260202-000000-def")
    old.finish({"id": old.id})
    assert [run.id for run in run_folders(home)] == [new.id, old.id]
    assert find_run(home, "202602") == new
    assert find_run(home, "latest") == old
    with pytest.raises(UnknownName):
        find_run(home, "2026")


@pytest.mark.parametrize(
    "left", ['{"state": "ru', '{"state": "running"}', '{"state": "dreaming", "pid": 1}', "[]", '{"spent": "long"}', ""]
)
def test_an_odd_state_is_that_of_an_interrupted_run(home, left):
    run = begun(home)
    (run.path / "state.json").write_text(left)
    assert (run.state, run.spent) == (RunState.INTERRUPTED, 0.0)
    assert [result.id for result in reap(home)] == [run.id]
    assert run.to_dict()["state"] == "interrupted"


@pytest.mark.parametrize("left", ["", "{}", "[]", '{"plan": 3}'])
def test_a_run_whose_job_is_damaged_is_listed_all_the_same(home, left):
    run = begun(home)
    (run.path / "job.json").write_text(left)
    assert [result.id for result in run_folders(home)] == [run.id]
    assert run.to_dict()["strategy"] is None


def test_a_run_whose_process_was_killed_is_found_and_marked_once(home):
    run, going = begun(home), begun(home, "20260102-000000-abc")
    with held_by_another(run):
        pass
    with going.held(), going.beating():
        assert [result.id for result in reap(home)] == [run.id]
        assert reap(home) == ()
    assert run.state is RunState.INTERRUPTED
    assert f"transferzoo runs resume {run.id}" in run.reason


@pytest.fixture
def homes(tmp_path):
    """Two homes that share objects."""
    (tmp_path / "shared").mkdir()
    return [Home.find(tmp_path / name, objects=str(tmp_path / "shared")) for name in ("first", "second")]


def test_a_finished_run_is_found_from_another_home_and_without_its_scaffolding(homes):
    first, second = homes
    run = begun(first)
    assert share_run(run, first) == ""  # it is not finished
    run.finish({"id": run.id})
    for name in ("model.safetensors", "figures/loss.svg", "best-1.safetensors", "kept-a.npy", "trainer/state", "x.tmp"):
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).write_text(name)
    assert share_run(run, first)
    assert find_run(first, run.id) == run
    for name in (run.id, "2026", "latest"):
        fetched = find_run(second, name)
        assert (fetched.id, fetched.state, fetched.result) == (run.id, RunState.FINISHED, {"id": run.id})
    files = {file.relative_to(fetched.path).as_posix() for file in fetched.path.rglob("*") if file.is_file()}
    assert files == {"job.json", "run.json", "model.safetensors", "figures/loss.svg"}
    assert run_folders(second) == ()
    for name in ("2027", ""):
        with pytest.raises(UnknownName):
            find_run(second, name)
    with pytest.raises(UnknownName):
        find_run(second, run.id, here=True)
    with pytest.raises(NotResumable, match="finished"), fetched.held():
        pass


def test_the_latest_run_is_that_of_all_homes(homes):
    first, second = homes
    runs = [begun(home, f"2026010{day}-000000-abc") for day, home in ((1, first), (2, second), (3, first))]
    for run, home in zip(runs, (first, second, first), strict=True):
        run.finish({"id": run.id})
        share_run(run, home)
    assert find_run(second, "latest").id == runs[2].id
    assert find_run(second, "20260102") == runs[1]
    with pytest.raises(UnknownName):
        find_run(second, "202601")


def test_a_home_that_shares_nothing_keeps_its_runs(home):
    run = begun(home)
    run.finish({"id": run.id})
    assert share_run(run, home) == ""
