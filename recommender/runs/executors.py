"""Executors: job in, run out. ``local`` carries a job out in this process, ``ray`` in a worker of a Ray cluster."""

from collections.abc import Callable
from importlib import import_module

from recommender.results import TuningRun
from recommender.runs.job import Job
from recommender.runs.provider import Provider
from recommender.runs.tracking import Tracker
from recommender.workers import load_cluster
from registry.cards import Outcome
from registry.plugins import Plugins
from registry.progress import Progress

__all__ = ["Executor", "executors"]

Executor = Callable[[Job, Tracker, Progress, Provider], tuple[TuningRun, Outcome]]


def _local() -> Executor:
    run_local: Executor = import_module("recommender.tuning.recipe").run_local
    return run_local


def _ray() -> Executor:
    run_on_ray: Executor = load_cluster().run_on_ray
    return run_on_ray


executors: Plugins[Executor] = Plugins("executor", "transferzoo.executors", {"local": _local, "ray": _ray})
