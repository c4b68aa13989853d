import json
import subprocess
import sys
import time

import psutil
import pytest

from recommender.tuning.folder import RunFolder, RunState, find_run, reap, run_folders
from registry.errors import UnknownName
from registry.home import Home


@pytest.fixture
def home(tmp_path):
    return Home.find(tmp_path)


def begun(home, name="20260101-000000-abc"):
    run = RunFolder(home.runs / name)
    run.start({"id": name})
    return run


def test_a_run_is_running_while_it_beats_and_interrupted_when_its_process_is_gone(home):
    run = begun(home)
    with run.beating():
        assert run.state is RunState.RUNNING
    script = ("import sys, os; from pathlib import Path; from recommender.tuning.folder import *\n"
              "RunFolder(Path(sys.argv[1])).mark(RunState.RUNNING); os._exit(9)")  # fmt: skip
    subprocess.run([sys.executable, "-c", script, str(run.path)], check=False)
    assert run.state is RunState.INTERRUPTED


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


def test_another_process_of_the_same_number_is_no_sign_of_life(home):
    run = begun(home)
    run.mark(RunState.RUNNING)
    told = json.loads((run.path / "state.json").read_text())
    parent = psutil.Process().parent()
    (run.path / "state.json").write_text(json.dumps({**told, "pid": parent.pid, "started": parent.create_time() - 99}))
    assert run.state is RunState.INTERRUPTED


def test_silence_on_another_machine_counts_as_death(home):
    run = begun(home)
    run.mark(RunState.RUNNING)
    told = json.loads((run.path / "state.json").read_text())
    (run.path / "state.json").write_text(json.dumps({**told, "host": "elsewhere"}))
    assert run.state is RunState.RUNNING
    (run.path / "state.json").write_text(json.dumps({**told, "host": "elsewhere", "beat": 0}))
    assert run.state is RunState.INTERRUPTED


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
    old.finish({})
    assert [run.id for run in run_folders(home)] == [new.id, old.id]
    assert find_run(home, "202602") == new
    assert find_run(home, "latest") == old
    with pytest.raises(UnknownName):
        find_run(home, "2026")


def test_half_a_file_is_no_state(home):
    run = begun(home)
    (run.path / "state.json").write_text('{"state": "runn')
    assert run.state is RunState.INTERRUPTED


def test_a_run_whose_process_was_killed_is_found_and_marked_once(home):
    run, going = begun(home), begun(home, "20260102-000000-abc")
    script = ("import sys, os; from pathlib import Path; from recommender.tuning.folder import *\n"
              "RunFolder(Path(sys.argv[1])).mark(RunState.RUNNING); os._exit(9)")  # fmt: skip
    subprocess.run([sys.executable, "-c", script, str(run.path)], check=False)
    with going.beating():
        assert [found.id for found in reap(home)] == [run.id]
        assert reap(home) == ()
    assert run.state is RunState.INTERRUPTED
    assert f"transferzoo runs resume {run.id}" in run.reason
