"""A seeded fuzz of every file that a stranger may have written: whatever lies there, only named errors come out."""

import json
import os
import random
import shutil
import struct
from collections import Counter
from pathlib import Path

import pytest

from registry.catalog import read_catalog, read_lens
from registry.encoders.loading import inspect
from registry.errors import TransferZooError
from registry.inspection import weights_digest
from tests.registry.encoders.nets import change, save_net
from tests.registry.fakes import a_catalog

ODD = (
    None,
    True,
    0,
    -1,
    1e308,
    10**30,
    10**7,
    "",
    "x",
    "\ud800",
    "2026-01-01",
    "\0",
    [],
    {},
    [[]],
    [None] * 3,
    {"a": {}},
    [0.5],
    "x" * 200_000,
    [1, [2, [3]]],
    ["ä"],
    0.5,
)
BYTES = (
    b"",
    b"\xff\xfe",
    b"\0" * 64,
    b"{",
    b"[" * 5000,
    b"\xef\xbb\xbf",
    b"version https://git-lfs.github.com/spec/v1\n",
)


def _places(result, place=()):
    yield place
    inner = result.items() if isinstance(result, dict) else enumerate(result) if isinstance(result, list) else ()
    for key, value in inner:
        yield from _places(value, (*place, key))


def _changed(result, chance):
    """One value of a nested document replaced, removed or put below another key."""
    place = chance.choice(list(_places(result)))
    if not place:
        return chance.choice(ODD)
    holder = result
    for key in place[:-1]:
        holder = holder[key]
    match chance.randrange(4):
        case 0:
            del holder[place[-1]]
        case 1 if isinstance(holder, dict):
            holder[chance.choice(["auto_map", "size", "", "nän", "image_std"])] = holder.pop(place[-1])
        case _:
            holder[place[-1]] = chance.choice(ODD)
    return result


def _bytes_changed(content, chance):
    match chance.randrange(5):
        case 0:
            return chance.choice(BYTES)
        case 1:
            return content[: chance.randrange(len(content) + 1)]
        case 2:
            return content + chance.choice(BYTES)
        case 3:
            cut = chance.randrange(len(content) + 1)
            return content[:cut] + chance.choice(BYTES) + content[cut:]
        case _:
            changed = bytearray(content)
            for _ in range(chance.randrange(1, 4)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            return bytes(changed)


def _mutate(path, chance):
    content = path.read_bytes()
    structured = chance.random() < 0.6
    if structured and path.suffix == ".json":
        path.write_text(json.dumps(_changed(json.loads(content), chance)))
    elif structured and path.suffix == ".safetensors":
        length = struct.unpack("<Q", content[:8])[0]
        header = json.dumps(_changed(json.loads(content[8 : 8 + length]), chance)).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + content[8 + length :])
    elif structured and path.suffix == ".yaml":
        import yaml

        path.write_text(yaml.safe_dump(_changed(yaml.safe_load(content), chance), allow_unicode=True), errors="replace")
    elif structured and path.suffix == ".csv":
        rows = [line.split(",") for line in content.decode().splitlines()]
        row = chance.choice(rows)
        row[chance.randrange(len(row))] = str(chance.choice(ODD)).encode(errors="replace").decode()
        path.write_text("\n".join(",".join(row) for row in rows))
    elif chance.random() < 0.05:
        path.unlink()
        chance.choice([path.mkdir, lambda: os.mkfifo(path)])()
    else:
        path.write_bytes(_bytes_changed(content, chance))


def _fuzz(folder, files, read, rounds, seed):
    """Mutate one file after another and read; the file is put back each time. How often it was refused, by error."""
    chance, refused = random.Random(seed), Counter()  # noqa: S311 - a seeded fuzz
    kept = {file: (folder / file).read_bytes() for file in files}
    for number in range(rounds):
        file = files[number % len(files)]
        path = folder / file
        _mutate(path, chance)
        try:
            read(folder)
        except TransferZooError as error:
            refused[type(error).__name__] += 1
        except Exception as error:
            raise AssertionError(f"round {number}, {file}: {type(error).__name__}: {error}") from error
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        path.write_bytes(kept[file])
    read(folder)
    return refused


@pytest.fixture
def net(tmp_path) -> Path:
    folder = save_net(tmp_path / "net", "vit")
    (folder / "SOURCE.json").write_text('{"license": ["mit"], "claimed_accuracy": {"top": 1}}')
    (folder / "README.md").write_text("---\nlicense: mit\ntags: [a]\n---\n# Net\n")
    return folder


@pytest.fixture
def catalog(tmp_path) -> Path:
    folder = a_catalog(tmp_path / "catalog")
    (folder / "outcomes").mkdir()
    table = "checkpoint,sample_name,strategy,score,note\na,b,c,0.9,d\na,b,e,0.8,1e999\n"
    (folder / "outcomes/some.csv").write_text(table)
    return folder


NET = ("config.json", "preprocessor_config.json", "model.safetensors", "SOURCE.json", "README.md")
CATALOG = (
    "checkpoints/image/mean-color.yaml",
    "domains/image/dark.yaml",
    "domains/image/dark.safetensors",
    "lenses.yaml",
    "lenses/image.safetensors",
    "outcomes/some.csv",
)


def _read_catalog(folder):
    read_lens(folder, "image")
    read_catalog(folder)


def _inspect(folder):
    inspect(folder)
    weights_digest(folder)


@pytest.mark.parametrize(("rounds", "seed"), [(40, 0), pytest.param(700, 1, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")  # libraries warn of what they are given
def test_a_checkpoints_files_are_read_or_refused_by_name(net, rounds, seed):
    assert len(_fuzz(net, NET, _inspect, rounds, seed)) > 2


@pytest.mark.parametrize(("rounds", "seed"), [(30, 0), pytest.param(200, 1, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")  # as above
def test_an_index_of_shards_is_read_or_refused_by_name(net, rounds, seed):
    shutil.move(net / "model.safetensors", net / "model-1.safetensors")
    index = {"metadata": {}, "weight_map": {"vit.embeddings.cls_token": "model-1.safetensors"}}
    (net / "model.safetensors.index.json").write_text(json.dumps(index))
    assert _fuzz(net, ("model.safetensors.index.json",), _inspect, rounds, seed)


@pytest.mark.parametrize(("rounds", "seed"), [(90, 0), pytest.param(600, 1, marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("ignore")  # as above
def test_a_catalogs_files_are_read_or_refused_by_name(catalog, rounds, seed):
    assert _fuzz(catalog, CATALOG, _read_catalog, rounds, seed)["BadCard"] > rounds / 4


def test_a_folder_named_as_a_card_is_named(catalog):
    (catalog / "domains/image/odd.yaml").mkdir()
    with pytest.raises(TransferZooError, match=r"odd\.yaml: .*folder"):
        read_catalog(catalog)


def test_a_net_of_a_billion_layers_is_refused_before_it_is_built(net):
    change(net, num_hidden_layers=999_999)
    with pytest.raises(TransferZooError, match="num_hidden_layers"):
        inspect(net)
