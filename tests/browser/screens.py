"""Pictures of the picker's pages for README, as a browser shows them after the demo.

python -m tests.browser.screens      # draws ui/screens/*.png anew
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.browser.conftest import CHROMIUM, SWITCHES, Served, served
from tests.servers import ROOT

KEPT = ROOT / "ui" / "screens"
WIDE, HIGH = 1280, 1240
COLORS = 64
"""Of a picture: few enough for it to be small, and enough to be read."""


def draw(page: Page, one: Served) -> None:
    """The advice on the demo's sample, and the domains of images."""
    page.goto(one.address)
    page.get_by_text("What it costs").wait_for()
    shoot(page, "pick")
    page.goto(one.at(domain="imagenet_sample"))
    page.get_by_role("heading", name="Nearest of one").wait_for()
    shoot(page, "domains")


def shoot(page: Page, name: str) -> None:
    page.wait_for_load_state("networkidle")
    page.wait_for_function("!document.querySelector('[data-testid=stSkeleton]')")  # a table is drawn last
    page.wait_for_timeout(3000)  # charts are drawn after their data have come
    page.mouse.move(0, 0)
    file = KEPT / f"{name}.png"
    page.screenshot(path=file)
    Image.open(file).convert("RGB").quantize(COLORS).save(file, optimize=True)
    print(file.relative_to(ROOT), file.stat().st_size, "bytes")


def main() -> None:
    KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work, sync_playwright() as player:
        home = Path(work) / "home"
        command = [sys.executable, "-m", "ui.cli", "demo", "--home", str(home)]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
        browser = player.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        with served(home) as one:
            page = browser.new_page(viewport={"width": WIDE, "height": HIGH}, color_scheme="light")
            page.set_default_timeout(120_000)
            draw(page, one)
        browser.close()


if __name__ == "__main__":
    main()
