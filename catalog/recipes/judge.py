"""How much better a seedling's features are than its architecture's at random: margin under a linear head.

    python catalog/recipes/judge.py --shared ../shared --work .cache/grow [NAME ...]

Averaged over three targets that are not of the source's family and three random initializations. Writes margin.json
beside the seedling; bundle.py puts it on the card.
"""

import argparse
import json
import tempfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
import transformers
import yaml
from sources import read_labeled

from recommender.transfer.linear import fit_head
from registry.encoders.encoder import CheckpointEncoder, load_encoder
from registry.modalities.image.items import ImageItem

HERE = Path(__file__).parent
TARGETS = ("rsscn7", "clothing", "plankton30", "sign_digits", "omniglot_alphabets", "fer2013")
SEEDS = (1, 2, 3)
TRAIN_ROWS, TEST_ROWS = 600, 600


def main() -> None:
    """Judge what was asked for, or all that is grown and not judged yet."""
    requested = _arguments()
    torch.set_num_threads(requested.threads)
    transformers.utils.logging.disable_progress_bar()
    domains = yaml.safe_load((HERE / "domains.yaml").read_text())
    grown = sorted(path.parent.parent.name for path in requested.work.glob("*/done/card.json"))
    for name in requested.names or grown:
        if requested.names or not (requested.work / name / "margin.json").exists():
            judge(name, requested.work / name, requested.shared, domains)


def judge(name: str, work: Path, shared: Path, domains: dict) -> None:
    """Measure and write one seedling's margin."""
    card = json.loads((work / "done" / "card.json").read_text())
    sources = card["source"] if isinstance(card["source"], list) else [card["source"]]
    families = {record["family"] for record in domains.values() if record["source"] in sources}
    targets = [target for target in TARGETS if domains[target]["family"] not in families][:3]
    ours = [linear_accuracy(load_encoder(work / "done", name=name), shared, target) for target in targets]
    random = [[_chance(work, seed, shared, target) for target in targets] for seed in SEEDS]
    record = {
        "margin_over_random": round(float(np.mean(ours) - np.mean(random)), 4),
        "margin_targets": {
            t: [round(o, 4), round(float(r), 4)] for t, o, r in zip(targets, ours, np.mean(random, axis=0), strict=True)
        },
        "random_seeds": list(SEEDS),
    }
    (work / "margin.json").write_text(json.dumps(record, indent=1))
    print(f"{name}: {record['margin_over_random']:+.3f} over random; {record['margin_targets']}", flush=True)


def _chance(work: Path, seed: int, shared: Path, target: str) -> float:
    """A random initialization's accuracy, measured once for each architecture, seed and target."""
    config = transformers.AutoConfig.from_pretrained(work / "done").to_dict()
    same = {key: value for key, value in config.items() if key not in {"id2label", "label2id"}}
    key = sha256(json.dumps([same, seed, target], sort_keys=True, default=str).encode()).hexdigest()[:16]
    kept = work.parent / "random" / f"{key}.json"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(linear_accuracy(at_random(work / "done", seed), shared, target)))
    return float(json.loads(kept.read_text()))


def at_random(folder: Path, seed: int) -> CheckpointEncoder:
    """The same architecture and preprocessing at a seeded random initialization."""
    config = transformers.AutoConfig.from_pretrained(folder)
    torch.manual_seed(seed)
    model = getattr(transformers, config.architectures[0])(config)
    with tempfile.TemporaryDirectory() as place:
        model.save_pretrained(place)
        (Path(place) / "preprocessor_config.json").write_bytes((folder / "preprocessor_config.json").read_bytes())
        return load_encoder(Path(place), name=f"random-{seed}")


def linear_accuracy(encoder: CheckpointEncoder, shared: Path, target: str) -> float:
    """Test accuracy of a linear head on the encoder's last features of a target."""
    train, train_labels = _rows(shared, target, "train", TRAIN_ROWS)
    test, test_labels = _rows(shared, target, "test", TEST_ROWS)
    classes = sorted(set(train_labels))
    wanted = np.array([classes.index(label) for label in train_labels])
    head = fit_head(encoder.encode(train).last.vectors, wanted, len(classes))
    scores = head.logits(encoder.encode(test).last.vectors)
    return float(np.mean(np.array(classes)[scores.argmax(1)] == np.array(test_labels)))


def _rows(shared: Path, target: str, part: str, most: int) -> tuple[list[ImageItem], list[str]]:
    rows = read_labeled(shared, f"image/{target}", part)
    chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:most])
    items = [ImageItem(str(place), str(place), data=rows[place][0]) for place in chosen]
    return items, [rows[place][1] for place in chosen]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure seedlings against random initializations.")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--work", type=Path, default=Path(".cache/grow"))
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
