"""What a shell completes: names of the registry that is named, strategies; where there is none, nothing is made."""

import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
import typer

from registry.zoo import Zoo
from tests.servers import ROOT as CHECKOUT
from ui.program import app

ROOT: Any = typer.main.get_command(app)


@pytest.fixture(scope="module")
def home(tmp_path_factory, opened_home):
    place = shutil.copytree(opened_home, tmp_path_factory.mktemp("completed") / "home")
    with Zoo.open(place) as zoo:
        zoo.jobs.cancel(zoo.jobs.start("tune", {"path": "/data/a"}, "a", lane="cpu").id)
    for run in ("20261128-1", "20261129-2"):
        (place / "runs" / run).mkdir()
    return place


def completed(path: str, parameter: str, incomplete: str, home: object) -> list[str]:
    command = ROOT
    for name in path.split():
        command = command.commands[name]
    context = command.make_context(path, ["--home", str(home)], resilient_parsing=True)
    option = next(one for one in command.params if one.name == parameter)
    return [item.value for item in option.shell_complete(context, incomplete)]


def test_names_of_the_registry_are_completed(home):
    assert completed("zoo show", "name", "resnet-ph", home) == ["resnet-photos"]
    assert completed("tune", "checkpoint", "resnet-ph", home) == ["resnet-photos"]
    assert completed("zoo fetch", "names", "resnet-ph", home) == ["resnet-photos"]
    assert completed("zoo fetch", "names", "roberta-b", home) == completed("zoo show", "name", "roberta-b", home) != []
    assert completed("zoo add", "domain", "audios", home) == ["audioset"]
    assert completed("runs show", "run", "", home) == ["latest", "20261129-2", "20261128-1"]
    assert completed("predict", "run", "20261128", home) == ["20261128-1"]
    assert len(completed("queue show", "name", "", home)) == 1
    assert completed("open", "name", "resnet-ph", home) == ["resnet-photos"]
    assert "lp-ft" in completed("benefit", "strategy", "lp", home)


def test_where_there_is_no_registry_nothing_is_completed_and_none_is_made(tmp_path):
    for path, parameter in (("zoo show", "name"), ("tune", "recommendation"), ("runs resume", "run")):
        assert [name for name in completed(path, parameter, "", tmp_path / "none") if name != "latest"] == []
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_a_shell_is_answered_without_torch(home):
    code = (
        "import sys; from ui.program import app\n"
        "try: app(prog_name='transferzoo')\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)"
    )
    env = {
        **os.environ,
        "_TRANSFERZOO_COMPLETE": "complete_bash",
        "COMP_WORDS": "transferzoo zoo show resnet-ph",
        "COMP_CWORD": "3",
        "TRANSFERZOO_HOME": str(home),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["resnet-photos"]
    assert done.stderr.split()[-1] == "False"
