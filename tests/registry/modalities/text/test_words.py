"""Words as positions of texts: the features that they have without transfer, and the vectors that a net gives them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from registry.encoders import at_positions, open_encoder
from registry.encoders.encoder import CheckpointEncoder
from registry.errors import Unsupported
from registry.modalities import Positional, Undecodable, modalities
from tests.registry.encoders.nets import save_net
from tests.registry.modalities.text.nets import save

WORDS = modalities["text"].positions
SENTENCES = [
    ["The", "river", "rose", "after", "three", "days", "of", "rain", ",", "and", "the", "bridge", "was", "closed", "."],
    ["Yes"],
    ["New York", "東京", "naïve", "x"],
    ["word"] * 80,
]


def items(sentences=SENTENCES):
    return [WORDS.item(str(row), words) for row, words in enumerate(sentences)]


def test_the_promise_is_kept():
    assert isinstance(WORDS, Positional)
    assert modalities["image"].positions is None


def test_an_item_keeps_the_words_that_were_given():
    item = items()[2]
    assert WORDS.of(item) == ("New York", "東京", "naïve", "x")
    assert [item.text[:end][-1] for end in item.word_ends] == ["k", "京", "e", "x"]
    (plain,) = modalities["text"].from_memory(["two  words\nand more"])
    assert WORDS.of(plain) == ("two", "words", "and", "more")
    assert [plain.text[:end][-1] for end in plain.word_ends] == ["o", "s", "d", "e"]


def test_words_of_which_no_text_can_be_made_are_a_reason():
    assert isinstance(WORDS.item("a", []), Undecodable)
    assert isinstance(WORDS.item("a", ["x", 3]), Undecodable)
    assert isinstance(WORDS.item("a", ["\0"]), Undecodable)


@pytest.mark.parametrize("net", ["bert", "bert-classifier", "roberta", "mpnet", "gpt2", "t5"])
def test_each_word_has_its_vector_whatever_else_is_in_the_batch(net, tmp_path):
    encoder = at_positions(open_encoder(save(tmp_path, net)))
    together = encoder.encode(items())
    lengths = [len(words) for words in SENTENCES]
    assert [len(block) for block in together.blocks] == [sum(lengths)] * len(together.blocks)
    alone = encoder.encode(items()[:1])
    for left, right in zip(together.blocks, alone.blocks, strict=True):
        np.testing.assert_allclose(left.vectors[: lengths[0]], right.vectors, atol=1e-4)
    cut = together.last.vectors[sum(lengths[:3]) :]
    assert (cut[-1] == 0).all()
    assert (cut[0] != 0).any()


@pytest.mark.parametrize(("net", "last"), [("bert", False), ("gpt2", True)])
def test_a_word_is_read_at_its_first_token_or_where_only_what_went_before_is_known_at_its_last(net, last, tmp_path):
    encoder = at_positions(open_encoder(save(tmp_path, net)))
    assert isinstance(encoder, CheckpointEncoder)
    item = WORDS.item("a", ["unbelievably", "orchestra"])
    network = encoder.network
    batch = network.batch([network.prepare(item)])
    tokens, own = batch["input_ids"][0].tolist(), network.tokenization.tokenizer.all_special_ids
    words = [place for place, token in enumerate(tokens) if token not in own]
    places = batch["positions"][0].tolist()
    assert (places[-1] == words[-1]) if last else (places[0] == words[0])
    assert words[0] <= places[0] < places[1] <= words[-1]
    with torch.inference_mode():
        hidden = network.model.base_model(input_ids=batch["input_ids"]).last_hidden_state[0]
    np.testing.assert_allclose(encoder.encode([item]).last.vectors, hidden[places].numpy(), atol=1e-5)


def test_positions_have_a_space_of_their_own(tmp_path):
    encoder = open_encoder(save(tmp_path, "bert"))
    assert at_positions(encoder).digest != encoder.digest
    assert at_positions(encoder).blocks == encoder.blocks


def test_items_without_positions_are_refused(tmp_path: Path):
    with pytest.raises(Unsupported, match="images have no positions"):
        at_positions(open_encoder(save_net(tmp_path, "resnet")))


def test_raw_features_know_a_word_and_its_neighbors_and_nothing_farther():
    raw = WORDS.raw()
    one, other, far = (raw.transform(items([words.split()])) for words in ("a b c d e", "a b X d e", "X b c d e"))
    assert one.shape[0] == 5
    assert [(one[row] != other[row]).nnz > 0 for row in range(5)] == [True] * 5
    assert (one[3] != far[3]).nnz == 0
    assert (one[2] != far[2]).nnz > 0
    both = raw.transform(items([["a", "b"], ["c"]]))
    assert both.shape[0] == 3


def test_raw_features_know_the_form_of_a_word():
    raw = WORDS.raw()
    rows = raw.transform(items([["London"], ["Paris"], ["rain"]]))
    alike, unlike = (rows[0].multiply(rows[row]).sum() for row in (1, 2))
    assert alike > unlike
