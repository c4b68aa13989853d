"""A backbone, the block that is read, and a linear head on it; and how the head starts."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn
from transformers import PreTrainedModel

from recommender.transfer.linear import fit_head
from registry.encoders.anatomy import Anatomy, read_blocks

__all__ = ["Classifier", "fresh_head", "logistic_head"]

_LARGEST_MOMENTUM, _MOMENTUM = 0.5, 0.1


class Classifier(nn.Module):
    """Logits from pictures. Only what `learn` names is ever in training mode: frozen statistics stay as they are."""

    def __init__(self, body: PreTrainedModel, anatomy: Anatomy, read: str, head: nn.Linear) -> None:
        super().__init__()
        self.body = body
        self.head = head
        self.anatomy = anatomy
        self.place = anatomy.names.index(read)
        _mend_momentum(body)
        self.learn(())

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes)."""
        logits: torch.Tensor = self.head(read_blocks(self.body, self.anatomy, pixel_values).blocks[self.place])
        return logits

    def learn(self, blocks: Sequence[str]) -> None:
        """From now on these blocks learn, the head too, and nothing else."""
        self._prefixes = tuple(prefix for name in blocks for prefix in self.anatomy.block(name).prefixes)
        for name, parameter in self.body.named_parameters():
            parameter.requires_grad_(name.startswith(self._prefixes))
        self.train(self.training)

    def train(self, mode: bool = True) -> "Classifier":
        """Training mode for what learns; all else stays in evaluation mode."""
        super().train(False)
        self.training = mode
        self.head.train(mode)
        for path, module in self.body.named_modules():
            module.training = mode and f"{path}.".startswith(self._prefixes)
        return self


def logistic_head(
    features: Float[np.ndarray, "n d"], targets: Int[np.ndarray, " n"], classes: int,
    groups: Int[np.ndarray, " n"] | None,
) -> nn.Linear:  # fmt: skip
    """Multinomial logistic regression as a layer, the features' scaling folded into its weights."""
    fitted = fit_head(features, targets, classes, groups=groups)
    weight = fitted.weight / fitted.scale
    return _layer(weight, fitted.bias - weight @ fitted.mean)


def fresh_head(width: int, classes: int) -> nn.Linear:
    """A head that says nothing yet."""
    return _layer(np.zeros((classes, width)), np.zeros(classes))


def _mend_momentum(body: nn.Module) -> None:
    """MobileNets of transformers state TensorFlow's momentum (0.997), to torch the last batch and nothing else."""
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d) and module.momentum is not None and module.momentum > _LARGEST_MOMENTUM:
            module.momentum = _MOMENTUM


def _layer(weight: Float[np.ndarray, "c d"], bias: Float[np.ndarray, " c"]) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer
