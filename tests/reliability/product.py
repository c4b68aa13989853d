"""The product as its user meets it: commands in processes of their own, which can be killed at any moment."""

import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["USUAL", "Command", "Done", "Product", "passing_folder"]

ROOT = Path(__file__).parents[2]
USUAL = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
"""What the environment of every command has, unless it is given another."""
_PATIENCE = 400.0
"""Seconds after which a command counts as hung."""


@dataclass(frozen=True)
class Done:
    """A command that has ended: negative codes are signals, None is one that hung and was killed for it."""

    words: tuple[str, ...]
    code: int | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed for programs; None where that is not JSON."""
        try:
            return json.loads(self.out)
        except ValueError:
            return None

    @property
    def sentence(self) -> str:
        """What it was and how it ended, in a line."""
        last = (self.err.strip() or self.out.strip() or "nothing printed").splitlines()[-1]
        return f"`{' '.join(self.words)}` ended with {self.code}: {last}"


class Command:
    """A command under way."""

    def __init__(self, zygote: "_Zygote", words: tuple[str, ...], pid: int, out: Path, err: Path) -> None:
        self._zygote, self._words, self.pid, self._out, self._err = zygote, words, pid, out, err

    def wait(self, seconds: float) -> bool:
        """Whether it ended within that time."""
        return self._zygote.code_of(self.pid, seconds) is not None

    def wait_until(self, holds: Callable[[], object]) -> None:
        """Wait for something that comes to hold while it goes on."""
        deadline = time.monotonic() + _PATIENCE
        while not holds():
            assert time.monotonic() < deadline
            assert not self.wait(0.02), self.done().sentence

    def kill(self) -> None:
        """Kill it with all that it has started in its group: kill -9."""
        os.killpg(self.pid, signal.SIGKILL)

    def done(self, seconds: float = _PATIENCE) -> Done:
        """How it ended."""
        code = self._zygote.code_of(self.pid, seconds)
        if code is None:
            self.kill()
            self._zygote.code_of(self.pid, 10)
        return Done(self._words, code, self._out.read_text(errors="replace"), self._err.read_text(errors="replace"))


class Product:
    """Runs `transferzoo` commands; what they print is written to a folder, in which they run.

    They are forked from one process for all tests, which has loaded everything; ``path`` is what is imported from.
    """

    def __init__(self, folder: Path, env: Mapping[str, str | None], path: str = str(ROOT)) -> None:
        self._folder, self._env, self._count, self._path = folder, dict(env), 0, path
        folder.mkdir(parents=True, exist_ok=True)
        self._zygote = _zygote(path)

    def start(
        self,
        *words: str,
        env: Mapping[str, str | None] | None = None,
        cwd: str | None = None,
        script: str | None = None,
    ) -> Command:
        """Begin a command, or a script with these arguments; of the environment, None is what is to be absent."""
        self._count += 1
        out, err = (self._folder / f"{self._count:05d}.{name}" for name in ("out", "err"))
        surroundings = {**_surroundings(self._path), **self._env, **(env or {})}
        environment = {name: value for name, value in surroundings.items() if value is not None}
        question = {"start": words, "script": script, "env": environment, "out": str(out), "err": str(err)}
        return Command(self._zygote, words, self._zygote.fork(question | {"cwd": cwd or str(self._folder)}), out, err)

    def run(self, *words: str, env: Mapping[str, str | None] | None = None, seconds: float = _PATIENCE) -> Done:
        """Carry out a command."""
        return self.start(*words, env=env).done(seconds)


def _surroundings(path: str) -> dict[str, str]:
    """The environment of this process, less what is MLflow's, with what all commands get."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return ours | {"PYTHONPATH": path} | USUAL


class _Zygote:
    def __init__(self, path: str, folder: Path) -> None:
        self._codes = dict[int, int]()
        with (folder / "zygote.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("zygote.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=_surroundings(path),
                cwd=folder,
            )
        assert self._answer() == {"ready": True}

    def fork(self, question: Mapping[str, object]) -> int:
        """The number of a process that begins what is asked for."""
        pid = int(self._request(question)["pid"])
        self._codes.pop(pid, None)  # of an earlier command: numbers of processes come again
        return pid

    def code_of(self, pid: int, seconds: float) -> int | None:
        """The exit code of a command; None where it goes on for longer."""
        deadline = time.monotonic() + seconds
        while pid not in self._codes:
            code = self._request({"wait": pid, "seconds": min(1.0, max(0.0, deadline - time.monotonic()))})["code"]
            if code is not None:
                self._codes[pid] = int(code)
            elif time.monotonic() > deadline:
                return None
        return self._codes[pid]

    def end(self) -> None:
        """Kill it; what it forked goes on."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _request(self, question: Mapping[str, object]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        return dict(json.loads(self._process.stdout.readline()))


@cache
def _zygote(path: str) -> _Zygote:
    zygote = _Zygote(path, passing_folder())
    atexit.register(zygote.end)
    return zygote


def passing_folder() -> Path:
    """A folder that is gone when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="transferzoo-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
