"""The product as its user meets it: commands in processes of their own, which can be killed at any moment."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Command", "Done", "Product"]

_ZYGOTE = Path(__file__).with_name("zygote.py")
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

    def __init__(self, product: "Product", words: tuple[str, ...], pid: int, out: Path, err: Path) -> None:
        self._product, self._words, self.pid, self._out, self._err = product, words, pid, out, err

    def wait(self, seconds: float) -> bool:
        """Whether it ended within that time."""
        return self._product.code_of(self.pid, seconds) is not None

    def kill(self) -> None:
        """Kill it with all that it has started in its group: kill -9."""
        os.killpg(self.pid, signal.SIGKILL)

    def done(self, seconds: float = _PATIENCE) -> Done:
        """How it ended."""
        code = self._product.code_of(self.pid, seconds)
        if code is None:
            self.kill()
            self._product.code_of(self.pid, 10)
        return Done(self._words, code, self._out.read_text(errors="replace"), self._err.read_text(errors="replace"))


class Product:
    """Runs `transferzoo` commands; ``checkout`` is the code under test."""

    def __init__(self, folder: Path, checkout: Path, env: Mapping[str, str | None]) -> None:
        self._folder, self._env, self._codes, self._count = folder, dict(env), dict[int, int](), 0
        folder.mkdir(parents=True, exist_ok=True)
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        surroundings |= {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "COLUMNS": "200"}
        self.surroundings = surroundings
        with (folder / "zygote.txt").open("ab") as log:
            self._zygote = subprocess.Popen(
                [sys.executable, str(_ZYGOTE)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=surroundings,
                cwd=folder,
            )
        assert self._answer() == {"ready": True}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._zygote.kill()
        self._zygote.wait()
        for stream in (self._zygote.stdin, self._zygote.stdout):
            if stream is not None:
                stream.close()

    def start(self, *words: str, env: Mapping[str, str | None] | None = None, cwd: str | None = None) -> Command:
        """Begin a command."""
        self._count += 1
        out, err = (self._folder / f"{self._count:05d}.{name}" for name in ("out", "err"))
        surroundings = {**self._env, **(env or {})}
        question = {"start": words, "env": surroundings, "cwd": cwd, "out": str(out), "err": str(err)}
        pid = int(self._request(question)["pid"])
        self._codes.pop(pid, None)  # of an earlier command: numbers of processes come again
        return Command(self, words, pid, out, err)

    def run(self, *words: str, env: Mapping[str, str | None] | None = None, seconds: float = _PATIENCE) -> Done:
        """Carry out a command."""
        return self.start(*words, env=env).done(seconds)

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

    def _request(self, question: Mapping[str, object]) -> dict[str, Any]:
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(question) + "\n")
        self._zygote.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._zygote.stdout is not None
        return dict(json.loads(self._zygote.stdout.readline()))
