"""The picker in a browser: from a path to advice, to a tuning, over a reload; and what the command line wrote."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Served, opened
from tests.ui.pictures import write_stripes
from tests.ui.test_cli import transferzoo
from tests.ui.test_tasks import shapes

pytestmark = pytest.mark.browser

PATH_FIELD = "Path on this machine"


@pytest.fixture
def stripes(tmp_path: Path) -> Path:
    """One class is named as an attacker would name it."""
    return write_stripes(tmp_path, names=("level", "<b>upright<b>", "slanted"))


def run(served: Served, *words: str) -> "subprocess.CompletedProcess[str]":
    done = transferzoo(*words, home=served.home)
    done.check_returncode()
    return done


def request_advice(page: Page, served: Served, path: Path, labels: Path | None = None) -> None:
    page.goto(served.address)
    if labels is not None:
        page.get_by_text("Options").click()
        table = page.get_by_label("Labels (CSV: file, target)")
        table.fill(str(labels))
        table.press("Tab")
    field = page.get_by_role("textbox", name=PATH_FIELD)
    field.fill(str(path))
    field.press("Tab")
    page.get_by_role("button", name="Recommend").click()


def tune_as_advised(page: Page) -> None:
    page.get_by_role("button", name="Tune it").click()
    page.get_by_role("button", name="Start").click()


def test_a_path_requested_twice_becomes_one_advice_and_a_tuning_that_a_reload_does_not_lose(
    page: Page, picker: Served, stripes: Path
) -> None:
    request_advice(page, picker, stripes)
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    request_advice(page, picker, stripes)
    expect(page.get_by_text("How sure")).to_be_visible(timeout=180_000)
    assert "advice=" in page.url
    assert len([*(picker.home / "jobs").glob("*.log")]) == 1
    expect(page.locator("[data-testid=stVegaLiteChart]").first).to_be_visible()
    tune_as_advised(page)
    page.wait_for_url(re.compile("job=|run="))
    page.reload()
    expect(page.get_by_text("Expected and realized")).to_be_visible(timeout=240_000)
    assert "run=" in page.url
    record = json.loads(run(picker, "runs", "list", "--json").stdout)
    assert len(record) == 1


def test_a_click_takes_sample_data_to_advice(page: Page, picker: Served) -> None:
    page.goto(picker.address)
    page.get_by_role("button", name="Sample texts").click()
    expect(page.get_by_text("How sure")).to_be_visible(timeout=240_000)
    expect(page.get_by_role("heading", name="text")).to_be_visible()
    assert "advice=" in page.url
    assert len([*(picker.home / "samples" / "text" / "train").iterdir()]) == 12


def test_advice_from_the_command_line_is_there_and_names_are_shown_as_text(
    page: Page, picker: Served, stripes: Path
) -> None:
    advice = json.loads(run(picker, "recommend", str(stripes), "--json").stdout)
    page.goto(picker.address)
    expect(page.get_by_role("heading", name="stripes")).to_be_visible()
    opened(page, "What is odd in my data")
    page.get_by_role("tab", name="Rows, as they are read").click()
    expect(page.get_by_text("<b>upright<").locator("visible=true").first).to_be_visible()
    assert page.locator("[data-testid=stMain] b").count() == 0
    expect(page.get_by_text(advice["choices"][0]["checkpoint"]).first).to_be_visible()


def test_a_table_of_quantities_is_advised_and_tuned_with_scores_as_numbers(
    page: Page, picker: Served, tmp_path: Path
) -> None:
    request_advice(page, picker, *shapes(tmp_path, lambda size, _: 1000 + 10.5 * size))
    expect(page.get_by_text("How sure")).to_be_visible(timeout=180_000)
    expect(page.get_by_text("judged by r2").first).to_be_visible()
    tune_as_advised(page)
    realized = page.locator("[data-testid=stMetric]").filter(has_text="Realized")
    expect(realized).to_be_visible(timeout=240_000)
    expect(realized).to_contain_text("0.")
    expect(realized).not_to_contain_text("%")


def test_a_path_that_does_not_exist_is_told_and_nothing_breaks(page: Page, picker: Served, tmp_path: Path) -> None:
    request_advice(page, picker, tmp_path / "nowhere")
    expect(page.get_by_text("does not exist").first).to_be_visible(timeout=60_000)
