"""A Ray cluster: probes and trainings as its tasks. Loaded when it is named; ray is imported here and nowhere else.

``RAY_ADDRESS`` names the cluster; without it one is started on this machine, and stopped after. Its workers open the
same home at the same path, and what all tasks share lies in the object store once. A net stays open in the worker that
opened it, as in any process: an actor for each would hold a core while others wait for theirs.
"""

import os
import socket
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import exceptions

from recommender.effort import Deadline
from recommender.workers import Work, Workers
from registry.errors import (
    ClusterAway,
    ClusterLost,
    ClusterOutOfRoom,
    ClusterRefused,
    ClusterUnusable,
    TransferZooError,
    UnusableRequest,
)
from registry.progress import Cancelled, Event, Phase, Progress, require_wanted, silent
from registry.zoo import Zoo

__all__ = ["ray_workers"]

_Shared = TypeVar("_Shared")
_Piece = TypeVar("_Piece")
_Result = TypeVar("_Result")

_TRIES = 3
"""How often a task is begun again whose worker died."""
_GLANCE = 0.2
"""Seconds between two looks at what is finished and at whether more is wanted."""
_AWAY = 5.0
"""Seconds without an answer from the head after which it counts as lost; Ray itself ends the process after 60."""
_CANCEL = 4.0
"""Seconds that tasks are given to end between two batches."""
_CPUS, _GPUS = "TRANSFERZOO_RAY_CPUS", "TRANSFERZOO_RAY_GPUS"


@contextmanager
def ray_workers() -> Iterator[Workers]:
    """Workers of the cluster, for as long as this lasts.

    Raises:
        ClusterAway: no cluster answers at ``RAY_ADDRESS``.
        ClusterRefused: its token is another.
        ClusterUnusable: it is of another version, or offers too little.
    """
    with _connected() as cluster:
        yield cluster.workers


