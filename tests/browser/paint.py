"""How long a page takes, from its address to its heading and until all of it is drawn, once the picker is warm.

python -m tests.browser.paint [HOME]      # of a registry with advice in it; else one that the demo makes
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.browser.conftest import CHROMIUM, ROOT, SWITCHES, Served, served

PATHS = ("", "tune", "zoo", "domains", "record", "health")
VISITS = 5


def visit(browser: Browser, one: Served, path: str) -> tuple[float, float]:
    """Seconds from the address to the first heading, and to the end of the script, in a browser without a cache."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(120_000)
    address, _, token = one.address.partition("?")
    began = time.perf_counter()
    page.goto(f"{address}{path}?{token}", wait_until="commit")
    page.get_by_role("heading", level=1).first.wait_for()
    painted = time.perf_counter() - began
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")
    drawn = time.perf_counter() - began
    context.close()
    return painted, drawn


def measure(home: Path) -> None:
    with served(home) as one, sync_playwright() as player:
        browser = player.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        for path in PATHS:
            visit(browser, one, path)  # warms it
            rows = [visit(browser, one, path) for _ in range(VISITS)]
            painted, drawn = (statistics.median(row[part] for row in rows) for part in (0, 1))
            print(f"{path or 'pick':8} heading {painted:5.2f} s, all of it {drawn:5.2f} s", flush=True)
        browser.close()
    print(f"median of {VISITS}, load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


def main() -> None:
    if sys.argv[1:]:
        measure(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as work:
        home = Path(work) / "home"
        command = [sys.executable, "-m", "ui.cli", "demo", "--home", str(home)]
        subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True)
        measure(home)


if __name__ == "__main__":
    main()
