"""ui/README.md, "For a team", word for word: every part is started as it says, killed once, nothing is lost or told."""

import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest
import requests
from mlflow import MlflowClient

from recommender.runs.training_checkpoints import newest
from registry.zoo import Zoo
from tests.clusters import Head, start_node, why_no_ray
from tests.objects import s3_environment
from tests.postgres import PASSWORD, binaries, restart_server, run_server, why_no_server
from tests.servers import free_port, is_open, running
from tests.ui.pictures import write_stripes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.postgres,
    pytest.mark.skipif(bool(why_no_server() or why_no_ray()), reason=why_no_server() or why_no_ray()),
]
ROOT = Path(__file__).parents[1]
PLANTED = {
    "HF_TOKEN": "hf_planted_1b9c",
    "MLFLOW_TRACKING_PASSWORD": "planted-5d21",
    "MLFLOW_TRACKING_USERNAME": "ben",
    "RAY_AUTH_TOKEN": "3e" * 32,
}
BUCKET = "zoo"


def blocks() -> list[list[str]]:
    """What the section tells to type: to start the parts, on every machine, and to work."""
    section = (ROOT / "ui" / "README.md").read_text().split("\n## For a team\n")[1].split("\n## ")[0]
    return [
        [line.partition(" # ")[0].strip() for line in block.splitlines()]
        for block in re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    ]


class Server:
    """A part that is one process and what it starts."""

    def __init__(self, command: str, port: int, env: dict[str, str], folder: Path) -> None:
        self.command, self.port, self.env, self.folder = command, port, env, folder
        self.log = folder / "log"
        folder.mkdir()

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                shlex.split(self.command), cwd=self.folder, env=self.env, stdout=out, stderr=out, start_new_session=True
            )
        wait_for(lambda: is_open(self.port), self.log)

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Cluster:
    """The head, which has no cores here, and two nodes with one each."""

    def __init__(self, head: str, node: str, env: dict[str, str], folder: Path) -> None:
        self.commands, self.env, self.folder = (head, node, node), env, folder

    def start(self) -> None:
        room = ["--object-store-memory", str(200 << 20)]
        for place, command in enumerate(self.commands):
            own = ["--num-cpus", "1"] if place else ["--num-cpus", "0", "--include-dashboard=false"]
            own += [] if place else ["--temp-dir", str(self.folder)]
            start_node([*shlex.split(command)[2:], *own, *room], self.env)

    def kill(self) -> None:
        head = Head("", self.folder)
        head.kill()
        psutil.wait_procs(head.processes(), timeout=20)


def wait_for(holds: Callable[[], object], log: Path, seconds: float = 400) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)


