"""What a text checkpoint's folder and config state beside its tokenizer: its length, and how it is pooled."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from registry.documents import read_json
from registry.errors import UnreadableDocument, Unsupported
from registry.statements import is_number, stated

__all__ = ["CAP", "FILES", "LONGEST", "Pooling", "SentenceSettings", "objection_to", "sentence_settings"]

CAP = 128
"""Tokens beyond which texts are cut, where nothing else is asked for."""
LONGEST = 100_000
"""A stated length from which on it means that there is no limit."""
FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "modules.json",
    "sentence_bert_config.json",
    "*_Pooling/config.json",
)
"""What turns a text into a model's input, as transformers and sentence-transformers name it."""
_OTHER_INPUTS = {"vision_config": "pictures", "audio_config": "sound"}


class Pooling(StrEnum):
    """How a sequence becomes one vector."""

    MEAN = "mean"
    FIRST = "cls"
    LAST = "lasttoken"
    LARGEST = "max"


_POOLINGS = {
    "pooling_mode_mean_tokens": Pooling.MEAN,
    "pooling_mode_cls_token": Pooling.FIRST,
    "pooling_mode_lasttoken": Pooling.LAST,
    "pooling_mode_max_tokens": Pooling.LARGEST,
    **{str(mode): mode for mode in Pooling},
}


@dataclass(frozen=True)
class SentenceSettings:
    """What a folder of sentence-transformers states; nothing where it is none."""

    pooling: Pooling | None = None
    normalized: bool = False
    longest: int | None = None
    """Tokens."""


def sentence_settings(folder: Path) -> SentenceSettings:
    """Pooling, normalization and length, from modules.json and the files that it names.

    Raises:
        Unsupported: a file of these is damaged, or states what cannot be reproduced.
    """
    if not (folder / "modules.json").is_file():
        return SentenceSettings()
    pooling, normalized = None, False
    for module in _modules(folder):
        kind, path = str(module.get("type")).rpartition(".")[2], str(module.get("path", ""))
        if kind == "Pooling":
            pooling = _pooling(folder, path)
        elif kind == "Normalize":
            normalized = True
        elif kind != "Transformer":
            raise Unsupported(folder, f"modules.json states {kind!r:.60} behind the net, which is not reproduced")
    longest = None
    if (folder / "sentence_bert_config.json").is_file():
        stated_length = stated(folder, "sentence_bert_config.json").get("max_seq_length")
        longest = int(stated_length) if is_number(stated_length) and 0 < stated_length < LONGEST else None
    return SentenceSettings(pooling, normalized, longest)


def objection_to(config: Any) -> str | None:  # noqa: ANN401 - a PretrainedConfig
    """As `registry.modalities.Modality.objection`."""
    named = [str(name) for name in getattr(config, "architectures", None) or ()]
    if getattr(config, "is_encoder_decoder", False) and not any(name.endswith("EncoderModel") for name in named):
        return "it is an encoder with a decoder; save its encoder alone, as T5EncoderModel does"
    others = [what for part, what in _OTHER_INPUTS.items() if getattr(config, part, None) is not None]
    return f"it takes {' and '.join(others)} beside texts" if others else None


def _modules(folder: Path) -> list[Mapping[str, Any]]:
    try:
        modules = read_json(folder / "modules.json")
    except UnreadableDocument as cause:
        raise Unsupported(folder, f"modules.json cannot be read ({cause.why})", cause.remedy) from cause
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise Unsupported(folder, "modules.json holds no list of modules")
    return modules


def _pooling(folder: Path, path: str) -> Pooling:
    if not path or Path(path).name != path or not (folder / path / "config.json").is_file():
        raise Unsupported(folder, f"modules.json names {path!r:.60} for its pooling, where no config.json lies")
    if not path.endswith("_Pooling"):
        why = f"modules.json names {path!r:.60} for its pooling"
        raise Unsupported(folder, why, "Name that folder 1_Pooling, there too, as sentence-transformers does.")
    pooling = stated(folder, f"{path}/config.json")
    named = [str(pooling["pooling_mode"])] if "pooling_mode" in pooling else []
    named += [key for key, value in pooling.items() if key.startswith("pooling_mode_") and value is True]
    known = [_POOLINGS.get(name) for name in named]
    if len(known) != 1 or known[0] is None:
        several = ", ".join(named)[:80] or "nothing"
        raise Unsupported(folder, f"its pooling is {several}, not one of {', '.join(Pooling)}")
    return known[0]
