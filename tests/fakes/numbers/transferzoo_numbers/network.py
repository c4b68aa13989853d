"""A small transformer over series, its classifier and Auto class, and the two ends of it."""

import json
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import CONFIG_MAPPING, AutoConfig, AutoModel, PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput, SequenceClassifierOutput
from transformers.models.auto.auto_factory import _BaseAutoModelClass, _LazyAutoMapping

from registry.errors import Unsupported
from registry.modalities import Prepared
from transferzoo_numbers import Series

__all__ = [
    "AutoModelForNumberClassification",
    "NumberConfig",
    "NumberForNumberClassification",
    "NumberModel",
    "NumberNetwork",
    "open_network",
]

_PROCESSOR = "number_config.json"
_JITTER = 0.05


class NumberConfig(PretrainedConfig):
    """Settings of the net."""

    model_type = "transferzoo_numbers"

    def __init__(
        self,
        hidden_size: int = 16,
        widenings: Sequence[int] = (2, 2, 2, 2),
        num_attention_heads: int = 2,
        longest: int = 24,
        **rest: Any,
    ) -> None:
        super().__init__(**rest)
        self.hidden_size = hidden_size
        self.widenings = list(widenings)
        self.num_attention_heads = num_attention_heads
        self.longest = longest


class NumberLayer(nn.Module):
    """Attention and a perceptron, each after its normalization."""

    def __init__(self, config: NumberConfig, widening: int) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attend, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.widen, self.narrow = nn.Linear(width, widening * width), nn.Linear(widening * width, width)

    def forward(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        rows, places, width = hidden.shape
        query, key, value = (
            part.view(rows, places, self.heads, width // self.heads).transpose(1, 2)
            for part in self.attend(self.before(hidden)).chunk(3, dim=-1)
        )
        met = nn.functional.scaled_dot_product_attention(query, key, value, mask[:, None, None, :])
        hidden = hidden + self.project(met.transpose(1, 2).reshape(rows, places, width))
        return hidden + self.narrow(nn.functional.gelu(self.widen(self.between(hidden))))


class NumberPreTrainedModel(PreTrainedModel):
    """What both nets share."""

    config_class = NumberConfig
    base_model_prefix = "numbers"
    main_input_name = "number_values"

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.3)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=0.5)
        elif isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


class NumberModel(NumberPreTrainedModel):
    """The backbone."""

    def __init__(self, config: NumberConfig) -> None:
        super().__init__(config)
        self.embed = nn.Linear(1, config.hidden_size)
        self.places = nn.Embedding(config.longest, config.hidden_size)
        self.layers = nn.ModuleList(NumberLayer(config, widening) for widening in config.widenings)
        self.post_init()

    def forward(
        self,
        number_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        return_dict: bool = True,
        **rest: Any,
    ) -> BaseModelOutput:
        del rest, return_dict
        mask = torch.ones_like(number_values) if attention_mask is None else attention_mask
        at = torch.arange(number_values.shape[1], device=number_values.device)
        hidden = self.embed(number_values[..., None]) + self.places(at)
        for layer in self.layers:
            hidden = layer(hidden, mask.bool())
        return BaseModelOutput(last_hidden_state=hidden)


class NumberForNumberClassification(NumberPreTrainedModel):
    """The backbone with a head on the mean over its places."""

    def __init__(self, config: NumberConfig) -> None:
        super().__init__(config)
        self.numbers = NumberModel(config)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def forward(
        self, number_values: torch.Tensor, attention_mask: torch.Tensor | None = None, **rest: Any
    ) -> SequenceClassifierOutput:
        hidden = self.numbers(number_values, attention_mask, **rest).last_hidden_state
        mask = torch.ones_like(number_values) if attention_mask is None else attention_mask
        return SequenceClassifierOutput(logits=self.classifier(_mean(hidden, mask)))


class AutoModelForNumberClassification(_BaseAutoModelClass):
    """Opens classifiers of series."""

    _model_mapping = _LazyAutoMapping(OrderedDict(), OrderedDict())


if NumberConfig.model_type not in set(CONFIG_MAPPING):
    AutoConfig.register(NumberConfig.model_type, NumberConfig)
    AutoModel.register(NumberConfig, NumberModel)
AutoModelForNumberClassification.register(NumberConfig, NumberForNumberClassification)


