"""What an item is: the promises Modality and Network, and the modalities there are. Nothing here loads torch."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from registry.plugins import Plugins

__all__ = ["DEFAULT_CAP", "Modality", "Network", "Prepared", "modalities", "modality_of"]

DEFAULT_CAP = 224
"""Pixels of a side beyond which inputs are made smaller, where nothing else is asked for."""

Prepared = Mapping[str, np.ndarray]
"""One item as a network takes it, in the compact form in which it is kept between epochs."""


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

    def around(self, model: Any) -> "Network":  # noqa: ANN401 - a PreTrainedModel
        """The same two ends around another model that takes the same inputs."""

    def prepare(self, item: Any) -> Prepared:  # noqa: ANN401 - an item of the modality
        """An item, decoded and of the network's size; safe to call from several threads."""

    def batch(self, rows: Sequence[Prepared], chance: Sequence[np.random.Generator] | None = None) -> dict[str, Any]:
        """Exactly the model's arguments; with ``chance``, one generator a row, each varied as augmentation does."""

    def context(self, rows: Sequence[Prepared]) -> dict[str, Any]:
        """Those of the arguments that blocks in the middle of the net read too: masks, and never the items."""

    def settings(self, part: Any) -> Mapping[str, object]:  # noqa: ANN401 - a module of the model
        """What a forward pass of this part of the model must be told beside the batch."""

    def pool(self, hidden: Any, batch: Mapping[str, Any]) -> Any:  # noqa: ANN401 - torch tensors
        """A block's output as one vector a row (n, d), padding left out."""

    def examples(self) -> tuple[Any, ...]:
        """Synthetic items of several shapes: an export is checked on them, and MLflow's model signed."""

    def save_processor(self, folder: Path) -> None:
        """Write what turns items into inputs, as transformers reads it."""

    def reopened(self, folder: Path, items: Sequence[Any]) -> dict[str, Any]:
        """The batch that transformers' own processor makes of items, read from a folder."""

    def configured(self, config: Any) -> Any:  # noqa: ANN401 - a PretrainedConfig
        """A copy of a configuration that states the size of input which the network is given."""

    def resized(self, owner: Any, wanted: Any) -> Any:  # noqa: ANN401 - a module, a tensor
        """Position embeddings of ``owner`` for the size of input which the network is given."""


@runtime_checkable
class Modality(Protocol):
    """All that is known of one kind of item."""

    @property
    def name(self) -> str:
        """``image``, ``text`` ..."""

    @property
    def inputs(self) -> frozenset[str]:
        """Main inputs of transformers' models that it can make."""

    @property
    def classifier(self) -> str:
        """The Auto class of transformers that opens an exported classifier."""

    @property
    def classifiers(self) -> str:
        """The table of transformers' that names the classifier of each type of model."""

    @property
    def processor_files(self) -> tuple[str, ...]:
        """Files of a checkpoint's folder that turn an item into the model's input."""

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
    {"image": lambda: import_module("registry.modalities.image").IMAGE},
    promise=Modality,
)


def modality_of(main_input: str) -> Modality | None:
    """The modality that can make that main input of a model; None where none can."""
    return next((known for _, known in modalities.usable() if main_input in known.inputs), None)
