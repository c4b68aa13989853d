"""What a test part of another source costs, and what its unlabelled rows say of it: shifts planted, and such as are.

    python -m tests.benchmarks.shift measure IMAGES --texts TEXTS --into CELLS --seconds N
    python -m tests.benchmarks.shift judge CELLS

``measure`` moves the test part of each set in many ways and strengths, and appends a line for each checkpoint: the
score in folds, that on the test part, how far the parts lie from one another, and every estimate of the fall. It takes
the cells in an order drawn by lot, so that wherever it stops all kinds and sets are there, and goes on where it
stopped; features are kept in the home. ``judge`` fits rules that turn estimates into an expectation, and
holds them against the falls of sets *and* of kinds of shift that they were not fitted on.
"""

import argparse
import csv
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from rich.console import Console
from rich.table import Table
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import nnls
from threadpoolctl import threadpool_limits

from recommender import shift
from recommender.baseline import RawRows
from recommender.distance.classifier import classifier
from recommender.distance.mmd import bandwidth, mmd
from recommender.transfer.linear import fit_ridge, out_of_fold
from registry.metrics import NOMINAL, Z, score
from registry.sample import Sample
from registry.zoo import Zoo

ROWS, TEST_ROWS, POOL = 400, 300, 1200
RAW = "no transfer"
CHECKPOINTS = {
    "image": ("resnet-photos", "vit-cifar10", "convnext-fashion_mnist", RAW),
    "text": ("pupil-minilm", "bert-tweets", RAW),
}
NATURAL = ("chest_xray_covid", "magnetic_tile", "clothing", "gtsrb", "novel_author", "code_language")
"""Sets whose own test part is of another source."""
PAIRS = (("sst2", "amazon_reviews"), ("amazon_reviews", "sst2"))
"""Sets with the same classes: the first is learned, the second judged."""
SETS = {
    "image": (
        "rsscn7", "flowers5", "cifar10", "fashion_mnist", "mnist", "sign_digits", "bccd_cells", "fundus_cataract",
        "plankton30", "fer2013", "quickdraw3", "omniglot_alphabets", "gtsrb", "clothing", "magnetic_tile",
        "chest_xray_covid",
    ),
    "text": (
        "ag_news", "trec", "sst2", "subj", "paper_field", "scicite", "financial_phrasebank", "dialogue_service",
        "amazon_reviews", "novel_author", "code_language",
    ),
}  # fmt: skip

Picture = Image.Image
Move = Callable[[Picture, float, np.random.Generator], Picture]


def _levels(kinds: Mapping[str, tuple[str, Sequence[float]]]) -> Iterator[tuple[str, str, float]]:
    for kind, (family, levels) in kinds.items():
        for level in levels:
            yield kind, family, level


def dark(picture: Picture, level: float, _: np.random.Generator) -> Picture:
    return ImageEnhance.Brightness(picture).enhance(level)


def pale(picture: Picture, level: float, _: np.random.Generator) -> Picture:
    return ImageEnhance.Contrast(picture).enhance(level)


def negative(picture: Picture, level: float, _: np.random.Generator) -> Picture:
    return Image.blend(picture, ImageOps.invert(picture), level)


def gray(picture: Picture, level: float, _: np.random.Generator) -> Picture:
    return ImageEnhance.Color(picture).enhance(1 - level)


def cast(picture: Picture, level: float, _: np.random.Generator) -> Picture:
    return Image.fromarray((np.asarray(picture) * np.array([1, 1 - level / 2, 1 - level])).astype(np.uint8))


def blur(picture: Picture, level: float, _: np.random.Generator) -> Picture:
    return picture.filter(ImageFilter.GaussianBlur(level * max(picture.size)))


def small(picture: Picture, level: float, _: np.random.Generator) -> Picture:
    sides = [max(2, round(side * level)) for side in picture.size]
    return picture.resize((sides[0], sides[1]), Image.Resampling.BILINEAR).resize(picture.size)


