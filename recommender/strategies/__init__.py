"""Freeze strategies: evidence -> Plan (what stays frozen, what learns, how), or `NotOffered` with the reason.

Each file here decides what one strategy freezes, by the rules in `recommender.strategies.rules`; which of them is
advised, and all exceptions to that, `recommender.plan` decides. None sees data or torch; each is loaded on demand.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Protocol, runtime_checkable

from recommender.results import Evidence, Plan, StatedGain
from registry.plugins import Plugins

__all__ = ["EvidencedStrategy", "Strategy", "strategies"]


@runtime_checkable
class Strategy(Protocol):
    """Never freezes more than there is, and says why."""

    def __call__(self, evidence: Evidence) -> Plan:
        """The plan that fits the evidence.

        Raises:
            NotOffered: it does not fit, with the reason.
        """


@runtime_checkable
class EvidencedStrategy(Strategy, Protocol):
    """A strategy that states what training by it is known to gain; planning weighs it like outcomes of its own."""

    def gain(self, evidence: Evidence) -> StatedGain:
        """What is known, of cases like this one."""


def _ours(module: str, name: str = "") -> Callable[[], Strategy]:
    def load() -> Strategy:
        strategy: Strategy = getattr(import_module(f"recommender.strategies.{module}"), name or module)
        return strategy

    return load


def _partial(last: int) -> Callable[[], Strategy]:
    def load() -> Strategy:
        strategy: Strategy = import_module("recommender.strategies.partial").Partial(last)
        return strategy

    return load


def _gradual(name: str, *, discriminative: bool) -> Callable[[], Strategy]:
    def load() -> Strategy:
        module = import_module("recommender.strategies.gradual_unfreezing")
        strategy: Strategy = module.GradualUnfreezing(name, discriminative)
        return strategy

    return load


strategies: Plugins[Strategy] = Plugins(
    "strategy",
    "transferzoo.strategies",
    {
        "prototype": _ours("prototype"),
        "knn": _ours("knn", "nearest_neighbors"),
        "contrastive": _ours("contrastive"),
        "linear-probe": _ours("linear_probe"),
        "norm-only": _ours("norm_only"),
        "lora": _ours("lora"),
        "partial-1": _partial(1),
        "partial-2": _partial(2),
        "partial-3": _partial(3),
        "surgical": _ours("partial", "surgical"),
        "lp-ft": _ours("lp_ft"),
        "discriminative": _ours("discriminative"),
        "gradual-unfreezing": _gradual("gradual-unfreezing", discriminative=False),
        "ulmfit": _gradual("ulmfit", discriminative=True),
        "domain-adaptive": _ours("domain_adaptive"),
        "full": _ours("full"),
        "scratch": _ours("scratch"),
    },
    promise=Strategy,
)
"""From those that train nothing to those that train everything; ``ulmfit`` unfreezes gradually, lower blocks slower."""
