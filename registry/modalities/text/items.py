"""Texts as items: from untrusted bytes, or from memory. What was written is kept as it is; nothing is folded."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from registry.errors import UnusableArrays
from registry.modalities import Undecodable
from registry.modalities.text.decoding import decoded, kept

__all__ = ["TextItem", "decoded_item", "items_from_memory"]

_USABLE = "Give a list, an array or a column of texts (str), none of them empty; at least one."


@dataclass(frozen=True)
class TextItem:
    """One text. Equal where name and content are."""

    name: str
    """Path below the folder or archive that was read (bytes that are no text escaped), or the row's number."""
    digest: str
    """SHA-256 of the file's bytes (of the text in UTF-8 for one from memory)."""
    text: str = field(compare=False, repr=False)
    kinds: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """As `registry.modalities.Item.kinds`: UTF-16, Latin-1, HTML tags, cut at 100,000 characters ..."""

    @property
    def shown(self) -> str:
        """What `open` gives, as a digest: that of the content."""
        return self.digest

    def open(self) -> str:
        """The text."""
        return self.text


def decoded_item(name: str, content: bytes) -> TextItem | Undecodable:
    """As `registry.modalities.Modality.decode`."""
    decoding = decoded(content)
    if isinstance(decoding, Undecodable):
        return decoding
    return TextItem(name, hashlib.sha256(content).hexdigest(), *decoding)


def items_from_memory(values: Any) -> tuple[TextItem, ...]:  # noqa: ANN401 - lists, arrays or columns of texts
    """One item for each text of a list, an array or a column.

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
    if not isinstance(value, str):
        kind = type(value).__name__
        raise UnusableArrays(kind, (), f"text {row} cannot be of type {kind}", _USABLE)
    decoding = kept(value, ())
    if isinstance(decoding, Undecodable):
        raise UnusableArrays("str", (len(value),), f"text {row} cannot be used: {decoding.reason}", _USABLE)
    return TextItem(str(row), hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest(), *decoding)
