import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from registry.errors import DiskFull
from registry.files import allocate, disk_full_named, filling, is_disk_full, replacing, sha256_of, write_atomic


def test_what_is_written_is_there_and_nothing_beside_it(tmp_path: Path):
    write_atomic(tmp_path / "run.json", b"{}")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"run.json": b"{}"}


def test_a_write_that_fails_midway_leaves_what_was_there(tmp_path: Path):
    write_atomic(tmp_path / "run.json", b"old")
    with pytest.raises(FileExistsError), replacing(tmp_path / "run.json") as partial:
        partial.write_bytes(b"ne") and partial.touch(exist_ok=False)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"run.json": b"old"}


def test_threads_that_write_the_same_file_never_mix(tmp_path: Path):
    contents = [bytes([letter]) * 100_000 for letter in b"abcd"]
    writers = [threading.Thread(target=write_atomic, args=(tmp_path / "x", content)) for content in contents]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "x").read_bytes() in contents
    assert len(list(tmp_path.iterdir())) == 1


def test_a_half_written_file_bears_its_process_so_that_doctor_knows_whether_it_lives(tmp_path: Path):
    with replacing(tmp_path / "x.safetensors") as partial:
        partial.touch()
        assert partial.suffixes[-2:] == [f".{os.getpid()}", ".tmp"]


def test_a_rename_that_means_done_comes_after_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    order: list[str] = []
    monkeypatch.setattr("os.fsync", lambda handle: order.append(str(Path(f"/proc/self/fd/{handle}").readlink())))
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda path, to: (order.append("rename"), replace(path, to))[1])
    write_atomic(tmp_path / "done", b"x")
    assert [Path(step).suffix or step for step in order] == [".tmp", "rename", str(tmp_path)]


def test_a_full_disk_is_named_with_the_path_and_the_bytes_missing(small_disk: Callable[[int], Path]):
    disk = small_disk(64)
    write_atomic(disk / "kept", b"old")
    with pytest.raises(DiskFull, match=r"no room to write .*kept .*are missing") as caught:
        write_atomic(disk / "kept", b"x" * 100_000)
    assert 30_000 < caught.value.missing < 50_000
    assert {path.name: path.read_bytes() for path in disk.iterdir()} == {"kept": b"old"}


def test_a_full_disk_is_known_behind_a_librarys_own_error(small_disk: Callable[[int], Path]):
    disk = small_disk(64)
    with pytest.raises(DiskFull), replacing(disk / "w.safetensors") as partial:
        save_file({"w": np.zeros(100_000)}, partial)
    assert not list(disk.iterdir())


def test_another_failure_is_no_full_disk():
    assert not is_disk_full(PermissionError(13, "Permission denied"))
    with pytest.raises(PermissionError), disk_full_named(Path("x")):
        raise PermissionError(13, "Permission denied")


def test_a_digest_is_that_of_the_content(tmp_path: Path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256_of(tmp_path / "x").startswith("ba7816bf8f01cfea")


def test_a_full_disk_is_known_behind_a_library_that_does_not_say_so(small_disk: Callable[[int], Path]):
    torch = pytest.importorskip("torch")
    disk = small_disk(64)
    (disk / "save").mkdir()
    with pytest.raises(DiskFull, match="are missing"), filling(disk / "save", 400_000):
        torch.save({"w": torch.zeros(100_000)}, disk / "save" / "optimizer.pt")
    assert not list(disk.iterdir())


def test_another_failure_with_room_enough_stays_what_it_is(tmp_path: Path):
    (tmp_path / "save").mkdir()
    with pytest.raises(RuntimeError, match="broken"), filling(tmp_path / "save", 10):
        raise RuntimeError("broken")
    assert not list(tmp_path.iterdir())


def test_a_file_to_be_written_as_memory_has_its_room_or_is_refused(small_disk: Callable[[int], Path]):
    disk = small_disk(64)
    np.lib.format.open_memmap(disk / "rows.npy", "w+", np.float32, (10_000, 10))
    with pytest.raises(DiskFull, match=r"rows\.npy .*are missing"):
        allocate(disk / "rows.npy")
    assert not list(disk.iterdir())
    np.lib.format.open_memmap(disk / "rows.npy", "w+", np.float32, (1000, 10))
    allocate(disk / "rows.npy")
    assert (disk / "rows.npy").stat().st_blocks * 512 >= 40_000


def test_what_failed_because_the_disk_was_full_is_told_as_that(tmp_path: Path):
    def clean_up():
        try:
            raise DiskFull("best", 0, 1_000_000)
        finally:
            (tmp_path / "best").read_bytes()

    with pytest.raises(DiskFull, match=r"best .*1\.00 MB are missing"), disk_full_named(tmp_path):
        clean_up()
