"""Texts as items: from untrusted bytes, or from memory. What was written is kept as it is; nothing is folded."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Int

from registry.errors import UnusableArrays
from registry.modalities import Undecodable
from registry.modalities.text.decoding import decoded, kept
from registry.modalities.text.fingerprints import same_writing

__all__ = ["TextItem", "decoded_item", "item_of_cells", "item_of_words", "items_from_memory"]

_USABLE = "Give a list, an array or a column of texts (str) or of pairs of them, none empty; at least one."

_PAIR = 2


@dataclass(frozen=True)
class TextItem:
    """One text, or a pair of them. Equal where name and content are."""

    name: str
    """Path below the folder or archive that was read (bytes that are no text escaped), or the row's number."""
    digest: str
    """SHA-256 of the file's bytes (of the text in UTF-8 for one from memory)."""
    text: str = field(compare=False, repr=False)
    kinds: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """As `registry.modalities.Item.kinds`: UTF-16, Latin-1, HTML tags, cut at 100,000 characters ..."""
    second: str | None = field(default=None, compare=False, repr=False)
    """What the text is paired with, as a question with its answer."""
    parted: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """The words that were given, of which the text was made by putting a space between."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The text alone, or both of a pair, as tokenizers take them."""
        return (self.text,) if self.second is None else (self.text, self.second)

    @property
    def words(self) -> tuple[str, ...]:
        """The words that were given, else what white space parts."""
        return self.parted or tuple(self.text.split())

    @property
    def word_ends(self) -> Int[np.ndarray, " w"]:
        """Places in the text behind the last letter of each word."""
        if not self.parted:
            return np.array([word.end() for word in re.finditer(r"\S+", self.text)], np.int64)
        return np.cumsum([len(word) + 1 for word in self.parted]) - 1

    @property
    def identity(self) -> str:
        """As `registry.modalities.Item.identity`: of compatible Unicode, with white space folded."""
        return hashlib.sha256("\0".join(map(same_writing, self.parts)).encode("utf-8")).hexdigest()

    @property
    def shown(self) -> str:
        """What `open` gives, as a digest: that of the content."""
        return self.digest

    def open(self) -> str:
        """The text; of a pair one behind the other."""
        return "\n".join(self.parts)


def decoded_item(name: str, content: bytes) -> TextItem | Undecodable:
    """As `registry.modalities.Modality.decode`."""
    decoding = decoded(content)
    if isinstance(decoding, Undecodable):
        return decoding
    return TextItem(name, hashlib.sha256(content).hexdigest(), *decoding)


def item_of_cells(name: str, cells: Sequence[object]) -> TextItem | Undecodable:
    """As `registry.modalities.Modality.from_cells`."""
    texts, kinds = [], dict[str, None]()
    for cell in cells:
        if not isinstance(cell, str):
            return Undecodable("it holds no text" if _is_absent(cell) else f"{type(cell).__name__} instead of a text")
        decoding = kept(cell, ())
        if isinstance(decoding, Undecodable):
            return decoding
        texts.append(decoding[0])
        kinds |= dict.fromkeys(decoding[1])
    content = "\0".join(map(str, cells)).encode("utf-8", "surrogatepass")
    return TextItem(
        name, hashlib.sha256(content).hexdigest(), texts[0], tuple(kinds), second=texts[1] if len(texts) > 1 else None
    )


def item_of_words(name: str, words: Sequence[object]) -> TextItem | Undecodable:
    """As `registry.modalities.Positional.item`."""
    if not words:
        return Undecodable("it has no word")
    if not all(isinstance(word, str) for word in words):
        return Undecodable("not all of its words are texts")
    parted = tuple(map(str, words))
    decoding = kept(" ".join(parted), ())
    if isinstance(decoding, Undecodable):
        return decoding
    content = json.dumps(parted).encode("utf-8")
    return TextItem(name, hashlib.sha256(content).hexdigest(), *decoding, parted=parted)


def items_from_memory(values: Any) -> tuple[TextItem, ...]:  # noqa: ANN401 - lists, arrays or columns of texts
    """One item for each text of a list, an array or a column, or for each pair of texts.

    Raises:
        UnusableArrays: there is none, or one of them is no text, or holds nothing.
    """
    kind = type(values).__name__
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise UnusableArrays(kind, (), f"texts cannot be one {kind}", _USABLE)
    rows = list(values)
    if not rows:
        raise UnusableArrays(kind, (0,), f"texts cannot be an empty {kind}", _USABLE)
    return tuple(_of_value(row, value) for row, value in enumerate(rows))


def _of_value(row: int, value: object) -> TextItem:
    pair = isinstance(value, tuple | list) and len(value) == _PAIR and all(isinstance(part, str) for part in value)
    if not isinstance(value, str) and not pair:
        kind = type(value).__name__
        raise UnusableArrays(kind, (), f"text {row} cannot be of type {kind}", _USABLE)
    cells = [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]  # a pair
    decoding = item_of_cells(str(row), cells)
    if isinstance(decoding, Undecodable):
        raise UnusableArrays("str", (len(cells[0]),), f"text {row} cannot be used: {decoding.reason}", _USABLE)
    return decoding


def _is_absent(cell: object) -> bool:
    return cell is None or cell != cell  # noqa: PLR0124 - NaN
