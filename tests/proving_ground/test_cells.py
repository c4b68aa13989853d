"""The tables on disk grow by whole lines, and only grow."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import get_context

import pytest

from tests.benchmarks.proving_ground.cells import Cell, append, claimed, read_design, read_outcomes
from tests.proving_ground.planted import lines_of, world

CELL = Cell(1, 1, "net", "00ff", "body", 9, "source", "target", "family", "linear-probe", 800, 0, 0)


def test_what_is_appended_is_read_back(tmp_path):
    path = tmp_path / "design.csv"
    append(path, [CELL])
    append(path, [replace(CELL, cell=2, target="a, b")])
    assert read_design(path) == [CELL, replace(CELL, cell=2, target="a, b")]


def test_lines_that_are_there_never_change(tmp_path):
    path = tmp_path / "design.csv"
    append(path, [CELL])
    before = path.read_bytes()
    append(path, [replace(CELL, cell=2)])
    assert path.read_bytes().startswith(before)


def test_a_torn_line_is_cut_off_before_the_next(tmp_path):
    path = tmp_path / "design.csv"
    append(path, [CELL])
    whole = path.read_bytes()
    path.write_bytes(whole + b"2,1,net,00")
    append(path, [replace(CELL, cell=3)])
    assert [cell.cell for cell in read_design(path)] == [1, 3]


def test_a_torn_line_is_not_read(tmp_path):
    path = tmp_path / "design.csv"
    append(path, [CELL])
    line = path.read_bytes().splitlines()[1]
    path.write_bytes(path.read_bytes() + line[:-1])
    assert read_design(path) == [CELL]


@pytest.mark.slow
def test_writers_side_by_side_leave_whole_lines(tmp_path):
    path = tmp_path / "design.csv"
    context = get_context("spawn")
    writers = [context.Process(target=write_fifty, args=(path, start)) for start in (0, 50, 100)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(cell.cell for cell in read_design(path)) == list(range(150))


def write_fifty(path, start):
    for number in range(start, start + 50):
        append(path, [replace(CELL, cell=number)])


def test_the_first_result_of_a_cell_holds(tmp_path):
    _, results, _ = lines_of(world(), {})
    append(tmp_path / "outcomes.csv", [results[0], replace(results[0], accuracy=0.0)])
    assert read_outcomes(tmp_path / "outcomes.csv")[results[0].cell].accuracy == results[0].accuracy


def test_a_table_of_other_columns_is_refused(tmp_path):
    (tmp_path / "design.csv").write_text("cell,checkpoint\n1,net\n")
    with pytest.raises(ValueError, match="has columns"):
        read_design(tmp_path / "design.csv")


def test_a_claim_dies_with_its_process(tmp_path):
    code = (
        "import time; from pathlib import Path\n"
        "from tests.benchmarks.proving_ground.cells import claimed, read_design\n"
        f"cell = read_design(Path({str(tmp_path / 'design.csv')!r}))[0]\n"
        f"with claimed(cell, Path({str(tmp_path)!r})) as ours: print(ours, flush=True); time.sleep(60)"
    )
    append(tmp_path / "design.csv", [CELL])
    other = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline().strip() == "True"
        with claimed(CELL, tmp_path) as ours:
            assert not ours
    finally:
        os.kill(other.pid, signal.SIGKILL)
        other.wait()
        other.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with claimed(CELL, tmp_path) as ours:
            if ours:
                return
    pytest.fail("the claim outlived its process")
