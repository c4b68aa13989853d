"""Whether a text checkpoint tells more of its own domain than the pupil that it started as.

    python catalog/recipes/own_text.py --shared ../shared [--seedlings catalog/seedlings] [NAME ...]

Labelled sets of the corpus's domain; a linear head on the mean of all blocks' mean-pooled features, 600 training rows
and at most 1,000 test rows, the same for both. The error is that of the paired difference over test rows.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import transformers
from judge_text import features, head, rows

PUPIL = "pupil-minilm"
OWN = {
    "bert-biomedical": ("chemprot", "clinical_notes_small", "trial_abstract_roles"),
    "bert-finance": ("financial_phrasebank",),
    "bert-indonesian": ("indonesian_emotion", "indonesian_sentiment"),
    "bert-source_code": ("code_language",),
    "bert-tweets": ("hate_offensive", "tweet_emotion", "tweet_hate", "tweet_offensive", "tweet_stance"),
}
"""Sets of the domain of each child's corpus; of law there is none."""
TRAIN_ROWS, TEST_ROWS = 600, 1000


def main() -> None:
    """Print a line a set and child."""
    options = _arguments()
    opened = {name: _open(options.seedlings / name) for name in (PUPIL, *options.names)}
    for name in options.names:
        gains = []
        for target in OWN[name]:
            own, before = (_right(*opened[one], options.shared, target) for one in (name, PUPIL))
            gains.append(own - before)
            print(
                f"{name} on {target}: {own.mean():.3f}, {PUPIL} {before.mean():.3f}: {_in_words(gains[-1:])}",
                flush=True,
            )
        print(f"{name} on its own domain: {_in_words(gains)}", flush=True)


def _open(folder: Path) -> tuple[torch.nn.Module, object]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval(), tokenizer


def _right(body: torch.nn.Module, tokenizer: object, shared: Path, target: str) -> np.ndarray:
    """Which test rows a head on the body's features tells rightly, 1 or 0."""
    parts = [rows(shared, target, part, most) for part, most in (("train", TRAIN_ROWS), ("test", TEST_ROWS))]
    (train, labels), (test, truth) = [(features(body, tokenizer, texts), names) for texts, names in parts]
    return (head().fit(train, labels).predict(test) == np.array(truth)).astype(float)


def _in_words(gains: Sequence[np.ndarray]) -> str:
    """Mean over sets, and its error."""
    error = np.sqrt(sum(gain.var() / len(gain) for gain in gains)) / len(gains)
    return f"{np.mean([gain.mean() for gain in gains]):+.3f} ± {error:.3f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Children on their own domains, beside the pupil.")
    parser.add_argument("names", nargs="*", default=[*OWN])
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the folder that holds data/")
    parser.add_argument("--seedlings", type=Path, default=Path("catalog/seedlings"), help="where the checkpoints lie")
    return parser.parse_args()


if __name__ == "__main__":
    main()
