"""The witness of a listing's numbers: transformers' own config class and net on the meta device, without weights.

python catalog/recipes/witness.py            # every number of the catalog that a config computes
"""

from collections.abc import Mapping
from pathlib import Path

import torch
import transformers

from registry.catalog import read_catalog
from registry.listings import Architecture

WIDTHS = ("hidden_size", "d_model", "n_embd")


def computed(built: Architecture) -> Mapping[str, int | str]:
    """Parameters, width and depth, as far as the config computes them."""
    config = getattr(transformers, built.config)(**built.settings)
    result: dict[str, int | str] = {}
    net = _net(config, built)
    if built.counted:
        parts = (p for name, p in net.named_parameters() if not built.without or built.without not in name)
        result["parameters"] = sum(p.numel() for p in parts)
    width = _width(config)
    if width is not None:
        result["width"] = width
    depth = _depth(config, net)
    if depth is not None:
        result["depth"] = depth
    return result


def _net(config: transformers.PretrainedConfig, built: Architecture) -> torch.nn.Module:
    with torch.device("meta"):
        return getattr(transformers, built.model)(config)


def _width(config: transformers.PretrainedConfig) -> int | None:
    """Columns that the backbone ends with."""
    width: int | None = next((getattr(config, name) for name in WIDTHS if hasattr(config, name)), None)
    match config.model_type:
        case "clip" | "siglip":
            width = config.vision_config.hidden_size
        case "clap":
            width = config.projection_dim
        case "efficientnet":
            width = config.hidden_dim
        case "mobilenet_v1":
            width = round(1024 * config.depth_multiplier)
        case "mobilenet_v2":
            width = round(1280 * max(1.0, config.depth_multiplier))
        case "mobilevit":
            width = config.neck_hidden_sizes[-1]
        case "swin":
            width = config.embed_dim * 2 ** (len(config.depths) - 1)
        case _ if getattr(config, "hidden_sizes", None):
            width = config.hidden_sizes[-1]
    return width


def _depth(config: transformers.PretrainedConfig, net: torch.nn.Module) -> int | str | None:
    """Layers, or blocks by stage, or encoder and decoder layers."""
    depth: int | str | None = getattr(config, "num_hidden_layers", None)
    match config.model_type:
        case "clip" | "siglip":
            depth = config.vision_config.num_hidden_layers
        case "clap" | "mobilevit":
            depth = None
        case "whisper":
            depth = f"{config.encoder_layers}+{config.decoder_layers}"
        case "t5":
            depth = f"{config.num_layers}+{config.num_decoder_layers}"
        case "efficientnet":
            depth = _count(net, "EfficientNetBlock")
        case "mobilenet_v1":
            depth = _count(net, "MobileNetV1ConvLayer") // 2
        case "mobilenet_v2":
            depth = 1 + _count(net, "MobileNetV2InvertedResidual")
        case _ if getattr(config, "depths", None):
            depth = "+".join(map(str, config.depths))
    return depth


def _count(net: torch.nn.Module, part: str) -> int:
    return sum(type(module).__name__ == part for module in net.modules())


def main() -> None:
    """Print what each config computes, beside what the card states."""
    for listing in read_catalog(Path(__file__).parents[1]).listings:
        if listing.built is None:
            print(f"{listing.hub}: no witness")
            continue
        for kind, value in computed(listing.built).items():
            stated = " / ".join(str(fact.value) for fact in listing.facts.get(kind, ()))
            print(f"{listing.hub}: {kind} {value} (stated: {stated or 'nothing'})")


if __name__ == "__main__":
    main()
