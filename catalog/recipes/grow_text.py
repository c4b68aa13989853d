"""Grow the text checkpoints of texts.yaml: masked, causal or distilled pretraining; resumable, seeded, with progress.

    python catalog/recipes/grow_text.py --shared ../shared --work .cache/grow-text --minutes 60 [NAME ...]

A step draws its rows and masks from (seed, step) alone, so a run that was killed continues as if it had not been.
Finished checkpoints lie in WORK/<name>/done, in transformers format with fp16 weights and a tokenizer of their own.
"""

import argparse
import gzip
import json
import time
from datetime import date
from pathlib import Path

import numpy as np
import torch
import transformers
import yaml
from grow import make_optimizer, resume, save, set_rate
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from torch.nn import functional

HERE = Path(__file__).parent
SAVE_EVERY = 60.0
REPORT_EVERY = 15.0
TEACHER_BATCH = 64
HELD = 0.02
SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]")
LINE_BREAK = "⏎"
"""What stands for a line's end within a passage of the corpora."""


class Learner(nn.Module):
    """A body with what its objective puts on top; only ``body`` is shipped."""

    def __init__(self, recipe: dict, teacher_width: int) -> None:
        super().__init__()
        torch.manual_seed(recipe["seed"])
        architecture = getattr(transformers, recipe["architecture"])
        config = architecture.config_class(**recipe["config"], vocab_size=recipe["vocabulary"], pad_token_id=0)
        pooler = {"add_pooling_layer": False} if recipe["architecture"] == "BertModel" else {}
        self.body, self.recipe = architecture(config, **pooler), recipe
        width = config.hidden_size
        self.top = nn.Linear(width, teacher_width) if recipe["objective"] == "teacher" else nn.LayerNorm(width)

    def loss(self, ids: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the tokens that ``wanted`` (n, t) holds (-100: none), or 1 - cosine to a teacher (n, d)."""
        mask = (ids != 0).long()
        hidden = self.body(input_ids=ids, attention_mask=mask).last_hidden_state
        if self.recipe["objective"] == "teacher":
            pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
            return 1 - functional.cosine_similarity(self.top(pooled), wanted).mean()
        place = wanted != -100
        logits = self.top(hidden[place]) @ self.body.get_input_embeddings().weight.T
        return functional.cross_entropy(logits, wanted[place])


def main() -> None:
    """Grow what is named, one after the other, until the minutes are over."""
    options = _arguments()
    torch.set_num_threads(options.threads)
    recipes = yaml.safe_load((HERE / "texts.yaml").read_text())
    deadline = time.monotonic() + 60 * options.minutes
    for name in options.names or list(recipes["texts"]):
        if time.monotonic() < deadline:
            own = recipes["texts"][name]
            grow(name, {**recipes["defaults"], **recipes["bodies"][own["body"]], **own}, options, deadline)


def grow(name: str, recipe: dict, options: argparse.Namespace, deadline: float) -> None:
    """Train one checkpoint until it is done or the deadline passes."""
    work = options.work / name
    if (work / "done" / "card.json").exists():
        print(f"{name}: done already", flush=True)
        return
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(recipe, options, work)
    if recipe["objective"] == "teacher":
        ids, wanted = teacher_rows(recipe, options, tokenizer, options.work, deadline)
        if wanted is None:
            return
    else:
        ids, wanted = packed_rows(recipe, options.shared, tokenizer), None
    order = np.random.default_rng(recipe["seed"]).permutation(len(ids))
    held, rows = order[: max(64, int(HELD * len(ids)))], order[max(64, int(HELD * len(ids))) :]
    model = Learner(recipe, 0 if wanted is None else wanted.shape[1]).to(options.device)
    steps = recipe["passes"] * len(rows) // recipe["batch"]
    optimizer, schedule = make_optimizer(model, recipe, steps)
    start, spent = resume(work, model, optimizer)
    began = saved = reported = time.monotonic()
    model.train()
    for step in range(start, steps):
        batch = draw(ids, wanted, rows, recipe, step)
        set_rate(optimizer, schedule(step))
        loss = model.loss(*(tensor.to(options.device) for tensor in batch))
        if not torch.isfinite(loss):
            raise FloatingPointError(f"{name}: loss is {loss.item()} at step {step}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        now = time.monotonic()
        if now - reported > REPORT_EVERY:
            reported, rate = now, (step + 1 - start) / (now - began)
            left = (steps - step) / rate / 60
            print(f"{name}: {step + 1}/{steps} loss {loss.item():.3f}, {left:.1f} min left", flush=True)
        if now - saved > SAVE_EVERY or now > deadline:
            saved = now
            save(work, model, optimizer, step + 1, spent + now - began)
        if now > deadline:
            return
    _finish(work, name, model, tokenizer, ids, wanted, held, steps, spent + time.monotonic() - began)


def passages(shared: Path, source: str) -> list[str]:
    """The passages of a corpus, their line breaks restored."""
    text = gzip.decompress((shared / "corpora" / f"{source}.txt.gz").read_bytes()).decode()
    return [line.replace(LINE_BREAK, "\n") for line in text.splitlines() if line.strip()]


def train_tokenizer(recipe: dict, options: argparse.Namespace, work: Path) -> transformers.PreTrainedTokenizerFast:
    """Byte-level BPE of the sources, or of an equal share of every corpus where it is shared; trained once and kept."""
    shared = recipe["tokenizer"] == "shared"
    kept = (options.work if shared else work) / "tokenizer.json"
    if not kept.exists():
        bpe = Tokenizer(models.BPE())
        bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        bpe.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=recipe["vocabulary"],
            special_tokens=list(SPECIAL),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        everywhere = sorted(path.name.split(".")[0] for path in (options.shared / "corpora").glob("*.txt.gz"))
        texts = (
            text for source in (everywhere if shared else recipe["source"]) for text in passages(options.shared, source)
        )
        bpe.train_from_iterator(texts, trainer)
        bpe.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
        bpe.save(str(kept))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(kept),
        model_max_length=256,
        pad_token="[PAD]",  # noqa: S106 - a token of text
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        mask_token="[MASK]",  # noqa: S106
    )


def packed_rows(recipe: dict, shared: Path, tokenizer: transformers.PreTrainedTokenizerFast) -> torch.Tensor:
    """Rows (n, length) of the sources' passages end to end, each row between [CLS] and [SEP]."""
    texts = [text for source in recipe["source"] for text in passages(shared, source)]
    encoded = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    room = recipe["length"] - 2
    flat = np.concatenate([np.array([*ids, 2], np.int64) for ids in encoded])
    rows = flat[: len(flat) // room * room].reshape(-1, room)
    return torch.from_numpy(
        np.pad(np.pad(rows, ((0, 0), (1, 0)), constant_values=1), ((0, 0), (0, 1)), constant_values=2)
    )


def teacher_rows(
    recipe: dict,
    options: argparse.Namespace,
    tokenizer: transformers.PreTrainedTokenizerFast,
    work: Path,
    deadline: float,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Passages cut to a few sentences as padded ids (n, length), with the teacher's embeddings (n, d); kept on the way.

    The embeddings are None where the deadline came first.
    """
    each = recipe["passages"] // len(recipe["source"])
    texts: list[str] = []
    for source in recipe["source"]:
        every = passages(options.shared, source)
        chosen = np.random.default_rng(recipe["seed"]).choice(len(every), each, replace=len(every) < each)
        cuts = np.random.default_rng(recipe["seed"] + 1).random(each)
        for place, cut in zip(chosen, cuts, strict=True):
            words = every[place].split(" ")
            first = int(cut * max(0, len(words) - 30))
            texts.append(" ".join(words[first : first + 30]))
    ids = tokenizer(texts, truncation=True, max_length=recipe["length"], padding="max_length", return_tensors="pt")
    kept = work / f"{recipe['teacher']}.safetensors"
    if kept.exists():
        return ids["input_ids"], load_file(kept)["features"]
    folder = options.teachers / recipe["teacher"]
    teacher = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    reader = transformers.AutoTokenizer.from_pretrained(folder)
    parts = work / f"{recipe['teacher']}-parts"
    parts.mkdir(exist_ok=True)
    for start in range(0, len(texts), TEACHER_BATCH * 20):
        part = parts / f"{start:07}.safetensors"
        if part.exists():
            continue
        if time.monotonic() > deadline:
            return ids["input_ids"], None
        rows = []
        for first in range(start, min(start + TEACHER_BATCH * 20, len(texts)), TEACHER_BATCH):
            batch = reader(
                texts[first : first + TEACHER_BATCH], truncation=True, max_length=64, padding=True, return_tensors="pt"
            )
            with torch.no_grad():
                hidden = teacher(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None]
            rows.append(functional.normalize((hidden * mask).sum(1) / mask.sum(1)))
        save_file({"features": torch.cat(rows)}, part)
        print(f"teacher: {start + TEACHER_BATCH * 20}/{len(texts)}", flush=True)
    features = torch.cat([load_file(part)["features"] for part in sorted(parts.iterdir())])
    features -= features.mean(0)
    save_file({"features": features}, kept)
    return ids["input_ids"], features


def draw(
    ids: torch.Tensor, wanted: torch.Tensor | None, rows: np.ndarray, recipe: dict, step: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets of a step, a function of (seed, step) alone."""
    per_pass = max(1, len(rows) // recipe["batch"])
    order = np.random.default_rng([recipe["seed"], step // per_pass]).permutation(rows)
    chosen = torch.from_numpy(order[(step % per_pass) * recipe["batch"] :][: recipe["batch"]])
    if wanted is not None:
        batch = ids[chosen]
        return batch[:, : int((batch != 0).sum(1).max())], wanted[chosen]
    return _hidden(ids[chosen], recipe, recipe["seed"] * 1_000_003 + step)


def _hidden(batch: torch.Tensor, recipe: dict, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    if recipe["objective"] == "causal":
        return batch, functional.pad(batch[:, 1:], (0, 1), value=-100)
    random = torch.Generator().manual_seed(seed)
    chosen = (torch.rand(batch.shape, generator=random) < recipe["masked"]) & (batch >= len(SPECIAL))
    kind = torch.rand(batch.shape, generator=random)
    other = torch.randint(len(SPECIAL), recipe["vocabulary"], batch.shape, generator=random)
    inputs = torch.where(chosen & (kind < 0.8), 3, torch.where(chosen & (kind > 0.9), other, batch))
    return inputs, torch.where(chosen, batch, -100)


def _finish(
    work: Path,
    name: str,
    model: Learner,
    tokenizer: transformers.PreTrainedTokenizerFast,
    ids: torch.Tensor,
    wanted: torch.Tensor | None,
    held: np.ndarray,
    steps: int,
    seconds: float,
) -> None:
    recipe, done = model.recipe, work / "done"
    model.cpu().eval()
    losses = []
    with torch.no_grad():
        for first in range(0, len(held), recipe["batch"]):
            part = held[first : first + recipe["batch"]]
            batch = (ids[part], wanted[part]) if wanted is not None else _hidden(ids[part], recipe, first)
            losses.append(float(model.loss(*batch)) * len(part))
    model.body.half().save_pretrained(done)
    tokenizer.save_pretrained(done)
    card = {
        "name": name,
        "source": recipe["source"],
        "architecture": recipe["architecture"],
        "parameters": sum(p.numel() for p in model.body.parameters()),
        "rows": len(ids) - len(held),
        "steps": steps,
        "tokens_seen": int(steps * recipe["batch"] * recipe["length"]),
        "held_out_rows": len(held),
        "held_out_loss": round(sum(losses) / len(held), 4),
        "seed": recipe["seed"],
        "seconds": round(seconds),
        "date": date.today().isoformat(),
        "recipe": recipe,
    }
    (done / "card.tmp").write_text(json.dumps(card, indent=1))
    (done / "card.tmp").replace(done / "card.json")
    print(f"{name}: held-out loss {card['held_out_loss']:.3f} in {seconds / 60:.1f} min", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Grow the text checkpoints of texts.yaml.")
    parser.add_argument("names", nargs="*", help="which checkpoints; all when none is named")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the folder that holds corpora/")
    parser.add_argument("--teachers", type=Path, default=Path(".cache/teachers"), help="where teachers' folders lie")
    parser.add_argument("--work", type=Path, default=Path(".cache/grow-text"), help="where states and results lie")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop, resumable, after this long")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args()


if __name__ == "__main__":
    main()
