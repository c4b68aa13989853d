"""Catalog: a folder of YAML cards, sketches, lenses and outcomes, read into cards and written from them.

catalog/README.md describes the layout. A card without a license is of license "unknown", never a permissive one.
"""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save_file

from registry.cards import FIRST_MODALITY, UNKNOWN_LICENSE, Checkpoint, Domain, Metric, Origin, Outcome, Task
from registry.documents import read_bytes, read_text, read_yaml
from registry.errors import BadCard, MalformedWeights, NotFetched, UnknownName, UnreadableDocument
from registry.forms import from_json
from registry.listings import Listing
from registry.modalities import modalities
from registry.sketch import Lens, RowKeys, Sketch

__all__ = [
    "Catalog",
    "read_catalog",
    "read_lens",
    "write_checkpoint",
    "write_domain",
    "write_lens",
    "write_listing",
    "write_rows",
]

_MOST_OUTCOMES = 64 << 20
_LONGEST_CELL = 2000
_DESCRIBED = frozenset({"audio", "image", "text"})
"""What the bundled cards are of; a plug-in's modality is known by its own name."""

Model = TypeVar("Model", bound=BaseModel)
AnyCard = TypeVar("AnyCard")
SAME = "="
"""In a table of outcomes, for what the row before has."""
_Cells = Mapping[str | None, str | None]
"""Of a row of a table, by column; cells beyond the columns are None's."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """All that a catalog folder holds. A checkpoint's folder is given relative to the catalog's."""

    checkpoints: tuple[Checkpoint, ...]
    domains: tuple[Domain, ...]
    sketches: tuple[Sketch, ...]
    lenses: Mapping[str, Lens]
    outcomes: tuple[Outcome, ...]
    rows: tuple[RowKeys, ...] = ()
    listings: tuple[Listing, ...] = ()
    """Checkpoints of hubs, which are not in the folder."""


def read_catalog(folder: Path) -> Catalog:
    """Everything in the folder, checked.

    Raises:
        BadCard: a file with a bad, missing or unknown key, or cards that contradict one another.
    """
    lenses = {modality: read_lens(folder, modality) for modality in _lens_cards(folder)}
    domains = tuple(_read_all(folder / "domains", _read_domain))
    known = {domain.name for domain in domains}
    cards = _read_all(folder / "checkpoints", lambda path: _read_checkpoint(path, known))
    checkpoints = tuple(card for card in cards if isinstance(card, Checkpoint))
    listings = tuple(card for card in cards if isinstance(card, Listing))
    sketches = tuple(_read_sketches(folder, domains, lenses))
    outcomes = tuple(row for table in sorted((folder / "outcomes").glob("*.csv")) for row in _read_outcomes(table))
    rows = tuple(_read_rows(folder, domains))
    return Catalog(checkpoints, domains, sketches, lenses, outcomes, rows, listings)


def read_lens(folder: Path, modality: str) -> Lens:
    """The lens of a modality.

    Raises:
        UnknownName: the catalog names none for it.
        BadCard: it is not what its digest says.
    """
    cards = _lens_cards(folder)
    if modality not in cards:
        raise UnknownName("lens", modality, list(cards))
    card, path = cards[modality], folder / "lenses" / f"{modality}.safetensors"
    try:
        columns = load(_bytes(path))
        mean, scale = columns["mean"], columns["scale"]
    except (SafetensorError, KeyError, ValueError, TypeError) as cause:
        why = cause.why if isinstance(cause, BadCard) else str(cause)
        raise BadCard(path, "mean, scale", why) from cause
    if mean.ndim != 1 or mean.shape != scale.shape or not np.isfinite([mean, scale]).all() or (scale <= 0).any():
        raise BadCard(path, "mean, scale", "they are not two rows of numbers, the scales above 0")
    lens = Lens(card.name, modality, card.space, mean, scale, card.sigma, card.seed)
    if lens.digest != card.digest:
        raise BadCard(folder / "lenses.yaml", f"{modality}.digest", f"the files give {lens.digest}")
    return lens


def whole_rows(rows: Iterable[_Cells]) -> Iterator[_Cells]:
    """Rows of a table of outcomes with what an earlier row has alone: of weights name and body, of a draw test rows.

    A cell that is `SAME` has what the row before has.
    """
    before: _Cells = {}
    of_weights: dict[str, dict[str | None, str | None]] = {}
    tests: dict[object, str] = {}
    for written in rows:
        row = before = {name: before.get(name) if cell == SAME else cell for name, cell in written.items()}
        drawn = tuple(map(row.get, ("sample_name", "draw", "rows_train")))
        tests[drawn] = row.get("rows_test") or tests.get(drawn, "")
        known: dict[str | None, str | None] = {name: of for name in ("checkpoint", "body") if (of := row.get(name))}
        if weights := row.get("weights"):
            known = of_weights[weights] = of_weights.get(weights, {}) | known
        yield {**row, **known, "rows_test": tests[drawn]}


def write_checkpoint(folder: Path, card: Checkpoint) -> Path:
    """Write a seedling's card; its folder must lie in the catalog's."""
    inside = card.folder.relative_to(folder) if card.folder.is_absolute() else card.folder
    body = _stated_fields(_CheckpointCard, {**asdict(card), "folder": inside.as_posix(), "lineage": list(card.lineage)})
    return _write_yaml(folder / "checkpoints" / card.modality / f"{card.name}.yaml", body)


def write_listing(folder: Path, listing: Listing) -> Path:
    """Write the card of a checkpoint on a hub."""
    body = _ListingCard.model_validate(
        json.loads(json.dumps({key: value for key, value in asdict(listing).items() if key != "modality"}))
    )
    path = folder / "checkpoints" / listing.modality / f"{listing.name}.yaml"
    return _write_yaml(path, body.model_dump(exclude_defaults=True))


def write_domain(folder: Path, card: Domain, sketch: Sketch | None = None) -> Path:
    """Write a domain's card, and its sketch beside it."""
    known = {key: value for key, value in asdict(card).items() if value or key != "rows"}
    body = _stated_fields(_DomainCard, {**known, "aliases": list(card.aliases)})
    path = _write_yaml(folder / "domains" / card.modality / f"{card.name}.yaml", body)
    if sketch is not None:
        path.with_suffix(".safetensors").write_bytes(sketch.pack())
    return path


