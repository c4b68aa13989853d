"""Secrets that are planted in addresses and in the environment are in no file and on no screen."""

import json
import os
import time
from pathlib import Path

import pytest
import requests

from tests.objects import BUCKET, SECRET, s3_environment, s3_server
from tests.servers import PORT, free_port, serving
from tests.ui.pictures import write_stripes
from tests.ui.test_cli import transferzoo

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]
PASSWORD = "planted-77ab-mlflow"  # noqa: S105 - none
PLANTED = {
    "HF_TOKEN": "hf_planted_93fe",
    "AWS_SESSION_TOKEN": "planted-session-11c0",
    "MLFLOW_TRACKING_TOKEN": "planted-token-5e2a",
}


def written(folder: Path, secrets: list[str]) -> dict[str, list[str]]:
    """Which secrets are in which files."""
    files = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
    held = {str(path): [one for one in secrets if one.encode() in content] for path, content in files.items()}
    return {path: ones for path, ones in held.items() if ones}


def test_no_file_and_no_screen_holds_the_password_of_an_address_or_a_key_of_the_bucket(tmp_path):
    watched = tmp_path / "watched"
    watched.mkdir()
    data = write_stripes(tmp_path)
    with s3_server(tmp_path / "s3.log") as (port, _):
        env = os.environ | PLANTED | s3_environment(port)
        env |= {"TRANSFERZOO_HOME": str(watched / "home"), "TRANSFERZOO_OBJECTS": f"s3://{BUCKET}/shared"}
        env |= {"MLFLOW_TRACKING_URI": f"http://ann:{PASSWORD}@127.0.0.1:{free_port()}", "PYTHONPATH": str(ROOT)}
        screens: list[str] = []

        def typed(*words: str) -> str:
            done = transferzoo(*words, **env)
            screens.append(done.stdout + done.stderr)
            return done.stdout

        typed("--debug", "recommend", str(data), "--keep", "1")
        typed("queue", "add", "tune", str(data))
        for _ in range(300):
            if all(job["state"] not in {"queued", "running"} for job in json.loads(typed("queue", "list", "--json"))):
                break
            time.sleep(1)
        for words in ("queue list", "runs list --json", "--debug runs sync", "doctor", "zoo disk", "history list"):
            typed(*words.split())
        refused = {
            "TRANSFERZOO_OBJECTS": f"s3://key:{SECRET}@{BUCKET}",
            "MLFLOW_TRACKING_URI": f"postgresql://ann:{PASSWORD}@127.0.0.1:1/mlflow",
        }
        for name, value in refused.items():
            before, env[name] = env[name], value
            typed("--debug", "tune", str(data), "--epochs", "1")
            typed("doctor")
            env[name] = before
        command = ["-m", "ui.cli", "serve", "--port", PORT, "--home", str(watched / "home")]
        with serving(command, watched / "serve.log", _answering, env=env) as (address, _):
            places = ("jobs", "runs", "metrics", "audit", "ready")
            screens += [requests.get(f"{address}/{place}", timeout=60).text for place in places]
    secrets = [PASSWORD, SECRET, *PLANTED.values()]
    (watched / "screens").write_text("\n".join(screens))
    (kept,) = (watched / "home" / "jobs").glob("*.json")
    assert json.loads(kept.read_text())["MLFLOW_TRACKING_URI"].startswith("http://127.0.0.1:")
    assert written(watched, secrets) == {}


def _answering(port: int) -> str | None:
    try:
        return f"http://127.0.0.1:{port}" if requests.get(f"http://127.0.0.1:{port}/ready", timeout=30).ok else None
    except (requests.ConnectionError, requests.Timeout):
        return None
