"""Put grown text checkpoints into the catalog: weights, cards, lens, and a sketch of every domain of domains_text.yaml.

    python catalog/recipes/bundle_text.py --shared ../shared --work .cache/grow-text [NAME ...]

Without names every finished checkpoint whose margin (judge_text.py) is good enough is bundled. A domain's rows are the
passages that a checkpoint may have learned from and those that its sketch was made of; only a key of each is kept.
"""

import argparse
import csv
import json
import shutil
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import yaml
from grow_text import passages

from registry.cards import Checkpoint, Domain, Origin
from registry.catalog import write_checkpoint, write_domain, write_lens, write_rows
from registry.encoders.encoder import CheckpointEncoder, load_encoder
from registry.features import Encoded, cached
from registry.modalities import Undecodable
from registry.modalities.text.items import TextItem, decoded_item
from registry.sketch import RowKeys, fit_lens, sketch_of

HERE = Path(__file__).parent
CATALOG = HERE.parent
FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
SKETCHED_ROWS = 400
LEAST_MARGIN = 0.03


def main() -> None:
    """Bundle what is named and print what became of it."""
    options = _arguments()
    domains = yaml.safe_load((HERE / "domains_text.yaml").read_text())
    grown = {path.parent.parent.name: json.loads(path.read_text()) for path in options.work.glob("*/done/card.json")}
    names = options.names or [name for name in grown if _margin(options.work / name) >= LEAST_MARGIN]
    for name in sorted(names):
        bundle(name, grown[name], options.work / name, domains)
    write_domains(domains, options.shared, options.work, options.lens)


def bundle(name: str, card: dict, work: Path, domains: dict) -> None:
    """Copy one checkpoint's files and write its card."""
    folder = CATALOG / "seedlings" / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        shutil.copyfile(work / "done" / file, folder / file)
    recipe = card["recipe"]
    known = [key for source in card["source"] for key in domains if domains[key]["source"] == f"corpora/{source}"]
    began = [] if recipe["start"] in {"random", "teacher"} else [recipe["start"]]
    taught = [recipe["teacher"]] if recipe["distill"] or recipe["start"] != "random" else []
    licenses = [domains[key]["license"] for key in known]
    write_checkpoint(
        CATALOG,
        Checkpoint(
            name=name,
            modality="text",
            architecture=card["architecture"],
            folder=folder,
            digest=sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
            parameters=card["parameters"],
            input_size=json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"],
            license=" + ".join(dict.fromkeys(licenses)),
            domain=known[0] if len(known) == 1 else None,
            source=" + ".join(domains[key]["title"] for key in known),
            lineage=(*known, *began, *taught),
            origin=Origin.SEEDLING,
            measured={key: card[key] for key in ("held_out_loss", "steps", "tokens_seen", "seed", "date")}
            | {"objective": recipe["objective"] if recipe["tokens"] else "teacher"}
            | {"recipe": f"catalog/recipes/grow_text.py {name}"}
            | json.loads((work / "margin.json").read_text()),
        ),
    )
    print(f"{name}: {card['parameters']:,} parameters")


def write_domains(domains: dict, shared: Path, work: Path, through: str) -> None:
    """Look at every domain through one block of the checkpoint that is the lens; write all that this gives."""
    lens_name, block = through.split("#")
    encoder = load_encoder(CATALOG / "seedlings" / lens_name, name=lens_name)
    place = encoder.blocks.index(block)
    seen = {name: encoded.blocks[place] for name, encoded in encode_domains(encoder, domains, shared, work).items()}
    lens = fit_lens("text", "text", list(seen.values()))
    write_lens(CATALOG, lens)
    for name, described in domains.items():
        card = Domain(
            name,
            "text",
            described["title"],
            described["family"],
            len(seen[name]),
            described["license"],
            described["citation"],
            Origin.PUBLISHED,
            aliases=tuple(described.get("aliases", ())),
        )
        write_domain(CATALOG, card, sketch_of(name, seen[name], lens))
        whole = described["source"].startswith("corpora/")
        items = items_of(shared, described["source"]) if whole else domain_items(shared, described["source"])
        write_rows(CATALOG, "text", RowKeys.of(name, {item.digest for item in items}))


def encode_domains(encoder: CheckpointEncoder, domains: dict, shared: Path, work: Path) -> dict[str, Encoded]:
    """Every domain's rows through an encoder, kept in WORK/seen."""
    seen = {}
    for name, described in domains.items():
        kept = work / "seen" / f"{encoder.name}-{encoder.digest[:12]}-{name}.safetensors"
        seen[name] = cached(kept, lambda source=described["source"]: encoder.encode(domain_items(shared, source)))
        print(f"{name}: {len(seen[name])} rows seen by {encoder.name}", file=sys.stderr, flush=True)
    return seen


def domain_items(shared: Path, source: str) -> list[TextItem]:
    """At most `SKETCHED_ROWS` texts of a source, evenly spread over its rows."""
    items = items_of(shared, source)
    return [items[place] for place in np.linspace(0, len(items) - 1, min(len(items), SKETCHED_ROWS)).astype(int)]


def items_of(shared: Path, source: str) -> list[TextItem]:
    """Every passage of a corpus, or every training text of a labelled set."""
    kind, _, name = source.partition("/")
    if kind == "corpora":
        texts = passages(shared, name)
    else:
        with (shared / source / "train.csv").open(newline="", encoding="utf-8") as opened:
            texts = [row["text"] for row in csv.DictReader(opened)]
    decoded = (decoded_item(f"{source}/{place}", text.encode()) for place, text in enumerate(texts))
    return [item for item in decoded if not isinstance(item, Undecodable)]


def _margin(work: Path) -> float:
    path = work / "margin.json"
    return float(json.loads(path.read_text())["margin"]) if path.exists() else 0.0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Put grown text checkpoints and sketches of text into the catalog.")
    parser.add_argument("names", nargs="*", help="which checkpoints; all with a sufficient margin when none is named")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the folder with corpora/ and data/")
    parser.add_argument(
        "--work", type=Path, default=Path(".cache/grow-text"), help="where grow_text.py left its results"
    )
    parser.add_argument("--lens", default="pupil-minilm#block 03", help="checkpoint#block to see domains through")
    return parser.parse_args()


if __name__ == "__main__":
    main()
