"""Grow the text checkpoints of texts.yaml: masked, causal or distilled pretraining; resumable, seeded, with progress.

    python catalog/recipes/grow_text.py --shared ../shared --work .cache/grow-text --minutes 60 [NAME ...]

A step draws its rows and masks from (seed, step) alone, so a run that was killed continues as if it had not been.
Finished checkpoints lie in WORK/<name>/done, in transformers format with fp16 weights and their tokenizer.
"""

import argparse
import gzip
import json
import time
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import transformers
import yaml
from grow import make_optimizer, resume, save, set_rate
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import nn
from torch.nn import functional

HERE = Path(__file__).parent
SAVE_EVERY = 60.0
REPORT_EVERY = 15.0
TEACHER_BATCH = 128
TEACHER_PART = 5120
HELD = 0.02
SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]")
LINE_BREAK = "⏎"
"""What stands for a line's end within a passage of the corpora."""


class Learner(nn.Module):
    """A body with what its objectives put on top; only ``body`` is shipped."""

    def __init__(self, recipe: dict, teacher_width: int) -> None:
        super().__init__()
        torch.manual_seed(recipe["seed"])
        architecture = getattr(transformers, recipe["architecture"])
        config = architecture.config_class(**recipe["config"], vocab_size=recipe["vocabulary"], pad_token_id=0)
        config._attn_implementation = "eager"  # 2.7 times as fast as sdpa in bfloat16 on a processor
        pooler = {"add_pooling_layer": False} if recipe["architecture"] == "BertModel" else {}
        self.body, self.recipe = architecture(config, **pooler), recipe
        width = config.hidden_size
        self.norm = nn.LayerNorm(width)
        self.to_teacher = nn.Linear(width, teacher_width)

    def token_loss(self, ids: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the tokens (n, t) that ``wanted`` holds (-100: none)."""
        place = wanted != -100
        hidden = self.norm(self._hidden(ids)[place])
        logits = hidden @ self.body.get_input_embeddings().weight.T
        return functional.cross_entropy(logits.float(), wanted[place])

    def teacher_loss(self, ids: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """1 - cosine of the mean-pooled last block to a teacher's features (n, d)."""
        hidden, mask = self._hidden(ids), (ids != 0)[..., None]
        pooled = (hidden * mask).sum(1) / mask.sum(1)
        return 1 - functional.cosine_similarity(self.to_teacher(pooled).float(), wanted).mean()

    def _hidden(self, ids: torch.Tensor) -> torch.Tensor:
        return self.body(input_ids=ids, attention_mask=(ids != 0).long()).last_hidden_state


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
    teacher = teacher_rows(recipe, options, deadline)
    if teacher is None:
        return
    model = Learner(recipe, teacher["features"].shape[1])
    begin(model, tokenizer, options)
    losses = _losses(model, tokenizer, teacher, options.shared)
    optimizer, schedule = make_optimizer(model, recipe, recipe["steps"])
    start, spent = resume(work, model, optimizer)
    began = saved = reported = time.monotonic()
    model.train()
    for step in range(start, recipe["steps"]):
        set_rate(optimizer, schedule(step))
        with torch.autocast(options.device, torch.bfloat16):
            loss = sum(weight * loss_of(step) for weight, loss_of, _ in losses)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"{name}: loss is {loss.item()} at step {step}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        now = time.monotonic()
        if now - reported > REPORT_EVERY:
            reported, rate = now, (step + 1 - start) / (now - began)
            left = (recipe["steps"] - step) / rate / 60
            print(f"{name}: {step + 1}/{recipe['steps']} loss {loss.item():.3f}, {left:.1f} min left", flush=True)
        if now - saved > SAVE_EVERY or now > deadline:
            saved = now
            save(work, model, optimizer, step + 1, spent + now - began)
        if now > deadline:
            return
    _finish(work, name, model, tokenizer, losses, spent + time.monotonic() - began)


def passages(shared: Path, source: str) -> list[str]:
    """The passages of a corpus, their line breaks restored."""
    text = gzip.decompress((shared / "corpora" / f"{source}.txt.gz").read_bytes()).decode()
    return [line.replace(LINE_BREAK, "\n") for line in text.split("\n") if line.strip()]


def train_tokenizer(recipe: dict, options: argparse.Namespace, work: Path) -> transformers.PreTrainedTokenizerFast:
    """WordPiece of the sources, or of every corpus where it is shared; trained once and kept."""
    shared = recipe["tokenizer"] == "shared"
    kept = (options.work if shared else work) / f"wordpiece-{recipe['vocabulary']}.json"
    if not kept.exists():
        pieces = Tokenizer(models.WordPiece(unk_token="[UNK]"))  # noqa: S106 - a token of text
        pieces.normalizer = normalizers.BertNormalizer(lowercase=True)
        pieces.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        pieces.decoder = decoders.WordPiece()
        trainer = trainers.WordPieceTrainer(
            vocab_size=recipe["vocabulary"],
            special_tokens=list(SPECIAL),
            limit_alphabet=600,
            show_progress=False,
        )
        everywhere = sorted(path.name.split(".")[0] for path in (options.shared / "corpora").glob("*.txt.gz"))
        sources = everywhere if shared else recipe["source"]
        pieces.train_from_iterator((text for source in sources for text in passages(options.shared, source)), trainer)
        pieces.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
        pieces.save(str(kept))
    return transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(kept),
        model_max_length=256,
        pad_token="[PAD]",  # noqa: S106 - a token of text
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        mask_token="[MASK]",  # noqa: S106
        unk_token="[UNK]",  # noqa: S106
    )


