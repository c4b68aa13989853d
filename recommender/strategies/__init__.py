"""Strategies: evidence -> Plan, or `NotOffered` with the reason. None sees data or torch; each is loaded on demand."""

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, runtime_checkable

from recommender.verdicts import Evidence, Plan
from registry.plugins import Shelf

__all__ = ["Strategy", "strategies"]


@runtime_checkable
class Strategy(Protocol):
    """Never freezes more than there is, and says why."""

    def __call__(self, evidence: Evidence) -> Plan:
        """The plan that fits the evidence.

        Raises:
            NotOffered: it does not fit, with the reason.
        """


def _ours(name: str) -> Callable[[], Strategy]:
    def load() -> Strategy:
        strategy: Strategy = getattr(import_module(f"recommender.strategies.{name}"), name)
        return strategy

    return load


strategies: Shelf[Strategy] = Shelf(
    "strategy",
    "transferzoo.strategies",
    {"linear-probe": _ours("linear_probe"), "lp-ft": _ours("lp_ft"), "scratch": _ours("scratch")},
)
