"""The checkpoint's own tokenizer, exactly: from the files of its folder alone, with a length and a padding token.

Tokenizers that are written in Rust keep truncation as a state that every call may change, and threads that do so stop
one another. Here it is set once, on a copy that is only asked to encode.
"""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Int
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.utils import logging

from registry.errors import Unsupported
from registry.modalities.text.settings import FILES, LONGEST
from registry.statements import refuse_code, stated

__all__ = ["Tokenization", "read_tokenization"]

_BRING = (
    "Copy tokenizer.json and tokenizer_config.json from the model that it was tuned from, or save its tokenizer into "
    "the folder: AutoTokenizer.from_pretrained(that model).save_pretrained(folder)."
)
_OF_A_TOKENIZER = tuple(name for name in FILES if name.startswith(("tokenizer.", "vocab.", "sp", "sentencepiece.")))
_SEGMENTS = "token_type_ids"


@dataclass(frozen=True, eq=False)
class Tokenization:
    """What turns a text into numbers of tokens."""

    tokenizer: PreTrainedTokenizerFast
    """As it is saved: it pads on the right, and states the length."""
    encoder: Tokenizer
    """The same, cutting at the length; safe to ask from several threads."""
    stated: int
    """Tokens that the checkpoint takes at most, its own included."""
    longest: int
    """Where texts are cut."""
    padding: int
    segments: bool
    """Whether the model takes the number of the part that a token is of."""

    @property
    def digest(self) -> str:
        """SHA-256 of the whole tokenizer, the cut included."""
        rest = f"{self.padding} {self.segments}"
        return hashlib.sha256(f"{self.encoder.to_str()} {rest}".encode()).hexdigest()

    def knows(self, text: str, second: str | None = None) -> bool:
        """Whether there is a token in it that is neither the unknown one nor the tokenizer's own."""
        encoding = self.encoder.encode(text, second)
        return any(
            token != self.tokenizer.unk_token_id and not own
            for token, own in zip(encoding.ids, encoding.special_tokens_mask, strict=True)
        )

    def length(self, text: str, second: str | None = None) -> int:
        """Tokens of a whole text, or of a pair, the net's own included."""
        return len(self._uncut.encode(text, second).ids)

    def numbers(self, text: str, second: str | None = None) -> tuple[Int[np.ndarray, " l"], Int[np.ndarray, " l"]]:
        """Tokens of a text, or of a pair as the tokenizer joins it, and the parts that they are of.

        It is one token of padding where nothing of the text is known.
        """
        encoding = self.encoder.encode(text, second)
        if not encoding.ids:
            return np.array([self.padding], np.int32), np.zeros(1, np.int32)
        return np.array(encoding.ids, np.int32), np.array(encoding.type_ids, np.int32)

    def tokens(self, text: str) -> tuple[Int[np.ndarray, " l"], Int[np.ndarray, " l"], list[tuple[int, int]]]:
        """As `numbers`, and which letters of the text each token is of; equal bounds where it is of none."""
        encoding = self.encoder.encode(text)
        return (*self.numbers(text), encoding.offsets or [(0, 0)])

    @cached_property
    def _uncut(self) -> Tokenizer:
        """As `encoder`, without the cut."""
        whole = Tokenizer.from_str(self.encoder.to_str())
        whole.no_truncation()
        return whole


def read_tokenization(
    folder: Path, *, positions: int, cap: int, embeddings: int, arguments: frozenset[str]
) -> Tokenization:
    """The tokenizer in a checkpoint's folder.

    Texts are cut at the most tokens that the tokenizer states, the net has ``positions`` for, and ``cap`` allows.
    ``embeddings`` is how many tokens the net knows, ``arguments`` are what its forward pass takes.

    Raises:
        Unsupported: it is missing, damaged, needs code, or names tokens that the net does not know.
    """
    tokenizer = _opened(folder)
    top = max(tokenizer.get_vocab().values(), default=-1)
    if top >= embeddings:
        raise Unsupported(
            folder,
            f"its tokenizer numbers tokens up to {top}, its embedding has rows for 0 to {embeddings - 1}",
            "Bring the tokenizer that the weights were trained with.",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    encoder = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    own, stated_tokens = encoder.num_special_tokens_to_add(is_pair=False), min(positions, _length(tokenizer))
    longest = min(stated_tokens, cap)
    if longest <= own:
        raise Unsupported(folder, f"its texts may have {longest} tokens, of which {own} are the net's own")
    encoder.no_padding()
    encoder.enable_truncation(longest, direction=tokenizer.truncation_side)
    tokenizer.padding_side, tokenizer.model_max_length = "right", longest
    segments = _SEGMENTS in arguments and _SEGMENTS in tokenizer.model_input_names
    tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name in arguments]
    return Tokenization(tokenizer, encoder, stated_tokens, longest, int(tokenizer.pad_token_id), segments)


def _opened(folder: Path) -> PreTrainedTokenizerFast:
    if not any((folder / name).is_file() for name in _OF_A_TOKENIZER):
        raise Unsupported(folder, "it holds no tokenizer, so nobody knows what its numbers stand for", _BRING)
    if (folder / "tokenizer_config.json").is_file():
        refuse_code(folder, stated(folder, "tokenizer_config.json"))
    verbosity = logging.get_verbosity()
    logging.set_verbosity(50)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False, use_fast=True)
    except Exception as cause:  # any tokenizer may raise anything
        why = (str(cause).strip().splitlines() or [type(cause).__name__])[0][:200]
        raise Unsupported(folder, f"its tokenizer cannot be opened ({why})", _BRING) from cause
    finally:
        logging.set_verbosity(verbosity)
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise Unsupported(folder, f"{type(tokenizer).__name__} is no fast tokenizer (tokenizer.json)", _BRING)
    return tokenizer


def _length(tokenizer: PreTrainedTokenizerFast) -> int:
    """The most tokens that it states; `LONGEST` where it states none."""
    return int(tokenizer.model_max_length) if 0 < tokenizer.model_max_length < LONGEST else LONGEST
