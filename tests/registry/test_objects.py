import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import (
    BucketMissing,
    ObjectDamaged,
    ObjectMissing,
    ObjectsAway,
    ObjectsRefused,
    UnsafeArchive,
    UnusableObjects,
)
from registry.files import sha256_of
from registry.objects import Manifest, ManifestFile, Objects
from registry.progress import Cancelled, Phase
from tests.objects import BUCKET, SECRET, s3_environment, s3_server
from tests.observers import Recorder, stopping
from tests.servers import free_port

DIGEST = "0" * 64


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "deep" / "weights").write_bytes(os.urandom(70_000))
    (folder / "deep" / "same").write_text("{}")
    return folder


@pytest.fixture
def shared(tmp_path):
    (tmp_path / "shared").mkdir()
    return Objects.at(str(tmp_path / "shared"))


def everything_below(folder):
    return {place.relative_to(folder).as_posix(): place.read_bytes() for place in folder.rglob("*") if place.is_file()}


def keeps_folders(objects, folder, elsewhere):
    """What any place of objects has to do."""
    objects.require_there()
    digest = objects.put(folder)
    assert digest == Manifest.of(folder).digest == objects.put(folder)
    objects.fetch(digest, elsewhere)
    assert everything_below(elsewhere) == everything_below(folder)
    assert objects.faults(digest) == ()
    assert [*objects.damaged()] == []
    assert objects.named("runs", "one") is None
    assert objects.names("runs") == ()
    objects.name("runs", "one", DIGEST)
    objects.name("runs", "one", digest)
    objects.name("runs", "two", digest)
    assert objects.named("runs", "one") == digest
    assert objects.names("runs") == ("one", "two")
    assert objects.names("samples") == ()
    objects.forget("runs", "two")
    objects.forget("runs", "two")
    assert (objects.names("runs"), objects.named("runs", "two")) == (("one",), None)
    config = next(file for file in objects.manifest(digest).files if file.path == "config.json")
    assert objects.read(config) == b"{}"
    with pytest.raises(ObjectMissing):
        objects.manifest(DIGEST)


def test_a_folder_comes_back_as_it_was_from_a_disk(shared, folder, tmp_path):
    keeps_folders(shared, folder, tmp_path / "elsewhere")
    assert shared.url == f"file://{tmp_path}/shared"
    assert not list((tmp_path / "shared").rglob("*.tmp"))


def test_the_same_content_is_kept_once_and_uploaded_once(shared, folder, tmp_path):
    digest = shared.put(folder)
    blobs = [place for place in (tmp_path / "shared" / "blobs").rglob("*") if place.is_file()]
    assert len(blobs) == 2
    before = {place: place.stat().st_mtime_ns for place in blobs}
    (folder / "more").write_text("more")
    assert shared.put(folder) != digest
    assert {place: place.stat().st_mtime_ns for place in blobs} == before


def test_bytes_are_told_as_they_move_and_what_is_cancelled_is_finished_later(shared, folder, tmp_path):
    size, here = Manifest.of(folder).size, tmp_path / "elsewhere"
    with pytest.raises(Cancelled):
        shared.put(folder, progress=stopping(Phase.PUSH))
    assert not list((tmp_path / "shared").glob("manifests/*/*"))
    sent, fetched = Recorder(), Recorder()
    digest = shared.put(folder, progress=sent)
    with pytest.raises(Cancelled):
        shared.fetch(digest, here, stopping(Phase.FETCH))
    assert everything_below(here) == {"config.json": b"{}"}
    shared.fetch(digest, here, fetched)
    assert everything_below(here) == everything_below(folder)
    for observer, phase in ((sent, Phase.PUSH), (fetched, Phase.FETCH)):
        assert {event.phase for event in observer.events} == {phase}
        assert observer.counts == sorted(observer.counts)
        assert observer.counts[-1] == (size, size)


def test_a_file_is_given_up_in_its_middle(shared, folder, tmp_path, monkeypatch):
    cut = []

    def trickle(_path, place, callback):
        with Path(place).open("wb") as file:
            for _ in range(6_000):
                file.write(b"x")
                time.sleep(0.01)
                try:
                    callback.relative_update(1)
                except Exception:
                    cut.append(file.tell())
                    raise

    digest = shared.put(folder)
    monkeypatch.setattr(shared._files, "get_file", trickle)
    with pytest.raises(Cancelled):
        shared.fetch(digest, tmp_path / "elsewhere", stopping(Phase.FETCH))
    assert len(cut) == 1
    assert everything_below(tmp_path / "elsewhere") == {}


def test_some_files_of_a_folder_are_a_folder_too(shared, folder, tmp_path):
    shared.fetch(shared.put(folder, ["config.json"]), tmp_path / "elsewhere")
    assert everything_below(tmp_path / "elsewhere") == {"config.json": b"{}"}


