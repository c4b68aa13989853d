"""transferzoo: the public names of `registry` and `recommender` under the distribution's own; nothing heavy is loaded.

Installed as the module ``transferzoo`` (``force-include`` in pyproject.toml), in a wheel and in an editable install.
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recommender.distance import distances
    from recommender.effort import Deadline, Effort
    from recommender.flow import recommend, resume, tune
    from recommender.runs.job import TuneOptions
    from recommender.transfer import scores
    from registry.cards import Checkpoint, Domain, Metric, Outcome, Task
    from registry.features import Features
    from registry.plugins import Plugins
    from registry.sample import Sample
    from registry.targets import Targets
    from registry.zoo import Zoo

__all__ = [
    "Checkpoint",
    "Deadline",
    "Domain",
    "Effort",
    "Features",
    "Metric",
    "Outcome",
    "Plugins",
    "Sample",
    "Targets",
    "Task",
    "TuneOptions",
    "Zoo",
    "distances",
    "recommend",
    "resume",
    "scores",
    "tune",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return version("transferzoo")
    if name not in __all__:
        raise AttributeError(f"module 'transferzoo' has no attribute {name!r}")
    rooms = [import_module(room) for room in ("registry", "recommender")]
    return next(getattr(room, name) for room in rooms if name in room.__all__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
