"""A Ray cluster: probes and trainings as its tasks. Loaded when it is named; ray is imported here and nowhere else.

``RAY_ADDRESS`` names the cluster; without it one is started on this machine, and stopped after. Its workers open the
same home at the same path, and what all tasks share lies in the object store once. A net stays open in the worker that
opened it, as in any process: an actor for each would hold a core while others wait for theirs.
"""

import logging
import os
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Any, TypeVar

import ray
from ray import exceptions
from ray.util.queue import Empty, Queue

from recommender.effort import Deadline
from recommender.results import TuningRun
from recommender.runs.folder import RunFolder
from recommender.runs.job import Job
from recommender.runs.provider import FolderProvider, Provider, ZooProvider
from recommender.runs.tracking import NullTrackerRun, Tracker, TrackerRun
from recommender.tuning.recipe import run_local
from recommender.workers import Work, Workers, longest_first
from registry.cards import Outcome
from registry.errors import (
    ClusterAway,
    ClusterLost,
    ClusterOutOfRoom,
    ClusterRefused,
    ClusterUnusable,
    TransferZooError,
    UnusableRequest,
)
from registry.features import Encoded
from registry.files import chain_of
from registry.progress import Cancelled, Event, Phase, Progress, require_wanted, silent
from registry.sample import Sample
from registry.threads import Cores
from registry.zoo import Zoo

__all__ = ["ray_workers", "run_on_ray"]

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
_STOP = "stop"


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


def run_on_ray(
    job: Job, track: Tracker, progress: Progress = silent, provider: Provider | None = None
) -> tuple[TuningRun, Outcome]:
    """Carry out a job in a worker, as `recommender.tuning.recipe.run_local` does; tracker and observer stay here.

    A worker that dies is followed by another, which goes on from the last save in the run's folder.

    Raises:
        TransferZooError: as `run_local`.
        ClusterError: there is no cluster, or it cannot do it; what was begun can be resumed.
        Cancelled: the observer wants no more; the run can be resumed.
    """
    with _connected() as cluster:
        RunFolder(job.folder).start(job.to_dict())  # so that what no worker has begun yet can be resumed, too
        try:
            with cluster.named():
                result = cluster.trained(job, _Supervisor(job, track, progress, provider or FolderProvider()), provider)
        except ClusterLost as lost:
            raise ClusterLost(lost.address, lost.why, f"Go on: `transferzoo runs resume {job.id}`.") from lost
    if isinstance(result, BaseException):
        raise result
    return result