def test_what_is_damaged_is_refused_by_name_and_not_placed(shared, folder, tmp_path):
    digest = shared.put(folder)
    blob = tmp_path / "shared" / "blobs" / (name := sha256_of(folder / "deep" / "weights"))[:2] / name
    blob.write_bytes(b"x" * 70_000)
    with pytest.raises(ObjectDamaged, match=name):
        shared.fetch(digest, tmp_path / "elsewhere")
    assert set(everything_below(tmp_path / "elsewhere")) == {"config.json", "deep/same"}
    blob.write_bytes(b"x")
    assert len(shared.faults(digest)) == 1
    assert "deep/weights" in shared.faults(digest)[0]
    with pytest.raises(ObjectDamaged, match="1 bytes"):
        shared.fetch(digest, tmp_path / "elsewhere")
    assert shared.put(folder) == digest  # another size is seen, and mended
    shared.fetch(digest, tmp_path / "elsewhere")
    blob.unlink()
    assert "missing" in shared.faults(digest)[0]
    with pytest.raises(ObjectMissing, match=name):
        shared.fetch(digest, tmp_path / "nowhere")


def test_a_damaged_manifest_or_name_is_refused(shared, folder, tmp_path):
    digest = shared.put(folder)
    manifest = tmp_path / "shared" / "manifests" / digest[:2] / f"{digest}.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    with pytest.raises(ObjectDamaged):
        shared.fetch(digest, tmp_path / "elsewhere")
    assert shared.put(folder) == digest  # which mends it
    shared.fetch(digest, tmp_path / "elsewhere")
    shared.name("runs", "one", digest)
    for content in (b"", b"[]", b'{"manifest": "../../x"}', b"\xff"):
        (tmp_path / "shared" / "names" / "runs" / "one.json").write_bytes(content)
        with pytest.raises(ObjectDamaged):
            shared.named("runs", "one")


@pytest.mark.parametrize("path", ["../out", "/out", "a/../../out", "a//b", ".", "", "a\\b", "c:/out", "a\0b"])
def test_no_file_is_placed_outside_of_its_folder(shared, tmp_path, path):
    bad = Manifest((ManifestFile(path, DIGEST, 0),))
    place = tmp_path / "shared" / "manifests" / bad.digest[:2] / f"{bad.digest}.json"
    place.parent.mkdir(parents=True)
    place.write_bytes(bad.content)
    with pytest.raises(UnsafeArchive):
        shared.fetch(bad.digest, tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=4).map(
        lambda files: json.dumps({"files": files}).encode()
    )
)
def test_whatever_is_no_manifest_has_a_name(content):
    with pytest.raises(ObjectDamaged):
        Manifest.parse(content, "here")


def test_a_place_that_is_none_is_refused_and_never_repeated(tmp_path):
    for url in (
        "http://host/x",
        "s3://",
        f"s3://key:{SECRET}@bucket",
        f"s3://bucket?key={SECRET}",
        "file://host/x",
        "",
    ):
        with pytest.raises(UnusableObjects) as error:
            Objects.at(url)
        assert SECRET not in str(error.value) + error.value.remedy
    away = Objects.at(str(tmp_path / "missing"))
    with pytest.raises(BucketMissing):
        away.require_there()
    with pytest.raises(BucketMissing, match="missing"):
        away.named("runs", "one")
    with pytest.raises(BucketMissing):
        away.name("runs", "one", DIGEST)
    assert not (tmp_path / "missing").exists()


def test_a_file_that_is_written_to_meanwhile_is_not_kept(shared, folder, tmp_path, monkeypatch):
    of = Manifest.of

    def changed_after(*given):
        manifest = of(*given)
        (folder / "config.json").write_text("[]")
        return manifest

    monkeypatch.setattr(Manifest, "of", changed_after)
    with pytest.raises(ObjectDamaged, match="changed"):
        shared.put(folder)
    assert not list((tmp_path / "shared").rglob("*.json"))


def test_errors_travel(tmp_path):
    with pytest.raises(BucketMissing) as error:
        Objects.at(str(tmp_path / "missing")).named("runs", "one")
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)  # noqa: S301 - its own


