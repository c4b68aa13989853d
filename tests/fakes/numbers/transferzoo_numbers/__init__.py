"""A modality by plug-in: an item is a JSON list of numbers in a file ``*.num``."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from registry.errors import ItemUnreadable, UnusableArrays
from registry.modalities import Defaults, InMemory, Network, Preview, RawRecipe, Reading, Undecodable, Words

__all__ = ["NUMBER", "Number", "Series"]

_MOST_BYTES = 1 << 20
_WIDTH = 64


@dataclass(frozen=True)
class Series:
    """One list of numbers."""

    name: str
    digest: str
    values: tuple[float, ...] = field(compare=False, repr=False)
    kinds: tuple[str, ...] = field(default=(), compare=False)

    @property
    def identity(self) -> str:
        """As `Item.identity`."""
        return self.digest

    @property
    def shown(self) -> str:
        """As `Item.shown`."""
        return self.digest

    def open(self) -> np.ndarray:
        """The numbers."""
        if not self.values:
            raise ItemUnreadable(self.name, "it holds no number")
        return np.array(self.values, np.float64)


class Number:
    """Lists of numbers, as the promise `registry.modalities.Modality` has it."""

    name = "number"
    words = Words(one="series", many="series", unit="numbers", raw="moments")
    suffixes = frozenset({".num"})
    text_is_item = False
    defaults = Defaults(cap=24, augmentations=("jitter",))
    raw_size = 4
    copies_apart = 0.02
    inputs = frozenset({"number_values"})
    classifier = "transferzoo_numbers.network.AutoModelForNumberClassification"
    hub_task = ""
    positions = None
    processor_files = ("number_config.json",)

    @property
    def catalog(self) -> Path | None:
        """As `Modality.catalog`."""
        beside = Path(__file__).with_name("catalog")
        return beside if beside.is_dir() else None

    @property
    def in_memory(self) -> InMemory:
        """As `Modality.in_memory`."""
        return InMemory(np.random.default_rng(0).normal(size=(2, 24)), "float64", (-1,))

    def from_cells(self, name: str, cells: Sequence[object]) -> Series | Undecodable:
        """As `Modality.from_cells`: the numbers of a row."""
        return self.decode(name, json.dumps(list(cells), default=str).encode())

    def decode(self, name: str, content: bytes, path: Path | None = None) -> Series | Undecodable:
        """As `Modality.decode`."""
        del path
        if len(content) > _MOST_BYTES:
            return Undecodable("more than a megabyte")
        try:
            values = json.loads(content)
        except (ValueError, RecursionError):
            return Undecodable("not a JSON list of numbers")
        if not isinstance(values, list) or not values or not all(map(_is_number, values)):
            return Undecodable("not a JSON list of finite numbers")
        kinds = ("a single number",) if len(values) == 1 else ()
        return Series(name, sha256(content).hexdigest(), tuple(map(float, values)), kinds)

    def settled(self, items: Sequence[Series], reading: Reading) -> tuple[tuple[Series, ...], Reading]:
        """As `Modality.settled`: there is nothing to measure."""
        return tuple(items), reading

    def from_memory(self, values: Any) -> tuple[Series, ...]:
        """As `Modality.from_memory`: a list of lists of numbers, or an array (n, length)."""
        try:
            rows = [[float(number) for number in row if _is_real(number)] for row in values]
            whole = [len(row) == len(held) for row, held in zip(rows, values, strict=True)]
        except (TypeError, ValueError) as cause:
            raise UnusableArrays(type(values).__name__, (), "they are no lists of numbers") from cause
        if not all(whole) or not all(row and all(map(math.isfinite, row)) for row in rows):
            raise UnusableArrays("list", (), "one is empty, or holds what is no finite number")
        return tuple(
            Series(str(place), sha256(json.dumps(row).encode()).hexdigest(), tuple(row))
            for place, row in enumerate(rows)
        )

    def fingerprints(self, items: Sequence[Series]) -> np.ndarray:
        """As `Modality.fingerprints`: a direction drawn by the rounded numbers."""
        rows = [_direction(item.values) for item in items]
        return np.array(rows, np.float32).reshape(len(rows), _WIDTH)

    def altered(self, items: Sequence[Series]) -> np.ndarray:
        """As `Modality.altered`: of no view."""
        return np.empty((len(items), 0, _WIDTH), np.float32)

    def remarks(self, items: Sequence[Series]) -> tuple[str, ...]:
        """As `Modality.remarks`: none."""
        del items
        return ()

    def raw(self, named: str = words.raw) -> Any:
        """As `Modality.raw`: mean, deviation, least and largest number, standardized on what it is fitted to."""
        del named
        return import_module("transferzoo_numbers.raw").raw_features()

    def usual_processor(self, folder: Path) -> None:
        """As `Modality.usual_processor`: there is none."""

    def raw_recipe(self, fitted: Any) -> RawRecipe:
        """As `Modality.raw_recipe`."""
        recipe: RawRecipe = import_module("transferzoo_numbers.raw").raw_recipe(fitted)
        return recipe

    def preview(self, item: Series) -> Preview:
        """As `Modality.preview`."""
        return Preview("text/plain", " ".join(f"{value:.3g}" for value in item.open()[:12]).encode())

    def objection(self, config: Any) -> str | None:
        """As `Modality.objection`."""
        del config

    def open(self, folder: Path, model: Any, cap: int = 24) -> Network:
        """As `Modality.open`."""
        network: Network = import_module("transferzoo_numbers.network").open_network(folder, model, cap)
        return network


NUMBER = Number()


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e30


def _is_real(value: object) -> bool:
    return isinstance(value, (Real, np.number)) and not isinstance(value, bool | complex | np.complexfloating)


def _direction(values: Sequence[float]) -> np.ndarray:
    rounded = json.dumps([round(float(value), 6) for value in values]).encode()
    drawn = np.random.default_rng(int.from_bytes(sha256(rounded).digest()[:8], "big")).normal(size=_WIDTH)
    return drawn / np.linalg.norm(drawn)
