"""What exists: checkpoints, the domains they come from, and what became of every fine-tuning."""

from importlib import import_module

__all__ = ["Checkpoint", "Domain", "Features", "Metric", "Outcome", "Plugins", "Sample", "Targets", "Task", "Zoo"]

_ROOMS = {
    "Checkpoint": "cards",
    "Domain": "cards",
    "Features": "features",
    "Metric": "cards",
    "Outcome": "cards",
    "Sample": "sample",
    "Plugins": "plugins",
    "Targets": "targets",
    "Task": "cards",
    "Zoo": "zoo",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module 'registry' has no attribute {name!r}")
    return getattr(import_module(f"registry.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