def write_rows(folder: Path, modality: str, rows: RowKeys) -> Path:
    """Write the keys of a domain's rows beside its sketch."""
    path = folder / "domains" / modality / f"{rows.owner}.rows"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(rows.pack())
    return path


def write_lens(folder: Path, lens: Lens) -> Path:
    """Make this the lens of its modality."""
    columns = {"mean": np.ascontiguousarray(lens.mean), "scale": np.ascontiguousarray(lens.scale)}
    (folder / "lenses").mkdir(parents=True, exist_ok=True)
    save_file(columns, folder / "lenses" / f"{lens.modality}.safetensors")
    others = {str(modality): card.model_dump() for modality, card in _lens_cards(folder).items()}
    own = {"name": lens.name, "space": lens.space, "sigma": lens.sigma, "seed": lens.seed, "digest": lens.digest}
    return _write_yaml(folder / "lenses.yaml", {**others, str(lens.modality): own})


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _CheckpointCard(_Strict):
    name: str
    architecture: str
    folder: str
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    parameters: int = Field(gt=0)
    input_size: int = Field(gt=0)
    license: str = UNKNOWN_LICENSE
    domain: str | None = None
    source: str = ""
    lineage: list[str] = []
    claimed: dict[str, object] = {}
    measured: dict[str, object] = {}


class _FactCard(_Strict):
    value: int | str
    source: str = Field(min_length=1)
    checked: str = Field(default="", pattern=r"^(\d{4}-\d\d-\d\d)?$")
    witness: Literal["", "config"] = ""


class _BuiltCard(_Strict):
    config: str = Field(pattern=r"^\w+Config$")
    model: str = Field(pattern=r"^\w+$")
    settings: dict[str, object] = {}
    without: str = ""
    counted: bool = True


class _ListingCard(_Strict):
    name: str
    hub: str = Field(pattern=r"^[\w-][\w.-]*/[\w-][\w.-]*$")
    architecture: str
    aliases: list[str] = []
    data: list[str] = []
    base: list[str] = []
    built: _BuiltCard | None = None
    facts: dict[str, list[_FactCard]]


class _DomainCard(_Strict):
    name: str
    title: str
    family: str
    rows: int = Field(default=0, gt=0)  # left out where there is no sketch
    license: str = UNKNOWN_LICENSE
    citation: str = ""
    aliases: list[str] = []


class _LensCard(_Strict):
    name: str
    space: str = Field(pattern="^.+@.+#.+$")
    sigma: float = Field(gt=0)
    seed: int = Field(ge=0)
    digest: str


class _OutcomeRow(BaseModel):  # not strict: a CSV's cells are text
    checkpoint: str = Field(min_length=1)
    strategy: str = Field(min_length=1)
    sample_name: str = Field(min_length=1)
    score: float = Field(ge=0, le=1)
    citation: str = ""
    sample_digest: str = ""
    task: Task = Task.CLASSIFICATION
    metric: Metric = Metric.ACCURACY
    standard_error: float | None = None
    rows_train: int = 0
    rows_test: int = 0
    seconds: float = 0.0
    created: str = ""
    modality: str = FIRST_MODALITY


def _read_all(folder: Path, read: Callable[[Path], AnyCard]) -> list[AnyCard]:
    return [read(path) for path in sorted(folder.glob("*/*.yaml"))]


def _read_checkpoint(path: Path, domains: set[str]) -> Checkpoint | Listing:
    """A card that names a hub is one of what is there; any other is of a folder in the catalog."""
    body = _mapping(path)
    if "hub" in body:
        return _read_listing(path, body, domains)
    card = _card(_CheckpointCard, path, body)
    if card.domain is not None and card.domain not in domains:
        raise BadCard(path, "domain", f"there is no domain card {card.domain!r}")
    if Path(card.folder).is_absolute() or ".." in Path(card.folder).parts:
        raise BadCard(path, "folder", "it must lie in the catalog")
    body = card.model_dump() | {"folder": Path(card.folder), "lineage": tuple(card.lineage)}
    return Checkpoint(modality=_modality(path), origin=Origin.SEEDLING, **body)


def _read_listing(path: Path, body: Mapping[str, object], domains: set[str]) -> Listing:
    card = _card(_ListingCard, path, body)
    for missing in (name for name in card.data if name not in domains):
        raise BadCard(path, "data", f"there is no domain card {missing!r}")
    return from_json(Listing, {"modality": _modality(path), **card.model_dump()})


def _read_domain(path: Path) -> Domain:
    card = _card(_DomainCard, path, _mapping(path))
    body = card.model_dump() | {"aliases": tuple(card.aliases)}
    return Domain(modality=_modality(path), origin=Origin.PUBLISHED, **body)


def _read_sketches(folder: Path, domains: tuple[Domain, ...], lenses: Mapping[str, Lens]) -> list[Sketch]:
    sketches = []
    for domain in domains:
        path = folder / "domains" / domain.modality / f"{domain.name}.safetensors"
        if path.exists():  # a folder or pipe of that name is told, not left out
            sketches.append(_read_sketch(path, domain, lenses))
    return sketches


def _read_rows(folder: Path, domains: tuple[Domain, ...]) -> list[RowKeys]:
    rows = []
    for domain in domains:
        path = folder / "domains" / domain.modality / f"{domain.name}.rows"
        if path.exists():
            try:
                rows.append(RowKeys.unpack(path.read_bytes(), domain.name))
            except MalformedWeights as cause:
                raise BadCard(path, "rows", cause.why) from cause
    return rows


def _read_sketch(path: Path, domain: Domain, lenses: Mapping[str, Lens]) -> Sketch:
    try:
        sketch = Sketch.unpack(_bytes(path), str(path))
    except MalformedWeights as cause:
        raise BadCard(path, "sketch", cause.why) from cause
    if sketch.domain != domain.name:
        raise BadCard(path, "domain", f"it is a sketch of {sketch.domain!r}")
    if domain.modality not in lenses or sketch.lens != lenses[domain.modality].digest:
        raise BadCard(path, "lens", "it was not made through the catalog's lens")
    return sketch


