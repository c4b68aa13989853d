"""An observer for tests: remembers every event, and cancels when a test wants it to."""

from collections.abc import Callable
from dataclasses import dataclass, field

from registry.progress import Event, Phase

__all__ = ["Recorder", "stopping"]


@dataclass
class Recorder:
    """Remembers what is reported; cancels as soon as ``stop`` is true of the newest event."""

    stop: Callable[[Event], bool] = lambda _event: False
    events: list[Event] = field(default_factory=list)
    stopped: bool = False

    def report(self, event: Event) -> None:
        self.events.append(event)
        self.stopped = self.stopped or self.stop(event)

    def cancelled(self) -> bool:
        return self.stopped

    @property
    def counts(self) -> list[tuple[int, int]]:
        """Done and of, event by event."""
        return [(event.done, event.of) for event in self.events]

    @property
    def words(self) -> list[str]:
        """The stages in words, each once, in order."""
        return list(dict.fromkeys(event.words for event in self.events))


def stopping(phase: Phase, done: int = 1) -> Recorder:
    """One that cancels when so much of a phase is done."""
    return Recorder(lambda event: event.phase is phase and event.done >= done)
