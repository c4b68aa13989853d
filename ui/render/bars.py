"""Bars: progress for a person."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.progress import Task as BarTask
from rich.text import Text

from registry.progress import Event, Phase, Progress, silent
from ui.render.parts import BAR
from ui.render.words import progressed


class Bars:
    """Progress for a person: live bars where stderr is a terminal, one line a stage where it is not.

    ``with bars as progress:`` surrounds the work, as often as there is some; what libraries print to stdout meanwhile
    goes to stderr. ``also`` is told everything too. A stage that is done leaves, and a bar without end stands in until
    the next begins.
    """

    def __init__(self, terminal: Console, *, also: Progress = silent) -> None:
        self._terminal = terminal
        self._also = also
        self._tasks: dict[tuple[Phase, str], TaskID] = {}
        self._working = False
        self._between: TaskID | None = None
        self._at_work = ExitStack()
        self._bars = self._new()

    def __enter__(self) -> "Bars":
        self._working = True
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._working = False
        self._at_work.close()

    def _begin(self) -> None:
        self._tasks, self._bars, self._between = {}, self._new(), None
        self._at_work.enter_context(redirect_stdout(self._terminal.file))
        self._at_work.enter_context(self._bars)

    def _new(self) -> RichProgress:
        return RichProgress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(BAR),
            TextColumn("{task.fields[counted]}", markup=False),
            TimeRemainingColumn(compact=True),
            console=self._terminal,
            transient=True,
            disable=not self._terminal.is_terminal,
        )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Off the screen while something else is written; outside of any work this does nothing."""
        if not self._working:
            yield
            return
        self._at_work.close()
        try:
            yield
        finally:
            self._begin()

    def report(self, event: Event) -> None:
        """Show how much is finished; a finished stage leaves the screen."""
        stage = event.phase, event.part
        new = stage not in self._tasks
        self._also.report(event)
        if new:
            self._hide_open_ended()
            self._tasks[stage] = self._bars.add_task(event.words, total=event.of or None, counted="")
            if not self._terminal.is_terminal:
                self._terminal.print(Text(f"· {event.words}", "dim"))
        total = event.of or None
        counted = progressed(event.phase, event.done, event.of)
        self._bars.update(
            self._tasks[stage], completed=event.done, total=total, visible=not event.finished, counted=counted
        )
        if event.finished:
            self._stand_in(f"{event.words}: done, computing on")
        elif self._between is not None:
            self._bars.update(self._between, visible=False)

    def cancelled(self) -> bool:
        """Whatever the second listener answers: who sits before a terminal interrupts the process itself."""
        return self._also.cancelled()

    @property
    def tasks(self) -> list[BarTask]:
        """What is on the screen or was."""
        return self._bars.tasks

    def _stand_in(self, text: str) -> None:
        """A bar without end for the time until the next stage begins."""
        if self._between is None:
            self._between = self._bars.add_task(text, total=None, counted="")
        self._bars.update(self._between, description=text, visible=True)

    def _hide_open_ended(self) -> None:
        for task in self._bars.tasks:
            if task.total is None:
                self._bars.update(task.id, visible=False)
