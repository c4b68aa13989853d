"""Put grown text checkpoints into the catalog: weights, cards, lens, and a sketch of every domain of domains_text.yaml.

    python catalog/recipes/bundle_text.py --shared ../shared --work .cache/grow-text [NAME ...]

Without names every finished checkpoint whose margin (judge_text.py) is good enough is bundled. A domain's rows are the
passages that a checkpoint may have learned from and those that its sketch was made of; only a key of each is kept.
"""

import csv
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import yaml
from bundling import HERE, Bundling
from grow_text import passages

from registry.cards import Checkpoint, Origin
from registry.modalities import Undecodable
from registry.modalities.text.items import TextItem, decoded_item

SKETCHED_ROWS = 400


def card_of(noted: dict, work: Path, folder: Path, domains: dict) -> Checkpoint:
    """The card of a checkpoint of text."""
    recipe = noted["recipe"]
    known = _domains_of(noted["source"], domains)
    began = [] if recipe["start"] in {"random", "teacher"} else [recipe["start"]]
    grown_from = yaml.safe_load((HERE / "texts.yaml").read_text())["texts"]
    before = [key for base in began for key in _domains_of(grown_from[base]["source"], domains) if key not in known]
    licenses = [domains[key]["license"].partition(" (")[0] for key in (*known, *before)]
    return Checkpoint(
        name=folder.name,
        modality="text",
        architecture=noted["architecture"],
        folder=folder,
        digest=sha256((folder / "model.safetensors").read_bytes()).hexdigest(),
        parameters=noted["parameters"],
        input_size=json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"],
        license=" + ".join(dict.fromkeys(licenses)),
        domain=known[0] if len(known) == 1 else None,
        source=domains[known[0]]["title"] if len(known) == 1 else f"a mixture of {len(known)} corpora",
        lineage=(*known, *before, *began, recipe["teacher"]),
        origin=Origin.SEEDLING,
        measured={key: noted[key] for key in ("held_out_loss", "steps", "tokens_seen", "seed", "date")}
        | {"objective": recipe["objective"] if recipe["tokens"] else "teacher"}
        | {"recipe": f"catalog/recipes/grow_text.py {folder.name}"}
        | json.loads((work / "margin.json").read_text()),
    )


def domain_items(shared: Path, source: str) -> list[TextItem]:
    """At most `SKETCHED_ROWS` texts of a source, evenly spread over its rows."""
    texts = texts_of(shared, source)
    decoded = (decoded_item(f"{source}/{place}", texts[place].encode()) for place in _spread(len(texts)))
    return [item for item in decoded if not isinstance(item, Undecodable)]


def domain_keys(shared: Path, source: str) -> set[str]:
    """Digests of every passage of a corpus, or of the texts of a labelled set that are sketched."""
    texts = texts_of(shared, source)
    if not source.startswith("corpora/"):
        texts = [texts[place] for place in _spread(len(texts))]
    return {sha256(text.encode()).hexdigest() for text in texts}


def texts_of(shared: Path, source: str) -> list[str]:
    """Every passage of a corpus, or every training text of a labelled set."""
    kind, _, name = source.partition("/")
    if kind == "corpora":
        return passages(shared, name)
    with (shared / source / "train.csv").open(newline="", encoding="utf-8") as opened:
        return [row["text"] for row in csv.DictReader(opened)]


def _spread(rows: int) -> list[int]:
    return [int(place) for place in np.linspace(0, rows - 1, min(rows, SKETCHED_ROWS)).astype(int)]


def _domains_of(sources: list[str], domains: dict) -> list[str]:
    return [key for source in sources for key in domains if domains[key]["source"] == f"corpora/{source}"]


TEXTS = Bundling(
    "text",
    "domains_text.yaml",
    ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"),
    card_of,
    domain_items,
    work=".cache/grow-text",
    lens="pupil-minilm#block 03",
    keys_of=domain_keys,
)

if __name__ == "__main__":
    TEXTS.run()
