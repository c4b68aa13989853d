"""By how much a grown text checkpoint beats its own body at random initialization: margin.json beside `done`.

    python catalog/recipes/judge_text.py --shared ../shared --work .cache/grow-text [NAME ...]

A linear head on the mean of all blocks' mean-pooled features, 600 training and 600 test rows, three targets of other
families than the sources, three random initializations.
"""

import argparse
import csv
import json
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
import transformers
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

ROWS = 600
SEEDS = (0, 1, 2)
TARGETS = ("trec", "subj", "paper_field", "clinc150", "amazon_reviews", "novel_author")
RELATED = {
    "product_reviews": {"amazon_reviews"},
    "fiction": {"novel_author"},
    "biomedical": {"paper_field"},
    "dialogue": {"clinc150"},
}
"""Targets that are of the same family as a corpus."""


def main() -> None:
    """Judge what is named, or whatever is finished."""
    options = _arguments()
    for name in options.names or sorted(path.parent.parent.name for path in options.work.glob("*/done/card.json")):
        judge(options.work / name, options.shared)


def judge(work: Path, shared: Path) -> None:
    """Write the margin of one checkpoint, and print it."""
    card = json.loads((work / "done" / "card.json").read_text())
    generalist = len(card["source"]) > len(RELATED)
    near = set() if generalist else set().union(*(RELATED.get(source, set()) for source in card["source"]))
    targets = [target for target in TARGETS if target not in near][:3]
    tokenizer = transformers.AutoTokenizer.from_pretrained(work / "done")
    grown = transformers.AutoModel.from_pretrained(work / "done", dtype=torch.float32).eval()
    reached = np.array([accuracy(grown, tokenizer, shared, target) for target in targets])
    chance = [random_accuracy(grown, tokenizer, shared, target, work.parent) for target in targets]
    record = {
        "margin_over_random": round(float(np.mean(reached) - np.mean(chance)), 4),
        "margin_targets": {
            target: [round(float(own), 4), round(float(random), 4)]
            for target, own, random in zip(targets, reached, chance, strict=True)
        },
        "random_seeds": list(SEEDS),
    }
    (work / "margin.json").write_text(json.dumps(record, indent=1))
    print(work.name, record, flush=True)


def random_accuracy(grown: torch.nn.Module, tokenizer: object, shared: Path, target: str, work: Path) -> float:
    """Mean accuracy of the same body at random initializations; kept, for children of one body share it."""
    kept = work / "random.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    pieces = tokenizer.backend_tokenizer.to_str()
    body = sha256(f"{grown.config.to_json_string()} {pieces}".encode()).hexdigest()[:12]
    key = f"{type(grown).__name__} {body} {target}"
    if key not in known:
        scores = []
        for seed in SEEDS:
            torch.manual_seed(seed)
            scores.append(accuracy(type(grown)(grown.config).eval(), tokenizer, shared, target))
        known = json.loads(kept.read_text()) if kept.exists() else {}
        known[key] = float(np.mean(scores))
        kept.write_text(json.dumps(known, indent=1))
    return float(known[key])


def accuracy(body: torch.nn.Module, tokenizer: object, shared: Path, target: str) -> float:
    """Test accuracy of a linear head on the body's features."""
    parts = [rows(shared, target, part, ROWS) for part in ("train", "test")]
    (train, labels), (test, truth) = [(features(body, tokenizer, texts), names) for texts, names in parts]
    return float(head().fit(train, labels).score(test, truth))


def head() -> Pipeline:
    """A linear head on standardized features."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000, C=0.1))


def rows(shared: Path, target: str, part: str, most: int) -> tuple[list[str], list[str]]:
    """Texts and labels of at most so many rows of a set's part, drawn by seed 0."""
    with (shared / "data" / "text" / target / f"{part}.csv").open(newline="", encoding="utf-8") as opened:
        lines = list(csv.DictReader(opened))
    chosen = np.random.default_rng(0).permutation(len(lines))[:most]
    return [lines[place]["text"] for place in chosen], [lines[place]["label"] for place in chosen]


def features(body: torch.nn.Module, tokenizer: object, texts: list[str]) -> np.ndarray:
    """Mean over tokens of the mean over blocks."""
    pooled = []
    for first in range(0, len(texts), 64):
        batch = tokenizer(texts[first : first + 64], truncation=True, max_length=128, padding=True, return_tensors="pt")
        inputs = {key: batch[key] for key in ("input_ids", "attention_mask")}
        with torch.no_grad():
            hidden = torch.stack(body(**inputs, output_hidden_states=True).hidden_states[1:]).mean(0)
        mask = batch["attention_mask"][..., None]
        pooled.append((hidden * mask).sum(1) / mask.sum(1))
    return torch.cat(pooled).numpy()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Margins of grown text checkpoints over random initialization.")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the folder that holds data/")
    parser.add_argument("--work", type=Path, default=Path(".cache/grow-text"), help="where grow_text.py wrote")
    return parser.parse_args()


if __name__ == "__main__":
    main()
