"""A disk that fills up during a tuning: told with path and missing bytes, and all goes on with room."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.reliability.kills import untracked, weights_of
from tests.reliability.product import Done, Product
from tests.reliability.stripes import draw

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TUNE = ("--checkpoint", "resnet-photos", "--no-controls", "--strategy", "scratch", "--seed", "3", "--json")
MEGA = 1 << 20


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Product:
    return Product(tmp_path_factory.mktemp("log"), {})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("sample") / "stripes")


@pytest.fixture(scope="module")
def undisturbed(product: Product, data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    """The weights and the score that the tuning comes to."""
    home = tmp_path_factory.mktemp("undisturbed")
    return weights_of(home / "runs" / tuned(product, data, home).json["id"])


def tuned(product: Product, data: Path, home: Path, *, code: int = 0) -> Done:
    done = product.run("tune", str(data), *TUNE, env={"TRANSFERZOO_HOME": str(home)})
    assert done.code == code, done.err
    return done


def fill(disk: Path, leave: int) -> Path:
    """Leave so many bytes free."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast = disk / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(free - leave, 1))
    return ballast


@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(MEGA // 16, marks=pytest.mark.long),
        pytest.param(MEGA, marks=pytest.mark.long),
        3 * MEGA,
        pytest.param(7 * MEGA, marks=pytest.mark.long),
        pytest.param(13 * MEGA, marks=pytest.mark.long),
    ],
    ids=lambda size: f"{size >> 10}K",
)
def test_a_tuning_that_the_disk_is_full_for_is_told_rolled_back_and_finished_when_there_is_room(
    product: Product, data: Path, undisturbed: tuple[str, float], small_disk: Callable[[int], Path], leave: int
) -> None:
    disk = small_disk(64 << 10)
    home = disk / "home"
    env: dict[str, str | None] = {"TRANSFERZOO_HOME": str(home)}
    assert product.run("recommend", str(data), "--keep", "1", env=env).code == 0
    ballast = fill(disk, leave)

    full = tuned(product, data, home, code=2)
    words = " ".join(full.err.split())
    assert re.search(rf"the disk is full: no room to write {re.escape(str(home))}\S* \(.* free(, .* missing)?\)", words)
    assert "choose another home" not in words
    for listing in (("runs", "list"), ("zoo", "list"), ("doctor",)):
        assert product.run(*listing, "--json", env=env).code in {0, 1, 2}
    ballast.unlink()

    product.run("doctor", "--repair", "--json", env=env)
    [row] = product.run("runs", "list", "--json", env=env).json or [None]
    done = product.run("runs", "resume", row["id"], "--json", env=env) if row else tuned(product, data, home)
    assert done.code == 0, done.err
    assert weights_of(home / "runs" / done.json["id"]) == undisturbed
    assert product.run("runs", "sync", "--json", env=env).code == 0
    assert untracked(home, [done.json["id"]]) == []
    assert product.run("doctor", "--json", env=env).code == 0
    assert not list(home.rglob("*.tmp*"))
