"""Images: all that knows what a picture is."""

from importlib import import_module
from pathlib import Path
from typing import Any

from registry.modalities import DEFAULT_CAP, Network

__all__ = ["IMAGE", "Image"]

_CHANNELS = 3


class Image:
    """Pictures, as the promise `registry.modalities.Modality` has it."""

    name = "image"
    inputs = frozenset({"pixel_values"})
    classifier = "AutoModelForImageClassification"
    processor_files = ("preprocessor_config.json", "processor_config.json")
    catalog = None

    def objection(self, config: Any) -> str | None:  # noqa: ANN401 - a PretrainedConfig
        """As `Modality.objection`."""
        channels = getattr(config, "num_channels", _CHANNELS)
        return None if channels == _CHANNELS else f"it takes {channels} channels, pictures have {_CHANNELS}"

    def open(self, folder: Path, model: Any, cap: int = DEFAULT_CAP) -> Network:  # noqa: ANN401 - a PreTrainedModel
        """As `Modality.open`."""
        network: Network = import_module("registry.modalities.image.network").open_network(folder, model, cap)
        return network


IMAGE = Image()
