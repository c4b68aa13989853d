"""Workers of one job table that are killed at random: see `tests.reliability.takeover`.

``--long`` kills a hundred.
"""

import pytest

from tests.reliability.takeover import kill_at_random


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0])
def test_what_a_killed_worker_was_at_is_taken_over_and_never_by_two_at_once(place, tmp_path, seed):
    figures = kill_at_random(place, tmp_path, kills=3, seed=seed)
    assert figures.twice == figures.unfinished == ()
    assert figures.finished == 6


@pytest.mark.slow
def test_many_killed_workers_lose_no_job(request, place, tmp_path):
    kills, at_work, taken_over = (100, 30, 5) if request.config.getoption("long") else (16, 0, 0)
    figures = kill_at_random(place, tmp_path, kills=kills, seed=1)
    assert figures.twice == figures.unfinished == ()
    assert figures.finished == 2 * kills
    assert figures.at_work > at_work
    assert figures.taken_over > taken_over
