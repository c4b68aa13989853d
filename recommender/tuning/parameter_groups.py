"""Who learns how fast: parameter groups of a stage, each block with its own rate (ULMFiT; Howard & Ruder 2018)."""

from typing import Any

from torch import nn

from recommender.results import Stage
from recommender.tuning.classifier import Classifier

__all__ = ["rates"]


def rates(classifier: Classifier, stage: Stage, weight_decay: float) -> list[dict[str, Any]]:
    """Let learn what the stage says; its optimizer groups: the head, then the blocks from the top down.

    Biases and norms are without weight decay.
    """
    classifier.learn(stage.train, stage.only)
    groups = _pair(list(classifier.head.parameters()), stage.head_rate, weight_decay)
    rate = stage.backbone_rate
    for block in reversed([block for block in classifier.layers.blocks if block.name in stage.train]):
        held = [
            p for name, p in classifier.body.named_parameters() if name.startswith(block.prefixes) and p.requires_grad
        ]
        groups += _pair(held, rate, weight_decay)
        rate *= stage.layer_decay
    return groups


def _pair(parameters: list[nn.Parameter], rate: float, weight_decay: float) -> list[dict[str, Any]]:
    parts = (([p for p in parameters if p.ndim > 1], weight_decay), ([p for p in parameters if p.ndim <= 1], 0.0))
    return [{"params": part, "lr": rate, "weight_decay": decay} for part, decay in parts if part]