def _read_outcomes(path: Path) -> list[Outcome]:
    try:
        rows = list(csv.DictReader(StringIO(read_text(path, _MOST_OUTCOMES), newline="")))
    except (UnreadableDocument, NotFetched) as cause:
        raise BadCard(path, "(all)", str(cause)) from cause
    except csv.Error as cause:
        raise BadCard(path, "(all)", f"no CSV: {cause}") from cause
    return [_read_outcome(path, number, row) for number, row in enumerate(whole_rows(rows), start=2)]


def _read_outcome(path: Path, number: int, row: _Cells) -> Outcome:
    """One row; an empty cell counts as absent, a column that is none of the card's is a condition."""
    if None in row:
        raise BadCard(path, f"line {number}", "more cells than columns")
    cells = {str(key): value for key, value in row.items() if value}
    if any(len(key) + len(value) > _LONGEST_CELL for key, value in cells.items()):
        raise BadCard(path, f"line {number}", f"a cell is longer than {_LONGEST_CELL:,} characters")
    known = _checked(_OutcomeRow, cells, path, number).model_dump()
    conditions = {key: _number(value) for key, value in cells.items() if key not in known}
    named = sha256(json.dumps(cells, sort_keys=True).encode()).hexdigest()[:16]
    known["sample_digest"] = known["sample_digest"] or f"published:{known['sample_name']}"
    known["citation"] = known["citation"] or f"{path.stem} (catalog/outcomes/README.md)"
    return Outcome(id=named, origin=Origin.PUBLISHED, conditions=conditions, **known)


def _lens_cards(folder: Path) -> dict[str, _LensCard]:
    path = folder / "lenses.yaml"
    if not path.exists():
        return {}
    cards = {}
    for name, body in _mapping(path).items():
        if not _is_modality(name):
            raise BadCard(path, str(name), "no modality is named so")
        cards[name] = _checked(_LensCard, body, path, str(name))
    return cards


def _card(model: type[Model], path: Path, body: Mapping[str, object]) -> Model:
    card = _checked(model, body, path)
    if path.stem != card.model_dump()["name"]:
        raise BadCard(path, "name", f"it must be {path.stem!r}, as the file is named")
    return card


def _checked(model: type[Model], body: object, path: Path, place: str | int | None = None) -> Model:
    try:
        return model.model_validate(body)
    except ValidationError as cause:
        first = cause.errors()[0]
        where = [f"line {place}" if isinstance(place, int) else place] if place is not None else []
        key = ".".join(str(part) for part in [*where, *first["loc"]])
        raise BadCard(path, key or "(all)", first["msg"]) from cause


def _bytes(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except (UnreadableDocument, NotFetched) as cause:
        raise BadCard(path, "(all)", str(cause)) from cause


def _mapping(path: Path) -> Mapping[str, object]:
    try:
        body = read_yaml(path)
    except (UnreadableDocument, NotFetched) as cause:
        raise BadCard(path, "(all)", str(cause)) from cause
    if not isinstance(body, dict):
        raise BadCard(path, "(all)", "it must be a mapping of keys to values")
    return body


def _modality(path: Path) -> str:
    if not _is_modality(path.parent.name):
        raise BadCard(path, "modality", f"no folder of a modality: {path.parent.name}")
    return path.parent.name


def _is_modality(name: str) -> bool:
    """Whether items are so named: where a card is described, its items need not be readable here yet."""
    return name in _DESCRIBED or name in modalities


def _number(cell: str) -> float | str:
    """A condition: a finite number where it is one, else text."""
    try:
        number = float(cell)
    except ValueError:
        return cell
    return number if isfinite(number) else cell


def _stated_fields(model: type[BaseModel], body: Mapping[str, object]) -> dict[str, object]:
    """What a card says that its defaults do not."""
    card = model.model_validate({key: value for key, value in body.items() if key in model.model_fields})
    return card.model_dump(exclude_defaults=True)


def _write_yaml(path: Path, body: Mapping[str, object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(dict(body), sort_keys=False, allow_unicode=True, width=120), encoding="utf-8")
    return path
