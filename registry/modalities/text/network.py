"""The two ends of a text model: texts to tokens, and a block's output to one vector a text."""

import hashlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from registry.errors import Unsupported
from registry.modalities import Prepared
from registry.modalities.text.classifiers import decoded_classifiers, pooled_classifiers, shifted_classifiers
from registry.modalities.text.items import TextItem, items_from_memory
from registry.modalities.text.language import IGNORED, LanguageModel, hidden_tokens, language_model, next_tokens
from registry.modalities.text.settings import CAP, LONGEST, Pooling, sentence_settings
from registry.modalities.text.tokenization import Tokenization, read_tokenization

__all__ = ["TextNetwork", "open_network", "padded"]

_INPUT, _MASK, _SEGMENTS = "input_ids", "attention_mask", "token_type_ids"
_BATCH_TOKENS = 1 << 12
_MOST_IN_BATCH = 32
_ENDS = {"right": "end", "left": "beginning"}
_UNSTATED = 512
"""Tokens that a net takes which states no number of positions."""
_LEAST_VARIANCE = 1e-12
_EXAMPLES: tuple[str | tuple[str, str], ...] = (
    "A short text.",
    "Yes",
    ("What is it?", "It is the answer, which may be longer than what was asked."),
    "The second sentence is a little longer than the first one, and it has a comma in it.",
    "Größe, naïve café, 東京, Ελλάδα: what is no ASCII 😀!",
    "Numbers 3.14 and 42; then the same again and again, " + "as long texts do, " * 60 + "until they are cut.",
)


