"""Put grown seedlings into the catalog: weights, cards, the lens, and a sketch of every domain of domains.yaml.

    python catalog/recipes/bundle.py --shared ../shared --work .cache/grow --lens "resnet-cifar10#block 03" NAME ...

Without names every finished seedling whose margin (judge.py) is good enough is bundled. Weights that lie there already
are left as they are; only a changed lens makes the sketches anew.
"""

import argparse
import json
import shutil
import sys
from hashlib import sha256
from pathlib import Path

import yaml
from sources import read_labeled

from registry.cards import Checkpoint, Domain, Origin
from registry.catalog import write_checkpoint, write_domain, write_lens
from registry.encoders.encoder import CheckpointEncoder, load_encoder
from registry.features import Encoded, cached
from registry.modalities.image.items import ImageItem
from registry.sketch import fit_lens, sketch_of

HERE = Path(__file__).parent
CATALOG = HERE.parent
FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
SKETCHED_ROWS = 1000
LEAST_MARGIN = 0.03


def main() -> None:
    """Bundle what was asked for and say what became of it."""
    requested = _arguments()
    domains = yaml.safe_load((HERE / "domains.yaml").read_text())
    grown = {path.parent.parent.name: json.loads(path.read_text()) for path in requested.work.glob("*/done/card.json")}
    names = requested.names or [name for name in grown if _margin(requested.work / name) >= LEAST_MARGIN]
    for name in sorted(names):
        bundle(name, grown[name], requested.work / name, domains)
    write_domains(domains, requested.shared, requested.work, requested.lens)


def bundle(name: str, card: dict, work: Path, domains: dict) -> None:
    """Copy one seedling's three files and write its card."""
    folder = CATALOG / "seedlings" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        shutil.copyfile(work / "done" / file, folder / file)
    sources = card["source"] if isinstance(card["source"], list) else [card["source"]]
    known = [_domain_of(source, domains) for source in sources]
    teacher = [card["recipe"]["teacher"].split("/")[-1]] if "teacher" in card["recipe"] else []
    measured = {key: card[key] for key in ("held_out_accuracy", "held_out_rows", "rows", "images_seen", "seed", "date")}
    if teacher:
        measured["held_out_cosine_to_teacher"] = measured.pop("held_out_accuracy")
    measured |= {"objective": card["recipe"].get("objective", "labels"), "recipe": f"catalog/recipes/grow.py {name}"}
    if (work / "margin.json").exists():
        measured |= json.loads((work / "margin.json").read_text())
    config = json.loads((folder / "config.json").read_text())
    write_checkpoint(
        CATALOG,
        Checkpoint(
            name=name,
            modality="image",
            architecture=config["architectures"][0],
            folder=folder,
            digest=sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
            parameters=card["parameters"],
            input_size=card["recipe"]["size"],
            license=" + ".join(dict.fromkeys(domains[k]["license"] for k in known)),
            domain=card["recipe"].get("domain", known[0]),
            source=" + ".join(domains[k]["title"] for k in known),
            lineage=(*known, *teacher),
            origin=Origin.SEEDLING,
            measured=measured,
        ),
    )
    print(f"{name}: {card['parameters']:,} parameters, own held-out {card['held_out_accuracy']:.3f}")


def write_domains(domains: dict, shared: Path, work: Path, through: str) -> None:
    """Look at every domain through one block of the seedling that is the lens; write lens, cards and sketches."""
    lens_name, block = through.split("#")
    encoder = load_encoder(CATALOG / "seedlings" / lens_name, name=lens_name)
    place = encoder.blocks.index(block)
    seen = {name: encoded.blocks[place] for name, encoded in encode_domains(encoder, domains, shared, work).items()}
    lens = fit_lens("image", "image", list(seen.values()))
    write_lens(CATALOG, lens)
    for name, report in domains.items():
        card = Domain(
            name,
            "image",
            report["title"],
            report["family"],
            len(seen[name]),
            report["license"],
            report["citation"],
            Origin.PUBLISHED,
            aliases=tuple(report.get("aliases", ())),
        )
        write_domain(CATALOG, card, sketch_of(name, seen[name], lens))


def encode_domains(encoder: CheckpointEncoder, domains: dict, shared: Path, work: Path) -> dict[str, Encoded]:
    """Every domain's rows through an encoder, kept in WORK/seen."""
    seen = {}
    for name, report in domains.items():
        kept = work / "seen" / f"{encoder.name}-{encoder.digest[:12]}-{name}.safetensors"
        seen[name] = cached(kept, lambda source=report["source"]: encoder.encode(domain_items(shared, source)))
        print(f"{name}: {len(seen[name])} rows seen by {encoder.name}", file=sys.stderr, flush=True)
    return seen


def domain_items(shared: Path, source: str) -> list[ImageItem]:
    """At most `SKETCHED_ROWS` images of a source, evenly spread over its rows."""
    blobs = [blob for blob, _ in read_labeled(shared, source)]
    step = max(1, len(blobs) // SKETCHED_ROWS)
    return [
        ImageItem(f"{source}/{place}", sha256(blob).hexdigest(), data=blob)
        for place, blob in enumerate(blobs[::step][:SKETCHED_ROWS])
    ]


def _domain_of(source: str, domains: dict) -> str:
    return next(name for name, report in domains.items() if report["source"] == source)


def _margin(work: Path) -> float:
    path = work / "margin.json"
    return float(json.loads(path.read_text())["margin_over_random"]) if path.exists() else 0.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Put grown seedlings and domain sketches into the catalog.")
    parser.add_argument("names", nargs="*", help="which seedlings; all with a sufficient margin when none is named")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the folder that holds data/")
    parser.add_argument("--work", type=Path, default=Path(".cache/grow"), help="where grow.py left its results")
    parser.add_argument("--lens", default="resnet-cifar10#block 03", help="seedling#block to see domains through")
    return parser.parse_args()


if __name__ == "__main__":
    main()
