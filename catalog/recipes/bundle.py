"""Put grown seedlings into the catalog: weights, cards, the lens, and a sketch of every domain of domains.yaml.

    python catalog/recipes/bundle.py --shared ../shared --work .cache/grow --lens "resnet-cifar10#block 03" NAME ...

Without names every finished seedling whose margin (judge.py) is good enough is bundled.
"""

import json
from hashlib import sha256
from pathlib import Path

from bundling import Bundling
from sources import read_labeled

from registry.cards import Checkpoint, Origin
from registry.modalities.image.items import ImageItem

SKETCHED_ROWS = 1000


def card_of(noted: dict, work: Path, folder: Path, domains: dict) -> Checkpoint:
    """The card of a seedling."""
    sources = noted["source"] if isinstance(noted["source"], list) else [noted["source"]]
    known = [_domain_of(source, domains) for source in sources]
    teacher = [noted["recipe"]["teacher"].split("/")[-1]] if "teacher" in noted["recipe"] else []
    kept = ("held_out_accuracy", "held_out_rows", "rows", "images_seen", "seed", "date")
    measured = {key: noted[key] for key in kept}
    if teacher:
        measured["held_out_cosine_to_teacher"] = measured.pop("held_out_accuracy")
    measured |= {
        "objective": noted["recipe"].get("objective", "labels"),
        "recipe": f"catalog/recipes/grow.py {folder.name}",
    }
    if (work / "margin.json").exists():
        measured |= json.loads((work / "margin.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    return Checkpoint(
        name=folder.name,
        modality="image",
        architecture=config["architectures"][0],
        folder=folder,
        digest=sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        parameters=noted["parameters"],
        input_size=noted["recipe"]["size"],
        license=" + ".join(dict.fromkeys(domains[k]["license"] for k in known)),
        domain=noted["recipe"].get("domain", known[0]),
        source=" + ".join(domains[k]["title"] for k in known),
        lineage=(*known, *teacher),
        origin=Origin.SEEDLING,
        measured=measured,
    )


def domain_items(shared: Path, source: str) -> list[ImageItem]:
    """At most `SKETCHED_ROWS` images of a source, evenly spread over its rows."""
    blobs = [blob for blob, _ in read_labeled(shared, source)]
    step = max(1, len(blobs) // SKETCHED_ROWS)
    return [
        ImageItem(f"{source}/{place}", sha256(blob).hexdigest(), data=blob)
        for place, blob in enumerate(blobs[::step][:SKETCHED_ROWS])
    ]


def _domain_of(source: str, domains: dict) -> str:
    return next(name for name, described in domains.items() if described["source"] == source)


IMAGES = Bundling(
    "image",
    "domains.yaml",
    ("config.json", "model.safetensors", "preprocessor_config.json"),
    card_of,
    domain_items,
    work=".cache/grow",
    lens="resnet-cifar10#block 03",
)

if __name__ == "__main__":
    IMAGES.run()
