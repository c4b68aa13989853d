"""Words: the positions at which a text is labelled, as the promise `registry.modalities.Positional` has it."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from registry.modalities import InMemory, Network, Undecodable, Words
from registry.modalities.text.items import TextItem, item_of_words

__all__ = ["TEXT_WORDS", "TextWords"]


class TextWords:
    """The words that were given; of a text that was given as a whole, what white space parts."""

    words = Words(one="word", many="words", unit="words", raw="word features")
    classifier = "AutoModelForTokenClassification"
    hub_task = "token-classification"

    @property
    def in_memory(self) -> InMemory:
        """As `Positional.in_memory`: texts as they are, which white space parts."""
        return InMemory(["Ada Lovelace was born in London .", "and another one"], "")

    def item(self, name: str, parts: Sequence[object]) -> TextItem | Undecodable:
        """As `Positional.item`."""
        return item_of_words(name, parts)

    def of(self, item: TextItem) -> tuple[str, ...]:
        """As `Positional.of`."""
        return item.words

    def raw(self) -> Any:  # noqa: ANN401 - as `Positional.raw`
        """As `Positional.raw`: a word's letters, form, beginnings and ends, and its neighbors'."""
        return import_module("registry.modalities.text.word_features").word_features()

    def network(self, network: Network) -> Network:
        """As `Positional.network`."""
        tagging: Network = import_module("registry.modalities.text.tagging").at_words(network)
        return tagging


TEXT_WORDS = TextWords()
