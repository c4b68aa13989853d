"""Trackers: how a run is logged, by MLflow or else. No failure of a tracker loses a run.

Everything is written to an event log in the run's folder first. A thread pushes it to MLflow, so that a slow or dead
server delays nothing, and tries again while the run goes on; what MLflow still lacks at the end ``transferzoo
runs sync`` pushes later, and the run says so.
"""

import getpass
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol, Self, TypeVar, runtime_checkable

from recommender.runs.event_log import EventLog
from recommender.runs.folder import RunFolder
from recommender.runs.job import Job
from recommender.runs.mlflow_server import PATIENCE, check_names, environment_settings, in_words
from recommender.runs.mlflow_sync import MlflowSync
from recommender.runs.system_metrics import FIRST, watched
from registry.addresses import public
from registry.plugins import Plugins
from registry.progress import Cancelled

__all__ = ["NullTrackerRun", "Tracker", "TrackerRun", "mlflow_runs", "no_tracking", "shielded_tracker", "trackers"]

_PATIENCE = PATIENCE
"""Seconds without any getting on that a finished run waits for what is still on its way."""
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
"""Seconds between attempts at a server that fails."""
_LONGEST = 5000
_LONGEST_DIGEST = 36

Logged = TypeVar("Logged", bound="_LoggedRun")


@runtime_checkable
class TrackerRun(Protocol):
    """An open entry: points of the learning curve as they come, files, and what the run came to."""

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run, where there is one; certain only after `close`."""

    @property
    def troubles(self) -> tuple[str, ...]:
        """What went wrong with the tracking, in words."""

    def point(self, series: str, step: int, value: float) -> None:
        """One point of a learning curve."""

    def result(self, metrics: Mapping[str, float]) -> None:
        """What the run came to."""

    def artifact(self, file: Path) -> None:
        """A file in the run's folder that is worth keeping: a figure, a report."""

    def model(self, folder: Path) -> None:
        """The run's folder holds its model. It can be logged once run.json is written."""

    def close(self, status: str) -> None:
        """The run is over: FINISHED, FAILED or KILLED. Waits a while for what is still on its way."""


Tracker = Callable[[Job], AbstractContextManager[TrackerRun]]
"""Opens an entry for a job. Leaving it ends the entry: FINISHED, KILLED after an interrupt, else FAILED."""


@dataclass
class NullTrackerRun:
    """A tracker's run that keeps nothing: the null object, and a base for who only observes a job."""

    run_id: str | None = None
    troubles: tuple[str, ...] = ()

    @contextmanager
    def track(self, job: Job) -> Iterator[Self]:
        """The same entry, for whatever job."""
        del job
        yield self

    def point(self, series: str, step: int, value: float) -> None:
        """Not kept."""

    def result(self, metrics: Mapping[str, float]) -> None:
        """Not kept."""

    def artifact(self, file: Path) -> None:
        """Not kept."""

    def model(self, folder: Path) -> None:
        """Not kept."""

    def close(self, status: str) -> None:
        """Nothing is open."""


@contextmanager
def no_tracking(job: Job) -> Iterator[TrackerRun]:
    """The event log in the run's folder, and nothing else."""
    with _closing(_LoggedRun(job, "none")) as tracker_run:
        yield tracker_run


@contextmanager
def mlflow_runs(job: Job, *, register: str | None = None, alias: str | None = None) -> Iterator[TrackerRun]:
    """The event log, pushed to MLflow: ``MLFLOW_TRACKING_URI`` where that is set, else a SQLite store in the home.

    Args:
        job: what is done.
        register: the name of a registered model that the run's model is to be a version of.
        alias: what that version is to be called, ``champion`` say.

    Raises:
        UnusableName: a name or alias that MLflow's registry would refuse.
    """
    check_names(register, alias)
    with (
        _closing(_MlflowRun(job, register, alias)) as tracker_run,
        watched(tracker_run.point, tracker_run.event_log.next_step(FIRST)),
    ):
        yield tracker_run


def shielded_tracker(name: str, track: Tracker) -> Tracker:
    """A plug-in's tracker beside the event log: it may fail, and the run goes on without it."""

    @contextmanager
    def both(job: Job) -> Iterator[TrackerRun]:
        with _closing(_PluginRun(job, name, _opened(track, job))) as tracker_run:
            try:
                yield tracker_run
            except BaseException as failure:
                tracker_run.leave(failure)
                raise
            tracker_run.leave(None)

    return both


