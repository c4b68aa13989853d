"""The frozen design: python -m tests.benchmarks.proving_ground.design. Appends cells to each design.csv, changes none.

Checkpoints come in the order in which they were first there: the real ones by name, then seedlings as they are grown.
A checkpoint never meets a target of a family that shaped it (its source, its teacher's, its family's). Waves:

1. *no transfer*, and probes (at most 800 rows) of everything up to 160 px: ``linear-probe`` reads the last block,
   ``block-probe`` the one that the product's linear-probe plan chooses on the training rows;
2. ``lp-ft`` and ``scratch`` (600 rows, 5 epochs) of seedlings and light real checkpoints on a balanced half of the
   pairs, with both probes at the same 600 rows beside each (``scratch`` once for each group and target: nets
   that differ only in their weights are one net without them);
3. probes of the 224 px checkpoints and of DeepLab;
4. ``lp-ft`` of the two 224 px MobileNetV2 on four targets;
5. every other strategy beside ``lp-ft``, of a few bodies whose sources differ;
8. what plans prescribe now, 20 epochs, of ten light checkpoints on a draw of its own (another seed, for what earlier
   waves drew cannot be drawn again of every set), at 600 and at 150 rows: one target of each family, then the others;
   of each ``block-probe``, ``lp-ft`` and ``scratch``, and after all of them the other strategies that train.

Texts have the same waves, with 600 rows for probes, too: bundled checkpoints are light and real ones heavy. All light
ones are tuned on the same eight targets of eight families, whose texts are short (a ranking needs three checkpoints,
and of eight a half leaves no more), the heavy ones on four of these; ``scratch`` comes in wave 5, the probes of twelve
sets, whose families have another, in wave 6, and ``lp-ft`` and ``lora`` of light ones on as few rows as people label
first in wave 7. Wave 8 is ``lp-ft`` and ``full`` of four light ones for the 20 epochs that plans prescribe.
Kin is of the corpus that a checkpoint grew on itself: all that is bundled goes back to one pupil of eleven unlabelled
corpora and a teacher of sentence pairs, whose families leave none out.
"""

import argparse
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

from tests.benchmarks.proving_ground.cells import HERE, NO_TRANSFER, Cell, append, read_design
from tests.benchmarks.proving_ground.targets import FAMILIES, GROUNDS, IMAGES, TEXTS, Ground

__all__ = ["TUNED_EPOCHS", "TUNED_ROWS", "Weights", "new_cells", "weights_in"]

