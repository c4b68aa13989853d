"""What an item is: the promises Item, Modality and Network, and the modalities there are. Nothing here loads torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from registry.plugins import Plugins

__all__ = [
    "DEFAULT_CAP",
    "Defaults",
    "InMemory",
    "Item",
    "Modality",
    "Network",
    "Positional",
    "Prepared",
    "Preview",
    "RawRecipe",
    "Reading",
    "SelfSupervised",
    "Undecodable",
    "Words",
    "modalities",
    "modality_of",
]

DEFAULT_CAP = 224
"""Pixels of a side beyond which inputs are made smaller, where nothing else is asked for."""

Prepared = Mapping[str, np.ndarray]
"""One item as a network takes it, in the compact form in which it is kept between epochs."""
Reading = Mapping[str, Any]
"""How the items of a sample are read alike, measured on its training part: plain JSON, of which none but the modality
knows what is in it; empty where there is nothing to know. Its test part is read by it, and all that a run predicts."""


@dataclass(frozen=True)
class Words:
    """What messages call the items of a modality."""

    one: str
    """``image``."""
    many: str
    unit: str
    """Of an input's size: ``px``."""
    raw: str
    """The plainest features of no transfer, which stand for a block: ``raw pixels``."""
    remarks: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Of conversions (`Item.kinds`) that lose something of an item, what is lost: a sample's health warns of it."""
    reduced: str = "inputs are made smaller"
    """What becomes of inputs beyond the size that is used."""
    converted: str = "read with"
    """What stands before the conversions of a sample's items and their numbers: ``converted to RGB``."""
    rivals: tuple[str, ...] = ()
    """Other features of no transfer, which training rows choose between: ``oriented gradients``."""

    @property
    def raws(self) -> tuple[str, ...]:
        """The names of all features of no transfer, the plainest first."""
        return (self.raw, *self.rivals)

    def count(self, number: int, kind: str = "") -> str:
        """A number of items in words: ``3 hidden images``."""
        return " ".join(filter(None, (str(number), kind, self.one if number == 1 else self.many)))

    def article(self, following: str = "") -> str:
        """``a`` or ``an``, as it stands before a word, or else before one item."""
        return "an" if (following or self.one)[0].lower() in "aeiou" else "a"


@dataclass(frozen=True)
class Defaults:
    """What plans and costs of a modality begin with, each found on its own data."""

    cap: int
    """Size of input (in the unit of its words) beyond which inputs are made smaller."""
    augmentations: tuple[str, ...] = ()
    """What varies an item without changing what it is of, in words; empty where nothing does."""
    mixup: float = 0.0
    """Alpha of the Beta distribution that pairs of items are mixed by; 0 where they cannot be."""
    head_rate: float = 1e-3
    """Rate of a head, and of a backbone of up to a million parameters."""
    first_rate: float = 1e-3
    """The same, from which strategies take their share for what a backbone learns before it is tuned."""
    epochs: tuple[int, int] = (5, 20)
    """Passes over the rows, the fewest and the most."""
    shown: int = 12_000
    """Items that a training shows at least, as far as the most epochs allow."""
    dimensions: int = 1
    """Axes along which an input's size counts: an image of size n has n x n places."""
    stride: int = 1
    """Places of an axis that become one in the middle of a net, where most of its weights are used."""
    place_bytes: int = 4
    """Bytes of a prepared item for each place of its input."""
    activation_bytes: int = 4000
    """Bytes of stored activations for each place of an input, where everything learns."""
    pretext: str = ""
    """What a net learns from items without labels, in words; empty where its networks are not `SelfSupervised`."""

    def used(self, size: int, cap: int | None = None) -> int:
        """The size of an input that states its size, once it was made smaller; without ``cap`` as far as usual."""
        return min(size, self.cap if cap is None else cap)

    def places(self, size: int) -> int:
        """Places of an input of that size."""
        return int(size**self.dimensions)

    def uses(self, size: int) -> float:
        """About how often each weight of a net is used for an input of that size."""
        return float((size / self.stride) ** self.dimensions)


