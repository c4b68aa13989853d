"""Two processes want the same run, or the same name, at the same moment: one gets it, the other is told."""

import subprocess
import sys
from pathlib import Path

import pytest

from recommender.serving.promote import promote
from registry.errors import NameHeld
from registry.zoo import Zoo
from tests.recommender.tuning.runs import finished_run
from tests.registry.encoders.nets import save_net
from tests.registry.fakes import a_catalog
from tests.reliability.product import Product
from tests.reliability.stripes import draw

ROOT = Path(__file__).parents[2]


@pytest.fixture
def zoo(tmp_path):
    with Zoo.open(tmp_path / "home", catalog=a_catalog(tmp_path / "catalog")) as opened:
        yield opened


@pytest.fixture
def other(zoo):
    """A process that holds the name ``mine`` in the same home."""
    code = (
        "import sys, time; from registry.home import Home; from registry.store import Store\n"
        "from registry.naming import naming\nfrom registry.zoo import Zoo\n"
        "home = Home.find(sys.argv[1]); zoo = Zoo(home, Store.open(home.database), home.root)\n"
        "with naming(zoo.home, 'mine'):\n    print('held', flush=True); time.sleep(120)"
    )
    command = [sys.executable, "-c", code, str(zoo.home.root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_name_is_added_by_one_process_at_a_time_and_free_when_that_was_killed(zoo, other, tmp_path, monkeypatch):
    monkeypatch.setattr("registry.naming.NAME_PATIENCE", 0.5)
    net = save_net(tmp_path / "net", "resnet")
    with pytest.raises(NameHeld, match="'mine'"):
        zoo.add(net, name="mine")
    assert all(card.name != "mine" for card in zoo.checkpoints())
    assert zoo.add(net, name="another").name == "another"
    other.kill()
    other.wait()
    assert zoo.add(net, name="mine").name == "mine"


def test_a_run_is_not_promoted_under_a_name_that_another_process_gives(zoo, other, tmp_path, monkeypatch):
    monkeypatch.setattr("registry.naming.NAME_PATIENCE", 0.5)
    folder = zoo.home.runs / "run"
    folder.mkdir()
    with pytest.raises(NameHeld, match="'mine'"):
        promote(finished_run(folder), "mine", zoo)
    assert not list(zoo.home.checkpoints.iterdir())


@pytest.mark.slow
def test_of_two_that_resume_a_run_one_goes_on_and_the_other_is_told_who_holds_it(tmp_path):
    home, words = tmp_path / "home", ("--checkpoint", "resnet-photos", "--no-controls", "--strategy", "scratch")
    product = Product(tmp_path / "log", {"TRANSFERZOO_HOME": str(home)})
    killed = product.start("tune", str(draw(tmp_path / "data")), *words)
    killed.wait_until(lambda: list(home.glob("runs/*/trainer/*/*/COMPLETE.json")))
    killed.kill()
    killed.done()
    [run] = [folder.name for folder in (home / "runs").iterdir() if folder.is_dir()]
    both = [product.start("runs", "resume", run) for _ in range(2)]
    ends = {command.pid: command.done() for command in both}
    [winner] = [pid for pid, done in ends.items() if done.code == 0]
    [loser] = [done for pid, done in ends.items() if pid != winner]
    assert f"still going on (process {winner} on" in " ".join(loser.err.split())
    assert loser.code == 2
    assert (home / "runs" / run / "run.json").is_file()
