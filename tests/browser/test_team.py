"""A team at one picker: two at once who neither wait for one another nor see the other's uploads; and the whole way."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from registry.zoo import Zoo
from tests.browser.conftest import Served, opened
from tests.ui.pictures import write_stripes

pytestmark = pytest.mark.browser


def packed(folder: Path, name: str, rows: int = 24) -> Path:
    """A zip of stripes under that name."""
    place = write_stripes(folder / name, rows=rows)
    return Path(shutil.make_archive(str(folder / name), "zip", place))


def visitor(browser: Browser, one: Served) -> Page:
    """A browser of its own, with its own cookies."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    page.goto(one.address)
    expect(page.get_by_role("button", name="Recommend")).to_be_visible()
    return page


def drop(page: Page, file: Path) -> None:
    expect(page.get_by_role("button", name="Recommend")).to_be_visible()
    expect(page.locator("input[type=file]")).to_have_count(1)  # that of the page before is gone
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text(file.name)).to_be_visible()
    page.get_by_role("button", name="Recommend").click()


def test_of_two_at_once_neither_blocks_the_other_nor_sees_what_the_other_dropped(
    browser: Browser, picker: Served, tmp_path: Path
) -> None:
    anna, boris = visitor(browser, picker), visitor(browser, picker)
    drop(anna, packed(tmp_path, "annas"))
    expect(anna.get_by_role("button", name="Stop")).to_be_visible()
    boris.get_by_role("link", name="Domains").click()  # while hers is under way
    expect(boris.get_by_role("heading", name="Domains", exact=True)).to_be_visible(timeout=20_000)
    boris.get_by_role("link", name="Pick").click()
    drop(boris, packed(tmp_path, "boriss", rows=20))
    for page, mine in ((anna, "annas"), (boris, "boriss")):
        expect(page.get_by_role("heading", name=mine, level=1)).to_be_visible(timeout=900_000)
        opened(page, "What is odd in my data")
        page.get_by_role("tab", name="Rows, as they are read").click()
        expect(page.get_by_role("img", name="image: level").locator("visible=true").first).to_be_visible()
    anna.reload()
    expect(anna.get_by_role("button", name="annas")).to_be_visible()
    expect(anna.get_by_role("button", name="boriss")).to_have_count(0)
    boris.goto(anna.url)  # a link that she sends: the advice, and none of her rows
    expect(boris.get_by_role("heading", name="annas", level=1)).to_be_visible()
    boris.get_by_role("tab", name="Rows, as they are read").click()
    expect(boris.get_by_text("none is shown")).to_be_visible()
    expect(boris.get_by_role("img", name="image: level")).to_have_count(0)
    anna.reload()
    anna.get_by_role("tab", name="Rows, as they are read").click()
    expect(anna.get_by_role("img", name="image: level").locator("visible=true").first).to_be_visible()


def test_from_an_upload_to_advice_a_tuning_a_promotion_and_advice_with_what_was_promoted(
    page: Page, picker: Served, tmp_path: Path
) -> None:
    page.goto(picker.address)
    drop(page, packed(tmp_path, "bands"))
    expect(page.get_by_text("How sure")).to_be_visible(timeout=240_000)
    page.get_by_role("button", name="Tune it").click()
    strategy = page.get_by_label("Strategy, with the accuracy")
    strategy.fill("full")  # what begins with a fitted head may keep its backbone, and is not promoted then
    strategy.press("Enter")
    expect(page.get_by_text("--strategy full")).to_be_visible()
    page.get_by_role("spinbutton", name="Epochs").fill("8")
    page.get_by_role("spinbutton", name="Epochs").press("Tab")
    expect(page.get_by_text("--epochs 8")).to_be_visible()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="Expected and realized")).to_be_visible(timeout=300_000)
    expect(page.get_by_role("heading", name="What each class was taken for")).to_be_visible()
    page.get_by_role("tab", name="Promote").click()
    name = page.get_by_role("textbox", name="What to call the new checkpoint")
    name.fill("bands-net")
    name.press("Tab")
    page.get_by_role("button", name="Promote").click()
    expect(page.get_by_text("bands-net is in the zoo")).to_be_visible(timeout=120_000)
    assert "use=" in page.url
    page.get_by_role("link", name="Pick").click()
    expect(page.get_by_role("heading", name="What stays frozen")).to_be_visible()
    drop(page, packed(tmp_path, "ribbons", rows=20))
    expect(page.get_by_role("heading", name="ribbons", level=1)).to_be_visible(timeout=900_000)
    with Zoo.open(picker.home) as zoo:
        again = zoo.advice()
    assert again["sample"]["name"] == "ribbons"
    assert "bands-net" in {row["checkpoint"] for row in (*again["choices"], *again["skipped"])}