class _Supervisor:
    """Where what a worker reports is taken, and what it asks is answered: tracker, observer and history are here."""

    def __init__(self, job: Job, track: Tracker, progress: Progress, provider: Provider) -> None:
        self.provider = provider
        self.reports, self.answers = (Queue(actor_options={"num_cpus": 0}) for _ in range(2))
        self._job, self._track, self._progress = job, track, progress
        self._entry: AbstractContextManager[TrackerRun] | None = None
        self._tracker_run: TrackerRun = NullTrackerRun()
        self._stopped: float | None = None

    @property
    def overdue(self) -> bool:
        """Whether the worker was to end some time ago."""
        return self._stopped is not None and time.monotonic() - self._stopped > _CANCEL

    def serve(self) -> None:
        """Take what has been reported by now."""
        if self._stopped is None and self._progress.cancelled():
            self._stopped = time.monotonic()
            self.answers.put(_STOP)
        for number, name, facts in self.reports.get_nowait_batch(self.reports.qsize()):
            try:
                answer = getattr(self, f"_{name}")(*facts)
            except Exception as failure:  # the worker raises it where it asked
                answer = failure
            if number is not None:
                self.answers.put((number, answer))

    def close(self) -> None:
        """The worker is gone: an entry that it left open ends as one that was killed."""
        self._leave(Cancelled())
        if ray.is_initialized():
            for queue in (self.reports, self.answers):
                queue.shutdown(force=True)

    def _enter(self) -> None:
        self._leave(Cancelled())  # of a worker that died
        entry = self._track(self._job)
        self._tracker_run, self._entry = entry.__enter__(), entry

    def _leave(self, failure: BaseException | None) -> tuple[str | None, tuple[str, ...]]:
        if self._entry is not None:
            entry, self._entry = self._entry, None
            if failure is None:
                entry.__exit__(None, None, None)
            else:
                with suppress(type(failure)):
                    entry.__exit__(type(failure), failure, None)
        return self._tracker_run.run_id, tuple(self._tracker_run.troubles)

    def _report(self, event: Event) -> None:
        self._progress.report(event)

    def _record(self, outcome: Outcome) -> None:
        self.provider.record(self._job, outcome)

    def _point(self, series: str, step: int, value: float) -> None:
        self._tracker_run.point(series, step, value)

    def _result(self, metrics: Mapping[str, float]) -> None:
        self._tracker_run.result(metrics)

    def _artifact(self, file: Path) -> None:
        self._tracker_run.artifact(file)

    def _model(self, folder: Path) -> tuple[str | None, tuple[str, ...]]:
        self._tracker_run.model(folder)
        return self._tracker_run.run_id, tuple(self._tracker_run.troubles)


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
        costs: Sequence[float] = (),
    ) -> Iterator[_Result]:
        """All pieces at once, as far as there are cores; what is left of them ends with the connection.

        The longest are begun first; where time may not do for all, those that come first.
        """
        require_wanted(progress)
        ends = None if deadline.seconds is None else time.time() + deadline.left
        with self.named():
            options = ray.remote(_carry_out).options(**self.resources("cpu"), max_retries=_TRIES)
            place = _Place(zoo.home.root, zoo.home.registry, zoo.home.objects)
            sent: Any = ray.put((work, shared))
            order = longest_first(costs if ends is None else (), len(pieces))
            tasks = {number: options.remote(sent, pieces[number], place, deadline.seconds, ends) for number in order}
            for number in range(len(pieces)):
                result = self._awaited(tasks[number], deadline, progress)
                progress.report(Event(Phase.PROBE, "", number + 1, len(pieces)))
                yield result

    def _awaited(self, task: Any, deadline: Deadline, progress: Progress) -> Any:  # noqa: ANN401 - whatever it gives
        """What comes of a task; None where Ctrl-C has ended the work."""
        try:
            while not deadline.interrupted:
                if self.finished(task):
                    result, warned = ray.get(task)
                    for category, message in warned:
                        warnings.warn(message, category, stacklevel=2)
                    return result
                require_wanted(progress)
        except KeyboardInterrupt:
            deadline.interrupted = True
        return None

    def trained(
        self, job: Job, supervisor: "_Supervisor", provider: Provider | None
    ) -> tuple[TuningRun, Outcome] | BaseException:
        """What comes of a job that a worker carries out while the supervisor serves it, or how it ended.

        Raises:
            ClusterLost: the head does not answer any more.
            Cancelled: the observer wants no more.
        """
        place = (
            _Place(job.home.root, job.home.registry, job.home.objects) if isinstance(provider, ZooProvider) else None
        )
        sent: Any = ray.put((job, None if place else supervisor.provider, place))
        options = ray.remote(_train).options(**self.resources(job.device), max_retries=_TRIES)
        task = options.remote(sent, supervisor.reports, supervisor.answers)
        try:
            while not self.finished(task):
                supervisor.serve()
                if supervisor.overdue:
                    raise Cancelled
            supervisor.serve()
            result: tuple[TuningRun, Outcome] | BaseException = ray.get(task)
        finally:
            if supervisor.overdue:  # what is left otherwise ends with the connection: Ray may crash at `cancel` (2.60)
                ray.cancel(task, force=True)
            supervisor.close()
        return result

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
        alive: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # as Ray has it
        for kind, amount in needs.items():
            most = max((node["Resources"].get(kind, 0.0) for node in alive if node["Alive"]), default=0.0)
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
    dashboard = False if address == "local" else None
    try:
        ray.init(
            address,
            log_to_driver=False,
            configure_logging=False,
            logging_level=logging.ERROR,
            include_dashboard=dashboard,
        )
    except exceptions.RayError as failure:
        raise _named(failure, address) from failure
    except (OSError, ValueError, RuntimeError) as failure:
        # what a token is refused by is of no type of its own everywhere
        if any("AuthenticationError" in f"{type(one).__name__} {one}" for one in chain_of(failure)):
            raise ClusterRefused(address, "it is another, or none is given") from failure
        if not isinstance(failure, RuntimeError):
            raise ClusterAway(address, _first_line([*chain_of(failure)][-1])) from failure
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
    objects: str | None

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
    return Zoo.open(place.home, registry=place.registry, objects=place.objects, mend=False)


def _keep_to_share() -> None:
    """Open items with as many threads as the task has cores; those of torch are OMP_NUM_THREADS, which Ray sets."""
    assigned: dict[str, float] = ray.get_runtime_context().get_assigned_resources()  # type: ignore[no-untyped-call]
    Cores.share = assigned.get("CPU", 1.0)


