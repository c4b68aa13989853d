"""Every page of the picker in a browser: what axe-core finds, links that restore a page, the keyboard alone."""

import json
import re
import shutil
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Served
from tests.browser.test_picker import run
from tests.servers import ROOT
from tests.ui.pictures import write_stripes

pytestmark = pytest.mark.browser

PAGES = ("Pick", "Tune", "Zoo", "Domains", "Track record", "Health")
QUESTIONS = (
    "How sure",
    "What it costs",
    "Where my data lies",
    "Why this and not that",
    "What is odd in my data",
    "How to do it again",
)
"""In the order of the page, each answered in its heading and opened by the keyboard."""
GRAVE = ("serious", "critical")
CALM = """async () => {
    const app = document.querySelector('[data-testid=stApp]');
    const ending = one => one.playState == 'running' && one.effect.getComputedTiming().endTime < Infinity;
    const drawn = () => app.dataset.testScriptState == 'notRunning'
        && !document.querySelector('[data-stale=true]') && !document.getAnimations().some(ending);
    const begun = performance.now();
    for (let since = begun; performance.now() - since < 1000;) {
        await new Promise(requestAnimationFrame);
        if (!drawn()) since = performance.now();
        if (since - begun > 120_000) throw new Error('the page is still drawn anew after two minutes');
    }
}"""
"""Waits until for a second nothing is drawn anew and nothing changes its color: what is not yet drawn is paler."""
PAST = """[...document.querySelectorAll('[data-testid=stMain], .tz, [role=tablist], [role=tabpanel], h1, h2, h3')]
    .filter(one => one.scrollWidth > one.clientWidth + 1).map(one => [one.className, one.innerText.slice(0, 80)])"""
"""What is wider than its box."""


def heading(page: Page, name: str) -> None:
    expect(page.get_by_role("heading", name=name, exact=True, level=1)).to_be_visible()


def opened_by_the_keyboard(page: Page, question: str) -> None:
    """A section is open once what stands in it has come."""
    page.locator("summary").filter(has_text=f"{question}:").focus()
    page.keyboard.press("Enter")
    section = page.locator("details[open]").filter(has_text=f"{question}:")
    expect(section.get_by_test_id("stExpanderDetails").get_by_test_id("stElementContainer").first).to_be_visible()


def test_pages_are_reached_by_the_keyboard_and_axe_finds_nothing_grave(
    browser: Browser, picker: Served, tmp_path: Path
) -> None:
    run(picker, "recommend", str(write_stripes(tmp_path)))
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme, viewport={"width": 1280, "height": 900})
        page.set_default_timeout(120_000)
        page.goto(picker.address)
        assert grave_findings(page) == [], scheme
        page.close()


def grave_findings(page: Page) -> list[tuple[str, str, str, str]]:
    """What axe-core has to say of every page, each reached by the keyboard."""
    heading(page, "stripes")
    findings = []
    for name in PAGES:
        link = page.get_by_role("link", name=name)
        link.focus()
        page.keyboard.press("Enter")
        heading(page, "stripes" if name == "Pick" else name)
        for question in QUESTIONS if name == "Pick" else ():
            opened_by_the_keyboard(page, question)
        page.evaluate(CALM)
        violations = Axe().run(page).response["violations"]
        grave = [(one["id"], one["nodes"][0]) for one in violations if one["impact"] in GRAVE]
        findings += [(name, rule, node["html"], node["failureSummary"]) for rule, node in grave]
        assert "token=" in page.url  # so that a reload is admitted
    return findings


def test_nothing_runs_past_its_box_however_long_its_name(browser: Browser, picker: Served, tmp_path: Path) -> None:
    """Classes of 120 letters, with and without a place where a line may end; a checkpoint and a sample of 90."""
    place = write_stripes(tmp_path, names=("level-stripes-" * 9, "x" * 120, "slanted"))
    place = place.rename(tmp_path / ("y" * 90))
    card = "a-checkpoint-of-" + "z" * 74
    run(picker, "zoo", "add", str(ROOT / "catalog" / "seedlings" / "resnet-photos"), "--name", card)
    run(picker, "tune", str(place), "--checkpoint", card, "--strategy", "linear-probe")
    (name,) = (folder.name for folder in (picker.home / "runs").iterdir() if folder.is_dir())
    answers = dict.fromkeys(("sure", "cost", "near", "why", "odd", "again", "before"), "true")
    places = ({"run": name}, {"card": card}, {"card": f"{card},resnet-photos"}, {"compare": f"{name},{name}"}, answers)
    beyond = {}
    for width in (390, 1280):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.set_default_timeout(120_000)
        for where in places:
            page.goto(picker.at(**where))
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            page.evaluate(CALM)
            if past := page.evaluate(PAST):
                beyond[width, *where] = past
        page.close()
    assert beyond == {}


def test_a_link_restores_what_it_names(page: Page, picker: Served, tmp_path: Path) -> None:
    place = str(write_stripes(tmp_path))
    chosen = ("--checkpoint", "resnet-cifar10", "--strategy", "linear-probe")
    for seed in ("1", "2"):
        run(picker, "tune", place, *chosen, "--seed", seed)
    names = sorted(folder.name for folder in (picker.home / "runs").iterdir() if folder.is_dir())
    page.goto(picker.at(compare=",".join(names)))
    heading(page, "Track record")
    expect(page.get_by_role("heading", name="What differs")).to_be_visible()
    page.goto(picker.at(run=names[0]))
    expect(page.get_by_role("heading", name="Expected and realized")).to_be_visible()
    page.reload()
    expect(page.get_by_text(names[0]).first).to_be_visible()
    page.goto(picker.at(card="resnet-photos"))
    expect(page.get_by_role("heading", name="resnet-photos")).to_be_visible()


def test_files_that_changed_since_their_advice_are_advised_on_again_by_a_button(
    page: Page, picker: Served, tmp_path: Path
) -> None:
    place = write_stripes(tmp_path)
    run(picker, "recommend", str(place))
    page.goto(picker.address)
    heading(page, "stripes")
    page.evaluate(CALM)
    expect(page.get_by_role("button", name="Advise again")).to_have_count(0)
    first, *_, last = sorted(place.rglob("*.png"))
    shutil.copy(first, last)
    page.wait_for_timeout(11_000)  # a look at the files' times holds for ten seconds
    page.reload()
    expect(page.get_by_text("has changed since")).to_be_visible()
    again = page.get_by_role("button", name="Advise again")
    again.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("advice="), timeout=240_000)
    expect(page.get_by_text("How sure")).to_be_visible(timeout=240_000)
    expect(page.get_by_role("button", name="Advise again")).to_have_count(0)
    kept = json.loads(run(picker, "queue", "list", "--all", "--json").stdout)
    assert [job["state"] for job in kept] == ["finished"]
