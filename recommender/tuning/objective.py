"""What training minimizes: the loss of the task, mixing of rows, and the pull towards the start."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from recommender.results import Plan
from recommender.tuning.classifier import Classifier
from registry.cards import Task

__all__ = ["Anchor", "Objective"]


_NAMED = frozenset({Task.CLASSIFICATION, Task.TOKEN_CLASSIFICATION})
"""Tasks that name one of several classes, of a row or of each of its positions."""


class Anchor:
    """L2-SP (Li et al. 2018): half the squared way from the starting backbone weights, times a strength."""

    def __init__(self, classifier: Classifier, strength: float) -> None:
        self.strength = strength
        self._classifier = classifier
        self._start = {name: p.detach().clone() for name, p in classifier.body.named_parameters()} if strength else {}

    def penalty(self) -> torch.Tensor | float:
        """Of the weights as they are now; only those that learn count."""
        moving = [
            (p - self._start[name]).square().sum()
            for name, p in self._classifier.body.named_parameters()
            if p.requires_grad and name in self._start
        ]
        return 0.5 * self.strength * torch.stack(moving).sum() if moving else 0.0


@dataclass(frozen=True, eq=False)
class Objective:
    """The loss of a plan on a task."""

    task: Task
    classes: int
    smoothing: float
    mixup: float
    weights: torch.Tensor | None
    strength: float

    @classmethod
    def of(cls, plan: Plan, task: Task, truth: np.ndarray, classes: int) -> "Objective":
        """The objective of a plan; ``truth`` of the training rows gives the weights of classes."""
        weights = None
        if plan.class_weights and task in _NAMED:
            counts = np.bincount(truth, minlength=classes).astype(np.float32)
            weights = torch.from_numpy(len(truth) / np.maximum(counts, 1) / classes)
        return cls(task, classes, plan.label_smoothing, plan.mixup, weights, plan.anchor)

    def mix(
        self,
        inputs: Mapping[str, torch.Tensor],
        targets: torch.Tensor,
        blended: Sequence[str],
        chance: np.random.Generator,
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        """Mixup (Zhang et al. 2018, eq. 1): each row with a share of another one, in what is ``blended`` and its truth.

        Classes become their shares, one column a class.
        """
        if not self.mixup or not set(blended) & set(inputs):
            return dict(inputs), targets
        share = float(chance.beta(self.mixup, self.mixup))
        other = torch.from_numpy(chance.permutation(len(targets))).to(targets.device)
        truth = self._columns(targets)
        mixed = {name: torch.lerp(inputs[name][other], inputs[name], share) for name in blended if name in inputs}
        return {**inputs, **mixed}, torch.lerp(truth[other], truth, share)

    def _columns(self, targets: torch.Tensor) -> torch.Tensor:
        if self.task in _NAMED:
            return functional.one_hot(targets, self.classes).float()
        return targets.float()

    def loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The mean loss of these rows."""
        if self.task in _NAMED:
            weights = None if self.weights is None else self.weights.to(logits)
            return functional.cross_entropy(logits, targets, weights, label_smoothing=self.smoothing)
        if self.task is Task.MULTI_LABEL:
            return functional.binary_cross_entropy_with_logits(logits, targets.to(logits))
        return functional.mse_loss(logits[:, 0], targets.to(logits))

    def anchor(self, classifier: Classifier) -> Anchor:
        """The pull towards the weights that the classifier has now."""
        return Anchor(classifier, self.strength)
