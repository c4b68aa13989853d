"""A picker on a free port with a home of its own, and a headless Chromium that looks at it."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.servers import PORT, ROOT, is_open, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]

expect.set_options(timeout=60_000)  # a busy machine is slow, and not wrong


@dataclass(frozen=True)
class Served:
    address: str
    """With the token."""
    home: Path
    pid: int

    def at(self, **place: str) -> str:
        """The page at another place, under the same token."""
        return "&".join([self.address, *(f"{name}={value}" for name, value in place.items())])


@pytest.fixture
def picker(tmp_path: Path) -> Iterator[Served]:
    with served(tmp_path / "home") as one:
        yield one


@contextmanager
def served(home: Path, *, cwd: Path = ROOT) -> Iterator[Served]:
    log = home.with_suffix(".log")

    def address(port: int) -> str | None:
        """What the picker prints, once it answers."""
        printed = re.search(r"http://\S+token=\S+", log.read_text())
        return printed[0] if printed is not None and is_open(port) else None

    command = [
        "-m",
        "ui.cli",
        "picker",
        "--no-browser",
        "--port",
        PORT,
        "--home",
        str(home),
        "--root",
        str(home.parent),
    ]
    with serving(command, log, address, cwd=cwd, env={"OMP_NUM_THREADS": "2"}) as (where, pid):
        yield Served(where, home, pid)


@pytest.fixture
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as player:
        opened = player.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        yield opened
        opened.close()


@pytest.fixture
def page(browser: Browser) -> Page:
    page = browser.new_page(viewport={"width": 1360, "height": 900})
    page.set_default_timeout(120_000)
    return page


def opened(page: Page, question: str) -> None:
    """Open what stands behind an answer."""
    summary = page.locator("summary").filter(has_text=f"{question}:")
    summary.click()
    expect(page.locator("details[open]").filter(has=summary)).to_be_visible()


def choose(page: Page, label: str, place: int) -> str:
    """Selects an option by the keyboard, and its text: a list may open beyond the screen."""
    selection = page.get_by_label(label)
    option = page.get_by_role("option").nth(place)
    for _ in range(60):
        selection.press("ArrowDown")  # opens the list, then walks down and around
        page.wait_for_timeout(500)
        if option.count() and option.get_attribute("data-focused"):
            text = option.inner_text()
            selection.press("Enter")
            return text
    raise AssertionError(f"{label}: option {place} was never reached")
