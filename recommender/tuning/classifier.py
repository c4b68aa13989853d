"""A backbone, the block that is read, and a linear head on it: what of it learns, and how the head starts."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from transformers import PreTrainedModel

from recommender.transfer.linear import fit_head
from registry.encoders.layers import LINEAR, Layers, read_blocks
from registry.errors import NotOffered
from registry.modalities import Network
from registry.targets import Targets

__all__ = ["Classifier", "Resumable", "fresh_head", "logistic_head"]

_LARGEST_MOMENTUM, _MOMENTUM = 0.5, 0.1


@runtime_checkable
class Resumable(Protocol):
    """Features from activations in the middle of a net."""

    def blocks(self, kept: torch.Tensor, **context: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """As `Classifier.blocks`; what lies before the middle is not told truly."""


class Classifier(nn.Module):
    """Logits from a batch of the model's own arguments.

    Only what `learn` names is ever in training mode: frozen statistics stay as they are.
    """

    def __init__(self, network: Network, layers: Layers, read: str, head: nn.Linear, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.network = network
        self.body: PreTrainedModel = network.model
        self.head = head
        self.layers = layers
        self.place = layers.names.index(read)
        self.dropout = dropout
        self.cache: Resumable | None = None
        """Where a pass begins that is given activations instead of items."""
        _mend_momentum(self.body)
        self._own_statistics = False
        self.learn(())

    def forward(self, kept: torch.Tensor | None = None, **inputs: torch.Tensor) -> torch.Tensor:
        """Logits (n, classes) of a batch, or of activations kept at the boundary and what else blocks read."""
        features = self.blocks(kept, **inputs)[-1]
        logits: torch.Tensor = self.head(functional.dropout(features, self.dropout, self.head.training))
        return logits

    def blocks(self, kept: torch.Tensor | None = None, **inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Pooled features (n, d) after each block up to the one that is read."""
        if kept is None:
            return read_blocks(self.network, self.layers, inputs).blocks[: self.place + 1]
        if self.cache is None:
            raise ValueError("activations, and no boundary that they were kept at")
        return self.cache.blocks(kept, **inputs)

    def adapt(self, blocks: Sequence[str], rank: int) -> None:
        """Put LoRA adapters beside the linear layers of these blocks (Hu et al. 2021).

        Raises:
            NotOffered: there are no linear layers in them.
        """
        names = [
            path
            for path, module in self.body.named_modules()
            if isinstance(module, LINEAR) and path.startswith(self._prefixes_of(blocks))
        ]
        if not names:
            raise NotOffered("lora", f"{type(self.body).__name__} has no linear layers in {', '.join(blocks)}")
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "fan_in_fan_out")  # PEFT finds out itself how a weight lies
                inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=names), self.body)
        except ValueError as cause:  # layers that PEFT knows to be read by their weights, past any adapter (Mamba)
            raise NotOffered("lora", f"{type(self.body).__name__} cannot have adapters: {cause}") from cause
        self.learn(())

    def spare_memory(self) -> bool:
        """From now on compute activations anew in the backward pass (Chen et al. 2016); whether the net is able to."""
        if not self.body.supports_gradient_checkpointing:
            return False
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`gradient_checkpointing_enable`", FutureWarning)  # new name from 5.24 on
            self.body.gradient_checkpointing_enable({"use_reentrant": False})
        self.body.disable_input_require_grads()  # as only the other kind of checkpoint needs
        return True

    def merge(self) -> None:
        """Add what adapters have learned to the weights beside them, and take the adapters away."""
        for path, module in [*self.body.named_modules()]:
            if isinstance(module, LoraLayer):
                module.merge()
                parent, _, name = path.rpartition(".")
                setattr(self.body.get_submodule(parent), name, module.get_base_layer())

    def weights(self) -> dict[str, torch.Tensor]:
        """The backbone's parameters under the names they have without adapters, what these have learned added."""
        weights = {
            name.replace(".base_layer.", "."): p.detach()
            for name, p in self.body.named_parameters()
            if ".lora_" not in name
        }
        for path, module in self.body.named_modules():
            if isinstance(module, LoraLinear):
                for adapter in module.active_adapters:
                    weights[f"{path}.weight"] = weights[f"{path}.weight"] + module.get_delta_weight(adapter).detach()
        return weights

    def restore(self, weights: Mapping[str, torch.Tensor], buffers: Mapping[str, torch.Tensor]) -> None:
        """Put the backbone back to parameters as `weights` gave them, and to buffers; adapters add nothing then."""
        with torch.no_grad():
            for name, parameter in self.body.named_parameters():
                if ".lora_" not in name:
                    parameter.copy_(weights[name.replace(".base_layer.", ".")])
                elif ".lora_B." in name:
                    parameter.zero_()
            for name, buffer in self.body.named_buffers():
                buffer.copy_(buffers[name])

    def learn(self, blocks: Sequence[str], only: str = "all") -> None:
        """From now on these blocks learn (all of them, or ``only`` their ``norms`` or ``adapters``) and the head."""
        prefixes = self._prefixes_of(blocks)
        chosen = {path for path, module in self.body.named_modules() if _is_of(only, path, module)}
        self._live = {path for path in chosen if f"{path}.".startswith(prefixes)} if prefixes else set()
        for name, parameter in self.body.named_parameters():
            inside = bool(prefixes) and name.startswith(prefixes)
            parameter.requires_grad_(inside and (only == "all" or name.rpartition(".")[0] in self._live))
        self.train(self.training)

    def train(self, mode: bool = True) -> "Classifier":
        """Training mode for what learns; all else stays in evaluation mode."""
        super().train(False)
        self.training = mode
        self.head.train(mode)
        for path, module in self.body.named_modules():
            own = self._own_statistics and isinstance(module, _BatchNorm)
            module.training = mode and path in self._live and not own
        return self

    def keep_statistics(self) -> None:
        """From now on normalization is by the statistics that there are, also where its weights learn."""
        self._own_statistics = True
        self.train(self.training)

    @property
    def normalizing(self) -> tuple[_BatchNorm, ...]:
        """The normalizations by batch among what learns."""
        modules = self.body.named_modules()
        return tuple(one for path, one in modules if path in self._live and isinstance(one, _BatchNorm))

    def _prefixes_of(self, blocks: Sequence[str]) -> tuple[str, ...]:
        return tuple(prefix for name in blocks for prefix in self.layers.block(name).prefixes)


