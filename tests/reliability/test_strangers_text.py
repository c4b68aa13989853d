"""Every command shown names and cards that would move a cursor, color a screen, be markup, Markdown or a formula."""

import csv
import io
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import draw_folder, drawn
from tests.fakes.hub import served
from tests.fakes.repositories import a_net
from tests.reliability.product import Product

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ACTS = "\x1b[2J\x1b]0;owned\x07[red]x\u202egnp"
CLASSES = (f"{ACTS}[/nope]", "=1+1 [/red]", "**b** <i>")
UNSAFE = ("\x1b[2J", "\x1b]0", "\x07", "\x9b", "\u202e", "\udcff", "Traceback", "MarkupError", "a fault of transferzoo")
CARD = f"""---
license: "mit {CLASSES[0]!a}"
tags: ["[/nope]"]
datasets: ["[/nope]"]
---
# [/nope]
"""


def stripes(place: Path) -> tuple[Path, Path]:
    """Images with odd names, the labels in a table, and one that cannot be read."""
    folder = place / f"pets{ACTS}"
    folder.mkdir(parents=True)
    table = io.StringIO()
    written = csv.writer(table)
    written.writerow(["file", "target"])
    for row in range(30):
        name = f"{ACTS}{row}.png"
        pixels = drawn(row, 24) // 4
        pixels[:: 2 + row % 3] += 120
        Image.fromarray(pixels).save(folder / name)
        written.writerow([name, CLASSES[row % 3]])
    (folder / f"{ACTS}broken.png").write_bytes(b"no picture")
    written.writerow([f"{ACTS}broken.png", CLASSES[0]])
    (folder / os.fsdecode(b"\xff\x1b[2J.txt")).write_bytes(b"")
    labels = place / f"labels{ACTS}.csv"
    labels.write_text(table.getvalue())
    return folder, labels


def test_no_command_acts_on_what_strangers_have_written(tmp_path):
    data, labels = stripes(tmp_path)
    net = tmp_path / f"net{ACTS}"
    shutil.copytree(ROOT / "catalog/seedlings/resnet-photos", net)
    (net / "README.md").write_text(CARD)
    (net / "SOURCE.json").write_text(json.dumps({"license": CLASSES[0], "title": CLASSES[0]}))
    home = tmp_path / "home"
    product = Product(tmp_path / "log", {"TRANSFERZOO_HOME": str(home)})
    with served() as hub:
        online = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
        hub.add("org/net", a_net(README__md=CARD.encode()), tags=("[/nope]", ACTS))
        hub.add("org/odd", {"config.json": json.dumps({"architectures": [CLASSES[0]]}).encode(), "x.bin": b""})

        def say(*words: str, codes: tuple[int, ...] = (0,), **env: str) -> str:
            done = product.run(*words, env=env)
            printed = f"{words}\n{done.out}\n{done.err}"
            assert done.code in codes, printed
            for sign in UNSAFE:
                assert sign not in done.out + done.err, printed
            if "--json" in words and done.code in {0, 1}:
                json.loads(done.out)
            return done.out

        def both(*words: str, codes: tuple[int, ...] = (0,), **env: str) -> str:
            say(*words, "--json", codes=codes, **env)
            return say(*words, codes=codes, **env)

        laid = ("--labels", str(labels))
        source = draw_folder(tmp_path / f"source{ACTS}", {f"{ACTS}a": 5, "=1+1": 5})
        both("zoo", "add", str(net), "--name", "mine", "--source-data", str(source), "--domain", "odd", codes=(0, 2))
        say("zoo", "add", "org/net", **online)
        both("zoo", "search", "o", **online)
        for listing in ("zoo list", "zoo show mine", "zoo show net", "zoo disk", "domains list"):
            both(*listing.split())
        both("recommend", str(data), *laid, "--keep", "1", "--explain")
        both("distance", str(data), "photos-natural", *laid, codes=(0, 2))
        both("domains", "near", str(data), *laid, codes=(0, 2))
        tuned = say(
            "tune",
            str(data),
            *laid,
            "--checkpoint",
            "resnet-photos",
            "--no-controls",
            "--strategy",
            "linear-probe",
            "--json",
        )
        run = json.loads(tuned)["id"]
        both("predict", run, str(data), *laid)
        cells = list(csv.reader(io.StringIO(say("predict", run, str(data), *laid, "--csv"))))
        assert len(cells) > 30
        assert not [cell for row in cells for cell in row if cell.startswith(("=", "+", "-", "@"))]
        say("export", run, str(tmp_path / "out"), "--card")
        card = (tmp_path / "out" / "README.md").read_text()
        assert not any(sign in card for sign in UNSAFE)
        assert "<i>" not in card.partition("\n---\n")[2]
        both("runs", "list")
        both("zoo", "promote", run, "grown", codes=(0, 2))
        queued = json.loads(say("queue", "add", "recommend", str(data), *laid, "--json"))["id"]
        both("queue", "list", "--all")
        both("queue", "show", queued)
        say("queue", "cancel", queued)
        (home / "runs" / f"x{ACTS}").mkdir()
        (home / "features" / f"{ACTS}.safetensors").write_bytes(b"x")
        both("doctor", codes=(0, 1))
        odd = CLASSES[0]
        for words in (
            ("recommend", odd),
            ("zoo", "show", odd),
            ("zoo", "list", "--license", odd),
            ("predict", odd, str(data)),
            ("runs", "resume", odd),
            ("queue", "show", odd),
            ("recommend", str(data), "--metric", odd),
            ("domains", "near", odd),
            ("zoo", "remove", odd),
            ("demo", odd),
            ("distance", str(data), odd),
            ("recommend", str(data), "--max-bytes", odd),
            ("tune", str(data), "--strategy", odd),
        ):
            both(*words, codes=(2,))