def is_ready(address: str) -> bool:
    try:
        return requests.get(f"{address}/ready", timeout=30).ok
    except (requests.ConnectionError, requests.Timeout):
        return False


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
    command = tmp_path / "bin" / "transferzoo"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m ui.cli "$@"\n')
    command.chmod(0o755)
    watched = tmp_path / "watched"
    watched.mkdir()
    ports = {name: free_port() for name in ("5000", "9000", "6379")}
    with run_server() as server, ExitStack() as parts:
        place = server.rpartition("host=")[2]
        own = Path(sys.executable).parent
        env = os.environ | PLANTED | s3_environment(ports["9000"])
        env |= {"PATH": f"{command.parent}:{own}:{binaries()}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        env |= {"PGHOST": place, "PGUSER": "postgres", "PGPASSWORD": PASSWORD}
        env |= {"RAY_AUTH_MODE": "token", "OMP_NUM_THREADS": "1", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}

        def here(line: str) -> str:
            line = line.replace("USER:PASSWORD@HOST/zoo", f"postgres:{PASSWORD}@/zoo?host={place}")
            for name, port in ports.items():
                line = re.sub(rf"(HOST:|HEAD:|--port ){name}\b", rf"\g<1>{port}", line)
            return line.replace("HOST:", "127.0.0.1:").replace("HEAD:", "127.0.0.1:")

        starts, settings, work = ([here(line) for line in block] for block in blocks())
        (database, tracking, bucket, *cluster) = starts
        typed([database], env)
        mlflow = Server(tracking, ports["5000"], env, watched / "tracking")
        s3 = Server(bucket, ports["9000"], env, watched / "s3")
        folder = parts.enter_context(tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True))
        ray = Cluster(*cluster, env, Path(folder))
        for part in (mlflow, s3, ray):
            part.start()
            parts.callback(part.kill)
        make_bucket(s3)
        exports = [line for line in settings if line.startswith("export ")]
        env |= {one.partition("=")[0]: one.partition("=")[2] for line in exports for one in shlex.split(line)[1:]}
        ann, ben = ({**env, "TRANSFERZOO_HOME": str(watched / name)} for name in ("ann", "ben"))
        typed(settings, ann)
        keys, serve, recommend, tune = work
        secrets = [secret_of(typed([*exports, one], ann)) for one in (keys, "transferzoo keys create ben")]
        data = write_stripes(tmp_path)
        the_service_is_killed(serve, server, secrets, ann, watched, data)
        run = a_worker_and_tracking_are_killed(tune.replace("PATH", str(data)), mlflow, ben, watched)
        typed(["transferzoo runs sync"], ben)
        assert finished_runs(f"http://127.0.0.1:{mlflow.port}") == [run]
        the_bucket_is_lost(s3, run, ben, ann)
        others = write_stripes(tmp_path / "others", rows=30)
        the_head_is_killed(recommend.replace("PATH", str(others)), ray, ben, watched)
        assert "level/0.png" in typed([f"transferzoo predict {run} {data}"], ann)  # the run of another machine
        typed(["transferzoo doctor"], ben)
    planted = [PASSWORD, *(one.split("_", 2)[2] for one in secrets), *PLANTED.values(), env["AWS_SECRET_ACCESS_KEY"]]
    planted.remove("ben")
    assert with_secrets(watched, planted) == []


def the_service_is_killed(serve, server, secrets, env, watched, data) -> None:
    """With its database and the process of its job; the job is done all the same, for its owner alone."""
    port, log = free_port(), watched / "service.log"
    address, words = f"http://127.0.0.1:{port}", ["bash", "-euc", f"exec {serve} --port {port}"]
    first, second = ({"Authorization": f"Bearer {key}"} for key in secrets)
    with running(words, log, lambda: is_ready(address) or None, env=env, seconds=400) as (_, service):
        job = ask_for_advice(address, first, data)
        with Zoo.open(watched / "ann", registry=env["TRANSFERZOO_REGISTRY"]) as zoo:
            wait_for(lambda: zoo.jobs.get(job).state == "running", log)
            begun = psutil.Process(zoo.jobs.get(job).pid)
            assert not any(PASSWORD in word for word in begun.cmdline())
            os.kill(service, signal.SIGKILL)
            restart_server(server)
            os.kill(begun.pid, signal.SIGKILL)
    with running(words, log, lambda: is_ready(address) or None, env=env, seconds=400):
        wait_for(lambda: got(f"{address}/jobs/{job}", first)[1]["state"] == "finished", log)
        name = got(f"{address}/jobs/{job}", first)[1]["result"]["recommendation"]
        assert got(f"{address}/recommendations/{name}", first)[1]["id"] == name
        hidden = [got(f"{address}/{one}", second)[0] for one in (f"recommendations/{name}", f"jobs/{job}")]
        assert hidden == [404, 404]
        assert got(f"{address}/checkpoints", second)[1]["items"]
        assert got(f"{address}/checkpoints", {})[0] == 401
    with Zoo.open(watched / "ben", registry=env["TRANSFERZOO_REGISTRY"]) as zoo:
        assert zoo.jobs.get(job).tries == 2
        assert zoo.advice(name) is not None
        written = {(row.action, row.status) for row in zoo.access.writes()}
        assert written >= {("POST /samples", 201), ("POST /recommendations", 202)}
    assert log.read_text()


