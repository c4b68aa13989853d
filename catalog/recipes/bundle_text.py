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
    known = _domains_of(card["source"], domains)
    began = [] if recipe["start"] in {"random", "teacher"} else [recipe["start"]]
    grown_from = yaml.safe_load((HERE / "texts.yaml").read_text())["texts"]
    before = [key for base in began for key in _domains_of(grown_from[base]["source"], domains) if key not in known]
    licenses = [domains[key]["license"].partition(" (")[0] for key in (*known, *before)]
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
            source=domains[known[0]]["title"] if len(known) == 1 else f"a mixture of {len(known)} corpora",
            lineage=(*known, *before, *began, recipe["teacher"]),
            origin=Origin.SEEDLING,
            measured={key: card[key] for key in ("held_out_loss", "steps", "tokens_seen", "seed", "date")}
            | {"objective": recipe["objective"] if recipe["tokens"] else "teacher"}
            | {"recipe": f"catalog/recipes/grow_text.py {name}"}
            | json.loads((work / "margin.json").read_text()),
        ),
    )
    print(f"{name}: {card['parameters']:,} parameters")


def _domains_of(sources: list[str], domains: dict) -> list[str]:
    return [key for source in sources for key in domains if domains[key]["source"] == f"corpora/{source}"]


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
        texts = texts_of(shared, described["source"])
        if not described["source"].startswith("corpora/"):
            texts = [texts[place] for place in _spread(len(texts))]
        write_rows(CATALOG, "text", RowKeys.of(name, {sha256(text.encode()).hexdigest() for text in texts}))


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
    texts = texts_of(shared, source)
    decoded = (decoded_item(f"{source}/{place}", texts[place].encode()) for place in _spread(len(texts)))
    return [item for item in decoded if not isinstance(item, Undecodable)]


def texts_of(shared: Path, source: str) -> list[str]:
    """Every passage of a corpus, or every training text of a labelled set."""
    kind, _, name = source.partition("/")
    if kind == "corpora":
        return passages(shared, name)
    with (shared / source / "train.csv").open(newline="", encoding="utf-8") as opened:
        return [row["text"] for row in csv.DictReader(opened)]


def _spread(rows: int) -> list[int]:
    return [int(place) for place in np.linspace(0, rows - 1, min(rows, SKETCHED_ROWS)).astype(int)]


def _margin(work: Path) -> float:
    path = work / "margin.json"
    return float(json.loads(path.read_text())["margin_over_random"]) if path.exists() else 0.0


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
