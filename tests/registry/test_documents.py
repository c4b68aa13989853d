import os

import pytest

from registry.documents import MOST_BYTES, MOST_DEPTH, pointer, read_json, read_yaml
from registry.errors import NotFetched, UnreadableDocument


@pytest.fixture
def path(tmp_path):
    return tmp_path / "document"


def test_json_comes_back_as_it_was_written(path):
    path.write_text('{"a": [1, 2.5, null, true, "\\u00e9 [[[[ \\" {{"]}')
    assert read_json(path) == {"a": [1, 2.5, None, True, 'é [[[[ " {{']}


def test_a_byte_order_mark_is_no_part_of_the_text(path):
    path.write_bytes(b"\xef\xbb\xbf{}")
    assert read_json(path) == {}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[" * 100_000, "100000 deep"),
        (b'{"a":' * 100_000, "100000 deep"),
        (b'["' + b'\\"' * 500_000, "no JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"a": NaN}', "NaN is no number"),
        (b"1e999", "inf is no number"),
        (b"9" * 30, "64 bits"),
        (b"9" * 5000, "no JSON"),
        (b'"\\ud800"', "surrogates"),
        (b" " * (MOST_BYTES + 1), "larger than"),
    ],
    ids=range(12),
)
def test_what_is_no_sound_json_is_named(path, content, why):
    path.write_bytes(content)
    with pytest.raises(UnreadableDocument, match=why) as caught:
        read_json(path)
    assert caught.value.path == str(path)


def test_pipes_folders_and_nothing_are_named_and_never_waited_for(path, tmp_path):
    os.mkfifo(path)
    for odd, why in ((path, "pipe"), (tmp_path, "folder"), (tmp_path / "none", "not there")):
        with pytest.raises(UnreadableDocument, match=why):
            read_json(odd)


def test_a_pointer_of_git_lfs_is_no_document(path):
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 3\n")
    assert pointer(path.read_bytes())
    with pytest.raises(NotFetched) as caught:
        read_json(path)
    assert "git lfs pull" in caught.value.remedy


def test_dates_in_yaml_stay_text(path):
    path.write_text("made: 2026-01-01\nodd: 2026-99-99\n")
    assert read_yaml(path) == {"made": "2026-01-01", "odd": "2026-99-99"}


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: *x",
        "[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1),
        "- 1\n" * 20_000,
        "x" * 200_000,
        "{1: 2}",
        "{null: 2}",
        "{0: 2}",
        "a: .nan",
        "a: .inf",
        "a: !!set {b}",
        "a: !!timestamp x",
        "a: !!timestamp 2026-99-99",
        "a: !!int x",
        "a: !!binary x",
        "a: !!python/name:os.system",
        "? [1]\n: 2",
        '"\\ud800"',
        "\x00",
        "a: [",
        "=: =",
    ],
    ids=range(20),
)
def test_what_is_no_plain_yaml_is_named(path, text):
    path.write_text(text)
    with pytest.raises(UnreadableDocument):
        read_yaml(path)