def noise(picture: Picture, level: float, chance: np.random.Generator) -> Picture:
    pixels = np.asarray(picture) + chance.normal(0, level, (*picture.size[::-1], 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def jpeg(picture: Picture, level: float, _: np.random.Generator) -> Picture:
    content = BytesIO()
    picture.save(content, "jpeg", quality=int(level))
    return Image.open(content).convert("RGB")


def zoom(picture: Picture, level: float, chance: np.random.Generator) -> Picture:
    width, height = picture.size
    left, top = chance.uniform(0, 1 - level, 2) * (width, height)
    return picture.resize(picture.size, box=(left, top, left + level * width, top + level * height))


def turn(picture: Picture, level: float, chance: np.random.Generator) -> Picture:
    return picture.rotate(level * chance.choice([-1, 1]), Image.Resampling.BILINEAR, fillcolor=_border(picture))


def cover(picture: Picture, level: float, chance: np.random.Generator) -> Picture:
    width, height = picture.size
    left, top = (chance.uniform(0, 1 - level, 2) * (width, height)).astype(int)
    covered = picture.copy()
    covered.paste((128, 128, 128), (left, top, left + round(level * width), top + round(level * height)))
    return covered


def ground(picture: Picture, level: float, chance: np.random.Generator) -> Picture:
    """Whatever is nearly of the border's color gets another one."""
    pixels = np.asarray(picture).astype(float)
    behind = np.abs(pixels - _border(picture)).max(axis=2) < 40
    other = chance.uniform(0, 255, 3) + chance.normal(0, 20, pixels.shape)
    pixels[behind] = (1 - level) * pixels[behind] + level * other[behind]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _border(picture: Picture) -> tuple[int, int, int]:
    pixels = np.asarray(picture)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    red, green, blue = (int(value) for value in np.median(edge, axis=0))
    return red, green, blue


def typos(text: str, level: float, chance: np.random.Generator) -> str:
    letters = list(text)
    for place in np.flatnonzero(chance.random(len(letters)) < level):
        letters[place] = chance.choice(list("abcdefghijklmnopqrstuvwxyz"))
    return "".join(letters)


def cut(text: str, level: float, _: np.random.Generator) -> str:
    words = text.split()
    return " ".join(words[: max(2, round(level * len(words)))])


def lower(text: str, _: float, __: np.random.Generator) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum() or letter == " ") or text


def without(text: str, level: float, chance: np.random.Generator) -> str:
    words = text.split()
    kept = [word for word in words if chance.random() > level]
    return " ".join(kept or words[:1])


MOVES: Mapping[str, Mapping[Callable[..., object], tuple[str, Sequence[float]]]] = {
    "image": {
        dark: ("light", (0.7, 0.4, 1.6)),
        pale: ("light", (0.6, 0.3)),
        negative: ("light", (1.0,)),
        gray: ("color", (0.6, 1.0)),
        cast: ("color", (0.3, 0.7)),
        blur: ("sharpness", (0.02, 0.045)),
        small: ("sharpness", (0.5, 0.25)),
        noise: ("grain", (12, 40)),
        jpeg: ("grain", (25, 7)),
        zoom: ("place", (0.8, 0.5)),
        turn: ("place", (12, 40)),
        cover: ("cover", (0.3, 0.55)),
        ground: ("cover", (0.5, 1.0)),
    },
    "text": {
        typos: ("letters", (0.03, 0.12)),
        lower: ("letters", (1.0,)),
        cut: ("length", (0.5, 0.2)),
        without: ("length", (0.3, 0.6)),
    },
}
HALVES = {"image": ("dark 0.4", "gray 1.0", "blur 0.045", "noise 40", "zoom 0.5"), "text": ("typos 0.12", "cut 0.2")}
"""Moves in which only every second row is moved, too."""


@dataclass(frozen=True)
class Case:
    """What is judged: a set, and how its test part was moved."""

    modality: str
    data: str
    kind: str
    family: str
    """Kinds of shift that are alike; they are left out together."""
    move: Callable[..., object] | None = None
    level: float = 0.0
    half: bool = False

    @property
    def key(self) -> str:
        return f"{self.data}/{self.kind}"


def cases(modality: str) -> Iterator[Case]:
    """All of a modality."""
    for data in SETS[modality]:
        yield Case(modality, data, "control", "control")
        yield Case(modality, data, "control other rows", "control")
        for kind in ("prior 0.3", "prior 0.05"):
            yield Case(modality, data, kind, "prior", level=float(kind.split()[1]))
        for kind in ("clusters", "extreme"):
            yield Case(modality, data, kind, "clusters")
        for move, (family, levels) in MOVES[modality].items():
            for level, half in product(levels, (False, True)):
                kind = f"{move.__name__} {level}"
                if not half or kind in HALVES[modality]:
                    yield Case(modality, data, kind + ", half" * half, family, move, level, half)
        if data in NATURAL:
            yield Case(modality, data, "natural", "natural")
    for learned, judged in PAIRS if modality == "text" else ():
        yield Case(modality, learned, f"natural {judged}", "natural")


@dataclass(frozen=True)
class Parts:
    """Training rows, and the rows that are judged: unlabelled to every estimate."""

    train: Sample
    test: Sample

    @property
    def truth(self) -> np.ndarray:
        return np.array([self.train.classes.index(label) for label in self.test.labels])


@lru_cache(maxsize=4)
def _read(place: Path) -> Sample:
    return Sample.from_folder(place)


def parts_of(case: Case, place: Path) -> Parts:
    """The case's rows. But for the natural parts, all are of the set's training part: one source."""
    whole = _read(place / case.data)
    if case.family == "natural":
        other = case.kind.removeprefix("natural").strip()
        judged = _read(place / other) if other else whole.test
        assert judged is not None
        return Parts(whole.subsample(ROWS), judged.subsample(TEST_ROWS))
    pool = replace(whole, test=None).subsample(POOL, seed=1)
    if case.family == "clusters":
        held = _held_out(pool, case.kind)
        return Parts(pool.take(~held).subsample(ROWS), pool.take(held).subsample(TEST_ROWS))
    train, rest = pool.split(TEST_ROWS / (ROWS + TEST_ROWS), seed=2)
    train, test = train.subsample(ROWS), rest.subsample(TEST_ROWS, seed=int(case.kind == "control other rows"))
    if case.family == "prior":
        chance = _chance(case)
        codes = test.targets.values
        rare = np.isin(codes, np.unique(codes)[::2])
        return Parts(train, test.take(~rare | (chance.random(len(test)) < case.level)))
    if case.move is None:
        return Parts(train, test)
    chance = _chance(case)
    moved: list[object] = []
    for row, item in enumerate(test.items):
        content = item.open() if case.modality == "image" else item.text  # type: ignore[attr-defined]  # of its kind
        moved.append(content if case.half and row % 2 else case.move(content, case.level, chance))
    other = Sample.from_arrays(
        moved, list(test.labels), groups=test.groups, keep_duplicates=True, modality=case.modality
    )
    return Parts(train, other)


def _held_out(pool: Sample, kind: str) -> np.ndarray:
    """About a third of every class: a cluster of its raw rows, or those at one end of their first component."""
    rows = RawRows.of(pool.modality, pool.items).features()
    rows = rows - rows.mean(axis=0)
    held, codes = np.zeros(len(pool), bool), pool.targets.values
    axis = np.linalg.svd(rows, full_matrices=False)[2][0]
    for code in np.unique(codes):
        members = np.flatnonzero(codes == code)
        if kind == "extreme":
            held[members[np.argsort(rows[members] @ axis)[: len(members) // 3]]] = True
        elif len(members) > 5:
            cluster = fcluster(linkage(rows[members], "ward"), 4, "maxclust")
            sizes = np.bincount(cluster) / len(members)
            held[members[cluster == np.argmin(np.abs(sizes - 1 / 3))]] = True
    return held


def _chance(case: Case) -> np.random.Generator:
    return np.random.default_rng(int(sha256(case.key.encode()).hexdigest()[:8], 16))


def apart(parts: Parts, zoo: Zoo) -> dict[str, float]:
    """How far the parts lie from one another in the lens."""
    train, test = parts.train, parts.test
    lens = zoo.lens_features(train).vectors, zoo.lens_features(test).vectors
    groups = None if train.groups is None and test.groups is None else (train.group_ids, test.group_ids)
    tested, far = shift.source_test(*lens, groups), mmd(*lens, groups=groups, permutations=200)
    return {"p": tested.p_same, "auc": tested.auc, "mmd": far.statistic, "mmd same": far.details["null_high"]}


def measured(case: Case, parts: Parts, zoo: Zoo, checkpoint: str) -> dict[str, object]:
    """A line of the table."""
    train, test = parts.train, parts.test
    if checkpoint == RAW:
        features = RawRows.of(train.modality, (*train.items, *test.items)).features(np.arange(len(train)))
        here, there, before = features[: len(train)], features[len(train) :], None
    else:
        one, other = zoo.encode(checkpoint, train), zoo.encode(checkpoint, test)
        here, there = one.last.vectors, other.last.vectors
        before = one.blocks[-2].vectors, other.blocks[-2].vectors
    here, there = np.asarray(here, np.float64), np.asarray(there, np.float64)
    folds = train.folds()
    held_out = out_of_fold(here, train.targets, folds)
    known = folds >= 0
    named = fit_ridge(here, train.targets, len(train.classes)).logits(there).argmax(axis=1)
    promised = score(train.metric, train.targets.values[known], held_out.predicted[known])
    realized = score(train.metric, parts.truth, named)
    return {
        "modality": case.modality,
        "set": case.data,
        "kind": case.kind,
        "family": case.family,
        "checkpoint": checkpoint,
        "rows": int(known.sum()),
        "test rows": len(test),
        "classes": len(train.classes),
        "promised": promised,
        "fall": promised - realized,
        **shift.drops(here, there, train, folds),
        **_others(here, there, before, train, folds),
    }


def _others(
    here: np.ndarray, there: np.ndarray, before: tuple[np.ndarray, np.ndarray] | None, train: Sample, folds: np.ndarray
) -> dict[str, float]:
    """Estimates that are not among those of `recommender.shift`: held out, less on the test rows."""
    known, codes = folds >= 0, train.targets.values
    heads = out_of_fold(here, train.targets, folds, others=there)
    ours, theirs = heads.probabilities, heads.of_others
    every = [ours[folds == fold] for fold in np.unique(folds[known])]
    named = np.concatenate([one.argmax(axis=1) for one in theirs])
    ours_named = np.bincount(ours[known].argmax(axis=1), minlength=ours.shape[1]) / known.sum()
    theirs_named = np.bincount(named, minlength=ours.shape[1]) / len(named)
    shares = np.bincount(codes, minlength=ours.shape[1]) / len(codes)
    moved = {
        "entropy": _entropy(np.concatenate(theirs)) - _entropy(ours[known]),
        "own shares": np.mean([shift._transport_cost(one, shares) for one in theirs])
        - np.mean([shift._transport_cost(one, shares) for one in every]),
        "nuclear": np.mean([_nuclear(one) for one in every])
        - np.mean([_nuclear(one[: len(every[0])]) for one in theirs]),
        "prior": np.abs(theirs_named - ours_named).sum() / 2,
    }
    moved["halves"] = _halves(here, there, train, folds)
    if before is not None:
        lower = out_of_fold(before[0], train.targets, folds, others=before[1])
        same = (lower.probabilities.argmax(axis=1) == ours.argmax(axis=1))[known]
        same_there = lower.of_others.argmax(axis=2) == theirs.argmax(axis=2)
        moved["blocks"] = float(same.mean() - same_there.mean())
    center, spread = here.mean(axis=0), here.std(axis=0)
    scale = np.where(spread > 0, spread, np.inf)
    far = shift._far_folds((here - center) / scale, train)
    lost = shift._score_of(heads, train, folds) - shift._score_of(out_of_fold(here, train.targets, far), train, far)
    fixed = {"sigma": bandwidth(here, there), "mean": center, "scale": scale}
    between = shift._mmd(here, there, None, fixed)
    apart = [shift._mmd(here[far != fold], here[far == fold], None, fixed) for fold in np.unique(far[far >= 0])]
    moved["far lost"] = lost
    moved["far ratio"] = float(np.sqrt(max(0.0, between) / max(1e-9, float(np.mean(apart)))))
    if before is not None:
        moved["auc here"] = classifier(here, there).details["auc"]
    return {name: float(value) for name, value in moved.items()}


def _entropy(rows: np.ndarray) -> float:
    return float(-(rows * np.log(np.maximum(rows, 1e-12))).sum(axis=1).mean() / np.log(rows.shape[1]))


def _nuclear(rows: np.ndarray) -> float:
    """Deng et al. 2023."""
    return float(np.linalg.norm(rows, "nuc") / np.sqrt(min(rows.shape) * len(rows)))


def _halves(here: np.ndarray, there: np.ndarray, train: Sample, folds: np.ndarray) -> float:
    """How much rarer two heads, each of half the rows, agree (Jiang et al. 2022)."""
    chance = np.random.default_rng(0)
    ours, theirs = [], []
    for fold in np.unique(folds[folds >= 0]):
        side = chance.permutation(len(folds)) % 2
        judged = np.concatenate([here[folds == fold], there])
        halves = [(folds != fold) & (side == half) for half in (0, 1)]
        agree = [
            fit_ridge(here[half], train.targets.take(half), len(train.classes)).logits(judged).argmax(axis=1)
            for half in halves
        ]
        same = agree[0] == agree[1]
        ours.append(same[: (folds == fold).sum()].mean())
        theirs.append(same[(folds == fold).sum() :].mean())
    return float(np.mean(ours) - np.mean(theirs))


FIELDS = (
    "modality", "set", "kind", "family", "checkpoint", "rows", "test rows", "classes", "promised", "fall", "p", "auc",
    "mmd", "mmd same", "threshold", "confidence", "weighted folds", "far rows", "transport", "neighbors", "own shares",
    "entropy", "nuclear", "prior", "halves", "blocks", "far lost", "far ratio", "auc here",
)  # fmt: skip
TODAY = ("threshold", "confidence", "weighted folds", "far rows", "transport", "neighbors")
"""What `recommender.shift.drops` gives."""


def measure(wanted: argparse.Namespace) -> None:
    """Append cells until the time is over."""
    began = time.monotonic()
    into: Path = wanted.into
    done = set()
    if into.is_file():
        done = {(line["set"], line["kind"], line["checkpoint"]) for line in csv.DictReader(into.open())}
    else:
        into.write_text(",".join(FIELDS) + "\n")
    todo = [(wanted.images, case) for case in cases("image")] if wanted.images else []
    todo += [(wanted.texts, case) for case in cases("text")] if wanted.texts else []
    todo.sort(key=lambda one: (one[1].family != "natural", sha256(one[1].key.encode()).digest()))
    with Zoo.open() as zoo, into.open("a", newline="") as file, threadpool_limits(1):
        writer = csv.DictWriter(file, FIELDS, restval="")
        for place, case in todo:
            left = [name for name in CHECKPOINTS[case.modality] if (case.data, case.kind, name) not in done]
            if not left or time.monotonic() - began > wanted.seconds:
                continue
            parts = parts_of(case, place)
            far = apart(parts, zoo)
            for name in left:
                line = {**measured(case, parts, zoo, name), **far}
                writer.writerow({k: round(v, 5) if isinstance(v, float) else v for k, v in line.items()})
                file.flush()
            print(f"{time.monotonic() - began:6.0f} s  {case.key}", flush=True)


@dataclass(frozen=True)
class Cells:
    """What was measured."""

    lines: Sequence[Mapping[str, str]]

    def __getitem__(self, name: str) -> np.ndarray:
        return np.array([line[name] for line in self.lines])

    def number(self, name: str) -> np.ndarray:
        """NaN where there is none."""
        return np.array([float(line[name] or "nan") for line in self.lines])

    def rises(self, names: Sequence[str]) -> np.ndarray:
        """Estimates, none below 0, and 0 where there is none."""
        return np.nan_to_num(np.maximum(0.0, np.column_stack([self.number(name) for name in names])))

    def take(self, rows: np.ndarray) -> "Cells":
        return Cells([line for line, taken in zip(self.lines, rows, strict=True) if taken])

    @property
    def detected(self) -> np.ndarray:
        return self.number("p") <= 0.05


Rule = tuple[np.ndarray, np.ndarray]
"""The fall that is expected in each cell, and the standard deviation of what it misses."""


def mean_rule(cells: Cells, names: Sequence[str] = TODAY[:4]) -> Rule:
    """The mean of estimates and a zero, and their spread."""
    known = np.isfinite(np.column_stack([cells.number(name) for name in names]))
    rises, many = cells.rises(names), 1 + known.sum(axis=1)
    mean = rises.sum(axis=1) / many
    squares = np.square(np.where(known, rises - mean[:, None], 0)).sum(axis=1) + mean**2
    return mean, np.sqrt(squares / (many - 1))


def shipped(cells: Cells) -> Rule:
    """As `recommender.shift` has it."""
    weights = np.array(list(shift.WEIGHTS.values()))
    spread = mean_rule(cells, TODAY)[1]
    return cells.rises(list(shift.WEIGHTS)) @ weights, shift.LEAST_DOUBT + shift.DOUBT * spread


def fitted(cells: Cells, names: Sequence[str]) -> tuple[Rule, np.ndarray]:
    """Weights of estimates, none below 0, and the doubt, fitted on other sets *and* other kinds of shift; the weights.

    Natural shifts are of as many kinds as they are, so that only their set is left out for them.
    """
    rises, fall, spread = cells.rises(names), cells.number("fall"), mean_rule(cells, TODAY)[1]
    sets, families = cells["set"], cells["family"]
    expected, doubt = np.zeros(len(fall)), np.zeros(len(fall))
    weights = []
    for data, family in sorted(set(zip(sets, families, strict=True))):
        judged = (sets == data) & (families == family)
        others = cells.detected & (sets != data) & ((families != family) | (family == "natural"))
        weight = nnls(rises[others], fall[others])[0]
        weights.append(weight)
        expected[judged] = rises[judged] @ weight
        least, more = _least_winkler(np.abs(rises[others] @ weight - fall[others]), spread[others], _own(cells)[others])
        doubt[judged] = least + more * spread[judged]
    return (expected, doubt), np.array(weights)


def _least_winkler(errors: np.ndarray, spread: np.ndarray, own: np.ndarray) -> tuple[float, float]:
    grid = product((0.0, 0.02, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1), (0.0, 0.1, 0.25, 0.5, 0.75, 1.0))
    return min(grid, key=lambda pair: _winkler(errors, Z * np.hypot(pair[0] + pair[1] * spread, own)).mean())


def _winkler(errors: np.ndarray, reach: np.ndarray) -> np.ndarray:
    return np.asarray(2 * reach + 2 / (1 - NOMINAL) * np.maximum(0, errors - reach))


def _own(cells: Cells) -> np.ndarray:
    """Standard deviation of the difference of two accuracies by their rows alone."""
    promised = cells.number("promised")
    return np.asarray(np.sqrt(promised * (1 - promised) * (1 / cells.number("rows") + 1 / cells.number("test rows"))))


def judge(wanted: argparse.Namespace) -> None:
    """Print how rules do, all and by family."""
    cells = Cells(list(csv.DictReader(wanted.cells.open())))
    nothing = np.zeros(len(cells.lines))
    rules: dict[str, Rule] = {"nothing falls": (nothing, nothing), "mean of four and a zero": mean_rule(cells)}
    rules["mean of six and a zero"] = mean_rule(cells, TODAY)
    console = Console(width=150)
    others = ("own shares", "entropy", "nuclear", "prior", "halves", "blocks")
    combined = [(name,) for name in (*TODAY, *others)]
    combined += [
        TODAY[:4],
        ("transport", "neighbors"),
        *((*shift.WEIGHTS, name) for name in (*TODAY[:4], *others)),
        TODAY,
    ]
    for names in combined:
        rules[" + ".join(names) if names != TODAY else "all six"], weights = fitted(cells, names)
        if names == tuple(shift.WEIGHTS):
            console.print(
                f"weights of {names}: {weights.mean(axis=0).round(2)}, from {weights.min(axis=0).round(2)} "
                f"to {weights.max(axis=0).round(2)}"
            )
    rules["shipped"] = shipped(cells)
    families, detected = cells["family"], cells.detected
    planted = detected & ~np.isin(families, ("natural", "control"))
    chosen = ("nothing falls", "mean of four and a zero", "mean of six and a zero", "transport + neighbors", "shipped")
    few = {name: rules[name] for name in chosen}
    everywhere = np.ones(len(detected), bool)
    console.print(_table("planted, detected", rules, cells, planted, detected))
    console.print(_table("natural, detected", few, cells, detected & (families == "natural"), detected))
    console.print(_table("controls", few, cells, families == "control", detected))
    console.print(_table("not detected, as if they were", few, cells, ~detected, everywhere))
    table = Table(title="By kind of shift, detected: mean absolute error (bias)")
    for name in ("kind", "cells", "fell by", "mean of four and a zero", "fitted, both left out", "shipped"):
        table.add_column(name)
    for family in sorted(set(families)):
        rows = detected & (families == family)
        if rows.any():
            fall = cells.number("fall")[rows]
            errors = [
                rules[name][0][rows] - fall
                for name in ("mean of four and a zero", " + ".join(shift.WEIGHTS), "shipped")
            ]
            table.add_row(
                family,
                str(rows.sum()),
                f"{fall.mean():.3f}",
                *(f"{np.abs(one).mean():.3f} ({one.mean():+.3f})" for one in errors),
            )
    console.print(table)


def _table(title: str, rules: Mapping[str, Rule], cells: Cells, rows: np.ndarray, applied: np.ndarray) -> Table:
    """Rules are applied to some of the cells; in the others nothing is expected to fall."""
    fall, detected, own = cells.number("fall")[rows], applied[rows], _own(cells)[rows]
    table = Table(title=f"{title}: {rows.sum()} cells, which fell by {fall.mean():.3f}")
    for name in ("rule", "mean absolute error", "bias", "covered", "reach", "Winkler"):
        table.add_column(name)
    for name, (mean, doubt) in rules.items():
        error = np.where(detected, mean[rows], 0) - fall
        reach = Z * np.hypot(np.where(detected, doubt[rows], 0), own)
        figures = np.abs(error), error, np.abs(error) <= reach, reach, _winkler(np.abs(error), reach)
        table.add_row(name, *(f"{figure.mean():.3f}" for figure in figures))
    return table


def main() -> None:
    """Measure or judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    one = verbs.add_parser("measure")
    one.add_argument("--images", type=Path)
    one.add_argument("--texts", type=Path)
    one.add_argument("--into", type=Path, required=True)
    one.add_argument("--seconds", type=float, default=np.inf)
    one.set_defaults(does=measure)
    other = verbs.add_parser("judge")
    other.add_argument("cells", type=Path)
    other.set_defaults(does=judge)
    wanted = parser.parse_args()
    wanted.does(wanted)


if __name__ == "__main__":
    main()
