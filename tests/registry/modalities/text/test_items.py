"""Bytes and Python's texts as items: what was unusual is counted, what is no text has a reason."""

import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from registry.duplicates import Fingerprints
from registry.errors import UnusableArrays
from registry.modalities import Undecodable, modalities

TEXT = modalities["text"]


def _kinds(content):
    item = TEXT.decode("a.txt", content)
    assert not isinstance(item, Undecodable), item.reason
    return item.open(), item.kinds


@pytest.mark.parametrize(
    ("content", "text", "kinds"),
    [
        (b"plain\r\ntext\n", "plain\r\ntext\n", ()),
        ("Grüße 😀 مرحبا".encode(), "Grüße 😀 مرحبا", ()),
        ("Grüße".encode("utf-8-sig"), "Grüße", ("byte order mark",)),
        ("Grüße".encode("utf-16"), "Grüße", ("UTF-16",)),
        (b"\xfe\xff" + "Grüße".encode("utf-16-be"), "Grüße", ("UTF-16",)),
        ("Grüße".encode("utf-32"), "Grüße", ("UTF-32",)),
        ("Grüße".encode("latin-1"), "Grüße", ("Latin-1",)),
        ("5 € für “alles”".encode("cp1252"), "5 € für “alles”", ("Windows-1252",)),
        ("viele Grüße aus Köln an alle in Düsseldorf".encode()[:-1] + b"\xc3", None, ("broken UTF-8",)),
        (b"a bell \x07 rings", "a bell \x07 rings", ("control characters",)),
        (b"<p>a <b>bold</b> claim</p>", "<p>a <b>bold</b> claim</p>", ("HTML tags",)),
        (b"if a < b and b > c", "if a < b and b > c", ()),
    ],
)
def test_encodings_are_told_apart_and_nothing_that_was_written_is_changed(content, text, kinds):
    read, counted = _kinds(content)
    assert counted == kinds
    assert text is None or read == text


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no text"),
        (b" \n\t\r\n", "no text"),
        ("\u200b\u200d".encode(), "seen"),
        (b"a\0b", "NUL"),
        ("plain".encode("utf-16-le"), "NUL"),
        ("a\0b".encode("utf-16"), "NUL"),
        (b"\xff\xfe\x00\xd8", "UTF-16"),
        (b"\x1f\x8b\x08" + bytes(range(1, 32)) + b"\xff\xfe", "no text in UTF-8"),
    ],
)
def test_what_is_no_text_has_a_reason(content, why):
    decoded = TEXT.decode("a.txt", content)
    assert isinstance(decoded, Undecodable)
    assert why in decoded.reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_of_a_very_long_text_the_beginning_is_kept_and_that_is_counted(encoding):
    read, kinds = _kinds(("ü" * 300_000).encode(encoding))
    assert read == "ü" * 100_000
    assert "cut at 100,000 characters" in kinds


def test_texts_from_memory_are_items_whatever_holds_them():
    for values in (["a", "b"], ("a", "b"), np.array(["a", "b"]), np.array(["a", "b"], object), pd.Series(["a", "b"])):
        items = TEXT.from_memory(values)
        assert [item.open() for item in items] == ["a", "b"]
        assert [item.name for item in items] == ["0", "1"]
    assert TEXT.from_memory(["Grüße"])[0].digest == TEXT.decode("a.txt", "Grüße".encode()).digest
    assert TEXT.from_memory(["half \ud83d"])[0].kinds == ("half characters",)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ("one text", "one str"),
        ([], "empty list"),
        (["a", None], "text 1 cannot be of type NoneType"),
        (["a", float("nan")], "text 1 cannot be of type float"),
        (["a", " \n"], "text 1 cannot be used: it holds no text"),
        ([b"a"], "text 0 cannot be of type bytes"),
        (7, "one int"),
    ],
)
def test_what_is_no_text_in_memory_is_refused_with_its_row(values, why):
    with pytest.raises(UnusableArrays, match=why):
        TEXT.from_memory(values)


def _are_near(one, other):
    return bool(Fingerprints.of(TEXT.from_memory([one, other]), TEXT).repeated()[1])


LONG = " ".join(
    f"The {word} went to the market and came home with {count} eggs."
    for count, word in enumerate(
        ("baker", "farmer", "teacher", "tailor", "sailor", "miller", "doctor", "painter", "writer", "singer")
    )
)


def test_a_text_is_like_itself_after_folding_and_like_one_with_a_letter_changed():
    assert _are_near("Çà et là, un café.", unicodedata.normalize("NFD", "Çà et là,\n\tun  café."))
    assert _are_near(LONG, LONG.replace("sailor", "sailer"))
    assert not _are_near(LONG, LONG[: len(LONG) // 2])
    assert not _are_near("ok", "ok")


def test_a_preview_is_the_beginning_on_one_line():
    item = TEXT.from_memory([f"<b>first</b>\n\n{'word ' * 5000}"])[0]
    preview = TEXT.preview(item)
    assert preview.mime == "text/plain"
    shown = preview.content.decode()
    assert shown.startswith("<b>first</b> word")
    assert shown.endswith("…")
    assert len(shown) <= 280
    assert Path("a.TXT").suffix.lower() in TEXT.suffixes