TUNED_ROWS, TUNED_EPOCHS, SEED = 600, 5, 0
FEW_ROWS = 150
"""Rows that light checkpoints are tuned on, too: what training adds depends on how many there are."""
PRESCRIBED_EPOCHS, LATER_SEED = 20, 1
PROBES = ("linear-probe", "block-probe")
"""A logistic head on the last block, and on the block that the product's own linear-probe plan reads."""
HEAVY = 200
"""Inputs of at least so many pixels are heavy."""
HEAVY_PARAMETERS = 10_000_000
"""Text checkpoints of at least so many are heavy."""
FEW_TARGETS = ("clothing", "magnetic_tile", "plankton30", "rsscn7")
"""Of four families that no real checkpoint comes from; here the two 224 px MobileNetV2 are tuned."""
TUNED_TEXTS = (
    "banking77",
    "financial_phrasebank",
    "indonesian_sentiment",
    "paper_field",
    "subj",
    "trec",
    "trial_abstract_roles",
    "tweet_emotion",
)
FEW_TEXTS = ("paper_field", "subj", "trec", "tweet_emotion")
LATER_TEXTS = (
    "chemprot",
    "clinc150",
    "clinical_notes_small",
    "dialogue_service",
    "germeval18",
    "hate_offensive",
    "indonesian_emotion",
    "scicite",
    "sst2",
    "tweet_hate",
    "tweet_offensive",
    "tweet_stance",
)
UNTRAINED = ("prototype", "knn")
STRATEGIES = (
    *UNTRAINED,
    "norm-only",
    "lora",
    "partial-1",
    "partial-2",
    "surgical",
    "discriminative",
    "gradual-unfreezing",
    "ulmfit",
    "full",
)
BODIES = ("resnet-photos", "resnet-cifar10", "vit-cifar10", "imagenet_mobilenet_v1_0.25_128")
"""Checkpoints on which all strategies are carried out."""
PRESCRIBED = (
    "resnet-photos",
    "resnet-clothing",
    "resnet-cifar10",
    "resnet-plankton30",
    "vit-cifar10",
    "convnext-cifar10",
    "regnet-cifar10",
    "vww_person_mobilenet_v1_0.25_96",
    "imagenet_mobilenet_v1_0.25_128",
    "cifar10_resnet8",
)
"""Checkpoints of images that are trained for as long as plans say."""
PRESCRIBED_OF_TEXTS = ("pupil-minilm", "bert-tweets", "gpt-wikipedia", "bert-biomedical")
"""Those of texts."""
PRESCRIBED_STRATEGIES = ("full", "partial-1", "discriminative", "norm-only", "surgical")
WITH_LINEAR_LAYERS = ("vit", "convnext", "swin", "dinov2")
"""Model types that LoRA is offered on."""
REAL_LINEAGE = {
    "cifar10_resnet20": ("cifar10",),
    "cifar10_resnet8": ("cifar10",),
    "face3d_mobilenet_v1_0.5_120": ("300w_lp",),
    "imagenet_mobilenet_v1_0.25_128": ("imagenet_sample",),
    "imagenet_mobilenet_v1_0.5_160": ("imagenet_sample",),
    "imagenet_mobilenet_v2_1.0_224": ("imagenet_sample",),
    "inat_birds_mobilenet_v2_1.0_224": ("inaturalist_birds", "imagenet_sample"),
    "pascal_deeplab_mobilenet_v2_0.5": ("pascal_voc", "coco_sample", "imagenet_sample"),
    "vww_person_mobilenet_v1_0.25_96": ("coco_sample",),
}
"""What shaped the real checkpoints, the data set of the last training first; samples stand for their whole."""
REAL_TEXTS = ("all-MiniLM-L6-v2", "paraphrase-MiniLM-L3-v2")
SOURCE_FAMILIES = {
    **FAMILIES,
    "omniglot": "handwriting",
    "300w_lp": "faces",
    "imagenet_sample": "natural photos",
    "coco_sample": "natural photos",
    "pascal_voc": "natural photos",
    "inaturalist_birds": "natural photos",
    "biomedical": "biomedicine",
    "finance": "finance",
    "indonesian": "indonesian",
    "legal": "law",
    "source_code": "source code",
    "tweets": "social media",
    "wikipedia": "encyclopedia",
    "sentence-pairs": "sentence pairs",
}


@dataclass(frozen=True)
class Weights:
    """A checkpoint as the design sees it."""

    name: str
    digest: str
    group: str
    parameters: int
    input_size: int
    lineage: tuple[str, ...]
    probes_only: bool
    modality: str = IMAGES.modality

    @property
    def heavy(self) -> bool:
        """Whether it is probed and tuned after the others, and tuned on few targets."""
        return self.input_size >= HEAVY if self.modality == IMAGES.modality else self.parameters >= HEAVY_PARAMETERS

    @property
    def kin(self) -> frozenset[str]:
        """Families that it never meets."""
        return frozenset(SOURCE_FAMILIES[source] for source in self.lineage)


def weights_in(folder: Path, lineage: Sequence[str], modality: str = IMAGES.modality) -> Weights:
    """What a checkpoint's folder holds; the group is its architecture, millions of backbone weights, and input size."""
    config = json.loads((folder / "config.json").read_text())
    sizes = _tensor_sizes(folder / "model.safetensors")
    backbone = sum(size for name, size in sizes.items() if not name.startswith(("classifier", "segmentation_head")))
    digest = sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    side = _input_size(folder) if modality == IMAGES.modality else _positions(config)
    return Weights(
        folder.name if folder.name != "done" else folder.parent.name,
        digest,
        f"{config['model_type']}-{backbone / 1e6:.2f}M@{side}",
        sum(sizes.values()),
        side,
        tuple(lineage),
        "Segmentation" in config["architectures"][0],
        modality,
    )


def new_cells(known: Sequence[Cell], checkpoints: Sequence[Weights], ground: Ground = IMAGES) -> list[Cell]:
    """The cells that these checkpoints of one modality add to those known, numbered on from there."""
    there = {_key(cell) for cell in known}
    order = list(dict.fromkeys(c.weights for c in known if c.digest))
    instances = []
    for cell in _wanted(checkpoints, order, ground):
        if _key(cell) not in there:
            there.add(_key(cell))
            instances.append(cell)
    first = max((c.cell for c in known), default=0) + 1
    return [Cell(**{**vars(cell), "cell": first + place}) for place, cell in enumerate(instances)]


