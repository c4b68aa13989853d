"""Gradual unfreezing: from the top down, a few more blocks learn in each stage (ULMFiT; Howard & Ruder 2018)."""

from dataclasses import dataclass

import numpy as np

from recommender.results import Evidence, Plan, Stage
from recommender.strategies.rules import backbone_rate, epochs_for, head_rate, rate_ratio, training, used_blocks

__all__ = ["GradualUnfreezing"]

MOST_STAGES = 4


@dataclass(frozen=True)
class GradualUnfreezing:
    """One epoch a stage, the rest when all learn; with ``discriminative`` rates lower blocks learn more slowly too."""

    name: str
    discriminative: bool

    def __call__(self, evidence: Evidence) -> Plan:
        """Unfreeze from the top down after the head was fitted.

        Raises:
            NotOffered: too few rows a class.
        """
        used = used_blocks(evidence)
        steps = min(MOST_STAGES, len(used))
        lengths = [1] * (steps - 1) + [max(1, epochs_for(evidence) - steps + 1)]
        rate = backbone_rate(evidence)
        share = rate_ratio(len(used)) if self.discriminative else 1.0
        bottoms = [int(part[0]) for part in np.array_split(np.arange(len(used)), steps)][::-1]
        stages = tuple(
            Stage(used[bottom:], epochs, head_rate(evidence), rate, share)
            for bottom, epochs in zip(bottoms, lengths, strict=True)
        )
        return training(self.name, evidence, stages, [_because(steps, lengths[-1], rate), *_of_rates(share)])


def _because(steps: int, last: int, rate: float) -> str:
    return (
        f"blocks are unfrozen from the top down in {steps} stages, one epoch each and {last} when all learn, at "
        f"{rate:.0e}: what is general is not pulled along while what is above it still has to settle"
    )


def _of_rates(share: float) -> list[str]:
    return [] if share == 1 else [f"each block learns at {share:.2f} of the rate above it"]
