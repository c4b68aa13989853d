"""kill -9 at random moments: nothing is lost, nothing is unrepairable. ``--long`` kills a hundred times."""

from pathlib import Path

import pytest

from tests.reliability.kills import SHORT, Bench, Kill, figures, schedule, survive

pytestmark = pytest.mark.slow

KILLS: list[Kill] = []


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "turn" in metafunc.fixturenames:
        metafunc.parametrize("turn", range(100 if metafunc.config.getoption("long") else len(SHORT)))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench.of(tmp_path_factory.mktemp("kills"), Path(__file__).parents[2])


@pytest.fixture(scope="module")
def kills(request: pytest.FixtureRequest) -> list:
    return schedule(100, 0) if request.config.getoption("long") else schedule(len(SHORT), 0, SHORT)


def test_whatever_is_killed_nothing_is_lost_and_all_can_be_repaired(bench: Bench, kills: list, turn: int) -> None:
    scenario, chance = kills[turn]
    kill = survive(bench, scenario, chance, f"kill-{turn}")
    KILLS.append(kill)
    assert not kill.lost
    assert not kill.unrepairable
    assert kill.identical == kill.resumed


def test_the_figures_by_kind_of_command(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\n{figures(KILLS)}")
