"""The command line without heavy work: help, errors, exit codes, JSON."""

import errno
import json
import os
import resource
import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.reliability.product import USUAL, Product, passing_folder
from ui import program

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch",
    "transformers",
    "faiss",
    "sqlalchemy",
    "alembic",
    "mlflow",
    "streamlit",
    "sklearn",
    "scipy",
    "pandas",
    "numpy",
    "pydantic",
)
"""What no help may wait for."""


def transferzoo(
    *words: str, home: Path | None = None, script: str | None = None, **env: str
) -> "subprocess.CompletedProcess[str]":
    """A command, or a script with these arguments, in a process of its own, forked from one that has loaded all."""
    command = [*words, *([] if home is None else ["--home", str(home)])]
    product = forking()
    surroundings = os.environ | {"COLUMNS": "80", **env}
    gone = dict.fromkeys(USUAL.keys() - surroundings.keys())
    done = product.start(*command, env=gone | surroundings, cwd=os.getcwd(), script=script).done()  # noqa: PTH109
    assert done.code is not None, f"{done.sentence}: it hung"
    return subprocess.CompletedProcess(command, done.code, done.out, done.err)


@cache
def forking() -> Product:
    """What runs them, with what they print in a folder of their own."""
    return Product(passing_folder(), {})


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


def test_help_names_every_command() -> None:
    output = transferzoo("--help").stdout
    for command in ("demo", "recommend", "tune", "zoo", "runs", "doctor", "picker"):
        assert command in output


def test_the_version_is_told() -> None:
    assert transferzoo("--version").stdout == f"transferzoo {version('transferzoo')}\n"


def test_help_loads_no_heavy_library() -> None:
    text = (
        "import sys; sys.argv = ['transferzoo', '--help']\nfrom ui.cli import main\ntry: main()\n"
        "except SystemExit: print('LOADED', *sys.modules)"
    )
    output = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    loaded = set(output.rpartition("LOADED")[2].split())
    assert not loaded & set(HEAVY)


def test_help_costs_little_more_than_typer_and_rich_themselves() -> None:
    def cpu_seconds(*command: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *command], capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    floor = "import typer.rich_utils, rich.markdown"
    ours = min(cpu_seconds("-m", "ui.cli", "--help") for _ in range(3))
    theirs = min(cpu_seconds("-c", floor) for _ in range(3))
    assert ours < 2 * theirs, f"--help takes {ours:.2f} s, its libraries alone {theirs:.2f} s"