def begin(model: Learner, tokenizer: transformers.PreTrainedTokenizerFast, options: argparse.Namespace) -> None:
    """Set a learner's first weights, as the recipe's `start` says: nothing, the teacher's tokens, or a finished one."""
    recipe = model.recipe
    match recipe["start"]:
        case "random":
            return
        case "teacher":
            with torch.no_grad():
                width = model.body.config.hidden_size
                model.body.get_input_embeddings().weight.copy_(teacher_tokens(recipe, options, tokenizer, width))
        case name:
            older = options.work / name
            weights = load_file(older / "learner.safetensors")
            if recipe["architecture"] != "BertModel":
                embedding = weights["body.embeddings.word_embeddings.weight"]
                with torch.no_grad():
                    model.body.get_input_embeddings().weight.copy_(embedding / embedding.std() * 0.1)
                return
            model.load_state_dict(weights)


def teacher_tokens(
    recipe: dict, options: argparse.Namespace, tokenizer: transformers.PreTrainedTokenizerFast, width: int
) -> torch.Tensor:
    """Each token as the teacher sees it alone, cut to its first principal components (as Model2Vec does)."""
    words = [tokenizer.convert_ids_to_tokens(place).removeprefix("##") for place in range(recipe["vocabulary"])]
    seen = _taught(words, recipe, options)
    seen -= seen.mean(0)
    _, _, axes = torch.linalg.svd(seen, full_matrices=False)
    cut = seen @ axes[:width].T
    return cut / cut.std() * 0.05


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


def teacher_texts(recipe: dict, shared: Path) -> dict[str, list[str]]:
    """From every corpus an equal number of stretches of 4 to 28 words."""
    drawn = {}
    for path in sorted((shared / "corpora").glob("*.txt.gz")):
        source = path.name.split(".")[0]
        random = np.random.default_rng([recipe["teacher_seed"], *source.encode()])
        every = passages(shared, source)
        drawn[source] = []
        for place in random.choice(len(every), recipe["teacher_rows"], replace=len(every) < recipe["teacher_rows"]):
            words = every[place].split(" ")
            length = int(random.integers(4, 29))
            first = int(random.random() * max(0, len(words) - length))
            drawn[source].append(" ".join(words[first : first + length]))
    return drawn


def teacher_rows(recipe: dict, options: argparse.Namespace, deadline: float) -> dict[str, torch.Tensor] | None:
    """The teacher's centered embeddings of `teacher_texts`, source by source; None where the deadline came first."""
    kept = options.work / f"{recipe['teacher']}.safetensors"
    if not kept.exists():
        texts = [text for drawn in teacher_texts(recipe, options.shared).values() for text in drawn]
        parts = options.work / f"{recipe['teacher']}-parts"
        parts.mkdir(exist_ok=True)
        for start in range(0, len(texts), TEACHER_PART):
            part = parts / f"{start:07}.safetensors"
            if part.exists():
                continue
            if time.monotonic() > deadline:
                return None
            save_file({"features": _taught(texts[start : start + TEACHER_PART], recipe, options)}, part)
            print(f"teacher: {start + TEACHER_PART}/{len(texts)}", flush=True)
        features = torch.cat([load_file(part)["features"] for part in sorted(parts.iterdir())])
        save_file({"features": (features - features.mean(0)).half()}, kept)
    return load_file(kept)


def _taught(texts: list[str], recipe: dict, options: argparse.Namespace) -> torch.Tensor:
    """The teacher's normalized mean-pooled embeddings (n, d), in the order of the texts."""
    teacher, reader = _teacher(options.teachers / recipe["teacher"])
    order = np.argsort([len(text) for text in texts], kind="stable")
    features = torch.empty(len(texts), teacher.config.hidden_size)
    for first in range(0, len(texts), TEACHER_BATCH):
        chosen = order[first : first + TEACHER_BATCH]
        batch = reader(
            [texts[place] for place in chosen], truncation=True, max_length=64, padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden = teacher(**batch).last_hidden_state.float()
        mask = batch["attention_mask"][..., None]
        features[torch.from_numpy(chosen)] = functional.normalize((hidden * mask).sum(1) / mask.sum(1))
    return features


@lru_cache(1)
def _teacher(folder: Path) -> tuple[nn.Module, transformers.PreTrainedTokenizerFast]:
    """In bfloat16: 3.3 times as fast as in single precision, at a cosine of .9999 to it."""
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.bfloat16).eval()
    return model, transformers.AutoTokenizer.from_pretrained(folder)


