"""The two ends of a text model that is read at each word.

That is at its first token; where a token knows only those before it, at its last. Devlin et al., "BERT: pre-training
of deep bidirectional transformers" (2019), section 5.3: a word's first sub-token is what its classifier reads.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from transformers import AutoTokenizer, PretrainedConfig, PreTrainedModel

from registry.modalities import Network, Prepared
from registry.modalities.text.items import TextItem, item_of_words
from registry.modalities.text.network import TextNetwork, padded
from registry.modalities.text.settings import Pooling

__all__ = ["TaggingNetwork", "at_words"]

_POSITIONS = "positions"
_CUT, _NONE = -1, -2
"""In place of a word's token: there is none, for it was cut off; there is no word."""


@dataclass(frozen=True, eq=False)
class TaggingNetwork(TextNetwork):
    """A text model with its own tokenizer, one vector a word."""

    beside: tuple[str, ...] = (_POSITIONS,)

    @property
    def digest(self) -> str:
        """As `Network.digest`."""
        return hashlib.sha256(f"{super().digest} words, {'last' if self._reads_last else 'first'}".encode()).hexdigest()

    @property
    def _reads_last(self) -> bool:
        """Whether a word is read at its last token."""
        return self.pooling is Pooling.LAST

    def prepare(self, item: TextItem) -> Prepared:
        """As `Network.prepare`: with the place of each word's token."""
        tokens, parts, letters = self.tokenization.tokens(item.text)
        places = self._places(item, letters)
        prepared = {"tokens": tokens, "places": places}
        return {**prepared, "parts": parts} if self.tokenization.segments else prepared

    def context(self, rows: Sequence[Prepared]) -> dict[str, torch.Tensor]:
        """As `Network.context`: which places hold tokens, and which of them stand for the words."""
        return {**super().context(rows), _POSITIONS: padded([row["places"] for row in rows], _NONE)}

    def pool(self, hidden: torch.Tensor, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """As `Network.pool`: the vector of each word's token, row after row.

        Raises:
            ValueError: the block has not one place a token.
        """
        if hidden.ndim != 3:
            raise ValueError(f"a block of shape {tuple(hidden.shape)} has no place for each token")
        positions = batch[_POSITIONS]
        rows, words = torch.nonzero(positions != _NONE, as_tuple=True)
        places = positions[rows, words]
        vectors = hidden[rows, places.clamp(min=0)]
        return vectors * (places != _CUT).to(vectors)[:, None]

    def summary(self, output: Mapping[str, Any], batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """As `Network.summary`."""
        return self.pool(output["last_hidden_state"], batch)

    def examples(self) -> tuple[TextItem, ...]:
        """As `Network.examples`."""
        items = (item_of_words(item.name, item.open().split()) for item in super().examples())
        return tuple(item for item in items if isinstance(item, TextItem))

    def reopened(self, folder: Path, items: Sequence[TextItem]) -> dict[str, torch.Tensor]:
        """As `Network.reopened`; the places of words follow from the letters that each token is of."""
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        encoded = [dict(tokenizer(item.text, truncation=True, return_offsets_mapping=True)) for item in items]
        pairs = zip(items, encoded, strict=True)
        places = [self._places(item, encoding.pop("offset_mapping")) for item, encoding in pairs]
        return {**tokenizer.pad(encoded, return_tensors="pt"), _POSITIONS: padded(places, _NONE)}

    def classifiers(
        self, config: PretrainedConfig, weight: np.ndarray, bias: np.ndarray, build: Callable[[Any], PreTrainedModel]
    ) -> Iterator[PreTrainedModel]:
        """As `Network.classifiers`: transformers' own read what is read here, or there is none."""
        del config, weight, bias, build
        yield from ()

    def _places(self, item: TextItem, letters: Sequence[tuple[int, int]]) -> Int[np.ndarray, " w"]:
        """The place of each word's token: a token is of the word that its last letter is of."""
        ends = item.word_ends
        places = np.full(len(ends), _CUT, np.int32)
        order = enumerate(letters) if self._reads_last else reversed([*enumerate(letters)])
        for place, (start, end) in order:
            word = int(np.searchsorted(ends, end))
            if start < end and word < len(ends):
                places[word] = place
        return places


def at_words(network: Network) -> TaggingNetwork:
    """The same two ends, pooled at each word."""
    if not isinstance(network, TextNetwork):
        raise TypeError(f"a {type(network).__name__} reads no words")
    kept = {each.name: getattr(network, each.name) for each in fields(network) if each.name != "beside"}
    return TaggingNetwork(**kept)
