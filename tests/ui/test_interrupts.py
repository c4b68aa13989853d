"""Ctrl-C in a process of its own, at moments that are told by what it imports just then."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

INTERRUPTING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt(event, arguments):
    if event == "import" and arguments[0] == {module!r}:
        signal.raise_signal(signal.SIGINT)
sys.addaudithook(interrupt)
"""
"""What a process runs before all else: Ctrl-C is heard, whether or not it is by who runs the tests, and comes when it
imports a module: another process that sends it as late as that would be late on a busy machine."""
MODULE = ("-m", "ui.cli")
SCRIPT = ("-c", "from ui.cli import main; main()")


def interrupted(module: str, folder: Path, *command: str) -> tuple[int, list[str]]:
    """The exit code and the lines on stderr of a process that gets Ctrl-C when it imports that module."""
    hook = folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(INTERRUPTING.format(module=module), encoding="utf-8")
    paths = os.pathsep.join(filter(None, [str(hook), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.returncode, done.stderr.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("entry", [MODULE, SCRIPT], ids=["module", "script"])
@pytest.mark.parametrize("module", ["registry.errors", "typer.main", "ui.lazy", "ui.context", "numpy"])
def test_ctrl_c_while_modules_are_imported_is_one_line(entry: tuple[str, ...], module: str, tmp_path: Path) -> None:
    code, lines = interrupted(module, tmp_path, *entry, "zoo", "list", "--home", str(tmp_path))
    assert (code, lines) == (130, ["error: interrupted"])


@pytest.mark.slow
def test_ctrl_c_while_torch_is_imported_is_one_line(image_folder, tmp_path: Path) -> None:
    folder = image_folder({"cat": 6, "dog": 6})
    code, lines = interrupted(
        "torch.types", tmp_path, *MODULE, "recommend", str(folder), "--home", str(tmp_path / "home")
    )
    assert code == 130
    assert lines[-1] == "error: interrupted"
    assert not [line for line in lines if "Traceback" in line]


@pytest.mark.slow
def test_ctrl_c_when_all_is_done_is_one_line(tmp_path: Path) -> None:
    late = (
        "import atexit, time, ui.cli\n"
        "def leave():\n"
        "    import this\n"
        "    while True: time.sleep(.01)\n"
        "atexit.register(leave)\n"
        "ui.cli.main()"
    )
    code, lines = interrupted("this", tmp_path, "-c", late, "--version")
    assert (code, lines) == (130, ["error: interrupted"])


@pytest.mark.slow
def test_ctrl_c_that_is_ignored_stays_so(tmp_path: Path) -> None:
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nimport ui.cli\nui.cli.main()"
    code, lines = interrupted("typer.main", tmp_path, "-c", deaf, "--version")
    assert (code, lines) == (0, [])
