import stat
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import pytest

from registry.errors import NoItems, UnsafeArchive
from registry.readers.archive import Caps, read_archive, require_sound
from registry.readers.folder import read_folder
from tests.conftest import draw_folder


def zipped(tmp_path: Path, members: dict[str, bytes], *, around: str = "") -> Path:
    """A zip of two good classes and the members given."""
    path = tmp_path / "data.zip"
    good = draw_folder(tmp_path / "good", {"cat": 3, "dog": 3})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(good.rglob("*.png")):
            archive.write(file, around + str(file.relative_to(good)))
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("around", ["", "pets/", "all/pets/"])
def test_a_zip_reads_like_the_folder_it_was_made_of(tmp_path, around):
    archived = read_archive(zipped(tmp_path, {}, around=around), limit=99)
    folder = read_folder(tmp_path / "good", limit=99)
    assert [item.digest for item in archived.items] == [item.digest for item in folder.items]
    assert archived.labels == folder.labels
    assert archived.items[0].open().tobytes() == folder.items[0].open().tobytes()


def test_the_litter_of_archivers_is_passed_over(tmp_path):
    rows = read_archive(zipped(tmp_path, {"__MACOSX/cat/._0.png": b"?", "cat/.DS_Store": b"?"}), limit=99)
    assert (len(rows.items), rows.unreadable, rows.notes) == (6, (), ())


def test_hidden_images_in_a_zip_are_passed_over_and_counted(tmp_path):
    hidden = {"cat/.3.png": b"?", "cat/.ipynb_checkpoints/3.png": b"?", "cat/@eaDir/0.png/THUMB.jpg": b"?"}
    rows = read_archive(zipped(tmp_path, hidden), limit=99)
    assert (len(rows.items), rows.unreadable) == (6, ())
    assert rows.notes == ("3 hidden images passed over (cat/.3.png for one)",)


@pytest.mark.parametrize(
    "name", ["../up.png", "cat/../../up.png", "/etc/up.png", "C:/up.png", "cat\\..\\..\\up.png", "\\up.png"]
)
def test_a_member_that_climbs_out_is_named(tmp_path, name):
    with pytest.raises(UnsafeArchive, match="climbs out") as caught:
        read_archive(zipped(tmp_path, {name: b"x"}), limit=99)
    assert caught.value.member == name


def test_a_link_is_named(tmp_path):
    path = zipped(tmp_path, {})
    link = zipfile.ZipInfo("cat/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UnsafeArchive, match=r"'cat/link.png' is a symbolic link"):
        read_archive(path, limit=99)


@pytest.mark.parametrize("name", ["cat/0.png", "cat//0.png", "./cat/0.png", "cat\\0.png"])
def test_two_members_of_one_name_are_refused(tmp_path, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of what this test makes on purpose
        path = zipped(tmp_path, {name: b"x"})
    with pytest.raises(UnsafeArchive, match="is there twice"):
        read_archive(path, limit=99)


@pytest.mark.parametrize("name", ["cat/bomb.png", "bomb.bin"])
def test_a_bomb_is_refused_unopened(tmp_path, name):
    path = zipped(tmp_path, {name: bytes(50 * 2**20)})
    assert path.stat().st_size < 100_000
    with pytest.raises(UnsafeArchive, match=r"unpacks 10\d\d:1; at most 200:1") as caught:
        read_archive(path, limit=99)
    assert caught.value.member == name


def test_a_member_that_unpacks_to_more_than_is_stated_is_read_no_further(tmp_path):
    path = zipped(tmp_path, {"cat/bomb.png": bytes(64 * 2**20)})
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.rfind(b"PK\x01\x02") + 24, 1000)
    path.write_bytes(content)
    tracemalloc.start()
    rows = read_archive(path, limit=99)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    ((name, why),) = rows.unreadable
    assert (len(rows.items), name) == (6, "cat/bomb.png")
    assert "CRC" in why
    assert peak < 2**24


@pytest.mark.parametrize(("packed", "word"), [(zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_LZMA, "lzma")])
def test_what_unpacks_without_a_bound_is_refused(tmp_path, packed, word):
    path = zipped(tmp_path, {})
    with zipfile.ZipFile(path, "a", packed) as archive:
        archive.writestr("cat/9.png", b"x")
    with pytest.raises(UnsafeArchive, match=f"'cat/9.png' is packed by {word}; only deflate has a bound"):
        read_archive(path, limit=99)


def test_a_directory_of_very_many_members_is_refused_before_it_is_read(tmp_path, monkeypatch):
    path = zipped(tmp_path, {})
    with pytest.raises(UnsafeArchive, match=r"member 'dog/1.png' is one of 6; at most 4") as caught:
        require_sound(path, caps=Caps(entries=4))
    assert caught.value.member == "dog/1.png"
    monkeypatch.setattr("registry.readers.archive._MOST_DIRECTORY", 100)
    with pytest.raises(UnsafeArchive, match="'its directory' has 0 MiB of names; at most 0"):
        require_sound(path)


def test_too_many_bytes_or_members_are_refused(tmp_path):
    path = zipped(tmp_path, {"cat/notes.txt": bytes(900_000), "dog/notes.txt": bytes(900_000)})
    with pytest.raises(UnsafeArchive, match=r"'dog/notes.txt' takes it past 1 MiB"):
        read_archive(path, limit=99, caps=Caps(unpacked_bytes=2**20))
    with pytest.raises(UnsafeArchive, match="is one of 8; at most 7"):
        read_archive(path, limit=99, caps=Caps(entries=7))


def test_an_encrypted_member_is_named(tmp_path):
    path = zipped(tmp_path, {"cat/secret.png": b"x" * 50})
    content = bytearray(path.read_bytes())
    content[content.rfind(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(UnsafeArchive, match=r"'cat/secret.png' is encrypted"):
        read_archive(path, limit=99)


def test_a_member_with_a_wrong_checksum_is_skipped(tmp_path):
    path = zipped(tmp_path, {"dog/x.png": b"broken on its way" * 9})
    content = bytearray(path.read_bytes())
    content[content.rfind(b"PK\x01\x02") + 16] ^= 0xFF
    path.write_bytes(content)
    ((name, why),) = read_archive(path, limit=99).unreadable
    assert name == "dog/x.png"
    assert "CRC" in why


@pytest.mark.parametrize("content", [b"", b"file,group\na,b\n", b"PK\x03\x04 and then nothing"])
def test_what_is_no_zip_is_said_to_be_none(tmp_path, content):
    path = tmp_path / "data.zip"
    path.write_bytes(content)
    with pytest.raises(NoItems, match="no zip that can be opened"):
        read_archive(path, limit=99)


def test_a_zip_without_images_is_empty(tmp_path):
    path = tmp_path / "words.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat/words.md", "words")
    with pytest.raises(NoItems, match="images in class folders"):
        read_archive(path, limit=99)
