"""What is wrong with a sample of texts is told before anything is measured: copies, languages, labels, lost letters."""

import unicodedata
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from registry.encoders.loading import load_network
from registry.modalities import modalities
from registry.sample import Sample
from tests.registry.modalities.text.nets import save

ENGLISH = (
    "The harbor of the old town was quiet in the early morning, and the fishing boats were still out at sea.",
    "She read the letter twice before she understood that her brother would not come home this winter.",
    "Most of the houses along the river were built by merchants who traded in salt, timber and wool.",
    "When the train finally arrived, nobody on the platform seemed to remember why they had been waiting.",
    "The committee will publish its report next week, after the members have agreed on the last chapter.",
)
GERMAN = (
    "Der Hafen der alten Stadt war am frühen Morgen still, und die Fischerboote waren noch draußen auf See.",
    "Sie las den Brief zweimal, bevor sie verstand, dass ihr Bruder in diesem Winter nicht heimkommen würde.",
    "Die meisten Häuser am Fluss wurden von Kaufleuten gebaut, die mit Salz, Holz und Wolle handelten.",
    "Als der Zug endlich ankam, schien niemand auf dem Bahnsteig mehr zu wissen, warum alle gewartet hatten.",
    "Der Ausschuss wird seinen Bericht in der nächsten Woche veröffentlichen, sobald sich alle geeinigt haben.",
)


def _numbered(texts, copies):
    return [f"{text} {ENGLISH[number % 5][: 11 + number]} {number}" for number in range(copies) for text in texts]


def _sample(texts, labels=None, **more):
    return Sample.from_arrays(
        texts, labels or ["ab"[row % 2] for row in range(len(texts))], name="notes", modality="text", **more
    )


def _warnings(sample):
    return "\n".join(sample.health.warnings)


@pytest.mark.parametrize(
    "again",
    [
        unicodedata.normalize("NFD", "Café Müller, 3 m² für 20 €, a first-class offer"),
        "Café  Müller,\u00a03 m² für 20 €,\r\n a first-class offer ",
        "\uff23afé Müller, 3 m2 für 20 €, a \ufb01rst-class offer",
    ],
)
def test_texts_that_differ_in_unicode_form_and_white_space_alone_are_one(again):
    others = _numbered(ENGLISH, 4)
    once = _sample(["Café Müller, 3 m² für 20 €, a first-class offer", again, *others], ["a", "a", *"ab" * 10])
    assert (len(once.items), once.health.exact_duplicates) == (21, 1)
    assert "1 text of other bytes" in _warnings(once)


def test_a_change_of_letter_case_or_of_a_word_is_no_exact_copy():
    changed = ["a small house by the lake", "A small house by the lake", "a small horse by the lake"]
    sample = _sample([*changed, *_numbered(ENGLISH, 4)], ["a", "a", "a", *"ab" * 10])
    assert sample.health.exact_duplicates == 0


def test_training_texts_that_the_test_part_has_in_another_writing_are_left_out():
    texts = _numbered(ENGLISH, 4)
    held_out = [f" {texts[0].replace(' ', chr(0xA0))}\n", *_numbered(GERMAN, 2)]
    sample = _sample(texts, test=(held_out, [*"ab" * 5, "a"]))
    assert sample.health.leaked == 1
    assert len(sample.items) == len(texts) - 1


def test_copies_with_a_word_changed_are_near_duplicates_and_grouped():
    texts = _numbered(ENGLISH, 4)
    near = f"{texts[0]} !"
    sample = _sample([*texts, near], [*"ab" * 10, "a"])
    assert (sample.health.exact_duplicates, sample.health.near_duplicates) == (0, 1)
    assert sample.groups[0] == sample.groups[-1]


def test_two_languages_are_told_with_their_shares_and_one_is_not():
    assert "several languages: 75 % en, 25 % de" in _warnings(_sample([*_numbered(ENGLISH, 12), *_numbered(GERMAN, 4)]))
    assert "language" not in _warnings(_sample(_numbered(ENGLISH, 16)))


