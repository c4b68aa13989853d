"""A server in a process of its own, on a free port, for as long as it is needed."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[1]
PORT = "{port}"
"""Stands in a command for the port."""

Ready = TypeVar("Ready")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def is_open(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(
    command: Sequence[str],
    log: Path,
    ready: Callable[[int], Ready | None],
    *,
    cwd: Path = ROOT,
    env: dict[str, str] | None = None,
    seconds: float = 120,
) -> Iterator[tuple[Ready, int]]:
    """As `running`, of Python with these words, one of which may be `PORT`: that is free, and ``ready`` is given it."""
    port = free_port()
    words = [sys.executable, *(str(port) if word == PORT else word for word in command)]
    with running(words, log, lambda: ready(port), cwd=cwd, env=env, seconds=seconds) as result:
        yield result


@contextmanager
def running(
    words: Sequence[str],
    log: Path,
    ready: Callable[[], Ready | None],
    *,
    cwd: Path = ROOT,
    env: dict[str, str] | None = None,
    seconds: float = 120,
) -> Iterator[tuple[Ready, int]]:
    """What ``ready`` gives once it gives something, and the process's id; what it writes comes behind the log.

    The process leads a group of its own. It is asked to end, and killed where it does not.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | (env or {})
    with log.open("ab") as out:
        server = subprocess.Popen(words, cwd=cwd, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        yield _awaited(server, ready, log, seconds), server.pid
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:  # how it ends has a test of its own
            server.kill()
            server.wait(60)


def _awaited(server: "subprocess.Popen[bytes]", ready: Callable[[], Ready | None], log: Path, seconds: float) -> Ready:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        result = ready()
        if result is not None:
            return result
        time.sleep(0.2)
    raise TimeoutError(log.read_text())
