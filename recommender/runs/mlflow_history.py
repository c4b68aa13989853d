"""Finished runs of an MLflow store, as rows: what others logged there, read once and on request."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from recommender.runs.mlflow_server import in_words
from recommender.runs.mlflow_sync import client_at, trouble_at
from registry.addresses import public, sqlite_url
from registry.errors import MlflowUnusable, UnknownName

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

__all__ = ["LoggedRun", "is_mlflow", "logged_runs"]

_PAGE = 200
_SCHEMES = ("http://", "https://", "sqlite:", "postgresql:", "mysql:", "file:")


@dataclass(frozen=True)
class LoggedRun:
    """One finished run: its cells are its parameters, tags and metrics by name, ``params.model`` say."""

    run: str
    place: str
    """Which store it is in, without what is secret in it."""
    created: str
    seconds: float
    cells: dict[str, str]


def is_mlflow(origin: str) -> bool:
    """Whether that is the address of an MLflow store: a URI, a database's file, or a folder of runs."""
    path = Path(origin).expanduser()
    return origin.startswith(_SCHEMES) or path.suffix == ".db" or path.is_dir()


def logged_runs(origin: str, experiments: Sequence[str], where: str) -> Iterator[LoggedRun]:
    """The finished runs of these experiments (of all, where none is named) that MLflow's filter admits.

    Raises:
        UnknownName: there is no such experiment.
        MlflowUnusable: the store cannot be read.
    """
    address = _address(origin)
    trouble = trouble_at(address)
    if trouble is not None:
        raise MlflowUnusable(public(address), trouble)
    try:
        client = client_at(address)
        known = {one.name: str(one.experiment_id) for one in client.search_experiments()}
        for name in experiments:
            if name not in known:
                raise UnknownName("experiment", name, tuple(known))
        chosen = [known[name] for name in experiments or known]
        yield from (_row(run, public(address)) for run in _finished(client, chosen, where))
    except UnknownName:
        raise
    except Exception as failure:
        raise MlflowUnusable(public(address), in_words(failure, address)) from failure


def _address(origin: str) -> str:
    path = Path(origin).expanduser()
    if origin.startswith(_SCHEMES):
        return origin
    return sqlite_url(path.absolute()) if path.suffix == ".db" else path.absolute().as_uri()


def _finished(client: "MlflowClient", experiments: list[str], where: str) -> "Iterator[Run]":
    status = "attributes.status = 'FINISHED'"
    wanted, token = f"{status} and {where}" if where else status, None
    while experiments:
        page = client.search_runs(experiments, wanted, max_results=_PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _row(run: "Run", place: str) -> LoggedRun:
    info, data = run.info, run.data
    cells = {f"params.{name}": str(value) for name, value in data.params.items()}
    cells |= {f"tags.{name}": str(value) for name, value in data.tags.items() if not name.startswith("mlflow.")}
    cells |= {f"metrics.{name}": repr(value) for name, value in data.metrics.items()}
    began, ended = info.start_time or 0, info.end_time or info.start_time or 0
    created = datetime.fromtimestamp(ended / 1000, UTC).isoformat(timespec="seconds")
    return LoggedRun(info.run_id, place, created, max(0.0, (ended - began) / 1000), cells)
