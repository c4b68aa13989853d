"""Contract suites: what every plug-in promises, as tests that it runs on itself. They need pytest and hypothesis.

A plug-in's tests subclass a suite and give its fixture; `recommender/README.md` shows one. Ours run the same suites.
"""

from importlib import import_module

import pytest

__all__ = ["DistanceContract", "ExecutorContract", "ScoreContract", "Scored", "StrategyContract", "TrackerContract"]

_ROOMS = {
    "DistanceContract": "distances",
    "ExecutorContract": "executors",
    "ScoreContract": "scores",
    "Scored": "scores",
    "StrategyContract": "strategies",
    "TrackerContract": "trackers",
}

pytest.register_assert_rewrite(*(f"recommender.testing.{room}" for room in sorted(set(_ROOMS.values()))))


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module 'recommender.testing' has no attribute {name!r}")
    return getattr(import_module(f"recommender.testing.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
