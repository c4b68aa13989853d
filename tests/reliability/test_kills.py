"""kill -9 at random moments: nothing is lost, nothing is unrepairable. A short seeded form of `kills`."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.kills import Bench, schedule, survive

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("TRANSFERZOO_KILLS", "11"))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench.of(tmp_path_factory.mktemp("kills"), Path(__file__).parents[2]) as made:
        yield made


@pytest.mark.parametrize("turn", range(KILLS))
def test_whatever_is_killed_nothing_is_lost_and_all_can_be_repaired(bench: Bench, turn: int) -> None:
    scenario, chance = schedule(KILLS, 0)[turn]
    after, troubles = survive(bench, scenario, chance, f"kill-{turn}")
    assert not troubles, f"{scenario.name}, killed after {after:.2f} s"
