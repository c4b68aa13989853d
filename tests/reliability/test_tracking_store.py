"""MLflow's store, killed while it is made and cut short afterwards: the event logs tell the next one everything."""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.reliability.kills import untracked
from tests.reliability.product import Product
from tests.reliability.stripes import draw

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROBE = ("--checkpoint", "resnet-photos", "--no-controls", "--strategy", "linear-probe")
HARM: dict[str, Callable[[bytes], bytes]] = {
    "cut to half": lambda content: content[: len(content) // 2],
    "cut within the first page": lambda content: content[:1000],
    "overwritten": lambda content: b"\x5a" * len(content),
}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Product:
    return Product(tmp_path_factory.mktemp("log"), {})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw(tmp_path_factory.mktemp("sample") / "stripes", rows=12)


@pytest.fixture(scope="module")
def tuned(product: Product, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with two finished runs."""
    home = tmp_path_factory.mktemp("tuned")
    for seed in ("1", "2"):
        done = product.run("tune", str(data), *PROBE, "--seed", seed, env={"TRANSFERZOO_HOME": str(home)})
        assert done.code == 0, done.err
    return home


def counts(home: Path) -> dict[str, int]:
    """What MLflow's store holds of all runs."""
    with closing(sqlite3.connect(f"file:{home / 'mlflow.db'}?mode=ro", uri=True)) as store:
        tables = ("runs", "metrics", "params", "tags", "logged_models", "inputs")
        return {table: store.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables}  # noqa: S608


@pytest.mark.parametrize(
    "delay", [pytest.param(0.0, marks=pytest.mark.long), 0.3, pytest.param(1.0, marks=pytest.mark.long)]
)
def test_a_process_killed_while_it_makes_the_store_leaves_none_and_the_next_one_makes_it(
    product: Product, data: Path, tmp_path: Path, delay: float
) -> None:
    home = tmp_path / "home"
    env: dict[str, str | None] = {"TRANSFERZOO_HOME": str(home)}
    command = product.start("tune", str(data), *PROBE, env=env)
    while not list(home.glob("mlflow.db.*")):
        assert not command.wait(0.0), "it ended before it made a store"
        time.sleep(0.002)
    time.sleep(delay)
    command.kill()
    command.done()

    report = product.run("doctor", "--json", env=env)
    if not (home / "mlflow.db").exists():
        assert [row for row in report.json["findings"] if "mlflow.db" in row["subject"]]
    assert product.run("doctor", "--repair", "--json", env=env).code == 0
    assert not list(home.glob("mlflow.db.*"))
    for row in product.run("runs", "list", "--json", env=env).json:
        if row["state"] != "finished":
            assert product.run("runs", "resume", row["id"], env=env).code == 0
    assert product.run("tune", str(data), *PROBE, "--seed", "1", env=env).code == 0
    assert product.run("runs", "sync", env=env).code == 0
    rows = product.run("runs", "list", "--json", env=env).json
    assert {row["state"] for row in rows} == {"finished"}
    assert untracked(home, [row["id"] for row in rows]) == []
    assert product.run("doctor", "--json", env=env).json["findings"] == []


@pytest.mark.parametrize("harm", HARM.values(), ids=HARM.keys())
def test_a_store_that_is_damaged_is_set_aside_and_told_everything_anew(
    product: Product, tuned: Path, harm: Callable[[bytes], bytes]
) -> None:
    env: dict[str, str | None] = {"TRANSFERZOO_HOME": str(tuned)}
    store, before = tuned / "mlflow.db", counts(tuned)
    assert before["metrics"] > 10
    store.write_bytes(harm(store.read_bytes()))

    [finding] = product.run("doctor", "--json", env=env).json["findings"]
    assert (finding["kind"], finding["subject"]) == ("tracking", str(store))
    assert product.run("runs", "sync", env=env).code == 1
    assert product.run("doctor", "--repair", "--json", env=env).code == 0
    synced = product.run("runs", "sync", "--json", env=env)
    assert synced.code == 0, synced.err
    assert [row["left"] for row in synced.json] == [0, 0]
    assert counts(tuned) == before
    assert untracked(tuned, [row["run"] for row in synced.json]) == []
    ids = {row["id"]: row["mlflow_run_id"] for row in product.run("runs", "list", "--json", env=env).json}
    assert ids == {row["run"]: row["mlflow_run_id"] for row in synced.json}
