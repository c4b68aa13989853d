"""MLflow's client and store. With `mlflow_run` and `mlflow_model` all that imports MLflow, which takes a second.

`mlflow_sync` loads these three when MLflow is first spoken to, in an environment that was made quiet.
"""

import logging

from mlflow import MlflowClient
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from registry.addresses import sqlite_path, sqlite_url
from registry.files import replacing

__all__ = ["open_client", "prepare"]

for _library in ("mlflow", "alembic"):
    logging.getLogger(_library).setLevel(logging.ERROR)  # MLflow sets its loggers up when it is imported


def prepare(address: str) -> None:
    """Make the store at a SQLite address, where there is none yet: whole, or not at all.

    MLflow makes it by some sixty migrations; a process that is killed among them leaves a file that no MLflow opens.
    So they run on a file beside it, which takes its place when it is complete. The caller holds the store's lock.

    Raises:
        DiskFull: there is no room for it.
    """
    file = sqlite_path(address)
    if file is None or (file.is_file() and file.stat().st_size):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as partial:
        artifacts = str(file.with_name("mlartifacts"))
        store = SqlAlchemyStore(sqlite_url(partial), artifacts)  # type: ignore[no-untyped-call]  # MLflow has no type
        store.engine.dispose()


def open_client(address: str) -> MlflowClient:
    """A client that does not touch MLflow's global state."""
    return MlflowClient(tracking_uri=address)
