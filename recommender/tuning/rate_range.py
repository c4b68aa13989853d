"""How fast a net bears to learn from these rows: a learning-rate range test, judged on held-out rows.

A few dozen steps are taken at a rate that doubles every five of them, from a 16th of the planned one to eight times it
(Smith 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3). After each doubling the held-out rows
are looked at. Where their loss has risen beyond two standard errors of the paired difference, the net does not bear
that rate; a stage takes many more steps, and learns at a quarter of it at most. The weights are what they were
afterwards.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from recommender.tuning.data import TrainingRows
from recommender.tuning.keeper import Keeper, Training, logits_of
from recommender.tuning.parameter_groups import rates
from recommender.tuning.trainer import LARGEST_GRADIENT

__all__ = ["MULTIPLES", "RateRange", "measure_range"]

MULTIPLES = tuple(2.0**power for power in range(-3, 4))
"""Of the planned rate, at the end of each doubling."""
_STEPS = 5
"""Steps of a doubling."""
_BEYOND = 2.0
"""Standard errors of the paired difference that are a loss."""
_HARM = 0.02
"""Rise of the loss (nats; of a quantity, squared deviations) up to which no harm is done, however sure it is."""
_MARGIN = 4.0
"""By how much the rate lies below one that is not borne."""


@dataclass(frozen=True)
class RateRange:
    """What a range test came to: the held-out loss after each doubling of the rate, and what follows."""

    multiples: tuple[float, ...]
    """Of the planned rate."""
    losses: tuple[float, ...]
    """Of the held-out rows, in the objective's unit."""
    start: float
    """The same before any step."""
    borne: bool
    """Whether every rate that was tried was borne; else the last was not."""

    @property
    def factor(self) -> float:
        """What the planned rates are multiplied by: 1, or less where a rate near the planned one is not borne."""
        return 1.0 if self.borne else min(1.0, self.multiples[-1] / _MARGIN)

    def words(self, planned: float) -> str:
        """What follows, beside the planned rate of the topmost block."""
        tried = planned * self.multiples[-1]
        if self.borne:
            return f"range test: rates up to {tried:.1g} do no harm, {planned:.1g} stays"
        rose = f"the held-out loss rose from {self.start:.3g} to {self.losses[-1]:.3g}"
        taken = "stays" if self.factor == 1 else f"is replaced by {planned * self.factor:.1g}"
        return f"range test: at a rate of {tried:.1g} {rose}; {planned:.1g} {taken}"


def measure_range(keeper: Keeper, rows: TrainingRows, training: Training) -> RateRange:
    """The range test of the keeper's stage, from the weights that the classifier has; they are restored."""
    classifier, stage = keeper.classifier, keeper.stage
    kept = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    groups = rates(classifier, stage, training.plan.weight_decay)
    optimizer = torch.optim.AdamW(groups)
    planned = [group["lr"] for group in optimizer.param_groups]
    before = _losses(keeper)
    losses: list[float] = []
    borne = True
    batches = _batches(rows, training)
    for multiple in MULTIPLES:
        for step in range(_STEPS):
            growing = multiple * 2.0 ** ((step + 1) / _STEPS - 1)
            for group, rate in zip(optimizer.param_groups, planned, strict=True):
                group["lr"] = rate * growing
            _step(keeper, optimizer, next(batches))
        after = _losses(keeper)
        losses.append(float(after.mean()))
        worse = after - before
        error = float(worse.std()) / len(worse) ** 0.5
        borne = bool(np.isfinite(after).all()) and float(worse.mean()) <= max(_HARM, _BEYOND * error)
        if not borne:
            break
    classifier.load_state_dict(kept, strict=True)
    classifier.eval()
    return RateRange(MULTIPLES[: len(losses)], tuple(losses), float(before.mean()), borne)


def _batches(rows: TrainingRows, training: Training) -> Iterator[dict[str, torch.Tensor]]:
    """Batches of the training rows in a drawn order, again and again."""
    random, size = np.random.default_rng(training.seed), min(training.plan.batch_size, len(rows))
    while True:
        order = random.permutation(len(rows))
        for first in range(0, len(rows) - size + 1, size):
            yield rows.batch(order[first : first + size].tolist())


def _step(keeper: Keeper, optimizer: torch.optim.Optimizer, batch: dict[str, torch.Tensor]) -> None:
    classifier, device = keeper.classifier, keeper.classifier.head.weight.device
    classifier.train()
    inputs = {name: tensor.to(device) for name, tensor in batch.items()}
    targets = inputs.pop("labels")
    loss = keeper.objective.loss(classifier(**inputs), targets) + keeper.anchor.penalty()
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's stub lacks it
    torch.nn.utils.clip_grad_norm_(classifier.parameters(), LARGEST_GRADIENT)
    optimizer.step()


def _losses(keeper: Keeper) -> Float[np.ndarray, " n"]:
    """The loss of each held-out row, or of each of its positions."""
    logits, truth = torch.from_numpy(logits_of(keeper.classifier, keeper.held_out)), keeper.held_out.targets
    each = [keeper.objective.loss(logits[[row]], torch.from_numpy(truth[[row]])).item() for row in range(len(truth))]
    return np.array(each)
