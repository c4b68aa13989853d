"""Ctrl-C in a process of its own, at moments that are told by what it has imported by then."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

IMPORTED = "import time:"
"""How a line begins with which Python tells of a module that it has imported."""
LISTENING = (
    "import os, signal, sys\n"
    "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
    "os.execv(sys.executable, [sys.executable, '-X', 'importtime', *sys.argv[1:]])"
)
"""Ctrl-C is heard, whether or not it is by who runs the tests."""
MODULE = ("-m", "ui.cli")
SCRIPT = ("-c", "from ui.cli import main; main()")


def interrupted(module: str, *command: str) -> tuple[int, list[str]]:
    """The exit code and the lines on stderr of a process that gets Ctrl-C as soon as it has imported that module."""
    started = [sys.executable, "-c", LISTENING, *command]
    with subprocess.Popen(started, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert any(line.startswith(IMPORTED) and line.split()[-1] == module for line in process.stderr)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    return process.returncode, [line for line in errors.splitlines() if not line.startswith(IMPORTED)]


@pytest.mark.slow
@pytest.mark.parametrize("entry", [MODULE, SCRIPT], ids=["module", "script"])
@pytest.mark.parametrize("module", ["registry.errors", "typer.main", "ui.lazy", "ui.context", "numpy"])
def test_ctrl_c_while_modules_are_imported_is_one_line(entry: tuple[str, ...], module: str, tmp_path: Path) -> None:
    code, lines = interrupted(module, *entry, "zoo", "list", "--home", str(tmp_path))
    assert (code, lines) == (130, ["error: interrupted"])


@pytest.mark.slow
def test_ctrl_c_while_torch_is_imported_is_one_line(image_folder, tmp_path: Path) -> None:
    folder = image_folder({"cat": 6, "dog": 6})
    code, lines = interrupted("torch.types", *MODULE, "recommend", str(folder), "--home", str(tmp_path / "home"))
    assert code == 130
    assert lines[-1] == "error: interrupted"
    assert not [line for line in lines if "Traceback" in line]


@pytest.mark.slow
def test_ctrl_c_when_all_is_done_is_one_line() -> None:
    late = (
        "import atexit, time, ui.cli\n"
        "def leave():\n"
        "    import this\n"
        "    while True: time.sleep(.01)\n"
        "atexit.register(leave)\n"
        "ui.cli.main()"
    )
    code, lines = interrupted("this", "-c", late, "--version")
    assert (code, lines) == (130, ["error: interrupted"])


@pytest.mark.slow
def test_ctrl_c_that_is_ignored_stays_so() -> None:
    deaf = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nimport ui.cli\nui.cli.main()"
    code, lines = interrupted("typer.main", "-c", deaf, "--version")
    assert (code, lines) == (0, [])
