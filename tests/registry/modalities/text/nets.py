"""Tiny text nets at random initialization with tokenizers trained on a few sentences, saved as checkpoints."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
import transformers as t
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from registry.encoders.loading import quiet

SENTENCES = (
    "The river rose after three days of rain, and the bridge was closed.",
    "She plays the violin in a small orchestra on Thursdays.",
    "Shares fell by four percent when the company cut its forecast.",
    "Stir the flour into the butter and let it cool before adding eggs.",
    "def area(width, height): return width * height",
    "The patient was treated with antibiotics and recovered within a week.",
    "Pemerintah mengumumkan kebijakan baru tentang pendidikan dasar.",
    "Under section five the tenant shall pay the rent in advance.",
    "omg that was the best concert ever!!! see you all next year :)",
    "Ein Zug fährt jeden Morgen über die Brücke nach Köln.",
)
VOCABULARY = 300


def word_pieces() -> t.PreTrainedTokenizerFast:
    """As BERT's: [CLS] text [SEP]."""
    built = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    built.train_from_iterator(SENTENCES, trainers.WordPieceTrainer(vocab_size=VOCABULARY, special_tokens=special))
    ends = [(name, built.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    built.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return t.PreTrainedTokenizerFast(
        tokenizer_object=built,
        model_max_length=64,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def byte_pairs() -> t.PreTrainedTokenizerFast:
    """As GPT-2's: no token of its own but the end, and none for padding."""
    built = Tokenizer(models.BPE())
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    built.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY + 100,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    return t.PreTrainedTokenizerFast(tokenizer_object=built, eos_token="<|endoftext|>", padding_side="left")


def _small(**rest: object) -> dict:
    return {
        "vocab_size": 2 * VOCABULARY,
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 48,
        "initializer_range": 0.3,
        **rest,
    }


_LABELS = {"id2label": {0: "bad", 1: "fine", 2: "good"}, "label2id": {"bad": 0, "fine": 1, "good": 2}}
_GPT = {"vocab_size": 2 * VOCABULARY, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 48}


def _t5(heads: int) -> t.T5Config:
    """A configuration whose end token is the one that `word_pieces` ends a text with."""
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 3, "num_heads": heads}
    return t.T5Config(vocab_size=2 * VOCABULARY, **sizes, eos_token_id=word_pieces().sep_token_id)


NETS: dict[str, tuple[Callable[[], t.PreTrainedModel], Callable[[], t.PreTrainedTokenizerFast]]] = {
    "bert": (lambda: t.BertModel(t.BertConfig(**_small())), word_pieces),
    "bert-classifier": (lambda: t.BertForSequenceClassification(t.BertConfig(**_small(), **_LABELS)), word_pieces),
    "bert-mlm": (lambda: t.BertForMaskedLM(t.BertConfig(**_small())), word_pieces),
    "distilbert": (
        lambda: t.DistilBertModel(
            t.DistilBertConfig(vocab_size=2 * VOCABULARY, dim=16, n_layers=3, n_heads=2, hidden_dim=32)
        ),
        word_pieces,
    ),
    "roberta": (lambda: t.RobertaModel(t.RobertaConfig(**_small(pad_token_id=0))), word_pieces),
    "electra": (lambda: t.ElectraModel(t.ElectraConfig(**_small(embedding_size=8))), word_pieces),
    "mpnet": (lambda: t.MPNetModel(t.MPNetConfig(**_small(pad_token_id=0))), word_pieces),
    "gpt2": (lambda: t.GPT2Model(t.GPT2Config(**_GPT, initializer_range=0.3)), byte_pairs),
    "gpt2-classifier": (
        lambda: t.GPT2ForSequenceClassification(t.GPT2Config(**_GPT, **_LABELS, initializer_range=0.3)),
        byte_pairs,
    ),
    "t5": (lambda: t.T5EncoderModel(_t5(heads=2)), word_pieces),
    "t5-narrow": (lambda: t.T5EncoderModel(_t5(heads=1)), word_pieces),
}


def save(folder: Path, name: str) -> Path:
    """A checkpoint of that kind, in a folder."""
    torch.manual_seed(0)
    net, tokenizer = NETS[name]
    with quiet():
        net().save_pretrained(folder)
        tokenizer().save_pretrained(folder)
    return folder


def as_sentences(folder: Path, pooling: dict, *, normalized: bool = True, at: str = "1_Pooling") -> Path:
    """The folder as sentence-transformers would have written it, its pooling in a folder of that name."""
    modules = ["Transformer", "Pooling", *(["Normalize"] if normalized else [])]
    stated = [
        {
            "idx": place,
            "name": str(place),
            "path": at if kind == "Pooling" else f"{place}_{kind}" if place else "",
            "type": f"sentence_transformers.models.{kind}",
        }
        for place, kind in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(stated))
    (folder / at).mkdir(exist_ok=True)
    (folder / at / "config.json").write_text(json.dumps(pooling))
    return folder
