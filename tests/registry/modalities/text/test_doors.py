"""Texts and pairs of them come in by every door."""

import datasets
import pandas as pd
import pytest

from registry.errors import UnusableArrays
from registry.sample import Sample

ROWS = {
    "question": [f"Is {row} a number of the {'red' if row % 2 else 'blue'} kind?" for row in range(12)],
    "answer": [f"Yes, {row} is, and so is {row + 1}." for row in range(12)],
    "color": ["red" if row % 2 else "blue" for row in range(12)],
}
PAIRS = list(zip(ROWS["question"], ROWS["answer"], strict=True))


def dataset(**columns):
    return datasets.Dataset.from_dict(columns).class_encode_column("color")


@pytest.mark.parametrize(
    "sample",
    [
        lambda: Sample.from_arrays(PAIRS, ROWS["color"], name="pairs"),
        lambda: Sample.from_frame(pd.DataFrame(ROWS), ("question", "answer"), "color", name="pairs"),
        lambda: Sample.from_dataset(dataset(**ROWS), item=("question", "answer"), name="pairs"),
    ],
)
def test_pairs_are_items_with_two_parts(sample):
    pairs = sample()
    assert pairs.modality == "text"
    assert {item.parts for item in pairs.items} == set(PAIRS)


@pytest.mark.parametrize(
    "sample",
    [
        lambda: Sample.from_arrays(ROWS["question"], ROWS["color"], name="texts"),
        lambda: Sample.from_frame(pd.DataFrame(ROWS), "question", "color", name="texts"),
        lambda: Sample.from_dataset(dataset(question=ROWS["question"], color=ROWS["color"]), name="texts"),
    ],
)
def test_texts_are_items_with_one(sample):
    assert {item.parts for item in sample().items} == {(text,) for text in ROWS["question"]}


def test_of_several_columns_of_texts_one_must_be_named():
    with pytest.raises(UnusableArrays, match=r"question \(Value\), answer \(Value\)"):
        Sample.from_dataset(dataset(**ROWS), name="texts")


def test_a_triple_is_no_text():
    with pytest.raises(UnusableArrays, match="tuple"):
        Sample.from_arrays([("a b", "c d", "e f")] * 2, ["x", "y"], name="texts", modality="text")


def test_a_column_of_words_that_is_called_as_labels_are_is_that_of_the_labels():
    texts = [f"{word} text of row {row}" for row, word in enumerate(["red", "blue"] * 4)]
    plain = datasets.Dataset.from_dict({"text": texts, "sentiment": ["good", "bad"] * 4})
    sample = Sample.from_dataset(plain, name="texts", keep_duplicates=True)
    assert sample.classes == ("bad", "good")
    assert {item.parts for item in sample.items} == {(text,) for text in texts}
    with pytest.raises(UnusableArrays):
        Sample.from_dataset(plain.rename_column("sentiment", "remark"), name="texts")
