"""A picker on a free port with a home of its own, and a headless Chromium that looks at it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ROOT = Path(__file__).parents[2]
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
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "ui.cli", "picker", "--no-browser", "--port", str(port), "--home", str(home)]
    command += ["--root", str(home.parent)]
    env = os.environ | {"OMP_NUM_THREADS": "2", "PYTHONPATH": str(ROOT)}
    log = home.with_suffix(".log")
    with log.open("wb") as out:
        server = subprocess.Popen(command, cwd=cwd, env=env, stdout=out, stderr=out, start_new_session=True)
    try:
        yield Served(_address(log, port, server), home, server.pid)
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:  # how it ends has a test of its own
            server.kill()
            server.wait(60)


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


def _address(log: Path, port: int, server: "subprocess.Popen[bytes]") -> str:
    """What the picker prints, once it answers."""
    for _ in range(400):
        assert server.poll() is None, log.read_text()
        printed = re.search(r"http://\S+token=\S+", log.read_text())
        if printed is not None and is_open(port):
            return printed[0]
        time.sleep(0.25)
    raise TimeoutError(log.read_text())


def is_open(port: int) -> bool:
    with socket.socket() as trial:
        return trial.connect_ex(("127.0.0.1", port)) == 0
