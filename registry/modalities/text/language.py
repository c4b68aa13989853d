"""What a text model learns from texts without labels: words that are hidden, or those that come next.

Encoders tell hidden tokens (masked language modelling; Devlin et al. 2019: of 15 % of the tokens four in five become
the mask, one in ten another token, one in ten stays), decoders the next one. What tells them is the checkpoint's own
head where its weights are stored, else the embedding of its tokens (Press & Wolf 2017). Only the places that are asked
for are run through it: a vocabulary is wide.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPastAndCrossAttentions
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

from registry.errors import Unsupported
from registry.modalities.text.tokenization import Tokenization

__all__ = ["IGNORED", "LanguageModel", "hidden_tokens", "language_model", "next_tokens"]

HIDDEN, MASKED, REPLACED = 0.15, 0.8, 0.1
"""Shares: of the tokens that are asked for; of these, those that become the mask, and those that become another."""
IGNORED = -100
"""In the place of a token that is not asked for."""


class LanguageModel(nn.Module):
    """A model with what tells tokens from its output; gives the mean loss of those that are asked for."""

    def __init__(self, body: PreTrainedModel, predictor: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.predictor = predictor

    def forward(self, labels: torch.Tensor, **batch: torch.Tensor) -> torch.Tensor:
        """The loss of a batch; ``labels`` are the tokens that are asked for, `IGNORED` elsewhere."""
        target = labels != IGNORED
        hidden = self.body(**batch, return_dict=True).last_hidden_state[target]
        return functional.cross_entropy(self.predictor(hidden), labels[target])


def language_model(folder: Path, model: PreTrainedModel, *, causal: bool) -> LanguageModel:
    """The backbone of a model with the head of the checkpoint in a folder, else one tied to its embedding.

    Raises:
        Unsupported: it has neither a head nor an embedding as wide as its output.
    """
    body: Any = model.base_model
    kind = (MODEL_FOR_CAUSAL_LM_MAPPING if causal else MODEL_FOR_MASKED_LM_MAPPING).get(type(body.config), None)
    embedding: Any = body.get_input_embeddings()
    fitting = embedding.embedding_dim == body.config.hidden_size
    head = None if kind is None else _head_of(folder, kind, body, whole=fitting)
    if head is None and not fitting:
        why = "no head that tells tokens is known for it, and its embedding is narrower than its output"
        raise Unsupported(folder, why, "Tune it by another strategy.")
    return LanguageModel(body, _Tied(embedding) if head is None else head)


def hidden_tokens(
    tokens: Int[np.ndarray, " l"], tokenization: Tokenization, chance: np.random.Generator
) -> tuple[Int[np.ndarray, " l"], Int[np.ndarray, " l"]]:
    """Tokens of which some are hidden, and those, `IGNORED` elsewhere; the tokenizer's own are never asked for."""
    own = np.isin(tokens, tokenization.tokenizer.all_special_ids)
    drawn = np.where(own, np.inf, chance.random(len(tokens)))
    target = drawn < HIDDEN
    if not target.any() and not own.all():
        target[drawn.argmin()] = True
    fate = chance.random(len(tokens))
    shown = np.where(target & (fate < MASKED), tokenization.tokenizer.mask_token_id, tokens)
    other = chance.integers(len(tokenization.tokenizer), size=len(tokens))
    shown = np.where(target & (fate >= MASKED) & (fate < MASKED + REPLACED), other, shown)
    return shown.astype(np.int32), np.where(target, tokens, IGNORED).astype(np.int32)


def next_tokens(tokens: Int[np.ndarray, " l"]) -> Int[np.ndarray, " l"]:
    """For each token the one behind it."""
    return np.append(tokens[1:], IGNORED).astype(np.int32)


def _head_of(folder: Path, kind: Any, body: PreTrainedModel, *, whole: bool) -> "_Head | None":  # noqa: ANN401 - a class
    """The head of a class of transformers that tells tokens; None where, ``whole``, weights of it are not stored.

    None, too, where it cannot be run without its backbone.
    """
    model, report = kind.from_pretrained(
        folder,
        dtype=torch.float32,
        local_files_only=True,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    if whole and report["missing_keys"]:
        return None
    embedding: Any = body.get_input_embeddings()
    head = _Head(model, embedding)
    try:
        head(torch.zeros(1, body.config.hidden_size))
    except Exception:  # any architecture may ask its backbone for more than its output
        return None
    return head


class _Tied(nn.Module):
    """The tokens' embedding, read backwards, with a bias."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.weight = embedding.weight
        self.bias = nn.Parameter(torch.zeros(embedding.num_embeddings))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits (n, tokens) of outputs (n, d)."""
        return functional.linear(hidden, self.weight, self.bias)


class _Precomputed(nn.Module):
    """Stands where a backbone is called, and gives what it is to have given."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden: torch.Tensor | None = None

    def forward(self, *_inputs: object, **_settings: object) -> BaseModelOutputWithPastAndCrossAttentions:
        """What it was handed."""
        return BaseModelOutputWithPastAndCrossAttentions(last_hidden_state=self.hidden)


class _Head(nn.Module):
    """A model of transformers that tells tokens, without its backbone."""

    def __init__(self, whole: PreTrainedModel, embedding: nn.Embedding) -> None:
        super().__init__()
        self.backbone = _Precomputed()
        output: Any = whole.get_output_embeddings()
        setattr(whole, whole.base_model_prefix, self.backbone)
        if whole.config.tie_word_embeddings:
            output.weight = embedding.weight
        self.whole = whole

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits (n, tokens) of outputs (n, d)."""
        self.backbone.hidden = hidden[None]
        places = torch.zeros((1, len(hidden)), dtype=torch.long, device=hidden.device)
        logits: torch.Tensor = self.whole(input_ids=places).logits[0]
        self.backbone.hidden = None
        return logits
