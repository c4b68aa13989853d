"""Observer: what is worth showing while a request is performed, and whether to go on."""

from collections.abc import Sequence

from recommender.results import Cost, Unprobed
from registry.progress import Event
from registry.sample import Sample

__all__ = ["Observer"]


class Observer:
    """Every method does nothing until a surface overrides it; none may raise."""

    def report(self, event: Event) -> None:
        """How far the work is."""

    def cancelled(self) -> bool:
        """Whether the work is to end; asked between batches."""
        return False

    def waited(self) -> float:
        """Seconds since the request was made: a time budget counts what passed before it is performed."""
        return 0.0

    def may_fetch(self, rows: Sequence[Unprobed]) -> bool:  # noqa: ARG002 - a surface overrides it
        """Whether the weights of these checkpoints may be fetched; asked where the request leaves it open."""
        return False

    def on_sample(self, sample: Sample) -> None:
        """What was read, before anything is done with it."""

    def on_note(self, note: str, *, warning: bool) -> None:
        """A sentence about what is being done, and why."""

    def on_cost(self, cost: Cost, device: str) -> None:
        """What a tuning is estimated to take, before it begins."""

    def on_run(self, run: str) -> None:
        """The id under which a run has begun, and can be resumed."""

    def on_point(self, series: str, step: int, value: float) -> None:
        """A point of a learning curve."""