LossOf = Callable[[int], torch.Tensor]


def _losses(
    model: Learner, tokenizer: transformers.PreTrainedTokenizerFast, teacher: dict[str, torch.Tensor], shared: Path
) -> list[tuple[float, LossOf, Callable[[], float]]]:
    """The recipe's objectives: the weight, the loss of a step, and the loss over the rows held out."""
    recipe, losses = model.recipe, []
    if recipe["tokens"]:
        ids = packed_rows(recipe, shared, tokenizer)
        rows, held = _hold_out(len(ids), recipe)

        def token_loss(step: int) -> torch.Tensor:
            return model.token_loss(
                *_hidden(ids[_chosen(rows, recipe, step)], recipe, recipe["seed"] * 1_000_003 + step)
            )

        def held_token_loss() -> float:
            parts = [_hidden(part, recipe, place) for place, part in enumerate(ids[held].split(recipe["batch"]))]
            return float(np.mean([model.token_loss(*part).item() for part in parts]))

        losses.append((recipe["tokens"], token_loss, held_token_loss))
    if recipe["distill"]:
        drawn = teacher_texts(recipe, shared)
        texts = [text for source in recipe["source"] for text in drawn[source]]
        place = {source: number * recipe["teacher_rows"] for number, source in enumerate(drawn)}
        wanted = torch.cat(
            [teacher["features"][place[s] :][: recipe["teacher_rows"]] for s in recipe["source"]]
        ).float()
        padded = tokenizer(texts, truncation=True, max_length=recipe["length"], padding=True, return_tensors="pt")
        taught = padded["input_ids"]
        lengths = (taught != 0).sum(1).numpy()
        taught_rows, taught_held = _hold_out(len(taught), recipe)

        def cut(chosen: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
            return taught[chosen][:, : lengths[chosen].max()], wanted[chosen]

        def teacher_loss(step: int) -> torch.Tensor:
            return model.teacher_loss(*cut(_chosen(taught_rows, recipe, step, lengths)))

        def held_teacher_loss() -> float:
            parts = np.array_split(taught_held, max(1, len(taught_held) // 128))
            return float(np.mean([model.teacher_loss(*cut(part)).item() for part in parts]))

        losses.append((recipe["distill"], teacher_loss, held_teacher_loss))
    return losses


def _hold_out(n: int, recipe: dict) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(recipe["seed"]).permutation(n)
    held = max(64, int(HELD * n))
    return order[held:], order[:held]


def _chosen(rows: np.ndarray, recipe: dict, step: int, lengths: np.ndarray | None = None) -> np.ndarray:
    """The rows of a step, a function of (seed, step) alone; with lengths, rows of a batch are of similar length."""
    batch = recipe["batch"]
    per_pass = max(1, len(rows) // batch)
    number, place = divmod(step, per_pass)
    return _order(rows.tobytes(), batch, recipe["seed"], number, None if lengths is None else lengths.tobytes())[place]


@lru_cache(4)
def _order(rows: bytes, batch: int, seed: int, number: int, lengths: bytes | None) -> np.ndarray:
    random = np.random.default_rng([seed, number])
    order = random.permutation(np.frombuffer(rows, np.int64))
    batches = order[: max(1, len(order) // batch) * batch].reshape(-1, min(batch, len(order)))
    if lengths is None:
        return batches
    length = np.frombuffer(lengths, np.int64)
    sorted_ = [
        group[np.argsort(length[group], kind="stable")]
        for group in np.array_split(batches.ravel(), max(1, len(batches) // 16))
    ]
    return random.permutation(np.concatenate(sorted_).reshape(batches.shape))


def _hidden(batch: torch.Tensor, recipe: dict, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs with some tokens hidden, and the tokens that are wanted: the hidden ones, or each one's successor."""
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
    losses: list[tuple[float, LossOf, Callable[[], float]]],
    seconds: float,
) -> None:
    recipe, done = model.recipe, work / "done"
    model.cpu().eval()
    save_file(model.state_dict(), work / "learner.safetensors")
    with torch.no_grad():
        held = [round(loss(), 4) for _, _, loss in losses]
    named = dict(zip([kind for kind in ("tokens", "distill") if recipe[kind]], held, strict=True))
    model.body.half().save_pretrained(done)
    tokenizer.save_pretrained(done)
    card = {
        "name": name,
        "source": recipe["source"],
        "architecture": recipe["architecture"],
        "parameters": sum(p.numel() for p in model.body.parameters()),
        "steps": recipe["steps"],
        "tokens_seen": recipe["steps"] * recipe["batch"] * recipe["length"],
        "held_out_loss": named,
        "seed": recipe["seed"],
        "seconds": round(seconds),
        "date": date.today().isoformat(),
        "recipe": recipe,
    }
    (done / "card.tmp").write_text(json.dumps(card, indent=1))
    (done / "card.tmp").replace(done / "card.json")
    print(f"{name}: held-out losses {named} in {seconds / 60:.1f} min", flush=True)


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
