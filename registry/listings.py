"""Listings: what public sources say of checkpoints on a hub, fact by fact, before any of their bytes are here.

Each fact names where it was read and on which day, and the machine check that holds it, where there is one. Sources
contradict one another: all that they say stands side by side. What a config computes is the witness; without one the
largest number and the strictest license count.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations

from registry.cards import BYTES_A_PARAMETER, UNKNOWN_LICENSE
from registry.licenses import spdx

__all__ = ["HUB_TASKS", "Architecture", "Fact", "Listing", "agree", "find_listing", "hub_task"]

_NUMBER = re.compile(r"(?P<about>about )?(?P<number>\d+(?:\.\d+)?)(?: ?(?P<unit>[kMG])B?)?")
_UNITS = {None: 1, "k": 10**3, "M": 10**6, "G": 10**9}
_TASKS = {
    "ImageClassification": "image-classification",
    "TimmWrapper": "image-classification",
    "ForSemanticSegmentation": "image-segmentation",
    "CLIPModel": "zero-shot-image-classification",
    "SiglipModel": "zero-shot-image-classification",
    "ForSequenceClassification": "text-classification",
    "ForCausalLM": "text-generation",
    "ForAudioClassification": "audio-classification",
    "ForCTC": "automatic-speech-recognition",
    "ForConditionalGeneration": "automatic-speech-recognition",
    "ClapModel": "zero-shot-audio-classification",
}
"""What the class of a net says that it does as it is, in the words of hubs; any other gives features."""
_FEATURES = "feature-extraction"
HUB_TASKS = (*dict.fromkeys(_TASKS.values()), _FEATURES)


@dataclass(frozen=True)
class Fact:
    """One statement of one source."""

    value: int | str
    """As the source writes it: ``25557032``, ``25.56 M``, ``3+4+6+3``, ``apache-2.0``."""
    source: str
    """An address, a paper, or what computed it."""
    checked: str = ""
    """The day (ISO 8601) on which the source was read; empty where it is cited from memory."""
    witness: str = ""
    """What recomputes it: ``config``, or ``weights`` that are here. Empty where nothing does."""

    @property
    def number(self) -> tuple[float, float] | None:
        """The number that it states, and by how much that may be rounded: ``125 M`` is within half a million."""
        if isinstance(self.value, int):
            return float(self.value), 0.0
        match = _NUMBER.fullmatch(self.value)
        if match is None:
            return None
        digits, unit = match["number"], _UNITS[match["unit"]]
        whole, _, decimals = digits.partition(".")
        zeros = len(whole) - len(whole.rstrip("0")) if not decimals else -len(decimals)
        step = 10.0**zeros * unit
        return float(digits) * unit, step if match["about"] else step / 2


@dataclass(frozen=True)
class Architecture:
    """What builds a checkpoint's net without its weights: a config class of transformers, its settings, the model."""

    config: str
    model: str
    settings: Mapping[str, object] = field(default_factory=dict)
    without: str = ""
    """A part that the weights lack, as ``pooler``."""
    counted: bool = True
    """Whether it has as many parameters; False where only width and depth are the same."""


@dataclass(frozen=True)
class Listing:
    """A checkpoint on a hub as public sources describe it."""

    name: str
    hub: str
    """Its id there: ``organization/name``."""
    modality: str
    architecture: str
    facts: Mapping[str, tuple[Fact, ...]]
    """By kind: parameters, width, depth, input, license, pretraining data, objective, bytes ..."""
    aliases: tuple[str, ...] = ()
    """Ids by which it was known before."""
    data: tuple[str, ...] = ()
    """Domain cards of what it was pretrained on, the last stage last."""
    base: tuple[str, ...] = ()
    """Hub ids of the checkpoints that it was trained from."""
    built: Architecture | None = None
    """None where no config can be had without the network: then its numbers have no witness."""

    def counted(self, parameters: int) -> "Listing":
        """With what was counted on the weights themselves, which outweighs all that is stated."""
        fact = Fact(parameters, "counted on the weights that are here", witness="weights")
        return replace(self, facts={**self.facts, "parameters": (fact, *self.facts.get("parameters", ()))})

    @property
    def parameters(self) -> int | None:
        """How many, as its witness counts or else the largest number that a source states; None where none does."""
        return _largest(self.facts.get("parameters", ()))

    @property
    def bytes(self) -> int | None:
        """How many are to be fetched, about: as stated, else four a parameter; None where neither is known."""
        stated, parameters = _largest(self.facts.get("bytes", ())), self.parameters
        return stated if stated is not None or parameters is None else BYTES_A_PARAMETER * parameters

    @property
    def licenses(self) -> tuple[str, ...]:
        """The licenses of its weights, as SPDX has them: more than one where sources disagree."""
        stated = dict.fromkeys(spdx(str(fact.value)) for fact in self.facts.get("license", ()))
        return tuple(stated) or (UNKNOWN_LICENSE,)

    @cached_property
    def contradictions(self) -> tuple[str, ...]:
        """The kinds of facts on which sources disagree."""
        return tuple(kind for kind, stated in self.facts.items() if not agree(kind, stated))


def agree(kind: str, facts: Sequence[Fact]) -> bool:
    """Whether all facts of a kind may be true at once: numbers as they are rounded, licenses as SPDX has them."""
    return all(_compatible(kind, one, other) for one, other in combinations(facts, 2))


def find_listing(listings: Iterable[Listing], name: str) -> Listing | None:
    """The one of that name, hub id or earlier hub id."""
    return next((one for one in listings if name in {one.name, one.hub, *one.aliases}), None)


def hub_task(architecture: str) -> str:
    """What a net of that class does as it is, before any tuning; one of `HUB_TASKS`."""
    return next((task for part, task in _TASKS.items() if part in architecture), _FEATURES)


def _compatible(kind: str, one: Fact, other: Fact) -> bool:
    if kind == "license":
        return spdx(str(one.value)) == spdx(str(other.value))
    left, right = one.number, other.number
    if left is None or right is None:
        return str(one.value).casefold() == str(other.value).casefold()
    return abs(left[0] - right[0]) <= max(left[1], right[1])


def _largest(facts: Sequence[Fact]) -> int | None:
    """The number of the witnessed fact, else the largest."""
    held = [fact for fact in facts if fact.witness] or facts
    numbers = [fact.number[0] for fact in held if fact.number is not None]
    return round(max(numbers)) if numbers else None
