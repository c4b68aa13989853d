import gc
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from registry.zoo import Zoo
from tests.objects import s3_environment, s3_server
from tests.postgres import fresh_database, run_server, why_no_server
from ui import transferzoo

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny nets: threads cost more than they give
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

sys.modules["transferzoo"] = transferzoo  # the checkout's, whatever is installed

_MAIN = sys.modules["__main__"]

settings.register_profile("any machine", deadline=None, max_examples=40)
settings.register_profile("long", deadline=None)
settings.load_profile("any machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of these tests."""
    parser.addoption(
        "--long",
        action="store_true",
        help="100 examples for 40, a hundred kills for a few, and variants that take about a minute",
    )


def pytest_configure(config: pytest.Config) -> None:
    """With `--long` as many examples as Hypothesis takes by itself."""
    if config.getoption("--long"):
        settings.load_profile("long")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without `--long` no variant that takes long."""
    if not config.getoption("--long"):
        long = [item for item in items if item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_collection_finish() -> None:
    """What is imported by now lives as long as the process: a collection of garbage need not look at it each time."""
    gc.collect()
    gc.freeze()


def drawn(seed: int, side: int = 12) -> np.ndarray:
    """A random RGB picture, unlike that of any other seed."""
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def draw_folder(root: Path, counts: dict[str, int], *, start: int = 0) -> Path:
    """`<class>/<n>.png` below `root`, every picture different; `start` keeps two folders apart."""
    seed = start
    for label, count in counts.items():
        folder = root / label
        folder.mkdir(parents=True, exist_ok=True)
        for place in range(count):
            Image.fromarray(drawn(seed)).save(folder / f"{place}.png")
            seed += 1
    return root


@pytest.fixture(autouse=True)
def main_module() -> None:
    """The main program, which processes that a test starts read anew, is no page that another test has run."""
    sys.modules["__main__"] = _MAIN


@pytest.fixture
def image_folder(tmp_path: Path) -> Callable[..., Path]:
    """Draws class folders of tiny pictures: `image_folder({"cat": 3, "dog": 2})`."""

    def draw(counts: dict[str, int], name: str = "pets", start: int = 0) -> Path:
        return draw_folder(tmp_path / name, counts, start=start)

    return draw


@pytest.fixture(scope="session")
def opened_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was opened once, which takes in the whole catalog; for copies."""
    home = tmp_path_factory.mktemp("opened") / "home"
    Zoo.open(home)
    return home


@pytest.fixture
def new_home(tmp_path: Path, opened_home: Path) -> Path:
    """``tmp_path / "home"``, as it is after it was opened first."""
    return Path(shutil.copytree(opened_home, tmp_path / "home"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a disk of so many kilobytes: `small_disk(64)`; skips where this user may mount nothing."""
    mounted: list[Path] = []

    def mount(kilobytes: int) -> Path:
        place = tmp_path / f"disk-{len(mounted)}"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no mount command to make a small disk with")
        if done.returncode:
            pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server; skips with the reason where there is none."""
    why = why_no_server()
    if why:
        pytest.skip(why)
    with run_server() as url:
        yield url


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """An empty database of the server."""
    with fresh_database(postgres_server) as url:
        yield url


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The process of a server that speaks S3, which the environment names."""
    with s3_server(tmp_path / "s3.log") as (port, process):
        for name, value in s3_environment(port).items():
            monkeypatch.setenv(name, value)
        yield process


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a store can be opened: a file, and in another test a database of the server."""
    return tmp_path / "registry.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


@pytest.fixture(scope="session")
def numbers_site(tmp_path_factory):
    """A folder in which a package lies as pip lays it, that brings a modality."""
    site = tmp_path_factory.mktemp("installed") / "site"
    shutil.copytree(Path(__file__).parent / "fakes" / "numbers", site)
    return site


@pytest.fixture
def numbers(numbers_site, monkeypatch):
    """The package is installed."""
    monkeypatch.syspath_prepend(numbers_site)
    return numbers_site
