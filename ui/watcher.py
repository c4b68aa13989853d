"""Watcher: a terminal, and the job of the queue where there is one, as observer of what is performed."""

import sys
import time
from collections.abc import Sequence

import typer
from rich.console import RenderableType
from rich.text import Text

from recommender.observer import Observer
from recommender.results import Cost, Unprobed
from registry.progress import Event
from registry.sample import Sample
from ui import offers, render
from ui.context import CommandContext

__all__ = ["Watcher"]


class Watcher(Observer):
    """A terminal, and the job of the queue where there is one, as observer."""

    def __init__(self, context: CommandContext) -> None:
        self._context = context
        self.run: str | None = None

    def report(self, event: Event) -> None:
        """Move the bars."""
        self._context.bars.report(event)

    def cancelled(self) -> bool:
        """Whether the job was cancelled."""
        return self._context.bars.cancelled()

    def waited(self) -> float:
        """Since the command began: opening the registry and importing torch are waited for, too."""
        return time.monotonic() - self._context.began

    def may_fetch(self, rows: Sequence[Unprobed]) -> bool:
        """Ask at a terminal; where nobody can answer, no."""
        if self._context.job is not None or not sys.stdin.isatty():
            self.on_note(
                "Nothing is fetched, for nobody can be asked here; --fetch auto fetches unasked.", warning=True
            )
            return False
        with self._context.bars.paused():
            self._context.terminal.print(offers.to_fetch([row.to_dict() for row in rows]))
            return typer.confirm("Fetch them?", err=True)

    def on_sample(self, sample: Sample) -> None:
        """Say what was read, and how healthy it is."""
        self._print(render.sample_report(sample.to_dict()))

    def on_note(self, note: str, *, warning: bool) -> None:
        """Say it."""
        self._print(Text(note, "yellow" if warning else "dim"))

    def on_cost(self, cost: Cost, device: str) -> None:
        """Say what is estimated."""
        self._print(render.cost_line(cost.to_dict(), device))

    def on_run(self, run: str) -> None:
        """Remember what can be resumed."""
        self.run = run

    def on_point(self, series: str, step: int, value: float) -> None:
        """Keep the job's learning curve."""
        if self._context.job is not None:
            self._context.zoo.jobs.point(self._context.job, series, step, value)

    def _print(self, report: RenderableType) -> None:
        with self._context.bars.paused():
            self._context.print(report)
