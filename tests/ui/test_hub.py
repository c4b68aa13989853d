"""What people type about checkpoints of a hub, against a double of one."""

import csv
import io
import json
import re
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.fakes.hub import the_only_hub
from tests.fakes.repositories import a_net
from tests.ui.pictures import write_stripes
from tests.ui.test_cli import transferzoo
from ui.remotes import models_table

ROOT = Path(__file__).parents[2]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    with the_only_hub(monkeypatch, tmp_path / "hf") as running:
        monkeypatch.setenv("TRANSFERZOO_HOME", str(tmp_path / "home"))
        running.add("org/net", a_net(), downloads=12)
        running.add("org/net-pickled", {"pytorch_model.bin": b"x", "config.json": b"{}"}, downloads=900)
        yield running


@pytest.mark.slow
def test_a_checkpoint_is_searched_added_fetched_watched_and_removed(hub):
    finished = transferzoo("zoo", "search", "net", "--add", "2")
    assert "1: has only pickled weights" in finished.stdout
    written = [*csv.DictReader(io.StringIO(transferzoo("zoo", "search", "net", "--csv").stdout))]
    assert [row["hub"] for row in written] == ["org/net-pickled", "org/net"]
    assert written[1]["downloads"] == "12"
    assert "transferzoo zoo fetch net" in finished.stdout
    assert "claimed, not measured here: accuracy 0.75 on ImageNet-1k" in finished.stdout
    assert "not fetched: 104,148 bytes" in finished.stdout
    assert "104,148 bytes" in transferzoo("zoo", "add", "org/net").stdout
    fetched = json.loads(transferzoo("zoo", "fetch", "net", "--json").stdout)
    assert [card["locator"]["hub"] for card in fetched["fetched"]] == ["org/net"]
    new = hub.repositories["org/net"].commit(a_net(README__md=b"changed"))
    (row,) = json.loads(transferzoo("zoo", "sync", "--json").stdout)
    assert (row["state"], row["upstream"]) == ("moved", new)
    assert "moved" in transferzoo("zoo", "sync").stdout
    assert "org/net" in transferzoo("zoo", "disk").stdout
    assert json.loads(transferzoo("zoo", "remove", "net", "--weights", "--json").stdout)["freed"] > 100_000


@pytest.mark.slow
def test_a_data_set_of_the_hub_is_advised_on_by_its_name_and_configuration(hub):
    configs = b"- {config_name: films, data_files: f.csv}\n- {config_name: books, data_files: b.csv}"
    card = b"---\nlicense: mit\nconfigs:\n" + configs + b"\n---\n"
    films, books = (
        "\n".join(["text,label", *(f"{kind} {n} is {'a joy' if n % 2 else 'a bore'},{n % 2}" for n in range(80))])
        for kind in ("film", "book")
    )
    hub.add("datasets/org/reviews", {"README.md": card, "f.csv": films.encode(), "b.csv": books.encode()})
    refused = transferzoo("recommend", "hub:org/reviews")
    assert refused.returncode == 2
    assert "2 configurations" in refused.stderr
    assert "films, books" in refused.stderr
    assert "--config films" in refused.stderr.replace("'", "")
    done = transferzoo("recommend", "hub:org/reviews", "--config", "books", "--keep", "1", "--json")
    advice = json.loads(done.stdout)
    assert (advice["sample"]["rows"], advice["sample"]["modality"]) == (80, "text")
    assert "mit" in done.stderr
    assert advice["choices"]
    local = transferzoo("recommend", str(ROOT), "--split", "a")
    assert (local.returncode, "of a data set of the hub" in local.stderr) == (2, True)


def test_a_long_id_of_a_hub_is_parted_behind_its_marks_alone_on_a_narrow_screen():
    id = "organization/imagenet_mobilenet_v1_0.25_fine-tuned"
    more = {"parameters": 470_000, "counted": False, "objection": "", "in_zoo": False, "gated": False}
    row = {"hub": id, "task": "image-classification", "license": "mit", "downloads": 1_000, **more}
    console = Console(width=80, file=StringIO())
    console.print(models_table([row, row | {"parameters": None, "counted": False}]))
    lines = console.file.getvalue().splitlines()
    assert "usable" in lines[0]
    assert any(line.split()[1] == "organization/imagenet_mobilenet_v1_" for line in lines if line.startswith("1 "))
    assert "~470.0 k" in console.file.getvalue()


@pytest.mark.parametrize("width", [60, 64, 72, 80, 100])
def test_whether_a_model_is_usable_is_seen_on_any_screen(width):
    more = {"parameters": 25_600_000, "counted": False, "in_zoo": False, "gated": False, "downloads": 12_345_678}
    row = {"hub": "organization/imagenet_mobilenet_v1_0.25", "license": "cc-by-nc-sa-4.0", **more}
    rows = [row | {"task": task, "objection": why} for task, why in (("image-classification", ""), ("any", "pickle"))]
    console = Console(width=width, file=StringIO())
    console.print(models_table(rows))
    heading, *lines = console.file.getvalue().splitlines()
    assert {"checkpoint", "parameters", "usable"} <= {*heading.split()}
    assert any(line.startswith("1 ") and " yes" in line for line in lines)
    assert any(line.startswith("2 ") and " no" in line for line in lines)
    assert ("downloads" in heading) == (width >= 80)


@pytest.mark.slow
def test_what_cannot_be_asked_offline_is_said_by_the_exit_code_too(hub):
    assert "~23.4 k" in transferzoo("zoo", "search", "net").stdout
    transferzoo("zoo", "add", "org/net")
    searched = transferzoo("zoo", "search", "net").stdout
    assert "22.9 k" in searched
    assert "~" not in searched
    assert "usable" in searched.splitlines()[0]
    done = transferzoo("zoo", "sync", HF_HUB_OFFLINE="1")
    assert done.returncode == 1
    assert "was ok" in done.stdout
    assert "HF_HUB_OFFLINE forbids" in " ".join(done.stdout.split())
    assert "zoo add ORG/NAME" not in done.stdout
    assert transferzoo("zoo", "list", "--here", HF_HUB_OFFLINE="1").returncode == 0


@pytest.mark.slow
def test_the_commands_of_the_readme_print_what_it_shows(hub, tmp_path, monkeypatch):
    write_stripes(tmp_path).rename(tmp_path / "my-images")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (block,) = re.findall(r"```console\n(.*?)```", (ROOT / "registry" / "README.md").read_text(), re.DOTALL)
    for part in block.split("$ transferzoo ")[1:]:
        command, *lines = part.strip().splitlines()
        done = transferzoo(*command.split(), COLUMNS="160")
        report = masked(done.stdout + done.stderr)
        for line in lines:
            assert masked(line) in report, f"{command}: {line!r} is not in {report!r}"


def masked(text):
    """Words alone: numbers and commits differ from machine to machine."""
    return " ".join(re.sub(r"\b[0-9a-f]{12}\b|\d[\d.,]*", "0", text).split())
