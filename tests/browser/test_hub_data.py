"""A data set of the hub on Pick: fetched by the queue, its license and columns shown, then advised on."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import served
from tests.fakes.hub import the_only_hub
from tests.fakes.repositories import a_net

pytestmark = pytest.mark.browser

CARD = b"---\nlicense: cc-by-4.0\n---\n# Reviews\n"


def reviews(rows: int) -> bytes:
    """A CSV whose texts say their label."""
    lines = [
        f'"the {n}. film was {"lovely" if n % 2 else "dreadful"}",{"pos" if n % 2 else "neg"}' for n in range(rows)
    ]
    return "\n".join(["text,label", *lines]).encode()


def test_a_data_set_of_the_hub_is_fetched_shown_with_its_license_and_advised_on(
    page: Page, tmp_path, monkeypatch
) -> None:
    with the_only_hub(monkeypatch, tmp_path / "cache") as hub:
        hub.add("datasets/org/reviews", {"train.csv": reviews(80), "test.csv": reviews(40), "README.md": CARD})
        hub.add("datasets/org/scripted", {"scripted.py": b"raise SystemExit"})
        with served(tmp_path / "home") as picker:
            page.goto(picker.address)
            page.get_by_text("Or a data set of the hub").click()
            named = page.get_by_role("textbox", name="Its id")
            named.fill("org/scripted")
            named.press("Tab")
            page.get_by_role("button", name="Fetch it").click()
            expect(page.get_by_text("a script, scripted.py, which is never run").first).to_be_visible(timeout=120_000)
            page.goto(picker.address)
            page.get_by_text("Or a data set of the hub").click()
            named.fill("org/reviews")
            named.press("Tab")
            page.get_by_role("button", name="Fetch it").click()
            expect(page.get_by_text("License: cc-by-4.0")).to_be_visible(timeout=120_000)
            expect(page.get_by_text("train: 80 rows of the split train")).to_be_visible()
            expect(page.get_by_text("columns: text, label")).to_be_visible()
            page.get_by_role("button", name="Recommend for it").click()
            expect(page.get_by_role("heading", name="reviews", level=1)).to_be_visible(timeout=400_000)
            expect(page.get_by_text("How sure")).to_be_visible()


def test_the_hub_is_searched_and_a_checkpoint_added_and_removed_by_the_queue(page: Page, tmp_path, monkeypatch) -> None:
    with the_only_hub(monkeypatch, tmp_path / "cache") as hub:
        hub.add("org/net", a_net(), downloads=3)
        with served(tmp_path / "home") as picker:
            page.goto(picker.at(card="resnet-photos"))
            page.get_by_role("textbox", name="Words of its id").fill("net")
            page.get_by_test_id("stTabs").get_by_role("button", name="Search").click()
            expect(page.get_by_text("1 model on the hub for net")).to_be_visible(timeout=120_000)
            page.get_by_role("textbox", name="Id on the hub").fill("org/net")
            page.get_by_role("button", name="Add").first.click()
            expect(page.get_by_text("net is in the zoo")).to_be_visible(timeout=120_000)
            page.goto(picker.at(card="net"))
            page.get_by_role("button", name="Remove").click()
            page.get_by_role("button", name="Forget net").click()
            expect(page.get_by_text("net is forgotten")).to_be_visible(timeout=120_000)
