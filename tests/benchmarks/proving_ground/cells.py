"""The three tables on disk: the design, the outcomes and the scores; each only ever grows by whole lines.

A line is one write to a file opened for appending, under a lock, so that runners side by side and a kill at any
moment leave whole lines; the torn end that a full disk could leave is cut off before the next append.
"""

import csv
import fcntl
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from registry.cards import FIRST_MODALITY

__all__ = [
    "GONE",
    "HERE",
    "LAYER_MEAN",
    "NO_TRANSFER",
    "Cell",
    "Figure",
    "Never",
    "Result",
    "Setting",
    "append",
    "claimed",
    "read_design",
    "read_never",
    "read_outcomes",
    "read_rows",
    "read_scores",
]

HERE = Path(__file__).parent
"""The tables of each modality lie in a folder of its name."""
NO_TRANSFER = "no-transfer"
LAYER_MEAN = "layer mean"
"""Stands in place of a block's name for the mean of all blocks."""
GONE = "WeightsMissing"
"""Stands in place of a figure that would have to be computed anew, where no weights are left to do so."""
Row = TypeVar("Row")


@dataclass(frozen=True)
class Cell:
    """One line of the design: what is to be trained on what, how, and from which weights."""

    cell: int
    wave: int
    """Runners take waves in order, and within a wave cells in order."""
    checkpoint: str
    digest: str
    """SHA-256 of the weights; empty where there are none."""
    group: str
    """Architecture and size of the backbone: checkpoints of one group differ in their source."""
    parameters: int
    lineage: str
    """Data sets that shaped the weights, joined by ``;``."""
    target: str
    family: str
    strategy: str
    rows: int
    """Most training rows; a smaller target gives all it has."""
    epochs: int
    seed: int

    @property
    def weights(self) -> str:
        """Name and digest: what tells one set of weights from another of the same name."""
        return f"{self.checkpoint}@{self.digest[:8]}"

    @property
    def setting(self) -> "Setting":
        """What it shares with those that it is held against."""
        return Setting(self.rows, self.epochs, self.seed)


@dataclass(frozen=True, order=True)
class Setting:
    """What trainings have to share to be held against one another, and against heads on the same rows."""

    rows: int
    epochs: int
    seed: int

    def has(self, cell: Cell) -> bool:
        """Whether a cell is of these rows, and was trained for so long or not at all."""
        return (cell.rows, cell.seed) == (self.rows, self.seed) and cell.epochs in {0, self.epochs}

    @property
    def heads(self) -> "Setting":
        """That of heads on the same rows."""
        return Setting(self.rows, 0, self.seed)

    def __str__(self) -> str:
        return f"at most {self.rows} rows" + (f", {self.epochs} epochs" if self.epochs else "")


@dataclass(frozen=True)
class Result:
    """One line of the outcomes: a cell that has run."""

    cell: int
    checkpoint: str
    target: str
    strategy: str
    sample: str
    """Digest of the rows trained on and judged."""
    rows_train: int
    rows_test: int
    accuracy: float
    half_a: float
    half_b: float
    right: str
    """Test rows told rightly, packed bits in hex; rows in order of (label, digest), halves taking turns."""
    seconds: float
    """Until there is a model: encoding and fitting; of the processor where ``conditions`` say ``clock: processor``."""
    conditions: str
    """JSON: device, threads, the plan that was carried out."""
    commit: str
    versions: str
    created: str


@dataclass(frozen=True)
class Never:
    """A cell of the design that can never be carried out."""

    cell: int
    why: str
    """``weights replaced``: none that it names are left; ``strategy not offered``: not for such a net."""


@dataclass(frozen=True)
class Figure:
    """One line of the scores: a score, distance or verdict on a probed pair. The last line of a figure holds."""

    cell: int
    """The pair's linear-probe cell."""
    block: str
    """Block of the backbone; empty where a figure is the pair's."""
    figure: str
    value: str
    commit: str


def read_design(path: Path = HERE / FIRST_MODALITY / "design.csv") -> list[Cell]:
    """Every cell, in order."""
    return read_rows(path, Cell)


def read_never(path: Path = HERE / FIRST_MODALITY / "never.csv") -> dict[int, str]:
    """Why cells can never be carried out, by cell."""
    return {row.cell: row.why for row in read_rows(path, Never)}


def read_outcomes(path: Path = HERE / FIRST_MODALITY / "outcomes.csv") -> dict[int, Result]:
    """Results by cell; the first of a cell holds."""
    result: dict[int, Result] = {}
    for row in read_rows(path, Result):
        result.setdefault(row.cell, row)
    return result


def read_scores(path: Path = HERE / FIRST_MODALITY / "scores.csv") -> dict[tuple[int, str, str], Figure]:
    """Figures by (cell, block, figure)."""
    return {(row.cell, row.block, row.figure): row for row in read_rows(path, Figure)}


def append(path: Path, rows: Iterable[Any]) -> None:
    """Add dataclasses as whole lines at the end, and the header first where the file is new."""
    rows = list(rows)
    if not rows:
        return
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        empty = _cut_torn_end(file) == 0
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if empty:
            writer.writerow(asdict(rows[0]))
        writer.writerows(astuple(row) for row in rows)
        os.write(file.fileno(), text.getvalue().encode())
        os.fsync(file.fileno())


@contextmanager
def claimed(cell: Cell, cache: Path) -> Iterator[bool]:
    """Whether this cell is ours now; a claim ends with the process that made it, however it ends."""
    folder = cache / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / str(cell.cell)).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _cut_torn_end(file: io.BufferedRandom) -> int:
    """The file's length after dropping what follows its last line end."""
    file.seek(0)
    held = file.read()
    whole = held.rfind(b"\n") + 1
    if whole != len(held):
        file.truncate(whole)
    return whole


def read_rows(path: Path, kind: type[Row]) -> list[Row]:
    """The whole lines of a table, each as a dataclass of that kind; none where there is no file."""
    if not path.exists():
        return []
    types = get_type_hints(kind)
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    text = path.read_bytes().decode()
    reader = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1]))
    if reader.fieldnames is not None and list(reader.fieldnames) != names:
        raise ValueError(f"{path} has columns {reader.fieldnames}, expected {names}")
    return [kind(**{name: types[name](row[name]) for name in names}) for row in reader]