def test_a_path_that_is_missing_is_one_line_with_a_remedy_and_exit_code_2(home: Path) -> None:
    done = transferzoo("recommend", "/nowhere/at/all", home=home)
    assert done.returncode == 2
    assert "/nowhere/at/all does not exist" in done.stderr
    assert "→ Check the spelling" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_folder_without_images_is_named(home: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    done = transferzoo("recommend", str(tmp_path), home=home)
    assert done.returncode == 2
    assert "holds no" in done.stderr


def test_an_unusable_home_is_named(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("in the way")
    done = transferzoo("zoo", "list", home=occupied)
    assert done.returncode == 2
    assert "--home" in done.stderr


def test_a_misspelt_checkpoint_gets_a_hint(home: Path) -> None:
    name = json.loads(transferzoo("zoo", "list", "--json", home=home).stdout)[0]["name"]
    done = transferzoo("zoo", "show", f"{name}x", home=home)
    assert done.returncode == 2
    assert f"Did you mean {name!r}?" in done.stderr


@pytest.mark.slow
def test_a_misspelt_demo_target_gets_a_hint(home: Path) -> None:
    done = transferzoo("demo", "digit", home=home)
    assert done.returncode == 2
    assert "Did you mean 'digits'?" in done.stderr


def test_an_unknown_metric_is_a_usage_error(home: Path) -> None:
    done = transferzoo("recommend", ".", "--metric", "acuracy", home=home)
    assert done.returncode == 2
    assert "balanced-accuracy" in done.stderr


def test_json_is_alone_on_stdout(home: Path) -> None:
    done = transferzoo("zoo", "list", "--json", home=home)
    listed = json.loads(done.stdout)
    assert {"name", "parameters", "license", "origin"} <= set(listed[0])
    assert "checkpoint" in done.stderr


def test_no_run_yet_is_an_empty_list(tmp_path: Path) -> None:
    assert json.loads(transferzoo("runs", "list", "--json", home=tmp_path).stdout) == []


def test_an_unknown_recommendation_is_named(home: Path, tmp_path: Path) -> None:
    from tests.ui.pictures import write_stripes

    done = transferzoo("tune", str(write_stripes(tmp_path, rows=6)), "--recommendation", "none", home=home)
    assert done.returncode == 2
    assert "no recommendation named 'none'" in done.stderr


def test_the_doctor_finds_a_new_registry_sound(tmp_path: Path) -> None:
    done = transferzoo("doctor", "--json", home=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout)["healthy"] is True


@pytest.mark.slow
def test_the_doctor_mends_a_broken_database(tmp_path: Path) -> None:
    transferzoo("zoo", "list", home=tmp_path)
    (tmp_path / "registry.db").write_bytes(b"no database at all" * 100)
    refused = transferzoo("zoo", "list", home=tmp_path)
    assert refused.returncode == 2
    assert "doctor --repair" in refused.stderr
    finished = transferzoo("doctor", home=tmp_path)
    assert finished.returncode == 1
    assert f"doctor --repair --home {tmp_path}" in finished.stdout
    assert transferzoo("doctor", "--repair", home=tmp_path).returncode == 0
    assert transferzoo("zoo", "list", home=tmp_path).returncode == 0


@pytest.mark.slow
def test_an_unexpected_fault_is_one_line_and_exit_code_1(home: Path) -> None:
    text = (
        "import sys, ui.cli, ui.render\nsys.argv = ['transferzoo', 'zoo', 'list']\n"
        "def broken(*a, **k): raise RuntimeError('wires crossed')\n"
        "ui.render.checkpoint_table = broken\nui.cli.main()"
    )
    env = os.environ | {"TRANSFERZOO_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 1
    assert "RuntimeError: wires crossed" in done.stderr
    assert "Traceback" not in done.stderr
    loud = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, env=env | {"TRANSFERZOO_DEBUG": "1"}, check=False
    )
    assert "Traceback" in loud.stderr


@pytest.mark.slow
def test_ctrl_c_is_exit_code_130(home: Path) -> None:
    text = (
        "import sys, ui.cli, ui.render\nsys.argv = ['transferzoo', 'zoo', 'list']\n"
        "def stopped(*a, **k): raise KeyboardInterrupt\n"
        "ui.render.checkpoint_table = stopped\nui.cli.main()"
    )
    env = os.environ | {"TRANSFERZOO_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 130
    assert "interrupted" in done.stderr
    assert "run the same command again" in done.stderr
    noted = text.replace("raise KeyboardInterrupt", "cut = KeyboardInterrupt(); cut.add_note('resume it'); raise cut")
    done = subprocess.run([sys.executable, "-c", noted], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 130
    assert "To go on: resume it" in done.stderr


@pytest.mark.parametrize(
    ("number", "what"), [(errno.ENOSPC, "no room is left where it writes"), (errno.EIO, "unexpected OSError")]
)
def test_a_full_disk_is_no_fault_of_ours(monkeypatch, capsys, number: int, what: str) -> None:
    def full() -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(program, "app", full)
    with pytest.raises(SystemExit) as left:
        program.run_command_line()
    assert left.value.code == (2 if number == errno.ENOSPC else 1)
    assert what in capsys.readouterr().err


def test_a_folder_that_is_gone_is_named(monkeypatch, capsys, tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(program, "app", lambda: Path("x").absolute())
    with pytest.raises(SystemExit) as left:
        program.run_command_line()
    assert left.value.code == 2
    assert "the folder that you stand in is gone" in capsys.readouterr().err