def test_texts_too_short_to_be_sure_of_their_language_say_nothing_about_it():
    assert "language" not in _warnings(_sample([f"{word} {row}" for row in range(20) for word in ("yes", "nein")]))


def test_letters_that_were_lost_are_counted():
    texts = _numbered(ENGLISH, 4)
    assert "1 of 20 texts hold the sign for a letter that was lost" in _warnings(
        _sample([texts[0].replace("o", "\ufffd"), *texts[1:]])
    )


@pytest.mark.parametrize(
    "other", ["Positive", "positive ", "posi-tive", "".join(chr(ord(letter) + 0xFEE0) for letter in "positive")]
)
def test_one_label_in_two_spellings_is_told_and_both_stay(other):
    texts = _numbered(ENGLISH, 6)
    labels = [("positive", "negative", other)[row % 3] for row in range(30)]
    sample = _sample(texts, labels)
    assert "differ in spelling alone" in _warnings(sample)
    assert "negative" not in next(line for line in sample.health.warnings if "spelling" in line)
    assert len(sample.classes) == 3
    assert "spelling" not in _warnings(_sample(texts, [("pos", "neg", "position")[row % 3] for row in range(30)]))


def test_html_control_characters_and_encodings_are_counted(tmp_path: Path):
    for label, texts in {"a": _numbered(ENGLISH, 2), "b": _numbered(GERMAN, 2)}.items():
        (tmp_path / label).mkdir()
        for row, text in enumerate(texts):
            (tmp_path / label / f"{row}.txt").write_text(text, "utf-8")
    (tmp_path / "a/html.txt").write_text("<p>Some words of <b>weight</b> about the sea</p>")
    (tmp_path / "a/bell.txt").write_text("Some words with a bell \x07 in them, about the wind")
    (tmp_path / "b/old.txt").write_bytes("Größe und Gewicht, wie früher üblich".encode("latin-1"))
    (tmp_path / "b/wide.txt").write_bytes("Noch etwas über das Wetter am Mittag".encode("utf-16"))
    (tmp_path / "b/empty.txt").write_text("  \n")
    health = Sample.from_folder(tmp_path).health
    assert {"HTML tags": 1, "control characters": 1, "Latin-1": 1, "UTF-16": 1}.items() <= health.converted.items()
    assert health.unreadable_items == (("b/empty.txt", "it holds no text"),)
    assert "1 text skipped as unreadable; the first: b/empty.txt" in "\n".join(health.warnings)
    assert any("1 Latin-1 text: no UTF-8" in warning for warning in health.warnings)


@lru_cache
def _network(cap):
    with TemporaryDirectory() as place:
        return load_network(save(Path(place), "bert"), cap=cap)


def test_a_checkpoint_tells_how_many_texts_it_cuts_and_how_much_of_them():
    network = _network(16)
    items = modalities["text"].from_memory(["short one", "another", "yes", " ".join(["the"] * 100)])
    (remark,) = network.remarks(items)
    lengths = [len(network.prepare(item)["tokens"]) for item in items[:3]] + [102]
    assert remark.startswith("1 of 4 texts are longer than the 16 tokens")
    assert f"{100 * (102 - 16) / sum(lengths):.0f} % of all tokens are not seen" in remark
    assert network.remarks(items[:3]) == ()


def test_a_text_of_many_thousand_words_is_counted_whole():
    network = _network(16)
    assert network.tokenization.length(" ".join(["the"] * 20_000)) == 20_002


def test_a_test_text_in_capitals_is_much_like_the_training_text():
    held_out = ([text.upper() for text in ENGLISH], [*"ababa"])
    sample = _sample([*ENGLISH, *GERMAN], [*"ab" * 5], test=held_out)
    assert sample.health.near_leaked == len(ENGLISH)
