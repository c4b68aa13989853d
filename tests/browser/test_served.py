"""The picker's server: whom it shows the page, what it fetches, what a hostile folder can change, how it ends."""

import os
import signal
import socket
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from registry.zoo import Zoo
from tests.browser.conftest import Served, choose, opened, served
from tests.browser.test_picker import PATH_FIELD, request_advice, run
from tests.servers import is_open
from tests.ui.pictures import write_stripes

pytestmark = pytest.mark.browser

HOSTILE = """
[server]
address = "0.0.0.0"
enableCORS = false
enableXsrfProtection = false
allowedHosts = ["*"]
corsAllowedOrigins = ["http://evil.example"]
baseUrlPath = "evil"
enableAgentApi = true
[client]
showErrorDetails = "full"
[theme]
font = "Nunito:https://fonts.googleapis.com/css2?family=Nunito&display=swap"
"""


def connected(port: int, *, origin: str, host: str = "127.0.0.1") -> int:
    """What a websocket from elsewhere is answered: 101 where it is let in."""
    message = (
        f"GET /_stcore/stream HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        line.sendall(message.encode())
        return int(line.recv(64).split()[1])


def test_a_hostile_folder_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "there" / ".streamlit").mkdir(parents=True)
    (tmp_path / "there" / ".streamlit" / "config.toml").write_text(HOSTILE)
    with served(tmp_path / "home", cwd=tmp_path / "there") as one:
        port = urlsplit(one.address).port or 0
        assert connected(port, origin=f"http://127.0.0.1:{port}") == 101
        assert connected(port, origin="http://evil.example") == 403
        assert connected(port, host="evil.example", origin="http://evil.example") == 403
        bound = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        assert f"0100007F:{port:04X}" in bound  # 127.0.0.1
        assert f"00000000:{port:04X}" not in bound


def test_without_its_token_the_page_shows_nothing(page: Page, picker: Served) -> None:
    for address in (picker.address.partition("?")[0], f"{picker.address}x", picker.address.replace("token=", "t=")):
        page.goto(address)
        expect(page.get_by_text("whole address")).to_be_visible()
        expect(page.get_by_role("textbox", name=PATH_FIELD)).to_have_count(0)
    page.goto(picker.address)
    expect(page.get_by_role("textbox", name=PATH_FIELD)).to_be_visible()
    page.reload()
    expect(page.get_by_role("textbox", name=PATH_FIELD)).to_be_visible()


def test_nothing_is_asked_of_another_host(page: Page, picker: Served, tmp_path: Path) -> None:
    run(picker, "recommend", str(write_stripes(tmp_path)))
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto(picker.address)
    opened(page, "How to do it again")
    page.wait_for_load_state("networkidle")
    assert requested
    strangers = [
        url
        for url in requested
        if urlsplit(url).scheme in {"http", "https", "ws"} and urlsplit(url).hostname != "127.0.0.1"
    ]
    assert strangers == []


def test_sigterm_ends_all_of_it_and_takes_what_was_dropped_along(page: Page, tmp_path: Path) -> None:
    with served(tmp_path / "home") as one:
        port = urlsplit(one.address).port or 0
        place = write_stripes(tmp_path)
        packed = tmp_path / "stripes.zip"
        with zipfile.ZipFile(packed, "w") as archive:
            for file in place.rglob("*.png"):
                archive.write(file, file.relative_to(place))
        page.goto(one.address)
        page.locator("input[type=file]").set_input_files(packed)
        expect(page.get_by_text("stripes.zip")).to_be_visible()
        page.get_by_role("button", name="Recommend").click()
        expect(page.get_by_text("How sure")).to_be_visible(timeout=180_000)
        assert [*one.home.glob("uploads/*/*.zip")]
        with Zoo.open(one.home) as zoo:  # what a job still needs would stay
            eventually(lambda: all(job.state == "finished" for job in zoo.jobs.list()))
        os.kill(one.pid, signal.SIGTERM)
        eventually(lambda: not is_open(port))
        eventually(lambda: not [*one.home.glob("uploads/*/*.zip")])


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_bad_zip_is_refused_at_once_and_the_error_goes_with_the_next_input(
    page: Page, picker: Served, tmp_path: Path
) -> None:
    torn = tmp_path / "torn.zip"
    torn.write_bytes(b"PK and then nothing")
    page.goto(picker.address)
    page.locator("input[type=file]").set_input_files(torn)
    expect(page.get_by_text("torn.zip")).to_be_visible()
    page.get_by_role("button", name="Recommend").click()
    expect(page.get_by_text("zip that can be opened")).to_be_visible()
    assert not [*picker.home.glob("jobs/*.log")]
    assert not [*picker.home.glob("uploads/*/*.zip")]
    request_advice(page, picker, write_stripes(tmp_path))
    expect(page.get_by_role("button", name="Stop")).to_be_visible()
    expect(page.get_by_text("zip that can be opened")).to_have_count(0)


def test_a_reload_keeps_what_is_selected_and_the_commands_tune_it(page: Page, picker: Served, tmp_path: Path) -> None:
    run(picker, "recommend", str(write_stripes(tmp_path)))
    page.goto(picker.address)
    opened(page, "How to do it again")
    chosen = choose(page, "Look closer at", 1)
    checkpoint, strategy = chosen.split(" · ")
    for _ in range(2):
        expect(page.get_by_text(f"--checkpoint {checkpoint} --strategy {strategy}")).to_be_visible()
        assert "row=2" in page.url
        page.reload()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_as_light_or_dark_as_the_browser_asks(browser: Browser, picker: Served, scheme: str) -> None:
    page = browser.new_page(color_scheme=scheme, viewport={"width": 390, "height": 844})
    page.goto(picker.address)
    expect(page.get_by_role("textbox", name=PATH_FIELD)).to_be_visible(timeout=60_000)  # on a narrow screen too
    body = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    channels = [int(part) for part in body.removeprefix("rgb(").removesuffix(")").split(",")]
    assert (sum(channels) > 600) == (scheme == "light")
