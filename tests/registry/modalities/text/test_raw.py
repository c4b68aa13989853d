"""TF-IDF in the space of the training rows keeps their geometry, whoever standardizes it."""

import json

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from registry.modalities import modalities
from registry.modalities.text import raw as raw_module
from registry.targets import Targets
from tests.registry.modalities.text.nets import SENTENCES

TEXT = modalities["text"]
ITEMS = TEXT.from_memory([*SENTENCES, "!!! ???", "東京は日本の首都です。"])


def test_inner_products_of_training_rows_are_those_of_tf_idf():
    fitted = TEXT.raw().fit(ITEMS)
    sparse = fitted[:2].transform(ITEMS)
    dense = fitted.transform(ITEMS)
    assert np.allclose(dense @ dense.T, (sparse @ sparse.T).toarray(), atol=1e-4)
    assert np.allclose(np.square(dense).sum(1), 2, atol=1e-4)


def test_words_are_weighted_as_scikit_learn_weights_them():
    fitted = TEXT.raw().fit(ITEMS)
    words = dict(fitted.named_steps["terms"].transformer_list)["words"]
    plain = TfidfVectorizer(token_pattern=r"(?u)\w+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True)
    texts = [item.open() for item in ITEMS]
    assert np.allclose(words.transform(texts).toarray(), plain.fit(texts).transform(texts).toarray(), atol=1e-6)


def test_beyond_so_many_rows_the_axes_are_those_of_landmarks(monkeypatch):
    monkeypatch.setattr(raw_module, "LANDMARKS", 5)
    fitted = TEXT.raw().fit(ITEMS)
    assert fitted.transform(ITEMS).shape == (len(ITEMS), 5)


def test_a_text_of_unknown_words_alone_is_a_finite_row():
    fitted = TEXT.raw().fit(ITEMS[:3])
    assert np.array_equal(fitted.transform(TEXT.from_memory(["ωψχ"])), np.zeros((1, 3), np.float32))


def test_the_recipe_computes_the_same_without_this_code(tmp_path, monkeypatch):
    fitted = TEXT.raw().fit(ITEMS)
    recipe = TEXT.raw_recipe(fitted)
    (tmp_path / "features.json").write_text(json.dumps(recipe.settings), encoding="utf-8")
    (tmp_path / "a.txt").write_text(SENTENCES[4], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert "registry" not in recipe.code
    room = {}
    exec(recipe.code, room)  # noqa: S102 - it is what is tested
    assert np.allclose(room["features"]("a.txt"), fitted.transform(ITEMS[4:5])[0], atol=1e-5)


def test_what_was_fitted_is_kept_without_pickle(tmp_path):
    from recommender.baseline import RawEncoder
    from recommender.tuning.heads import read_raw, save_raw

    encoder = RawEncoder("text", TEXT.raw().fit(ITEMS), "TF-IDF")
    save_raw(encoder, tmp_path)
    kept = read_raw(tmp_path, "text", "TF-IDF").encode(ITEMS).blocks[0].vectors
    assert np.array_equal(kept, encoder.encode(ITEMS).blocks[0].vectors)


def test_no_transfer_tells_topics_apart_in_folds():
    from recommender.baseline import RawRows, held_out

    random = np.random.default_rng(0)
    words = {0: ("goal", "match", "coach", "team", "score"), 1: ("stock", "bank", "share", "market", "price")}
    labels = np.arange(40) % 2
    texts = [" ".join(random.choice(words[int(label)], 6)) + f" {row}" for row, label in enumerate(labels)]
    result = held_out(RawRows.of("text", TEXT.from_memory(texts)), Targets.of(labels), np.arange(40) // 2 % 4)
    assert {(model, one.features) for model, one in result.items()} == {
        ("linear", "TF-IDF"),
        ("5 nearest neighbors", "TF-IDF"),
    }
    assert all(np.mean(one.predicted == labels) > 0.9 for one in result.values())


@pytest.mark.parametrize("kind", ["words", "characters"])
def test_terms_are_limited(kind):
    assert raw_module._VECTORIZERS[kind]["max_features"] == 30_000
