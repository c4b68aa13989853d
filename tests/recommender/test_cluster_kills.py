"""A worker that is killed in the middle of a training: another goes on from its last save, to the same result."""

import json
import os
import signal
import threading
import time

import pytest

from recommender.runs.executors import executors
from recommender.runs.provider import FolderProvider
from recommender.runs.tracking import no_tracking
from recommender.runs.training_checkpoints import newest
from recommender.testing.jobs import job, plan, tiny_checkpoint, whole
from registry.progress import silent
from tests.clusters import cluster, why_no_ray

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_no_ray()), reason=why_no_ray())]


def test_a_training_whose_worker_is_killed_goes_on_from_its_last_save(tmp_path, monkeypatch):
    card = tiny_checkpoint(tmp_path / "net")
    planned = plan(card, whole(card, epochs=12))
    killed = []

    def kill(folder):
        while newest(folder) is None:
            time.sleep(0.01)
        killed.append(json.loads((folder / "state.json").read_text())["pid"])
        os.kill(killed[0], signal.SIGKILL)

    results = {}
    with cluster() as head:
        monkeypatch.setenv("RAY_ADDRESS", head.address)
        for name in ("killed", "whole"):
            work = job(tmp_path, card, planned, name=name)
            if name == "killed":
                threading.Thread(target=kill, args=[work.folder], daemon=True).start()
            run, _ = executors["ray"](work, no_tracking, silent, FolderProvider())
            results[name] = run.metrics["score"], run.metrics["validation_best"], run.metrics["best_epoch"]
    assert killed
    assert results["killed"] == results["whole"]
