"""The recommender: distances, transferability scores, plans, advice and tuning."""

from importlib import import_module

__all__ = ["Deadline", "Effort", "TuneOptions", "distances", "recommend", "resume", "scores", "tune"]

_ROOMS = {
    "Deadline": "effort",
    "Effort": "effort",
    "TuneOptions": "runs.job",
    "distances": "distance",
    "recommend": "flow",
    "resume": "flow",
    "scores": "transfer",
    "tune": "flow",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module 'recommender' has no attribute {name!r}")
    return getattr(import_module(f"recommender.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