def logistic_head(
    features: Float[np.ndarray, "n d"],
    targets: Targets,
    classes: int,
    groups: Int[np.ndarray, " n"] | None,
) -> nn.Linear:
    """Logistic regression (of a quantity, ridge) as a layer, the features' scaling folded into its weights."""
    fitted = fit_head(features, targets, classes, groups=groups)
    weight = fitted.weight / fitted.scale
    return _layer(weight, fitted.bias - weight @ fitted.mean)


def fresh_head(width: int, classes: int) -> nn.Linear:
    """A zero-initialized head."""
    return _layer(np.zeros((classes, width)), np.zeros(classes))


def _mend_momentum(body: nn.Module) -> None:
    """MobileNets of transformers state TensorFlow's momentum (0.997), to torch the last batch and nothing else."""
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d) and module.momentum is not None and module.momentum > _LARGEST_MOMENTUM:
            module.momentum = _MOMENTUM


def _is_of(only: str, path: str, module: nn.Module) -> bool:
    """Whether a module is of the kind that learns."""
    if only == "all":
        return True
    return "lora_" in path if only == "adapters" else type(module).__name__.endswith(("Norm", "Norm1d", "Norm2d"))


def _layer(weight: Float[np.ndarray, "c d"], bias: Float[np.ndarray, " c"]) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.from_numpy(bias))
    return layer