@dataclass(frozen=True, eq=False)
class TextNetwork:
    """A text model with its own tokenizer. Batches are padded on the right, to their longest row."""

    model: PreTrainedModel
    tokenization: Tokenization
    pooling: Pooling
    normalized: bool
    """Whether the vector that the whole net ends in has length one."""
    masked: bool
    """Whether the model takes a mask."""
    blended: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """As `Network.digest`: of the tokenizer, and of how a sequence becomes one vector."""
        pooled = f"{self.pooling} {_LEAST_VARIANCE} {self.normalized}"
        return hashlib.sha256(f"{self.tokenization.digest} {pooled}".encode()).hexdigest()

    @property
    def stated(self) -> int:
        """Tokens that the checkpoint takes at most, before any cap."""
        return self.tokenization.stated

    @property
    def at_once(self) -> int:
        """As `Network.at_once`: about 4,000 tokens. Of more, less stays in the caches and more is padding (LOG.md)."""
        return max(1, min(_MOST_IN_BATCH, _BATCH_TOKENS // self.tokenization.longest))

    def remarks(self, items: Sequence[TextItem]) -> tuple[str, ...]:
        """As `Network.remarks`: how many texts the tokenizer knows nothing of; how many are cut, and how far."""
        unknown = sum(not self.tokenization.knows(*item.parts) for item in items)
        strange = (
            f"{unknown:,} of {len(items):,} texts are nothing but unknown tokens to its tokenizer: all look alike",
        )
        return (*(strange if unknown else ()), *self._cuts(items))

    def _cuts(self, items: Sequence[TextItem]) -> tuple[str, ...]:
        lengths = np.array([self.tokenization.length(*item.parts) for item in items])
        longest = self.tokenization.longest
        cut = int((lengths > longest).sum())
        if not cut:
            return ()
        lost = float(np.maximum(0, lengths - longest).sum() / lengths.sum())
        return (
            f"{cut:,} of {len(items):,} texts are longer than the {longest} tokens that it is given: cut at their "
            f"{_ENDS[self.tokenization.tokenizer.truncation_side]}, {100 * lost:.0f} % of all tokens are not seen",
        )

    def around(self, model: PreTrainedModel) -> "TextNetwork":
        """As `Network.around`."""
        return replace(self, model=model)

    def prepare(self, item: TextItem) -> Prepared:
        """As `Network.prepare`: numbers of tokens, cut at the length."""
        tokens, parts = self.tokenization.numbers(*item.parts)
        return {"tokens": tokens, "parts": parts} if self.tokenization.segments else {"tokens": tokens}

    def batch(
        self, rows: Sequence[Prepared], chance: Sequence[np.random.Generator] | None = None
    ) -> dict[str, torch.Tensor]:
        """As `Network.batch`; nothing varies a text."""
        del chance
        batch = {_INPUT: padded([row["tokens"] for row in rows], self.tokenization.padding), **self.context(rows)}
        if self.tokenization.segments:
            batch[_SEGMENTS] = padded([row["parts"] for row in rows], self.tokenization.tokenizer.pad_token_type_id)
        return batch

    def context(self, rows: Sequence[Prepared]) -> dict[str, torch.Tensor]:
        """As `Network.context`: which places hold tokens."""
        return {_MASK: padded([np.ones(len(row["tokens"]), np.int32) for row in rows], 0)} if self.masked else {}

    def settings(self, part: nn.Module) -> Mapping[str, object]:
        """No cache of keys and values: nothing is generated."""
        return {"use_cache": False} if "use_cache" in inspect.signature(part.forward).parameters else {}

    def pool(self, hidden: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """As `Network.pool`: the mean over tokens, the first, the last, or the largest.

        The mean is of zero mean and unit variance, as what the last layer's norm hands on.

        Raises:
            ValueError: the block has not one place a token.
        """
        if hidden.ndim == 2:
            return hidden
        mask = batch[_MASK] if self.masked else batch[_INPUT] != self.tokenization.padding
        if hidden.ndim != 3 or hidden.shape[1] != mask.shape[1]:
            raise ValueError(f"{mask.shape[1]} tokens became a block of shape {tuple(hidden.shape)}")
        match self.pooling:
            case Pooling.FIRST:
                return hidden[:, 0]
            case Pooling.LAST:
                last = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).argmax(1)
                return hidden[torch.arange(len(hidden), device=hidden.device), last]
            case Pooling.LARGEST:
                return hidden.masked_fill(mask[..., None] == 0, -torch.inf).amax(1)
        weights = mask.to(hidden)[..., None]
        mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
        return nn.functional.layer_norm(mean, mean.shape[1:], eps=_LEAST_VARIANCE)

    def summary(self, output: Mapping[str, Any], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """As `Network.summary`: pooled as the blocks are; a pooler that learned something else is left out."""
        pooled = self.pool(output["last_hidden_state"], batch)
        return nn.functional.normalize(pooled, dim=1) if self.normalized else pooled

    def pretext(self, folder: Path) -> LanguageModel:
        """As `SelfSupervised.pretext`: tokens that are hidden, of decoders those that come next."""
        causal = _is_causal(self.model)
        if not causal and self.tokenization.tokenizer.mask_token_id is None:
            raise Unsupported(folder, "its tokenizer has no token that hides another", "Tune it by another strategy.")
        return language_model(folder, self.model, causal=causal)

    def hide(self, rows: Sequence[Prepared], chance: Sequence[np.random.Generator]) -> dict[str, torch.Tensor]:
        """As `SelfSupervised.hide`."""
        if _is_causal(self.model):
            labels = [next_tokens(row["tokens"]) for row in rows]
        else:
            pairs = [
                hidden_tokens(row["tokens"], self.tokenization, one) for row, one in zip(rows, chance, strict=True)
            ]
            rows = [{**row, "tokens": shown} for row, (shown, _) in zip(rows, pairs, strict=True)]
            labels = [tokens for _, tokens in pairs]
        return {**self.batch(rows), "labels": padded(labels, IGNORED)}

    def examples(self) -> tuple[TextItem, ...]:
        """As `Network.examples`: short and long ones, and other scripts."""
        return tuple(
            replace(item, name=f"example {place}") for place, item in enumerate(items_from_memory([*_EXAMPLES]))
        )

    def save_processor(self, folder: Path) -> None:
        """As `Network.save_processor`."""
        self.tokenization.tokenizer.save_pretrained(folder)

    def reopened(self, folder: Path, items: Sequence[TextItem]) -> dict[str, torch.Tensor]:
        """As `Network.reopened`."""
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        encoded = [tokenizer(*item.parts, truncation=True) for item in items]
        return dict(tokenizer.pad(encoded, return_tensors="pt"))

    def classifiers(
        self, config: PretrainedConfig, weight: np.ndarray, bias: np.ndarray, build: Callable[[Any], PreTrainedModel]
    ) -> Iterator[PreTrainedModel]:
        """As `Network.classifiers`: of encoders that take the mean, and of decoders."""
        matrix, vector = torch.from_numpy(np.array(weight)), torch.from_numpy(np.array(bias))
        if self.pooling is Pooling.LAST:
            yield from shifted_classifiers(config, matrix, vector, build)
        elif self.pooling is Pooling.MEAN:
            # of unit length is the last block, and what the norm hands on is as long as the root of its width
            for scale in (1.0, *([matrix.shape[1] ** -0.5] if self.normalized else [])):
                yield from pooled_classifiers(config, scale * matrix, vector, build)
                yield from decoded_classifiers(config, scale * matrix, vector, build)

    def configured(self, config: PretrainedConfig) -> PretrainedConfig:
        """As `Network.configured`: positions stay as they are; the padding token is stated."""
        copied = deepcopy(config)
        if getattr(copied, "pad_token_id", None) is None:
            copied.pad_token_id = self.tokenization.padding
        return copied

    def resized(self, owner: Any, wanted: torch.Tensor) -> torch.Tensor:  # noqa: ANN401 - whatever holds the positions
        """As `Network.resized`: positions are never resized."""
        del owner
        return wanted


def open_network(folder: Path, model: PreTrainedModel, cap: int = CAP) -> TextNetwork:
    """The two ends of a text model, with the tokenizer in its folder; texts have no more than ``cap`` tokens.

    Raises:
        Unsupported: the tokenizer is missing, cannot be opened, or does not fit the net.
    """
    sentences = sentence_settings(folder)
    arguments = frozenset(inspect.signature(model.base_model.forward).parameters)
    embedding: Any = model.get_input_embeddings()
    tokenization = read_tokenization(
        folder,
        positions=min(_positions(model), sentences.longest or LONGEST),
        cap=cap,
        embeddings=embedding.num_embeddings,
        arguments=arguments,
    )
    if getattr(model.config, "pad_token_id", None) is None:  # classifiers of decoders look for it
        model.config.pad_token_id = tokenization.padding
    pooling = sentences.pooling or (Pooling.LAST if _is_causal(model) else Pooling.MEAN)
    return TextNetwork(model, tokenization, pooling, sentences.normalized, _MASK in arguments)


def _positions(model: PreTrainedModel) -> int:
    """Tokens that the net has positions for; RoBERTa's begin behind that of padding."""
    stated = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(stated, int) or stated <= 0:
        return _UNSTATED
    kept = (module for module in model.base_model.modules() if isinstance(module, nn.Embedding))
    behind = [
        module.padding_idx + 1
        for module in kept
        if module.num_embeddings == stated != model.config.vocab_size and module.padding_idx is not None
    ]
    return stated - max(behind, default=0)


def _is_causal(model: PreTrainedModel) -> bool:
    """Whether a token knows those before it alone."""
    of_type = model.config.model_type
    causal = of_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and of_type not in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return causal or bool(getattr(model.config, "is_decoder", False))


def padded(rows: Sequence[np.ndarray], padding: int) -> torch.Tensor:
    """Rows of different length as one tensor, filled up on the right."""
    filled = np.full((len(rows), max(map(len, rows))), padding, np.int64)
    for place, row in enumerate(rows):
        filled[place, : len(row)] = row
    return torch.from_numpy(filled)