def _carry_out(
    sent: tuple[Callable[..., Any], object], piece: object, place: _Place, seconds: float | None, ends: float | None
) -> tuple[object, list[tuple[type[Warning], str]]]:
    """What comes of a piece of work, with the warnings meanwhile."""
    _keep_to_share()
    work, shared = sent
    deadline = Deadline.going_on(seconds, 0.0 if ends is None else ends - time.time())
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        result = work(shared, piece, _zoo(place), deadline, silent)
    return result, [(one.category, str(one.message)) for one in warned]


def _train(
    sent: tuple[Job, Provider | None, _Place | None], reports: Queue, answers: Queue
) -> tuple[TuningRun, Outcome] | BaseException:
    """A job carried out, or how it ended."""
    _keep_to_share()
    job, provider, place = sent
    line = _Line(reports, answers)
    if place is not None:
        provider = ZooProvider(_zoo(place))
    try:
        return run_local(job, line.track, line, _Recorded(provider or FolderProvider(), line))
    except (Cancelled, TransferZooError) as end:
        return end


class _Line:
    """The worker's end of a `_Supervisor`: an observer and a tracker. What nobody waits for is put, the rest asked."""

    def __init__(self, reports: Queue, answers: Queue) -> None:
        self._reports, self._answers = reports, answers
        self._stopped, self._glanced, self._reported = False, 0.0, (0.0, "")

    def put(self, name: str, *facts: object) -> None:
        """Report; where nobody listens any more, the work ends."""
        try:
            self._reports.put((None, name, facts))
        except exceptions.RayError as cause:
            raise Cancelled from cause

    def ask(self, name: str, *facts: object) -> Any:  # noqa: ANN401 - whatever is asked
        """Report, and wait for the answer."""
        number = token_hex(8)
        try:
            self._reports.put((number, name, facts))
            while True:
                match self._answers.get():
                    case (other, answer):
                        if other == number:
                            break
                    case _:
                        self._stopped = True
        except exceptions.RayError as cause:
            raise Cancelled from cause
        if isinstance(answer, Exception):
            raise answer
        return answer

    def report(self, event: Event) -> None:
        """Some of what is done, and the ends of it."""
        now, stage = time.monotonic(), f"{event.phase} {event.part}"
        if event.finished or stage != self._reported[1] or now - self._reported[0] > _GLANCE:
            self._reported = now, stage
            self.put("report", event)

    def cancelled(self) -> bool:
        """Whether the other end wants no more, as far as was heard."""
        if not self._stopped and time.monotonic() - self._glanced > _GLANCE:
            try:
                self._stopped = self._answers.get_nowait() == _STOP
            except Empty:
                pass
            except exceptions.RayError:
                self._stopped = True
            self._glanced = time.monotonic()
        return self._stopped

    @contextmanager
    def track(self, job: Job) -> Iterator[TrackerRun]:
        """An entry that is kept at the other end."""
        del job
        self.ask("enter")
        entry = _Entry(self)
        try:
            yield entry
        except BaseException as failure:
            with suppress(Cancelled):
                entry.leave(failure)
            raise
        entry.leave(None)


class _Entry(NullTrackerRun):
    """A tracker's run at the other end of a line."""

    def __init__(self, line: _Line) -> None:
        super().__init__()
        self._line = line

    def point(self, series: str, step: int, value: float) -> None:
        """To the other end; so with all of these."""
        self._line.put("point", series, step, value)

    def result(self, metrics: Mapping[str, float]) -> None:
        """What the run came to."""
        self._line.put("result", dict(metrics))

    def artifact(self, file: Path) -> None:
        """A file of the run's folder."""
        self._line.put("artifact", file)

    def model(self, folder: Path) -> None:
        """The run's folder holds its model."""
        self.run_id, self.troubles = self._line.ask("model", folder)

    def leave(self, failure: BaseException | None) -> None:
        """The run is over."""
        ended = failure if failure is None or isinstance(failure, TransferZooError) else Cancelled()
        self.run_id, self.troubles = self._line.ask("leave", ended)


@dataclass(frozen=True)
class _Recorded:
    """A provider whose outcomes are recorded at the other end."""

    provider: Provider
    line: _Line

    def features(self, job: Job, part: Sample, progress: Progress) -> Encoded:
        """Computed here."""
        return self.provider.features(job, part, progress)

    def record(self, job: Job, outcome: Outcome) -> None:
        """Kept there."""
        del job
        self.line.ask("record", outcome)
