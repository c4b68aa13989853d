"""A Ray cluster on this machine: a head without cores, and workers that each have one."""

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.servers import ROOT, free_port

__all__ = ["Head", "cluster", "lasting", "start_node", "why_no_ray"]

os.environ.setdefault(
    "RAY_AUTH_MODE", "disabled"
)  # Ray reads it once, when it is imported: all clusters here are alike


def why_no_ray() -> str:
    """Why no cluster can be started; empty where one can."""
    return "" if importlib.util.find_spec("ray") else "ray is not installed"


@dataclass
class Head:
    address: str
    folder: Path
    nodes: list[subprocess.Popen] = field(default_factory=list)

    def processes(self) -> list[psutil.Process]:
        """What belongs to it: whatever has its folder in the command line, and all that came of its nodes."""
        own = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if any(str(self.folder) in word for word in process.cmdline()):
                    own += [process, *process.children(recursive=True)]
        return [process for process in {one.pid: one for one in own}.values() if process.pid != os.getpid()]

    def named(self, part: str) -> list[psutil.Process]:
        with_words = []
        for process in self.processes():
            with suppress(psutil.Error):
                if part in " ".join(process.cmdline()):
                    with_words.append(process)
        return with_words

    def kill(self) -> None:
        for process in self.processes():
            with suppress(psutil.Error):
                process.kill()


def start_node(words: list[str], env: dict[str, str]) -> None:
    command = [str(Path(sys.executable).with_name("ray")), "start", "--disable-usage-stats", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def cluster(workers: int = 2, *, pinned: bool = False, **environment: str) -> Iterator[Head]:
    """A head and so many workers, each kept to one core where they are pinned, whose processes are all gone after."""
    usual = {"RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    env = {**os.environ, **usual, **environment}
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        head = Head(f"127.0.0.1:{free_port()}", Path(folder))
        port = head.address.rpartition(":")[2]
        cores = os.sched_getaffinity(0)
        common = ["--object-store-memory", str(200 << 20), "--temp-dir", folder]
        try:
            ports = ["--port", port, "--include-dashboard=false", "--num-cpus", "0"]
            start_node(["--head", *ports, *common], env)
            for number in range(workers):
                if pinned:  # a process inherits its cores
                    os.sched_setaffinity(0, {sorted(cores)[number % len(cores)]})
                start_node(["--address", head.address, "--num-cpus", "1", *common[:2]], env)
            os.sched_setaffinity(0, cores)
            yield head
        finally:
            os.sched_setaffinity(0, cores)
            head.kill()
            psutil.wait_procs(head.processes(), timeout=20)


def lasting(record: object) -> object:
    """A record without what a clock says, and what follows from that."""
    if isinstance(record, dict):
        clocked = ("seconds", "cost", "because")
        return {key: lasting(value) for key, value in record.items() if not key.endswith(clocked)}
    return [lasting(value) for value in record] if isinstance(record, list) else record
