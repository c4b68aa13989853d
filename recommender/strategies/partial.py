"""Partial unfreezing: the last K blocks learn; or the part that the evidence points at (surgical; Lee et al. 2023).

Surgical fine-tuning tunes the part of a net that the shift between source and target breaks: the first blocks where
inputs look otherwise, the middle where features mean something else, the last where the classes are cut otherwise.
"""

from dataclasses import dataclass

import numpy as np

from recommender.results import Evidence, Plan, Stage
from recommender.strategies.rules import backbone_rate, epochs_for, head_rate, training, used_blocks
from registry.errors import NotOffered

__all__ = ["Partial", "surgical"]

PARTS = ("first", "middle", "last")


@dataclass(frozen=True)
class Partial:
    """Let the last ``last`` blocks learn, from a fitted head."""

    last: int

    def __call__(self, evidence: Evidence) -> Plan:
        """What lies before those blocks stays frozen, and its activations are kept.

        Raises:
            NotOffered: too few rows a class, or no more blocks than those.
        """
        name, used = f"partial-{self.last}", used_blocks(evidence)
        if self.last >= len(used):
            raise NotOffered(name, f"only {len(used)} blocks are read through; lp-ft lets all of them learn")
        return _learn(name, evidence, used[-self.last :], "the upper blocks are the most special to the source")


def surgical(evidence: Evidence) -> Plan:
    """Let that third of the blocks learn which adds least to what a linear head reads.

    Raises:
        NotOffered: too few rows a class, or fewer than three blocks.
    """
    used = used_blocks(evidence)
    if len(used) < len(PARTS):
        raise NotOffered("surgical", f"only {len(used)} blocks are read through, too few to choose a part of them")
    parts = [tuple(part) for part in np.array_split(np.array(used), len(PARTS))]
    gains = _gains(evidence, parts)
    place = min(range(len(PARTS)), key=lambda part: (gains[part], -part))
    gain = evidence.ranked.expected.metric.difference(gains[place])
    why = f"the {PARTS[place]} third of the blocks adds least to what a linear head reads ({gain} a block)"
    return _learn("surgical", evidence, tuple(str(block) for block in parts[place]), why)


def _gains(evidence: Evidence, parts: list[tuple[str, ...]]) -> list[float]:
    """What each part adds to the score, a block: from raw inputs to its end, less what the parts before it added."""
    curve = {row.block: row.score for row in evidence.ranked.transferability.blocks}
    ends = [evidence.baseline.expected.mean, *(curve[part[-1]] for part in parts)]
    return [(after - before) / len(part) for before, after, part in zip(ends[:-1], ends[1:], parts, strict=True)]


def _learn(name: str, evidence: Evidence, blocks: tuple[str, ...], why: str) -> Plan:
    epochs, rate = epochs_for(evidence), backbone_rate(evidence)
    schedule = f"{', '.join(blocks)} learn for {epochs} epochs at {rate:.0e} after the head was fitted"
    return training(name, evidence, (Stage(blocks, epochs, head_rate(evidence), rate),), [why, schedule])