@contextmanager
def _opened(track: Tracker, job: Job) -> Iterator[TrackerRun]:
    """The entry of a tracker that is first called when the entry is entered, so that all it raises is met there."""
    with track(job) as theirs:
        yield theirs


@contextmanager
def _closing(tracker_run: Logged) -> Iterator[Logged]:
    try:
        yield tracker_run
    except (KeyboardInterrupt, Cancelled):
        tracker_run.close("KILLED")
        raise
    except BaseException:
        tracker_run.close("FAILED")
        raise
    tracker_run.close("FINISHED")


class _LoggedRun:
    """A run whose event log nobody else reads."""

    def __init__(self, job: Job, tracker: str) -> None:
        self.event_log = EventLog(job.folder)
        self.event_log.open(_opening(job, tracker))

    @property
    def run_id(self) -> str | None:
        return None

    @property
    def troubles(self) -> tuple[str, ...]:
        return ()

    def point(self, series: str, step: int, value: float) -> None:
        self.event_log.point(series, step, value)
        self.notify()

    def result(self, metrics: Mapping[str, float]) -> None:
        self.event_log.result(metrics)
        self.notify()

    def artifact(self, file: Path) -> None:
        self.event_log.write({"artifact": file.relative_to(self.event_log.folder).as_posix()})
        self.notify()

    def model(self, folder: Path) -> None:
        self.event_log.write({"model": folder.relative_to(self.event_log.folder).as_posix()})
        self.notify()

    def close(self, status: str) -> None:
        self.event_log.write({"status": status})
        self.notify()

    def notify(self) -> None:
        """The event log has something new."""


class _PluginRun(_LoggedRun):
    """An event log whose entries a plug-in's tracker gets too; whatever that raises ends its part and nothing else."""

    def __init__(self, job: Job, name: str, entry: AbstractContextManager[TrackerRun]) -> None:
        super().__init__(job, name)
        self._name, self._entry = name, entry
        self._theirs: TrackerRun | None = None
        self._trouble: str | None = None
        with self._shielded():
            self._theirs = entry.__enter__()

    @property
    def troubles(self) -> tuple[str, ...]:
        theirs: tuple[str, ...] = ()
        if self._theirs is not None:
            with self._shielded():
                theirs = tuple(map(str, self._theirs.troubles))
        return theirs if self._trouble is None else (*theirs, self._trouble)

    def point(self, series: str, step: int, value: float) -> None:
        super().point(series, step, value)
        self._forward(lambda theirs: theirs.point(series, step, value))

    def result(self, metrics: Mapping[str, float]) -> None:
        super().result(metrics)
        self._forward(lambda theirs: theirs.result(metrics))

    def artifact(self, file: Path) -> None:
        super().artifact(file)
        self._forward(lambda theirs: theirs.artifact(file))

    def model(self, folder: Path) -> None:
        super().model(folder)
        self._forward(lambda theirs: theirs.model(folder))

    def leave(self, failure: BaseException | None) -> None:
        """End their entry as the run ended."""
        if self._theirs is not None:
            kind, trace = (None, None) if failure is None else (type(failure), failure.__traceback__)
            with self._shielded():
                self._entry.__exit__(kind, failure, trace)

    def _forward(self, news: Callable[[TrackerRun], None]) -> None:
        """After a first failure no more: what it has then would have holes that nobody sees."""
        if self._theirs is not None and self._trouble is None:
            with self._shielded():
                news(self._theirs)

    @contextmanager
    def _shielded(self) -> Iterator[None]:
        try:
            yield
        except Exception as failure:  # whatever it is, the run goes on
            words = f"{type(failure).__name__}: {failure}"
            self._trouble = f"the tracker {self._name!r} failed ({words}). The run's folder has everything"


