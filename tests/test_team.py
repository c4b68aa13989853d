"""README, "For a team", word for word: two clients, a server, each part killed once, no secret in any file."""

import io
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from registry.zoo import Zoo
from tests.postgres import PASSWORD, binaries, restart_server, run_server, why_no_server
from tests.ui.pictures import write_stripes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.postgres,
    pytest.mark.skipif(bool(why_no_server()), reason=why_no_server()),
]
ROOT = Path(__file__).parents[1]
PLANTED = {"HF_TOKEN": "hf_planted_1b9c", "MLFLOW_TRACKING_PASSWORD": "planted-5d21"}


def lines() -> list[str]:
    """What the section tells to type."""
    section = (ROOT / "README.md").read_text().split("\n## For a team\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    return block.splitlines()


def wait_for(holds: Callable[[], object], log: Path, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def is_ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/ready", timeout=30).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


@contextmanager
def serving(words: list[str], env: dict[str, str], address: str, log: Path) -> Iterator[subprocess.Popen]:
    with log.open("ab") as out:
        service = subprocess.Popen(["bash", "-euc", "\n".join(words)], env=env, stdout=out, stderr=out)
    try:
        wait_for(lambda: is_ready(address), log)
        yield service
    finally:
        service.kill()
        service.wait()


def typed(words: list[str], env: dict[str, str]) -> str:
    done = subprocess.run(["bash", "-euc", "\n".join(words)], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def secret_of(printed: str) -> str:
    (secret,) = re.findall(r"^tz_\S+", printed, re.MULTILINE)
    return secret


def with_secrets(folder: Path, secrets: list[str]) -> list[str]:
    """Files that hold one of the secrets."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    return [str(path) for path in files if any(one.encode() in path.read_bytes() for one in secrets)]


def test_a_team_loses_nothing_while_each_part_is_killed_once(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = tmp_path / "bin" / "transferzoo"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ui.cli "$@"\n')
    command.chmod(0o755)
    watched, log = tmp_path / "watched", tmp_path / "watched" / "service.log"
    watched.mkdir()
    with run_server() as server:
        place = server.rpartition("host=")[2]
        env = os.environ | PLANTED
        env |= {"PATH": f"{command.parent}:{binaries()}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        env |= {
            "TRANSFERZOO_HOME": str(watched / "home"),
            "PGHOST": place,
            "PGUSER": "postgres",
            "PGPASSWORD": PASSWORD,
        }
        words = [line.replace("USER:PASSWORD@HOST/zoo", f"postgres:{PASSWORD}@/zoo?host={place}") for line in lines()]
        assert words[-1].startswith("transferzoo serve ")
        ann = secret_of(typed(words[:-1], env))
        url = words[1].partition("=")[2]
        other = env | {"TRANSFERZOO_REGISTRY": url, "TRANSFERZOO_HOME": str(watched / "other")}
        ben = secret_of(typed(["transferzoo keys create ben"], other))
        first, second = ({"Authorization": f"Bearer {key}"} for key in (ann, ben))
        serve = [words[1], f"exec {words[-1]} --port {port}"]
        with serving(serve, env, address, log) as service:
            job = ask_for_advice(address, first, tmp_path)
            with Zoo.open(watched / "home", registry=url) as zoo:
                wait_for(lambda: zoo.jobs.get(job).state == "running", log)
                begun = psutil.Process(zoo.jobs.get(job).pid)
                assert not any(PASSWORD in word for word in begun.cmdline())
                service.kill()
                restart_server(server)
                os.kill(begun.pid, signal.SIGKILL)
        with serving(serve, env, address, log):
            wait_for(lambda: got(f"{address}/jobs/{job}", first)[1]["state"] == "finished", log)
            name = got(f"{address}/jobs/{job}", first)[1]["result"]["recommendation"]
            assert got(f"{address}/recommendations/{name}", first)[1]["id"] == name
            hidden = [got(f"{address}/{one}", second)[0] for one in (f"recommendations/{name}", f"jobs/{job}")]
            assert hidden == [404, 404]
            assert got(f"{address}/checkpoints", second)[1]["items"]
            assert got(f"{address}/checkpoints", {})[0] == 401
        with Zoo.open(watched / "other", registry=url) as zoo:
            assert zoo.jobs.get(job).tries == 2
            assert zoo.advice(name) is not None
            written = {(row.action, row.status) for row in zoo.access.writes()}
            assert written >= {("POST /samples", 201), ("POST /recommendations", 202)}
        typed(["transferzoo doctor"], other)
    assert log.read_text()
    assert with_secrets(watched, [PASSWORD, ann.rpartition("_")[2], ben.rpartition("_")[2], *PLANTED.values()]) == []


def got(address: str, key: dict[str, str]) -> tuple[int, dict]:
    """Status and body of an answer."""
    answer = requests.get(address, headers=key, timeout=60)
    return answer.status_code, answer.json()


def ask_for_advice(address: str, key: dict[str, str], folder: Path) -> str:
    """The job of a first request."""
    packed, place = io.BytesIO(), write_stripes(folder)
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(place.rglob("*.png")):
            archive.write(file, file.relative_to(place))
    sample = requests.post(f"{address}/samples", data=packed.getvalue(), headers=key, timeout=60).json()["id"]
    response = requests.post(f"{address}/recommendations", json={"sample": sample, "keep": 1}, headers=key, timeout=60)
    assert response.status_code == 202, response.text
    return response.json()["id"]
