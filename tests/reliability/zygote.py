"""Forks processes of `transferzoo` from one that has imported everything: each is a real one, begun at once.

A line of JSON in: ``{"start": [words], "script": code, "env": {}, "cwd": path, "out": path, "err": path}`` gives
``{"pid": n}``, and ``{"wait": pid, "seconds": s}`` gives ``{"code": n}``, None while it still runs. Where there is a
script, it is what runs in place of `transferzoo`, as under ``python -c``.
"""

import gc
import json
import os
import sys
import time
from importlib import import_module

_HEAVY = (
    "torch",
    "transformers",
    "faiss",
    "sklearn.linear_model",
    "matplotlib.pyplot",
    "mlflow",
    "peft",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.db.utils",
    "mlflow.pyfunc",
    "recommender.flow",
    "recommender.tuning.loop",
    "recommender.serving.promote",
    "registry.doctor",
    "recommender.tuning.figures",
    "ui.cli",
    "ui.program",
    *(f"ui.commands.{name}" for name in ("advice", "benefit", "demo", "domains", "maintenance", "predict", "queue")),
    *(f"ui.commands.{name}" for name in ("runs", "tuning", "zoo")),
    "ui.work",
    "ui.job_queue",
    "ui.context",
)


def serve() -> dict | None:
    """Answer until stdin ends; in a forked process, what it is to run."""
    for line in sys.stdin:
        record = json.loads(line)
        if "start" in record:
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                _become(record)
                return dict(record)
            answer: dict[str, int | None] = {"pid": pid}
        else:
            answer = {"code": _waited(record["wait"], record["seconds"])}
        print(json.dumps(answer), flush=True)
    return None


def _become(requested: dict) -> None:
    os.setsid()
    for stream, path in ((1, requested["out"]), (2, requested["err"])):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.environ.clear()
    os.environ.update(requested["env"])
    os.chdir(requested["cwd"])


def _waited(pid: int, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while True:
        result, status = os.waitpid(pid, os.WNOHANG)
        if result:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            return None
        time.sleep(0.02)


if __name__ == "__main__":
    for name in _HEAVY:
        import_module(name)
    sys.modules["torch"].set_num_threads(1)
    gc.freeze()
    print(json.dumps({"ready": True}), flush=True)
    requested = serve()
    if requested is not None and requested["script"] is not None:
        sys.argv = ["-c", *requested["start"]]
        exec(requested["script"], {"__name__": "__main__"})  # noqa: S102 - a test's own
    elif requested is not None:
        sys.argv = ["transferzoo", *requested["start"]]
        sys.modules["ui.cli"].main()