@pytest.mark.slow
def test_a_folder_comes_back_as_it_was_from_a_server(s3, folder, tmp_path):
    objects = Objects.at(f"s3://{BUCKET}/some/prefix")
    (folder / "large").write_bytes(os.urandom(1 << 20) * 110)  # beyond what one request carries
    keeps_folders(objects, folder, tmp_path / "elsewhere")
    for phase, move in (
        (Phase.PUSH, lambda observer: Objects.at(f"s3://{BUCKET}/other").put(folder, progress=observer)),
        (Phase.FETCH, lambda observer: objects.fetch(objects.put(folder), tmp_path / "again", observer)),
    ):
        with pytest.raises(Cancelled):
            move(stopping(phase, 1 << 20))  # of the last file, which is the large one
        observer = Recorder()
        move(observer)
        assert observer.counts[-1][0] == observer.counts[-1][1]
    assert everything_below(tmp_path / "again") == everything_below(folder)
    (folder / "deep" / "weights").write_bytes(b"x" * 70_000)
    changed = objects.put(folder)
    file = next(file for file in objects.manifest(changed).files if file.path == "deep/weights")
    objects._files.pipe_file(f"{BUCKET}/some/prefix/blobs/{file.digest[:2]}/{file.digest}", b"y" * 70_000)
    with pytest.raises(ObjectDamaged, match=file.digest):
        objects.fetch(changed, tmp_path / "elsewhere")


@pytest.mark.slow
def test_what_a_server_refuses_has_a_name_and_holds_no_key(s3, folder, monkeypatch):
    with pytest.raises(BucketMissing, match="s3://no-such-bucket"):
        Objects.at("s3://no-such-bucket/prefix").put(folder)
    with pytest.raises(BucketMissing, match="no-such-bucket"):
        Objects.at("s3://no-such-bucket").require_there()
    with pytest.raises(UnusableObjects):
        Objects.at("s3://No_Bucket!/prefix").put(folder)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    with pytest.raises(ObjectsRefused, match="no keys"):
        Objects.at(f"s3://{BUCKET}").put(folder)
    for name, value in s3_environment(free_port()).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ObjectsAway) as error:
        Objects.at(f"s3://{BUCKET}").named("runs", "one")
    assert SECRET not in repr(error.value) + error.value.remedy


@pytest.mark.slow
def test_an_upload_that_is_killed_leaves_nothing_half_and_a_second_finishes(s3, folder, tmp_path):
    for part in range(40):
        (folder / f"part-{part:02d}").write_bytes(os.urandom(1 << 20))
    script = (
        "import os, sys; from pathlib import Path; from registry.objects import Objects\n"
        "send, sent = Objects._send, []\n"
        "def at_most(*given):\n"
        "    sent.append(1); len(sent) < 30 or os.kill(os.getpid(), 9); send(*given)\n"
        "Objects._send = at_most\n"
        "objects = Objects.at(sys.argv[1]); objects.name('runs', 'one', objects.put(Path(sys.argv[2])))"
    )
    url, watching = f"s3://{BUCKET}/cut", Objects.at(f"s3://{BUCKET}/cut")
    with subprocess.Popen([sys.executable, "-c", script, url, str(folder)]) as upload:
        while upload.poll() is None and not watching._files.find(f"{BUCKET}/cut/blobs"):
            time.sleep(0.01)
        upload.send_signal(signal.SIGKILL)
    brought = watching._files.find(f"{BUCKET}/cut/blobs", detail=True)
    assert 0 < len(brought) < 42
    assert all(sha256_in(watching, place) == place.rpartition("/")[2] for place in brought)
    assert watching._files.find(f"{BUCKET}/cut/manifests") == []
    assert watching.named("runs", "one") is None
    digest = watching.put(folder)
    watching.fetch(digest, tmp_path / "elsewhere")
    assert everything_below(tmp_path / "elsewhere") == everything_below(folder)
    after = watching._files.find(f"{BUCKET}/cut/blobs", detail=True)
    assert all(after[place]["LastModified"] == brought[place]["LastModified"] for place in brought)


@pytest.mark.slow
def test_an_upload_whose_server_dies_ends_with_a_name_and_another_server_gets_it_whole(folder, tmp_path, monkeypatch):
    with s3_server(tmp_path / "first.log") as (port, process):
        for name, value in s3_environment(port).items():
            monkeypatch.setenv(name, value)
        objects, send = Objects.at(f"s3://{BUCKET}/cut"), Objects._send

        def send_and_kill(*given):
            send(*given)
            os.kill(process, signal.SIGKILL)

        monkeypatch.setattr(Objects, "_send", send_and_kill)
        with pytest.raises(ObjectsAway):
            objects.put(folder)
        monkeypatch.setattr(Objects, "_send", send)
    with s3_server(tmp_path / "second.log") as (port, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        objects = Objects.at(f"s3://{BUCKET}/cut")
        objects.fetch(objects.put(folder), tmp_path / "elsewhere")
    assert everything_below(tmp_path / "elsewhere") == everything_below(folder)


def sha256_in(objects, place):
    return hashlib.sha256(objects._files.cat_file(place)).hexdigest()