@dataclass(eq=False)
class _Cluster:
    """A cluster that this process is connected to."""

    address: str
    head: tuple[str, int]
    _answered: float = field(default_factory=time.monotonic)
    _glanced: float = 0.0

    def workers(
        self,
        work: Work[_Shared, _Piece, _Result],
        shared: _Shared,
        pieces: Sequence[_Piece],
        zoo: Zoo,
        deadline: Deadline,
        progress: Progress,
    ) -> Iterator[_Result | None]:
        """All pieces at once, as far as there are cores; see `recommender.workers.Workers`."""
        require_wanted(progress)
        ends = None if deadline.seconds is None else time.time() + deadline.left
        with self.named():
            options = _carry_out.options(**self.resources("cpu"), max_retries=_TRIES)
            place = _Place(zoo.home.root, zoo.home.registry)
            given = ray.put((work, shared))
            tasks = [options.remote(given, piece, place, deadline.seconds, ends) for piece in pieces]
            try:
                for done, task in enumerate(tasks, start=1):
                    result = self._awaited(task, deadline, progress)
                    progress.report(Event(Phase.PROBE, "", done, len(tasks)))
                    yield result
            finally:
                if ray.is_initialized():
                    for task in tasks:
                        ray.cancel(task)

    def _awaited(self, task: Any, deadline: Deadline, progress: Progress) -> Any:  # noqa: ANN401 - whatever it gives
        """What comes of a task; None where Ctrl-C has ended the work."""
        try:
            while not deadline.interrupted:
                if self.finished(task):
                    result, said = ray.get(task)
                    for category, message in said:
                        warnings.warn(message, category, stacklevel=2)
                    return result
                require_wanted(progress)
        except KeyboardInterrupt:
            deadline.interrupted = True
        return None

    def finished(self, task: Any) -> bool:  # noqa: ANN401 - Ray's reference
        """Whether a task is, after a short while.

        Raises:
            ClusterLost: the head does not answer any more.
        """
        if ray.wait([task], timeout=_GLANCE)[0]:
            return True
        if time.monotonic() - self._glanced > 1:
            self._glanced = time.monotonic()
            if why := _silence(self.head):
                if self._glanced - self._answered > _AWAY:
                    raise ClusterLost(self.address, why)
            else:
                self._answered = self._glanced
        return False

    def resources(self, device: str) -> dict[str, float]:
        """What a task is given of a node.

        Raises:
            ClusterUnusable: no node has so much.
            UnusableRequest: a setting is no number.
        """
        needs = {"CPU": _setting(_CPUS, 1.0), "GPU": _setting(_GPUS, float(device.startswith("cuda")))}
        for kind, amount in needs.items():
            most = max((node["Resources"].get(kind, 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
            if amount > most:
                why = f"a task is to have {amount:g} {kind}, and the largest node has {most:g}"
                raise ClusterUnusable(why, f"Set {_CPUS} or {_GPUS} to less, or add a node.")
        return {"num_cpus": needs["CPU"], "num_gpus": needs["GPU"]}

    @contextmanager
    def named(self) -> Iterator[None]:
        """What Ray raises has a name of ours."""
        try:
            yield
        except exceptions.RayError as failure:
            raise _named(failure, self.address) from failure


@contextmanager
def _connected() -> Iterator[_Cluster]:
    """The cluster, connected to or started; left as it was."""
    address = os.environ.get("RAY_ADDRESS") or "local"
    ours = not ray.is_initialized()
    if ours:
        _connect(address)
    try:
        host, _, port = ray.get_runtime_context().gcs_address.rpartition(":")
        yield _Cluster("this machine" if address == "local" else address, (host, int(port)))
    finally:
        if ours:
            ray.shutdown()


def _connect(address: str) -> None:
    host, _, port = address.rpartition(":")
    if "://" in address:
        remedy = "Give HOST:PORT of the cluster's head in RAY_ADDRESS (its port is 6379, where nothing else was said)."
        raise ClusterUnusable(f"{address} is the address of Ray's client", remedy)
    if port.isdecimal() and (why := _silence((host.strip("[]"), int(port)))):
        raise ClusterAway(address, why)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # what Ray warns of where it is not said
    started = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address, log_to_driver=False, configure_logging=False, logging_level="ERROR", **started)
    except exceptions.RayError as failure:
        raise _named(failure, address) from failure
    except (ConnectionError, OSError, ValueError) as failure:
        raise ClusterAway(address, _first_line(failure)) from failure
    except RuntimeError as failure:
        remedy = "Install the same versions of Python, Ray and transferzoo on every node."
        raise ClusterUnusable(_first_line(failure), remedy) from failure


def _silence(head: tuple[str, int]) -> str:
    """Why the head cannot be reached; empty where it can."""
    try:
        socket.create_connection(head, timeout=2).close()
    except OSError as cause:
        return cause.strerror or str(cause)
    return ""


def _setting(name: str, usual: float) -> float:
    try:
        amount = float(os.environ.get(name) or usual)
    except ValueError:
        amount = -1.0
    if not 0 <= amount <= 1 << 16:
        raise UnusableRequest("setting", name, f"{os.environ[name]!r} is no number of cores or of GPUs")
    return amount


def _named(failure: Exception, address: str) -> TransferZooError:  # noqa: PLR0911 - one for each kind
    """What Ray raised, by a name of ours."""
    why = _first_line(failure)
    if isinstance(failure, exceptions.AuthenticationError):
        return ClusterRefused(address, why)
    if isinstance(failure, exceptions.ObjectStoreFullError | exceptions.OutOfDiskError):
        remedy = "Start the nodes with `ray start --object-store-memory BYTES`, or ask with a smaller --limit."
        return ClusterOutOfRoom("the object store", remedy)
    if isinstance(failure, exceptions.OutOfMemoryError):
        remedy = f"Let fewer tasks run on a node ({_CPUS}=2 for half as many), or ask with a smaller --max-parameters."
        return ClusterOutOfRoom("the memory of a worker's node", remedy)
    if isinstance(failure, exceptions.RayTaskError):
        cause = failure.cause
        if isinstance(cause, TransferZooError):
            return cause
        if isinstance(cause, ImportError):
            why = f"a worker cannot import what it is sent ({_first_line(cause)})"
            return ClusterUnusable(why, "Install the same version of transferzoo, with its extra `ray`, on every node.")
        return ClusterUnusable(f"a worker failed: {_first_line(cause)}", "Its log lies in /tmp/ray on its node.")
    if isinstance(failure, exceptions.WorkerCrashedError):
        why = f"a worker died {_TRIES + 1} times at the same task"
        return ClusterUnusable(why, "Its log lies in /tmp/ray on its node; a smaller checkpoint may do.")
    return ClusterLost(address, why)


def _first_line(failure: BaseException) -> str:
    lines = [line.strip() for line in str(failure).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(failure).__name__


# ---------------------------------------------------------------- in a worker


@dataclass(frozen=True)
class _Place:
    """Where a worker opens the registry."""

    home: Path
    registry: str | None = field(repr=False)

    def require_here(self) -> None:
        """The home can be seen from this machine.

        Raises:
            ClusterUnusable: it cannot.
        """
        if not self.home.is_dir():
            why = f"{socket.gethostname()} has no folder {self.home}"
            raise ClusterUnusable(why, "Let all nodes mount the home, and what is tuned on, at the same path.")


@cache
def _zoo(place: _Place) -> Zoo:
    """The registry, opened once in each worker."""
    place.require_here()
    return Zoo.open(place.home, registry=place.registry, mend=False)


@ray.remote
def _carry_out(
    given: tuple[Callable[..., Any], object], piece: object, place: _Place, seconds: float | None, ends: float | None
) -> tuple[object, list[tuple[type[Warning], str]]]:
    """What comes of a piece of work, with the warnings meanwhile."""
    work, shared = given
    deadline = Deadline.going_on(seconds, 0.0 if ends is None else ends - time.time())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = work(shared, piece, _zoo(place), deadline, silent)
    return result, [(one.category, str(one.message)) for one in said]