@dataclass(frozen=True, eq=False)
class NumberNetwork:
    """The two ends."""

    model: PreTrainedModel
    processor: Mapping[str, float]
    """``longest``, ``center`` and ``scale`` of the numbers."""
    longest: int
    blended: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """As `Network.digest`."""
        return sha256(json.dumps([dict(self.processor), self.longest], sort_keys=True).encode()).hexdigest()

    @property
    def stated(self) -> int:
        """As `Network.stated`."""
        return int(self.processor["longest"])

    @property
    def at_once(self) -> int:
        """As `Network.at_once`."""
        return 64

    def remarks(self, items):
        """As `Network.remarks`: none."""
        del items
        return ()

    def around(self, model: PreTrainedModel) -> "NumberNetwork":
        """As `Network.around`."""
        return replace(self, model=model)

    def prepare(self, item: Series) -> Prepared:
        """As `Network.prepare`."""
        return {"numbers": _scaled(item, self.processor)[: self.longest]}

    def batch(
        self, rows: Sequence[Prepared], chance: Sequence[np.random.Generator] | None = None
    ) -> dict[str, torch.Tensor]:
        """As `Network.batch`: padded to the longest of them; with chance, jittered."""
        values = np.zeros((len(rows), max(len(row["numbers"]) for row in rows)), np.float32)
        for place, row in enumerate(rows):
            numbers = row["numbers"]
            jitter = 0.0 if chance is None else chance[place].normal(0, _JITTER, len(numbers))
            values[place, : len(numbers)] = numbers + jitter
        return {"number_values": torch.from_numpy(values), **self.context(rows)}

    def context(self, rows: Sequence[Prepared]) -> dict[str, torch.Tensor]:
        """As `Network.context`."""
        lengths = torch.tensor([len(row["numbers"]) for row in rows])
        return {"attention_mask": (torch.arange(int(lengths.max()))[None] < lengths[:, None]).long()}

    def settings(self, part: nn.Module) -> Mapping[str, object]:
        """As `Network.settings`."""
        del part
        return {}

    def pool(self, hidden: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """As `Network.pool`."""
        return _mean(hidden, batch["attention_mask"])

    def summary(self, output: Mapping[str, Any], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """As `Network.summary`."""
        return self.pool(output["last_hidden_state"], batch)

    def examples(self) -> tuple[Series, ...]:
        """As `Network.examples`."""
        random = np.random.default_rng(0)
        rows = [random.normal(0, 1 + place, length).round(3).tolist() for place, length in enumerate((1, 5, 12, 40))]
        return tuple(
            Series(f"example {place}", sha256(json.dumps(row).encode()).hexdigest(), tuple(row))
            for place, row in enumerate(rows)
        )

    def save_processor(self, folder: Path) -> None:
        """As `Network.save_processor`."""
        (folder / _PROCESSOR).write_text(json.dumps({**self.processor, "longest": self.longest}))

    def reopened(self, folder: Path, items: Sequence[Series]) -> dict[str, torch.Tensor]:
        """As `Network.reopened`."""
        stated = json.loads((folder / _PROCESSOR).read_text())
        rows = [torch.from_numpy(_scaled(item, stated)[: stated["longest"]]) for item in items]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        masks = nn.utils.rnn.pad_sequence([torch.ones(len(row), dtype=torch.long) for row in rows], batch_first=True)
        return {"number_values": padded, "attention_mask": masks}

    def classifiers(self, config: Any, weight: np.ndarray, bias: np.ndarray, build: Any) -> Iterator[Any]:
        """As `Network.classifiers`: there are none beside transformers' own."""
        del config, weight, bias, build
        return iter(())

    def configured(self, config: PretrainedConfig) -> PretrainedConfig:
        """As `Network.configured`."""
        return deepcopy(config)

    def resized(self, owner: Any, wanted: torch.Tensor) -> torch.Tensor:
        """As `Network.resized`: a net is never given another size than it states."""
        del owner
        return wanted


def open_network(folder: Path, model: PreTrainedModel, cap: int) -> NumberNetwork:
    """As `Modality.open`."""
    try:
        stated = json.loads((folder / _PROCESSOR).read_text())
        processor = {name: float(stated[name]) for name in ("longest", "center", "scale")}
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise Unsupported(folder, f"{_PROCESSOR} is missing or damaged") from cause
    return NumberNetwork(model, processor, min(int(processor["longest"]), cap))


def _scaled(item: Series, processor: Mapping[str, float]) -> np.ndarray:
    return ((item.open() - processor["center"]) / processor["scale"]).astype(np.float32)


def _mean(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    weights = mask.to(hidden)[..., None]
    return (hidden * weights).sum(1) / weights.sum(1)