class _MlflowRun(_LoggedRun):
    """An event log that a thread pushes to MLflow."""

    def __init__(self, job: Job, register: str | None, alias: str | None) -> None:
        self._news, self._over = threading.Event(), threading.Event()
        super().__init__(job, "mlflow")
        self._register, self._alias = register, alias
        self._sync = MlflowSync(RunFolder(job.folder), job.home)
        self._trouble: str | None = None
        self._closed = 0.0
        self._thread = threading.Thread(target=self._synchronize, name=f"mlflow {job.id}", daemon=True)
        self._thread.start()

    @property
    def run_id(self) -> str | None:
        return self._sync.run_id

    @property
    def troubles(self) -> tuple[str, ...]:
        if self._trouble is None:
            return ()
        return (f"{self._trouble}. The event log has everything: `transferzoo runs sync {self._sync.run.id}`",)

    def model(self, folder: Path) -> None:
        super().model(folder)
        if self._register is not None:
            self.event_log.write({"register": self._register, "alias": self._alias})
            self.notify()

    def close(self, status: str) -> None:
        super().close(status)
        self._closed = time.monotonic()
        self._over.set()
        self.notify()
        while self._thread.is_alive() and not self._stuck():
            self._thread.join(0.1)
        if self._thread.is_alive():
            self._trouble = f"MLflow at {public(self._sync.address)} did not answer in time"
        elif self._trouble is None and (left := self._sync.left):
            self._trouble = f"MLflow lacks {left} entries"

    def notify(self) -> None:
        self._news.set()

    def _stuck(self) -> bool:
        patience = self._sync.patience if self._sync.patience > PATIENCE else _PATIENCE
        return time.monotonic() - max(self._sync.moved, self._closed) > patience

    def _synchronize(self) -> None:
        """Push whatever is new; after a failure with pauses that grow, and once more when the run is over."""
        pause = 0.0
        while True:
            self._news.clear()
            last = self._over.is_set()
            try:
                self._sync.push()
                self._trouble, pause = None, 0.0
            except Exception as failure:  # no failure of MLflow loses the run
                self._trouble = in_words(failure, self._sync.address)
                pause = min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)
            if last:
                return
            if pause:
                self._over.wait(pause)
            else:
                self._news.wait()


def _opening(job: Job, tracker: str) -> dict[str, object]:
    """All that MLflow gets to know of a run before it has done anything."""
    sample = job.sample
    return {
        "job": job.id,
        "tracker": tracker,
        "name": f"{job.checkpoint.name} {job.plan.strategy}",
        "note": "\n".join(f"- {reason}" for reason in job.plan.because),
        "began": round(time.time() * 1000),
        "tags": _tags(job),
        "params": _parameters(job),
        "recommendation": job.recommendation,
        "advice": job.advice,
        "dataset": {
            "name": sample.name,
            "digest": sample.digest[:_LONGEST_DIGEST],
            "source_type": "local",
            "source": json.dumps({"uri": sample.origin}),
            "profile": json.dumps({"rows": len(sample), "classes": len(sample.classes)}),
        },
        **environment_settings(),
    }


def _tags(job: Job) -> dict[str, str]:
    tags = {
        "transferzoo.kind": "job",
        "transferzoo.job": job.id,
        "transferzoo.version": version("transferzoo"),
        "transferzoo.sample": job.sample.digest,
        "transferzoo.checkpoint": job.checkpoint.name,
        "transferzoo.checkpoint_digest": job.checkpoint.digest,
        "mlflow.user": _user(),
        "mlflow.source.name": "transferzoo",
        "mlflow.source.type": "LOCAL",
    }
    if job.recommendation is not None:
        tags["transferzoo.recommendation"] = job.recommendation
    return tags


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return "unknown"  # a container without names


def _parameters(job: Job) -> dict[str, str]:
    """The plan and its conditions, flat."""
    parameters: dict[str, object] = {
        "checkpoint": job.checkpoint.name,
        "sample": job.sample.name,
        "metric": str(job.sample.metric),
        "seed": job.seed,
        "device": job.device,
    }
    if job.expected is not None:
        parameters |= {f"expected_{end}": getattr(job.expected, end) for end in ("mean", "low", "high")}
    if job.estimated is not None:
        parameters |= {f"estimated_{name}": value for name, value in job.estimated.to_dict().items()}
    for key, value in job.plan.to_dict().items():
        parameters[f"plan.{key}"] = json.dumps(value) if isinstance(value, list | dict) else value
    return {key: str(value)[:_LONGEST] for key, value in parameters.items()}


trackers: Plugins[Tracker] = Plugins(
    "tracker",
    "transferzoo.trackers",
    {"mlflow": lambda: mlflow_runs, "none": lambda: no_tracking},
    adapt=shielded_tracker,
)
