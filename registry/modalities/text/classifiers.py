"""Classifiers of transformers that compute a linear head on what a text network pools.

transformers' encoders hand their classifiers the first token, through a layer of its own. A mean over tokens is one
more layer of the encoder: attention whose queries and keys are zero weighs all tokens alike (Vaswani et al. 2017, eq.
1), its value and output are the identity, so large that what the layer adds to is lost in rounding, and its norm gives
the mean of zero mean and unit variance, as the network pools. The layer between is the identity where its activation is
as good as linear. Decoders' heads have no bias; the norm before them has one,
and a direction in which it always gives the same. The classifiers of T5 and its kin read a decoder behind the encoder:
its attention to the encoder weighs all tokens alike where its queries are zero, and hands on their mean less the mean
of its entries, which the decoder's last norm brings to unit variance.
"""

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["decoded_classifiers", "pooled_classifiers", "shifted_classifiers"]

_LOUD = 1e6
_LOUDER = 1e9
"""Beside the embeddings of T5, which are large."""
_FAINT = 1e-4
"""Of a tanh's input: its cube, the first term that is not linear, is below rounding."""
_LEAST_SCALE = 1e-3
_SURE = 10.0
"""Where ReLU and GELU hand on what they are given."""
_Build = Callable[[PretrainedConfig], PreTrainedModel]


def pooled_classifiers(
    config: PretrainedConfig, weight: torch.Tensor, bias: torch.Tensor, build: _Build
) -> Iterator[PreTrainedModel]:
    """Encoders with one more layer, which takes the mean; one for each kind of layer before the classifier."""
    deeper = deepcopy(config)
    if not isinstance(getattr(deeper, "num_hidden_layers", None), int):
        return
    deeper.num_hidden_layers += 1
    for through in (_through_tanh, _through_rectifier, _straight):
        model = build(deeper)
        layer = _last_layer(model, deeper.num_hidden_layers)
        if layer is None or not _takes_the_mean(layer):
            return
        with torch.no_grad():
            if through(model, weight, bias):
                yield model


def decoded_classifiers(
    config: PretrainedConfig, weight: torch.Tensor, bias: torch.Tensor, build: _Build
) -> Iterator[PreTrainedModel]:
    """Encoders with a decoder that takes the mean, in as many layers as its attention is narrower than the encoder.

    Rows are read at their end token, so each row of a batch must have as many of these.
    """
    decoded = deepcopy(config)
    if not isinstance(getattr(decoded, "num_decoder_layers", None), int) or getattr(decoded, "d_kv", None) is None:
        return
    width, inner = weight.shape[1], decoded.num_attention_heads * decoded.d_kv
    decoded.num_decoder_layers = -(-width // inner)
    decoded.is_encoder_decoder, decoded.decoder_start_token_id = True, decoded.pad_token_id
    model = build(decoded)
    decoder = model.get_decoder()
    norms = [module for path, module in decoder.named_modules() if path == "final_layer_norm"]
    crossing = [module for path, module in decoder.named_modules() if path.endswith("EncDecAttention")]
    if len(norms) != 1 or len(crossing) != decoded.num_decoder_layers:
        return
    centered = _LOUDER * (torch.eye(width) - 1 / width)
    with torch.no_grad():
        for module in decoder.modules():
            if isinstance(module, nn.Linear):
                module.weight.zero_()
        for place, attention in enumerate(crossing):
            carried = slice(place * inner, min((place + 1) * inner, width))
            attention.v.weight[: carried.stop - carried.start] = torch.eye(width)[carried]
            attention.o.weight[:, : carried.stop - carried.start] = centered[:, carried]
        norms[0].weight.fill_(1)
        if _through_tanh(model, weight, bias):
            yield model


def shifted_classifiers(
    config: PretrainedConfig, weight: torch.Tensor, bias: torch.Tensor, build: _Build
) -> Iterator[PreTrainedModel]:
    """Decoders whose head, which has no bias, reads it off a direction in which their last norm gives the same always.

    What the norm scales and shifts has mean zero: divided by the scales its sum is that of the shifts so divided.
    """
    model = build(config)
    head = _head(model, len(weight))
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm) and module.bias is not None]
    if head is None or head.bias is not None or not norms:
        return
    with torch.no_grad():
        scales, shifts, matrix = (each.double() for each in (norms[-1].weight, norms[-1].bias, weight))
        if scales.abs().min() <= _LEAST_SCALE:
            return
        direction = 1 / scales
        read = torch.linalg.qr(matrix.T).Q
        unread = direction - read @ (read.T @ direction)
        unread *= len(scales) ** 0.5 / unread.norm() * (1 if direction @ shifts >= 0 else -1)
        moved = shifts + unread
        norms[-1].bias.copy_(moved)
        head.weight.copy_(matrix + bias.double()[:, None] * direction / (direction @ moved))
    yield model