def _key(cell: Cell) -> tuple[object, ...]:
    """What a cell trains: two cells of one key would come to the same."""
    what = cell.group if cell.strategy == "scratch" else cell.weights
    return what, cell.target, cell.strategy, cell.rows, cell.epochs, cell.seed


def _wanted(checkpoints: Sequence[Weights], order: list[str], ground: Ground) -> Iterator[Cell]:
    bare = Weights(NO_TRANSFER, "", "", 0, 0, (), probes_only=True)
    for target in ground.families:
        yield _cell(bare, target, 6 if target in LATER_TEXTS else 1, NO_TRANSFER, ground.probe_rows)
    for one in checkpoints:
        weights = f"{one.name}@{one.digest[:8]}"
        if weights not in order:
            order.append(weights)
        allowed = [target for target, family in ground.families.items() if family not in one.kin]
        for strategy in PROBES:
            for target in allowed:
                wave = 6 if target in LATER_TEXTS else 3 if one.heavy else 1
                yield _cell(one, target, wave, strategy, ground.probe_rows)
        if not one.probes_only:
            chosen = _chosen(one, allowed, order.index(weights), ground)
            yield from _tuned(one, chosen, 4 if one.heavy else 2)
            if one.name in BODIES:
                yield from _strategies(one, chosen)
    names = PRESCRIBED if ground is IMAGES else PRESCRIBED_OF_TEXTS
    longer = sorted((one for one in checkpoints if one.name in names), key=lambda one: names.index(one.name))
    yield from _prescribed(longer) if ground is IMAGES else _prescribed_texts(longer)


def _chosen(one: Weights, allowed: Sequence[str], place: int, ground: Ground) -> list[str]:
    """Targets that a checkpoint is tuned on: of images, every second, the other half for every second checkpoint."""
    if ground is TEXTS:
        return [target for target in allowed if target in (FEW_TEXTS if one.heavy else TUNED_TEXTS)]
    if one.heavy:
        return [target for target in allowed if target in FEW_TARGETS]
    columns = list(ground.families)
    return [target for target in allowed if (columns.index(target) + place) % 2 == 0]


def _tuned(one: Weights, targets: Sequence[str], wave: int) -> Iterator[Cell]:
    for target in targets:
        for strategy in PROBES:
            yield _cell(one, target, wave, strategy, TUNED_ROWS)
        yield _cell(one, target, wave, "lp-ft", TUNED_ROWS, TUNED_EPOCHS)
        if not one.heavy:
            yield _cell(one, target, 5 if one.modality == TEXTS.modality else wave, "scratch", TUNED_ROWS, TUNED_EPOCHS)
    if one.modality == TEXTS.modality and not one.heavy:
        for strategy in ("lp-ft", "lora"):
            for target in targets:
                yield _cell(one, target, 7, strategy, FEW_ROWS, TUNED_EPOCHS)


def _strategies(one: Weights, targets: Sequence[str]) -> Iterator[Cell]:
    for target in targets:
        for strategy in STRATEGIES:
            if strategy != "lora" or one.group.startswith(WITH_LINEAR_LAYERS):
                epochs = 0 if strategy in UNTRAINED else TUNED_EPOCHS
                yield _cell(one, target, 5, strategy, TUNED_ROWS, epochs)


def _prescribed(checkpoints: Sequence[Weights]) -> Iterator[Cell]:
    """The most telling first: a stop at any cell leaves whole families and both sizes."""
    first = {family: target for target, family in reversed(IMAGES.families.items())}
    rounds = [*first.values()], [target for target in IMAGES.families if target not in first.values()]
    for targets in rounds:
        for rows in (TUNED_ROWS, FEW_ROWS):
            yield from _longer(checkpoints, targets, ("block-probe", "lp-ft"), rows)
        for rows in (TUNED_ROWS, FEW_ROWS):
            yield from _longer(checkpoints, targets, ("scratch",), rows)
    for strategy in PRESCRIBED_STRATEGIES:
        for rows in (TUNED_ROWS, FEW_ROWS):
            yield from _longer(checkpoints, [*rounds[0], *rounds[1]], (strategy,), rows)


def _prescribed_texts(checkpoints: Sequence[Weights]) -> Iterator[Cell]:
    for strategies in (("block-probe", "lp-ft"), ("full",)):
        for rows in (FEW_ROWS, TUNED_ROWS):
            yield from _longer(checkpoints, TUNED_TEXTS, strategies, rows)