@dataclass(frozen=True)
class Undecodable:
    """Why bytes are no item."""

    reason: str


@dataclass(frozen=True)
class Preview:
    """An item as it can be shown: a few bytes of a kind that a browser knows."""

    mime: str
    content: bytes


@dataclass(frozen=True, eq=False)
class InMemory:
    """Items as others hand them over without files: what a model's signature states."""

    example: Any
    """Synthetic ones, as `Modality.from_memory` takes them."""
    dtype: str
    """NumPy's name of the numbers that an item consists of; empty where an item is a text."""
    shape: tuple[int, ...] = ()
    """Of one item; -1 where it may be anything."""


@dataclass(frozen=True)
class RawRecipe:
    """How the features of no transfer are computed by who has none of this code."""

    settings: Mapping[str, Any]
    """The same as plain JSON."""
    code: str
    """Python that defines ``features(path)``: one row of raw features."""


@runtime_checkable
class Item(Protocol):
    """One item of a sample. Equal where name and content are."""

    @property
    def name(self) -> str:
        """Path below the folder or archive that was read (bytes that are no text escaped), or the row's number."""

    @property
    def digest(self) -> str:
        """SHA-256 of its content as it came."""

    @property
    def identity(self) -> str:
        """A digest, the same for items that hold the same, however it is written: the content's, or a folded one."""

    @property
    def shown(self) -> str:
        """What `open` gives, as a digest: that of the content, and of the reading where that matters."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """What was unusual about it and was converted, in a word each; they are counted."""

    def open(self) -> Any:  # noqa: ANN401 - what the modality makes of it
        """Its content, decoded.

        Raises:
            ItemUnreadable: the file has gone or changed, and cannot be read any more.
        """


@runtime_checkable
class Network(Protocol):
    """An opened checkpoint's two ends: items in, features out. Its middle (blocks, head, freezing) is generic.

    A batch is a mapping of the model's own arguments to torch tensors, rows first, from end to end.
    """

    @property
    def model(self) -> Any:  # noqa: ANN401 - a PreTrainedModel; torch is not loaded here
        """The model, in evaluation mode."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that turns an item into the model's input, the cap's effect included."""

    @property
    def stated(self) -> int:
        """Size of the input that the checkpoint states (pixels of a side, tokens, frames), before any cap."""

    @property
    def at_once(self) -> int:
        """Items that one forward pass takes at most when features are computed."""

    @property
    def blended(self) -> tuple[str, ...]:
        """Keys of a batch that hold the items themselves as real numbers: mixup may blend them."""

    @property
    def beside(self) -> tuple[str, ...]:
        """Keys of a batch that are no arguments of the model: where the positions lie that `pool` gives vectors of."""

    def remarks(self, items: Sequence[Item]) -> tuple[str, ...]:
        """What of these items it does not see, a sentence each."""

    def around(self, model: Any) -> "Network":  # noqa: ANN401 - a PreTrainedModel
        """The same two ends around another model that takes the same inputs."""

    def prepare(self, item: Item) -> Prepared:
        """An item, decoded and of the network's size; safe to call from several threads."""

    def batch(self, rows: Sequence[Prepared], chance: Sequence[np.random.Generator] | None = None) -> dict[str, Any]:
        """Exactly the model's arguments; with ``chance``, one generator a row, each varied as augmentation does."""

    def context(self, rows: Sequence[Prepared]) -> dict[str, Any]:
        """Those of the arguments that blocks in the middle of the net read too: masks, and never the items."""

    def settings(self, part: Any) -> Mapping[str, object]:  # noqa: ANN401 - a module of the model
        """Arguments of a forward pass of this part of the model beside the batch."""

    def pool(self, hidden: Any, batch: Mapping[str, Any]) -> Any:  # noqa: ANN401 - torch tensors
        """A block's output as one vector a row (n, d), padding left out; or one a position, row after row."""

    def summary(self, output: Any, batch: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a ModelOutput, torch tensors
        """What the whole backbone made of each row (n, d), of the output of its forward pass."""

    def examples(self) -> tuple[Item, ...]:
        """Synthetic items of several shapes: an export is checked on them, and MLflow's model signed."""

    def save_processor(self, folder: Path) -> None:
        """Write what turns items into inputs, as transformers reads it."""

    def reopened(self, folder: Path, items: Sequence[Item]) -> dict[str, Any]:
        """The batch that transformers' own processor makes of items, read from a folder."""

    def classifiers(
        self,
        config: Any,  # noqa: ANN401 - a PretrainedConfig
        weight: Float[np.ndarray, "c d"],
        bias: Float[np.ndarray, " c"],
        build: Callable[[Any], Any],
    ) -> Iterator[Any]:
        """Transformers' classifiers that may compute this head on what the network pools, where theirs reads another.

        ``build`` gives the classifier of a configuration, with all of the backbone's weights that it has. None need be
        right: they are checked.
        """

    def configured(self, config: Any) -> Any:  # noqa: ANN401 - a PretrainedConfig
        """A copy of a configuration that states the size of input which the network is given."""

    def resized(self, owner: Any, wanted: Any) -> Any:  # noqa: ANN401 - a module, a tensor
        """Position embeddings of ``owner`` for the size of input which the network is given."""


@runtime_checkable
class Positional(Protocol):
    """What is known of items that are labelled at each of their positions, as sentences are word by word."""

    @property
    def words(self) -> Words:
        """What messages call positions, and the features of no transfer that each has."""

    @property
    def classifier(self) -> str:
        """As `Modality.classifier`, of those that label positions."""

    @property
    def hub_task(self) -> str:
        """As `Modality.hub_task`, of those that label positions."""

    @property
    def in_memory(self) -> InMemory:
        """As `Modality.in_memory`."""

    def item(self, name: str, parts: Sequence[object]) -> Item | Undecodable:
        """The item whose positions these are, or why they make none; never an exception."""

    def of(self, item: Item) -> tuple[str, ...]:
        """The positions of an item, in words: at least one."""

    def raw(self) -> Any:  # noqa: ANN401 - a TransformerMixin; scikit-learn is not loaded here
        """As `Modality.raw`: items to one sparse row of features a position, item after item."""

    def network(self, network: Network) -> Network:
        """The same two ends, pooled at each position. What is cut off an item has a vector of zeros there."""


@runtime_checkable
class SelfSupervised(Protocol):
    """A network that learns from items without labels, too: what was hidden of them, or what comes next."""

    def pretext(self, folder: Path) -> Any:  # noqa: ANN401 - a torch module
        """What is trained then, around the network's own model: from `hide`'s arguments to the mean loss.

        What it needs beside the model is read from the checkpoint's folder, where it is stored.

        Raises:
            Unsupported: the model, or what makes its inputs, does not allow it.
        """

    def hide(self, rows: Sequence[Prepared], chance: Sequence[np.random.Generator]) -> dict[str, Any]:
        """The module's arguments for these rows, parts of them hidden by chance, one generator a row."""


@runtime_checkable
class Modality(Protocol):
    """All that is known of one kind of item."""

    @property
    def name(self) -> str:
        """``image``, ``text`` ..."""

    @property
    def words(self) -> Words:
        """What messages call its items."""

    @property
    def suffixes(self) -> frozenset[str]:
        """Endings, in small letters and with their dots, of files that hold one item each."""

    @property
    def text_is_item(self) -> bool:
        """Whether a text in Python is an item itself; else it is the path of one."""

    @property
    def defaults(self) -> Defaults:
        """What its plans and costs begin with."""

    @property
    def copies_apart(self) -> float:
        """How far the fingerprints of near duplicates lie apart at most: 1 - cosine."""

    @property
    def raw_size(self) -> int:
        """Size of the input of no transfer, in the unit of its words."""

    def decode(self, name: str, content: bytes, path: Path | None = None) -> Item | Undecodable:
        """The item that bytes hold, or why they hold none; never an exception. Safe to call from several threads.

        Where ``path`` is given the bytes lie there and need not be kept.
        """

    def from_cells(self, name: str, cells: Sequence[object]) -> Item | Undecodable:
        """The item that cells of a record are, or why they are none; never an exception."""

    def settled(self, items: Sequence[Item], reading: Reading) -> tuple[tuple[Item, ...], Reading]:
        """Decoded items, each as it is read from now on: by a reading, and what it lacks measured on these.

        Beside them the reading with what was measured.
        """

    def from_memory(self, values: Any) -> tuple[Item, ...]:  # noqa: ANN401 - what Python holds such items in
        """One item for each of the values, named by its place.

        Raises:
            UnusableArrays: they are no items of this modality.
        """

    def fingerprints(self, items: Sequence[Item]) -> Float[np.ndarray, "n d"]:
        """Unit vectors, near duplicates close by cosine; zero for an item with next to nothing in it."""

    def altered(self, items: Sequence[Item]) -> Float[np.ndarray, "n v d"]:
        """Fingerprints of each item altered as copies are (cut at its edges ...); of no view where none is usual."""

    def remarks(self, items: Sequence[Item]) -> tuple[str, ...]:
        """What its user should know of a part's items, a sentence each; nothing where they are as they should be."""

    def raw(self, named: str = ...) -> Any:  # noqa: ANN401 - a TransformerMixin; scikit-learn is not loaded here
        """The features of no transfer: a scikit-learn transformer of items, to be fitted on training rows.

        ``named`` is one of `Words.raws`, or else the plainest. In a pipeline, leading steps that need no fitting
        (``requires_fit`` of their tags) are run once for all rows; they are the same for all names.

        Raises:
            UnknownName: no features have that name.
        """

    def raw_recipe(self, fitted: Any) -> RawRecipe:  # noqa: ANN401 - as above
        """How others compute what a fitted `raw` gives."""

    def preview(self, item: Item) -> Preview:
        """The item as a page or a notebook shows it, small.

        Raises:
            ItemUnreadable: as `Item.open`.
        """

    @property
    def inputs(self) -> frozenset[str]:
        """Main inputs of transformers' models that it can make."""

    @property
    def classifier(self) -> str:
        """The Auto class that opens an exported classifier: a name of transformers', or where it lies, with dots.

        What it has registered (`transformers.AutoConfig.register` and its own) may be opened as checkpoints too.
        """

    @property
    def hub_task(self) -> str:
        """What hubs call that which its classifiers do: ``image-classification``; empty where they have no word."""

    @property
    def in_memory(self) -> InMemory:
        """How callers hand over its items without files."""

    @property
    def processor_files(self) -> tuple[str, ...]:
        """Files of a checkpoint's folder that turn an item into the model's input; ``*`` is any part of a name."""

    @property
    def positions(self) -> Positional | None:
        """How its items are labelled position by position; None where each is labelled as a whole alone."""

    @property
    def catalog(self) -> Path | None:
        """Folder of its lens, domains and checkpoints, laid out as the bundled catalog; None where they are in that."""

    def usual_processor(self, folder: Path) -> Mapping[str, object] | None:
        """Settings (a preprocessor_config.json) that models of the type in a folder's config.json usually have.

        None where each model has one of its own, as of texts.
        """

    def objection(self, config: Any) -> str | None:  # noqa: ANN401 - a PretrainedConfig
        """Why a model so configured takes no item of this modality, or None."""

    def open(self, folder: Path, model: Any, cap: int = DEFAULT_CAP) -> Network:  # noqa: ANN401 - as above
        """The two ends of a loaded model, with what lies in its folder.

        Raises:
            Unsupported: the folder's processor is missing or cannot be reproduced.
        """


modalities: Plugins[Modality] = Plugins(
    "modality",
    "transferzoo.modalities",
    {
        "image": lambda: import_module("registry.modalities.image").IMAGE,
        "text": lambda: import_module("registry.modalities.text").TEXT,
    },
    promise=Modality,
)


def modality_of(main_input: str) -> Modality | None:
    """The modality that can make that main input of a model; None where none can."""
    return next((known for known in modalities.each() if main_input in known.inputs), None)
