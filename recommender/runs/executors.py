"""Executors: job in, run out. ``local`` carries a job out in this process; what it needs it asks a provider for."""

from collections.abc import Callable
from importlib import import_module

from recommender.results import TuningRun
from recommender.runs.job import Job
from recommender.runs.provider import Provider
from recommender.runs.tracking import Tracker
from registry.cards import Outcome
from registry.plugins import Plugins
from registry.progress import Progress

__all__ = ["Executor", "executors"]

Executor = Callable[[Job, Tracker, Progress, Provider], tuple[TuningRun, Outcome]]


def _local() -> Executor:
    run_local: Executor = import_module("recommender.tuning.recipe").run_local
    return run_local


executors: Plugins[Executor] = Plugins("executor", "transferzoo.executors", {"local": _local})