def _longer(
    checkpoints: Sequence[Weights], targets: Sequence[str], strategies: Sequence[str], rows: int
) -> Iterator[Cell]:
    for target in targets:
        for one in checkpoints:
            if FAMILIES[target] not in one.kin:
                for strategy in strategies:
                    epochs = 0 if strategy == "block-probe" else PRESCRIBED_EPOCHS
                    yield _cell(one, target, 8, strategy, rows, epochs, LATER_SEED)


def _cell(one: Weights, target: str, wave: int, strategy: str, rows: int, epochs: int = 0, seed: int = SEED) -> Cell:
    return Cell(
        0,
        wave,
        one.name,
        one.digest,
        one.group,
        one.parameters,
        ";".join(one.lineage),
        target,
        FAMILIES[target],
        strategy,
        rows,
        epochs,
        seed,
    )


def _tensor_sizes(path: Path) -> Mapping[str, int]:
    """Elements of each weight, by name; counters of batch norm are none."""
    with path.open("rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return {k: prod(v["shape"]) for k, v in header.items() if k != "__metadata__" and not k.endswith("_tracked")}


def _input_size(folder: Path) -> int:
    record = json.loads((folder / "preprocessor_config.json").read_text())
    size = record.get("crop_size") or record["size"]
    return int(size.get("height") or size["shortest_edge"])


def _positions(config: Mapping[str, Any]) -> int:
    """Tokens that a text net has positions for."""
    return int(config.get("max_position_embeddings") or config["n_positions"])


def _text_checkpoints(teachers: Path, catalog: Path) -> list[Weights]:
    """Real ones by name, then bundled ones by name; of each the corpus that it grew on itself."""
    import yaml

    real = [weights_in(teachers / name, ("sentence-pairs",), TEXTS.modality) for name in REAL_TEXTS]
    cards = [yaml.safe_load(path.read_text()) for path in sorted(catalog.glob("checkpoints/text/*.yaml"))]
    bundled = [card for card in cards if "folder" in card]
    own = [tuple(filter(None, [card.get("domain")])) for card in bundled]
    return real + [
        weights_in(catalog / card["folder"], of, TEXTS.modality) for card, of in zip(bundled, own, strict=True)
    ]


def _checkpoints(shared: Path, grown: Path, catalog: Path) -> list[Weights]:
    """Real ones by name; then seedlings of the catalog, then grown ones that are not in it, by name."""
    real = [weights_in(shared / "checkpoints" / "image" / name, of) for name, of in sorted(REAL_LINEAGE.items())]
    bundled = {card.stem: catalog / "seedlings" / card.stem for card in catalog.glob("checkpoints/image/*.yaml")}
    folders = {name: folder for name, folder in bundled.items() if folder.is_dir()}
    folders |= {
        path.parent.parent.name: path.parent
        for path in grown.glob("*/done/card.json")
        if path.parent.parent.name not in folders
    }
    return real + [weights_in(folder, _seedling_lineage(name)) for name, folder in sorted(folders.items())]


def _seedling_lineage(name: str) -> tuple[str, ...]:
    """Its sources and its teacher's, from the recipe it was grown by."""
    import yaml

    from registry.home import catalog_folder

    recipe = yaml.safe_load((catalog_folder() / "recipes" / "seedlings.yaml").read_text())["seedlings"][name]
    sources = recipe["source"] if isinstance(recipe["source"], list) else [recipe["source"]]
    teacher = REAL_LINEAGE[recipe["teacher"].rpartition("/")[2]] if "teacher" in recipe else ()
    return tuple(dict.fromkeys([*(source.rpartition("/")[2] for source in sources), *teacher]))


def main() -> None:
    """Append what is new."""
    from registry.home import catalog_folder

    parser = argparse.ArgumentParser(
        description="Append new cells to a modality's design.csv; what is there never changes."
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--grown", type=Path, default=Path(".cache/grow"), help="seedlings not yet in the catalog")
    parser.add_argument("--teachers", type=Path, default=Path(".cache/teachers"), help="real text checkpoints")
    parser.add_argument("--modality", choices=sorted(GROUNDS), default=IMAGES.modality)
    requested = parser.parse_args()
    ground, path = GROUNDS[requested.modality], HERE / requested.modality / "design.csv"
    if ground is TEXTS:
        checkpoints = _text_checkpoints(requested.teachers, catalog_folder())
    else:
        checkpoints = _checkpoints(requested.shared, requested.grown, catalog_folder())
    known = read_design(path)
    cells = new_cells(known, checkpoints, ground)
    append(path, cells)
    print(f"{len(cells)} cells added to {len(known)}")


if __name__ == "__main__":
    main()