def a_worker_and_tracking_are_killed(tune, mlflow, env, watched) -> str:
    """While a net learns; the run that came to its end all the same."""
    options = "--checkpoint regnet-cifar10 --strategy lp-ft --epochs 40 --no-controls"
    runs, log = watched / "ben" / "runs", watched / "tune.log"
    with begun(f"{tune} {options}", env, log) as tuning:
        wait_for(lambda: [folder for folder in runs.glob("*") if newest(folder)], log)
        folder = next(folder for folder in runs.glob("*") if newest(folder))
        mlflow.kill()
        os.kill(json.loads((folder / "state.json").read_text())["pid"], signal.SIGKILL)
        assert tuning.wait(400) == 0, log.read_text()
    assert "Traceback" not in log.read_text()
    mlflow.start()
    return folder.name


def make_bucket(s3: Server) -> None:
    requests.put(f"http://127.0.0.1:{s3.port}/{BUCKET}", timeout=60).raise_for_status()


def the_bucket_is_lost(s3, run, env, other) -> None:
    """With all that was in it, for that server keeps nothing: what lies here is uploaded again."""
    s3.kill()
    shown = subprocess.run(["transferzoo", "runs", "show", run], env=other, capture_output=True, text=True, check=False)
    assert shown.returncode == 2
    assert "cannot be reached" in " ".join(shown.stderr.split())
    assert "Traceback" not in shown.stderr
    s3.start()
    make_bucket(s3)
    typed(["transferzoo doctor --repair", "transferzoo doctor"], env)


def the_head_is_killed(recommend, ray, env, watched) -> None:
    """And with it its nodes, while nets are probed; what was computed is gone on from."""
    features, log = watched / "ben" / "features", watched / "recommend.log"
    before = {*features.glob("*.safetensors")}
    with begun(recommend, env, log) as advising:
        wait_for(lambda: len({*features.glob("*.safetensors")} - before) > 1, log)
        ray.kill()
        assert advising.wait(400) == 2, log.read_text()
    words = " ".join(log.read_text().split())
    assert "was lost" in words
    assert "Traceback" not in words
    (name,) = {*re.findall(r"--continue (\w{16})", words)}
    ray.start()
    assert typed([f"{recommend} --continue {name}"], env)


@contextmanager
def begun(line: str, env: dict[str, str], log: Path) -> Iterator[subprocess.Popen]:
    """A command that goes on meanwhile."""
    with log.open("ab") as out:
        running = subprocess.Popen(["bash", "-euc", f"exec {line}"], env=env, stdout=out, stderr=out)
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def finished_runs(address: str) -> list[str]:
    """Ids of the runs that an MLflow server has to their end, with what they scored."""
    client = MlflowClient(address)
    experiments = [one.experiment_id for one in client.search_experiments()]
    rows = client.search_runs(experiments, "attributes.status = 'FINISHED'")
    return [row.data.tags["transferzoo.job"] for row in rows if "score" in row.data.metrics]


def got(address: str, key: dict[str, str]) -> tuple[int, dict]:
    """Status and body of an answer."""
    answer = requests.get(address, headers=key, timeout=60)
    return answer.status_code, answer.json()


def ask_for_advice(address: str, key: dict[str, str], place: Path) -> str:
    """The job of a first request."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(place.rglob("*.png")):
            archive.write(file, file.relative_to(place))
    sample = requests.post(f"{address}/samples", data=packed.getvalue(), headers=key, timeout=60).json()["id"]
    response = requests.post(f"{address}/recommendations", json={"sample": sample, "keep": 1}, headers=key, timeout=60)
    assert response.status_code == 202, response.text
    return response.json()["id"]
