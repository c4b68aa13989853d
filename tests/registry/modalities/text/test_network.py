"""Text nets of several kinds: the tokenizer of the folder, masks, and how a sequence becomes one vector."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
import transformers as t

from registry.encoders import open_encoder
from registry.encoders.layers import layers_of, read_blocks
from registry.encoders.loading import inspect, load_network
from registry.errors import RemoteCodeRefused, Unsupported
from registry.modalities import modalities
from registry.modalities.text.network import TextNetwork
from registry.modalities.text.settings import Pooling
from tests.registry.modalities.text.nets import NETS, SENTENCES, as_sentences, save, word_pieces

TEXT = modalities["text"]
ITEMS = TEXT.from_memory([*SENTENCES, "Yes", "long " * 200])


@lru_cache
def _network(name, cap=None):
    with TemporaryDirectory() as place:
        return load_network(save(Path(place), name), **({} if cap is None else {"cap": cap}))


def _blocks(network, items=ITEMS):
    with torch.inference_mode():
        rows = [network.prepare(item) for item in items]
        return read_blocks(network, layers_of(network), network.batch(rows)).blocks


@pytest.mark.parametrize(
    "name", [name if name in {"bert", "gpt2"} else pytest.param(name, marks=pytest.mark.slow) for name in NETS]
)
def test_company_and_order_change_no_vector(name):
    network = _network(name)
    together = _blocks(network)
    alone = [torch.cat(parts) for parts in zip(*(_blocks(network, [item]) for item in ITEMS), strict=True)]
    for one, other in zip(together, alone, strict=True):
        assert one.ndim == 2
        assert (one - other).abs().max() <= 1e-4 * one.abs().max()


@pytest.mark.parametrize(
    ("name", "stated", "pooling", "head"),
    [
        ("bert", 48, Pooling.MEAN, None),
        ("bert-classifier", 48, Pooling.MEAN, "classifier"),
        ("bert-mlm", 48, Pooling.MEAN, None),
        ("distilbert", 64, Pooling.MEAN, None),
        ("roberta", 47, Pooling.MEAN, None),
        ("gpt2", 48, Pooling.LAST, None),
        ("gpt2-classifier", 48, Pooling.LAST, "score"),
        ("t5", 64, Pooling.MEAN, None),
    ],
)
def test_each_kind_is_cut_pooled_and_read_as_it_was_made(name, stated, pooling, head):
    network = _network(name)
    assert network.stated == stated
    assert network.pooling is pooling
    assert layers_of(network).head == head
    assert len(layers_of(network).names) == 3
    assert max(len(network.prepare(item)["tokens"]) for item in ITEMS) == stated
    assert max(len(_network(name, 9).prepare(item)["tokens"]) for item in ITEMS) == 9
    assert _network(name, 9).digest != network.digest


def test_tokens_are_those_that_transformers_makes():
    network = _network("bert")
    theirs = network.tokenization.tokenizer([item.open() for item in ITEMS], truncation=True, padding=True)
    ours = network.batch([network.prepare(item) for item in ITEMS])
    assert set(ours) == set(theirs) == {"input_ids", "attention_mask", "token_type_ids"}
    assert all(ours[name].tolist() == theirs[name] for name in ours)


def test_a_decoder_without_a_padding_token_takes_the_end_for_it_and_is_padded_on_the_right():
    network = _network("gpt2-classifier")
    batch = network.batch([network.prepare(item) for item in ITEMS[:2]])
    assert network.tokenization.padding == network.tokenization.tokenizer.eos_token_id
    assert network.model.config.pad_token_id == network.tokenization.padding
    assert (batch["attention_mask"].diff(dim=1) <= 0).all()


def test_what_a_head_labels_at_every_place_is_read_at_the_last():
    network = _network("gpt2-classifier")
    rows = [network.prepare(item) for item in ITEMS]
    with torch.inference_mode():
        read = read_blocks(network, layers_of(network), network.batch(rows))
        assert torch.allclose(network.model.score(read.blocks[-1]), read.logits, atol=1e-5)


def test_a_text_of_which_nothing_is_known_is_a_finite_vector():
    network = _network("bert")
    unknown = TEXT.from_memory(["ωψ χωψ", "😀😀"])
    assert all(torch.isfinite(block).all() for block in _blocks(network, unknown))


def test_threads_that_prepare_at_once_do_not_stop_one_another():
    network = _network("gpt2")
    with ThreadPoolExecutor(4) as pool:
        result = list(pool.map(network.prepare, ITEMS * 30))
    assert all(np.array_equal(row["tokens"], result[place % len(ITEMS)]["tokens"]) for place, row in enumerate(result))


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False, "include_prompt": True}, Pooling.MEAN),
        ({"pooling_mode_mean_tokens": False, "pooling_mode_cls_token": True}, Pooling.FIRST),
        ({"pooling_mode_max_tokens": True}, Pooling.LARGEST),
        ({"pooling_mode": "lasttoken"}, Pooling.LAST),
    ],
)
def test_sentence_transformers_state_their_pooling(tmp_path, pooling, expected):
    folder = as_sentences(save(tmp_path, "bert"), pooling)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 20}')
    network = load_network(folder)
    assert network.pooling is expected
    assert network.stated == 20
    assert torch.allclose(_blocks(network)[-1].norm(dim=1), torch.ones(len(ITEMS)), atol=1e-5)
    assert not torch.allclose(_blocks(network)[0].norm(dim=1), torch.ones(len(ITEMS)), atol=1e-2)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda folder: as_sentences(folder, {"pooling_mode_weightedmean_tokens": True}), "weightedmean"),
        (lambda folder: as_sentences(folder, {}), "its pooling is nothing"),
        (lambda folder: as_sentences(folder, {"pooling_mode": "cls"}, at="pools"), "names 'pools' for its pooling"),
        (lambda folder: (folder / "modules.json").write_text('[{"type": "a.Dense", "path": "2"}]'), "Dense"),
        (lambda folder: (folder / "modules.json").write_text('[{"type": "a.Pooling", "path": "../x"}]'), "names"),
        (lambda folder: (folder / "modules.json").write_text("{}"), "no list"),
        (lambda folder: [(folder / name).unlink() for name in ("tokenizer.json", "tokenizer_config.json")], "holds no"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "cannot be opened"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "cannot be opened|no fast tokenizer|no tokenizer"),
    ],
)
def test_a_folder_whose_texts_cannot_be_made_into_inputs_is_said(tmp_path, change, why):
    change(save(tmp_path, "bert"))
    with pytest.raises(Unsupported, match=why):
        load_network(tmp_path)


def test_a_vocabulary_that_does_not_fit_the_embedding_is_refused(tmp_path):
    save(tmp_path, "bert")
    tokenizer = word_pieces()
    tokenizer.add_tokens([f"new{place}" for place in range(400)])
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(Unsupported, match="its embedding has rows for 0 to 599"):
        inspect(tmp_path)


def test_a_tokenizer_that_wants_code_is_refused(tmp_path):
    stated = json.loads((save(tmp_path, "bert") / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({**stated, "auto_map": {"AutoTokenizer": ["a.B", None]}})
    )
    with pytest.raises(RemoteCodeRefused):
        inspect(tmp_path)


def test_an_encoder_with_a_decoder_and_a_model_of_pictures_too_are_objected_to():
    both = t.T5Config(architectures=["T5ForConditionalGeneration"])
    assert "decoder" in TEXT.objection(both)
    assert TEXT.objection(t.T5Config(architectures=["T5EncoderModel"])) is None
    assert "pictures" in TEXT.objection(t.CLIPConfig())
    assert TEXT.objection(t.BertConfig()) is None


def test_an_encoder_of_texts_gives_every_block_and_the_source_classes(tmp_path):
    encoder = open_encoder(save(tmp_path, "bert-classifier"))
    assert encoder.modality == "text"
    encoded = encoder.encode(ITEMS)
    assert [len(block.vectors) for block in encoded.blocks] == [len(ITEMS)] * 3
    assert encoded.head.shape == (len(ITEMS), 3)
    assert encoder.adaptable == encoder.blocks


def test_texts_that_the_tokenizer_knows_nothing_of_are_counted():
    network = _network("bert")
    strange = TEXT.from_memory(["東京 東京", "Ελλάδα", SENTENCES[0]])
    assert network.remarks(strange)[0].startswith("2 of 3 texts are nothing but unknown tokens")
    assert not network.remarks(TEXT.from_memory([SENTENCES[0]]))


def test_texts_are_batched_by_their_length_and_come_back_in_their_order(tmp_path, monkeypatch):
    encoder = replace(open_encoder(save(tmp_path, "bert")), batch=8)
    items = TEXT.from_memory([f"{'word ' * (40 if row % 9 == 0 else 2)}{row}" for row in range(60)])
    single = encoder.encode(items[9:10])
    widths, batch = [], TextNetwork.batch

    def watched(self, rows, chance=None):
        inputs = batch(self, rows, chance)
        widths.append(inputs["input_ids"].shape[1])
        return inputs

    monkeypatch.setattr(TextNetwork, "batch", watched)
    together = encoder.encode(items)
    assert len(widths) == 8
    assert sum(width == max(widths) for width in widths) == 2  # the seven long ones, which lie in as many batches of 8
    for block, alone in zip(together.blocks, single.blocks, strict=True):
        np.testing.assert_allclose(block.vectors[9], alone.vectors[0], atol=1e-5)