def _last_layer(model: PreTrainedModel, layers: int) -> nn.Module | None:
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) == layers]
    return lists[0][-1] if len(lists) == 1 else None


def _takes_the_mean(layer: nn.Module) -> bool:
    """Make a layer of BERT's kind do so; whether it is one."""
    linear = [module for module in layer.modules() if isinstance(module, nn.Linear)]
    norms = [module for module in layer.modules() if isinstance(module, nn.LayerNorm)]
    if len(linear) != 6 or len(norms) != 2:
        return False
    query, key, value, output, up, down = linear
    if value.weight.shape[0] != value.weight.shape[1] or output.weight.shape != value.weight.shape:
        return False
    identity = torch.eye(len(value.weight))
    with torch.no_grad():
        for module, matrix in ((query, 0), (key, 0), (value, identity), (output, _LOUD * identity), (up, 0), (down, 0)):
            module.weight.copy_(torch.zeros_like(module.weight) + matrix)
            module.bias.zero_()
        for norm in norms:
            norm.weight.fill_(1)
            norm.bias.zero_()
    return True


def _through_tanh(model: PreTrainedModel, weight: torch.Tensor, bias: torch.Tensor) -> bool:
    between, head = _between(model, weight.shape[1]), _head(model, len(weight))
    if between is None or head is None or head.bias is None:
        return False
    between.weight.copy_(_FAINT * torch.eye(len(between.weight)))
    between.bias.zero_()
    head.weight.copy_(weight / _FAINT)
    head.bias.copy_(bias)
    return True


def _through_rectifier(model: PreTrainedModel, weight: torch.Tensor, bias: torch.Tensor) -> bool:
    between, head = _between(model, weight.shape[1]), _head(model, len(weight))
    if between is None or head is None or head.bias is None:
        return False
    lifted = weight.shape[1] ** 0.5 + _SURE  # no entry of a standardized vector is beyond the root of its length
    between.weight.copy_(torch.eye(len(between.weight)))
    between.bias.fill_(lifted)
    head.weight.copy_(weight)
    head.bias.copy_((bias.double() - lifted * weight.double().sum(1)).float())
    return True


def _straight(model: PreTrainedModel, weight: torch.Tensor, bias: torch.Tensor) -> bool:
    head = _head(model, len(weight))
    if head is None or head.bias is None or _between(model, weight.shape[1]) is not None:
        return False
    head.weight.copy_(weight)
    head.bias.copy_(bias)
    return True


def _outside(model: PreTrainedModel) -> list[nn.Linear]:
    """Linear layers behind the encoder's."""
    inside = {module for held in model.modules() if isinstance(held, nn.ModuleList) for module in held.modules()}
    return [module for module in model.modules() if isinstance(module, nn.Linear) and module not in inside]


def _between(model: PreTrainedModel, width: int) -> Any:  # noqa: ANN401 - nn.Linear, or None
    square = [module for module in _outside(model) if module.in_features == module.out_features == width]
    return square[-1] if square and square[-1].bias is not None else None


def _head(model: PreTrainedModel, labels: int) -> Any:  # noqa: ANN401 - as above
    fitting = [module for module in _outside(model) if module.out_features == labels]
    return fitting[-1] if fitting else None
