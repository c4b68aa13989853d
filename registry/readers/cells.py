"""Cells of a column of targets: what they are, read off the whole column, and the form that they have everywhere.

A ``|``, or a cell left empty beside text, makes it multi-label; a number with a fraction, or more than 20 different
ones, regression; all else are classes.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from registry.cards import Task
from registry.errors import BadTable
from registry.features import LARGEST
from registry.readers.layout import counted, plain_name

__all__ = ["MOST_CELLS", "TargetColumn", "shortened", "target_of"]

MOST_CELLS = 1_000_000
"""Different cells of a column that are kept."""
_SEPARATOR = "|"
_CLASSES = 20
"""Different whole numbers up to which they are taken for classes."""
_SCALE = range(3, 11)
"""How many values a scale of ratings has, from 1 on."""
_WHOLE = re.compile(r"[+-]?\d+")
_WHOLE_FLOAT = re.compile(r"([+-]?\d+)\.0*")
"""How pandas writes whole numbers of a column that once had a gap."""
_ABSENT = frozenset({"nan", "na", "n/a", "none", "null", "<na>", "#n/a"})
_LIST = re.compile(r"\[.*\]|\{.*\}|\(.*,.*\)", re.DOTALL)
"""A list as it reads once it was written as text."""
_COMMA = re.compile(r"[+-]?\d+,\d+")
_UNIT = re.compile(r"[+-]?\d+(?:[.,]\d+)?\s*([^\s\d.,|]{1,6})")
"""A number with what it is counted in behind it."""
_SHOWN = 60


@dataclass
class TargetColumn:
    """What a column of targets holds, cell by cell."""

    cells: set[str] = field(default_factory=set)
    """Different ones; of very many not all."""
    different: int = 0
    absent: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Rows of each cell that may mean that there is no target."""
    blank: int = 0
    """Rows whose cell is empty."""
    numbers: int = 0
    """Different cells that are numbers, whether some are written as floats, and some have fractions."""
    floats: bool = False
    fractions: bool = False
    values: set[float] = field(default_factory=set)
    """Different numbers, one more than classes may be at most."""
    joined: bool = False
    """Whether a cell holds several labels, or none."""
    empty: bool = False

    def add(self, cell: str) -> None:
        """Look at one more cell."""
        gap = cell.casefold() in _ABSENT
        if gap:
            self.absent[cell] += 1
        self.blank += not cell
        if cell in self.cells:
            return
        if len(self.cells) < MOST_CELLS:
            self.cells.add(cell)
        self.different += 1
        self.joined = self.joined or _SEPARATOR in cell
        self.empty = self.empty or not cell
        number = None if gap else _number(cell)
        if number is None:
            return
        self.numbers += 1
        if _WHOLE_FLOAT.fullmatch(cell):
            self.floats = True
        elif not _WHOLE.fullmatch(cell):
            self.fractions = True
        if len(self.values) <= _CLASSES:
            self.values.add(number)

    @property
    def task(self) -> Task:
        """What the targets are."""
        if self._only_numbers:
            if self.fractions or len(self.values) > _CLASSES:
                return Task.REGRESSION
            if self.floats:
                return Task.CLASSIFICATION
        return Task.MULTI_LABEL if self.joined or self.empty else Task.CLASSIFICATION

    @property
    def whole(self) -> bool:
        """Whether all are whole numbers, which may be written as floats."""
        return not self.fractions and self.numbers == self.different - self.empty - len(self.absent)

    @property
    def _only_numbers(self) -> bool:
        return 0 < self.numbers == self.different - self.empty - len(self.absent)

    @property
    def _is_scale(self) -> bool:
        """Whether ratings have these values: from 1 on, three to ten of them."""
        return len(self.values) in _SCALE and self.values == set(range(1, len(self.values) + 1))

    def missing(self, task: Task) -> dict[str, int]:
        """Cells among numbers which mean that there is no target, empty or NaN, NA, None ..., and rows of each."""
        if not self._only_numbers or task not in {Task.CLASSIFICATION, Task.REGRESSION}:
            return {}
        return {**self.absent, **({"": self.blank} if self.blank else {})}

    def _of_whole_numbers(self, inferred: Task) -> Iterator[str]:
        """A note where whole numbers may have meant something else than what they are taken for."""
        if not self._only_numbers or self.fractions or self.empty:
            return
        if inferred is Task.REGRESSION:
            if not self.floats:
                yield (
                    f"{self.different} different whole numbers taken for quantities; "
                    "--task classification makes them classes"
                )
        elif all(map(_WHOLE_FLOAT.fullmatch, self.cells)):
            yield f"{self.different} different whole numbers taken for classes; --task regression makes them quantities"
        elif self._is_scale:
            yield (
                f"whole numbers from 1 to {len(self.values)} taken for classes; "
                "where they are ratings, --task regression makes them quantities"
            )

    def doubts(self, inferred: Task, task: Task | None) -> Iterator[str]:
        """Notes about targets that may have meant something else."""
        if task is None:
            yield from self._of_whole_numbers(inferred)
        if inferred is Task.REGRESSION:
            return
        names = self.cells - {""} - set(self.absent)
        names = {cell for cell in names if _number(cell) is None}
        if task is None and self.fractions and names and 2 * self.numbers >= self.different:
            yield (
                f"{self.numbers} of {self.different} different targets are numbers, others ({shortened(min(names))!r}) "
                "are none: all are taken for names; where a quantity is meant, correct these rows or remove them"
            )
        there = self.cells - {""}
        if there and all(map(_LIST.fullmatch, there)):
            yield (
                f"labels that read like lists ({shortened(min(there))!r}) are taken for names, each whole: "
                f"join several labels by {_SEPARATOR}"
            )
        if (
            len(there) > 1
            and all(_COMMA.fullmatch(cell) or _WHOLE.fullmatch(cell) for cell in there)
            and (commas := [cell for cell in there if "," in cell])
        ):
            yield f"{min(commas)!r} is taken for a class: write quantities with a decimal point"
        measured = [_UNIT.fullmatch(cell) for cell in there]
        if task is None and len(there) > _CLASSES and all(measured) and len({one[1] for one in measured if one}) == 1:
            yield (
                f"{len(there)} different targets like {shortened(min(there))!r} are taken for names: "
                "write a quantity without its unit"
            )
        if self.absent and not self._only_numbers:
            yield (
                f"{counted(sum(self.absent.values()), 'row')} whose target reads {', '.join(sorted(self.absent))}: "
                f"taken for {'a class' if len(self.absent) == 1 else 'classes'} of that name; "
                "remove them where no target is meant"
            )
        if inferred is Task.CLASSIFICATION:
            several = [c for c in self.cells if any(sign in c and _parts(c, sign) & self.cells for sign in ",;")]
            if several:
                yield f"{min(several)!r} is taken for one class: several labels are joined by {_SEPARATOR}"
        elif inferred is Task.MULTI_LABEL and not any(_SEPARATOR in cell for cell in self.cells):
            several = [c for c in there if any(sign in c and _parts(c, sign) <= there for sign in ",;/+ ")]
            if several:
                yield f"{min(several)!r} is taken for one label: several are joined by {_SEPARATOR}"


