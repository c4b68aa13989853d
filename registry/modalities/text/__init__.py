"""Texts: all that knows what a piece of writing is."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from registry.modalities import Defaults, InMemory, Network, Preview, RawRecipe, Reading, Undecodable, Words
from registry.modalities.text.decoding import ONE_BYTE
from registry.modalities.text.fingerprints import fingerprints_of
from registry.modalities.text.items import TextItem, decoded_item, item_of_cells, items_from_memory
from registry.modalities.text.preview import preview_of
from registry.modalities.text.settings import CAP, FILES, objection_to
from registry.modalities.text.words import TEXT_WORDS

__all__ = ["TEXT", "Text"]


class Text:
    """Writing, as the promise `registry.modalities.Modality` has it."""

    name = "text"
    words = Words(
        one="text",
        many="texts",
        unit="tokens",
        raw="TF-IDF",
        remarks=dict.fromkeys(ONE_BYTE, "no UTF-8, and read as Western European: save as UTF-8 if letters look wrong"),
        reduced="longer texts are cut",
    )
    suffixes = frozenset({".txt"})
    text_is_item = True
    defaults = Defaults(cap=CAP, head_rate=3e-4, pretext="words that are hidden from it, or come next")
    raw_size = 1000
    copies_apart = 0.02
    inputs = frozenset({"input_ids"})
    classifier = "AutoModelForSequenceClassification"
    hub_task = "text-classification"
    processor_files = FILES
    positions = TEXT_WORDS
    catalog = None

    @property
    def in_memory(self) -> InMemory:
        """As `Modality.in_memory`."""
        return InMemory(["a short text", "and another one"], "")

    def decode(self, name: str, content: bytes, path: Path | None = None) -> TextItem | Undecodable:
        """As `Modality.decode`; the text is kept, wherever its bytes lie."""
        del path
        return decoded_item(name, content)

    def from_cells(self, name: str, cells: Sequence[object]) -> TextItem | Undecodable:
        """As `Modality.from_cells`: a text, or the two of a pair."""
        return item_of_cells(name, cells)

    def settled(self, items: Sequence[TextItem], reading: Reading) -> tuple[tuple[TextItem, ...], Reading]:
        """As `Modality.settled`: there is nothing to measure."""
        return tuple(items), reading

    def from_memory(self, values: Any) -> tuple[TextItem, ...]:  # noqa: ANN401 - lists, arrays or columns of texts
        """As `Modality.from_memory`: a list, an array or a column of `str`, or of pairs of them, none empty."""
        return items_from_memory(values)

    def fingerprints(self, items: Sequence[TextItem]) -> Float[np.ndarray, "n d"]:
        """As `Modality.fingerprints`."""
        return fingerprints_of([item.text for item in items])

    def altered(self, items: Sequence[TextItem]) -> Float[np.ndarray, "n v d"]:
        """As `Modality.altered`: a text that is cut is another."""
        return np.empty((len(items), 0, 0), np.float32)

    def remarks(self, items: Sequence[TextItem]) -> tuple[str, ...]:
        """As `Modality.remarks`: several languages, and letters that stand for others which were lost."""
        remarks: tuple[str, ...] = import_module("registry.modalities.text.remarks").remarks_on(items)
        return remarks

    def raw(self, named: str = words.raw) -> Any:  # noqa: ANN401 - as `Modality.raw`
        """As `Modality.raw`: TF-IDF of words and characters, turned into the space of the training rows."""
        del named  # there are no others
        return import_module("registry.modalities.text.raw").raw_features()

    def usual_processor(self, folder: Path) -> None:
        """As `Modality.usual_processor`: there is none."""

    def raw_recipe(self, fitted: Any) -> RawRecipe:  # noqa: ANN401 - as above
        """As `Modality.raw_recipe`."""
        recipe: RawRecipe = import_module("registry.modalities.text.raw").raw_recipe(fitted)
        return recipe

    def preview(self, item: TextItem) -> Preview:
        """As `Modality.preview`: its beginning."""
        return preview_of(item.open())

    def objection(self, config: Any) -> str | None:  # noqa: ANN401 - a PretrainedConfig
        """As `Modality.objection`: encoders with a decoder, and models that take pictures or sound too."""
        return objection_to(config)

    def open(self, folder: Path, model: Any, cap: int = CAP) -> Network:  # noqa: ANN401 - a PreTrainedModel
        """As `Modality.open`."""
        network: Network = import_module("registry.modalities.text.network").open_network(folder, model, cap)
        return network


TEXT = Text()
