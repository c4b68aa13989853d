"""Images: all that knows what a picture is."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from registry.modalities import (
    DEFAULT_CAP,
    Defaults,
    InMemory,
    Network,
    Preview,
    RawRecipe,
    Reading,
    Undecodable,
    Words,
)
from registry.modalities.image.fingerprints import altered_fingerprints, fingerprints_of
from registry.modalities.image.items import ImageItem, decoded_item, items_from_memory, settled_items
from registry.modalities.image.preview import preview_of

__all__ = ["IMAGE", "Image"]

_CHANNELS = (1, 3)
_EXAMPLE_SIDE = 32


class Image:
    """Pictures, as the promise `registry.modalities.Modality` has it."""

    name = "image"
    words = Words(
        converted="converted to RGB",
        one="image",
        many="images",
        unit="px",
        raw="raw pixels",
        remarks={"animated": "only the first frame is used"},
        rivals=("oriented gradients", "color histograms", "pixels, gradients and colors"),
    )
    suffixes = frozenset(
        {
            ".bmp",
            ".gif",
            ".jfif",
            ".jpe",
            ".jpeg",
            ".jpg",
            ".pbm",
            ".pgm",
            ".png",
            ".pnm",
            ".ppm",
            ".tif",
            ".tiff",
            ".webp",
        }
    )
    text_is_item = False
    defaults = Defaults(
        cap=DEFAULT_CAP,
        augmentations=("crop", "tilt", "light", "contrast"),
        mixup=0.2,
        dimensions=2,
        stride=32,
        place_bytes=3,
        activation_bytes=1000,
    )
    raw_size = 24
    copies_apart = 0.05
    inputs = frozenset({"pixel_values"})
    classifier = "AutoModelForImageClassification"
    hub_task = "image-classification"
    processor_files = ("preprocessor_config.json", "processor_config.json")
    positions = None
    catalog = None

    @property
    def in_memory(self) -> InMemory:
        """As `Modality.in_memory`: noise, for no sample's picture is for everyone's eyes."""
        noise = np.random.default_rng(0).integers(0, 256, (2, _EXAMPLE_SIDE, _EXAMPLE_SIDE, 3), dtype=np.uint8)
        return InMemory(noise, "uint8", (-1, -1, 3))

    def decode(self, name: str, content: bytes, path: Path | None = None) -> ImageItem | Undecodable:
        """As `Modality.decode`."""
        return decoded_item(name, content, path)

    def from_cells(self, name: str, cells: Sequence[object]) -> ImageItem | Undecodable:
        """As `Modality.from_cells`: one cell with the bytes of a file."""
        match cells:
            case [bytes() as content] if content:
                return self.decode(name, content)
        return Undecodable(f"{' and '.join(type(cell).__name__ for cell in cells) or 'nothing'}, no bytes of a file")

    def settled(self, items: Sequence[ImageItem], reading: Reading) -> tuple[tuple[ImageItem, ...], Reading]:
        """As `Modality.settled`: deep images get the scale by which they become 8-bit."""
        return settled_items(items, reading)

    def from_memory(self, values: Any) -> tuple[ImageItem, ...]:  # noqa: ANN401 - arrays, lists of these or of pictures
        """As `Modality.from_memory`: uint8 (n, h, w) or (n, h, w, 3), or a list of such images or of PIL's."""
        return items_from_memory(values)

    def fingerprints(self, items: Sequence[ImageItem]) -> Float[np.ndarray, "n d"]:
        """As `Modality.fingerprints`."""
        return fingerprints_of([item.thumbnail for item in items])

    def altered(self, items: Sequence[ImageItem]) -> Float[np.ndarray, "n v d"]:
        """As `Modality.altered`: cut at the edges."""
        return altered_fingerprints([item.thumbnail for item in items])

    def remarks(self, items: Sequence[ImageItem]) -> tuple[str, ...]:
        """As `Modality.remarks`: none beside what was converted."""
        del items
        return ()

    def raw(self, named: str = words.raw) -> Any:  # noqa: ANN401 - as `Modality.raw`
        """As `Modality.raw`: 24 x 24 pixels, oriented gradients, colors, or all of them."""
        return import_module("registry.modalities.image.raw").raw_features(named)

    def usual_processor(self, folder: Path) -> Mapping[str, object]:
        """As `Modality.usual_processor`: what transformers has for the type, at the size that the config states."""
        settings: dict[str, object] = import_module("registry.modalities.image.preprocessing").usual_settings(folder)
        return settings

    def raw_recipe(self, fitted: Any) -> RawRecipe:  # noqa: ANN401 - as above
        """As `Modality.raw_recipe`."""
        recipe: RawRecipe = import_module("registry.modalities.image.raw").raw_recipe(fitted)
        return recipe

    def preview(self, item: ImageItem) -> Preview:
        """As `Modality.preview`."""
        return preview_of(item.open())

    def objection(self, config: Any) -> str | None:  # noqa: ANN401 - a PretrainedConfig
        """As `Modality.objection`."""
        channels = getattr(config, "num_channels", max(_CHANNELS))
        return (
            None
            if channels in _CHANNELS
            else f"it takes {channels} channels, pictures have 3, or 1 where they are gray"
        )

    def open(self, folder: Path, model: Any, cap: int = DEFAULT_CAP) -> Network:  # noqa: ANN401 - a PreTrainedModel
        """As `Modality.open`."""
        network: Network = import_module("registry.modalities.image.network").open_network(folder, model, cap)
        return network


IMAGE = Image()