def target_of(path: Path, place: str, cell: str, task: Task, *, whole: bool) -> str:
    """A cell in the form that rows of the task have everywhere; ``place`` names it; ``whole``: 1.0 is the class 1."""
    if task is Task.MULTI_LABEL:
        names = {name.strip() for name in cell.split(_SEPARATOR)} - {""}
        return _SEPARATOR.join(sorted(map(plain_name, names)))
    if not cell:
        remedy = "Remove the row, or say --task multi-label where no label applies to it."
        raise BadTable(path, f"{place}: the cell 'target' is empty", remedy)
    if task is Task.TOKEN_CLASSIFICATION:
        return " ".join(cell.split())
    if task is Task.CLASSIFICATION:
        float_form = _WHOLE_FLOAT.fullmatch(cell) if whole else None
        return plain_name(float_form[1] if float_form else cell)
    value = _number(cell)
    if value is None or not math.isfinite(value):
        raise BadTable(path, f"{place}: {shortened(cell)!r} is no finite number", "Correct it, or remove the row.")
    if abs(value) > LARGEST:
        raise BadTable(path, f"{place}: {shortened(cell)} is larger than {LARGEST:g}", "Give it in a larger unit.")
    return repr(value)


def shortened(text: str) -> str:
    """A cell as messages show it."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]} ... {text[-_SHOWN // 2 :]}"


def _parts(cell: str, sign: str) -> set[str]:
    return {part.strip() for part in cell.split(sign)}


def _number(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None
