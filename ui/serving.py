"""The picker's server: Streamlit in this very process, so that what ends this process ends the page.

What protects the page is said on the command line, which outranks every config file and environment variable; the
server stands in the home, so that neither `.streamlit/config.toml` nor a module of the folder it was started in is
read. A random token, handed over in the environment, keeps other users of the machine out.
"""

import json
import os
import socket
import threading
import time
import webbrowser
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from registry.errors import PortUnusable
from registry.home import Home
from ui.access import ADMITTED, ROOTS, STARTED_IN, TOKEN, new_token
from ui.uploads import MOST_SECONDS, clear_own_uploads, clear_uploads

if TYPE_CHECKING:
    from registry.zoo import Zoo
    from ui.sign_in import SignIn

__all__ = ["HOST", "PINNED", "located", "require_free", "running", "serve", "show"]

HOST = "127.0.0.1"
_ADDRESS = "picker.json"
"""Where in the home the address of the picker that serves it stands, for this user alone."""
PINNED = (
    "--server.enableCORS=true",
    "--server.enableXsrfProtection=true",
    f"--server.corsAllowedOrigins=http://{HOST}",
    f"--server.allowedHosts={HOST}",
    "--server.allowedHosts=localhost",
    "--server.enableAgentApi=false",
    "--server.enableStaticServing=false",
    "--server.baseUrlPath=",
    "--server.maxUploadSize=1024",
    "--server.fileWatcherType=none",
    "--server.runOnSave=false",
    "--server.headless=true",
    "--browser.gatherUsageStats=false",
    "--client.showErrorDetails=none",
    "--client.toolbarMode=minimal",
    f"--client.allowedOrigins=http://{HOST}",
    "--global.developmentMode=false",
    "--logger.hideWelcomeMessage=true",
)
"""What no config file may change, wherever it is served."""


def require_free(port: int, host: str = HOST) -> None:
    """A page can be served there.

    Raises:
        PortUnusable: another program has the port, or it is not ours to take.
    """
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as cause:
            raise PortUnusable(port, cause.strerror or str(cause)) from cause


def serve(
    zoo: "Zoo",
    port: int,
    *,
    browser: bool,
    announce: Callable[[str], None],
    roots: Sequence[Path] = (),
    place: Mapping[str, str] | None = None,
    sign_in: "SignIn | None" = None,
    host: str = HOST,
) -> None:
    """Serve the page until this process is ended; ``place`` is what it is opened on.

    Typed paths are read below ``roots``, else below the user's home and the folder that this was started in. With
    ``sign_in`` whoever is let in sees it, at the address that it names, and there are no roots but those named.
    """
    token = new_token()
    address = f"http://{HOST}:{port}/?token={token}" if sign_in is None else f"{sign_in.origin}/"
    page = Path(__file__).with_name("picker.py")
    os.environ |= {
        "TRANSFERZOO_HOME": str(zoo.home.root),
        TOKEN: token,
        STARTED_IN: str(Path.cwd()),
        ROOTS: os.pathsep.join(str(root.expanduser().absolute()) for root in roots),
    }
    if sign_in is not None:
        os.environ[ADMITTED] = json.dumps(sign_in.admitted)
    os.chdir(zoo.home.root)
    _write_privately(zoo.home.root / _ADDRESS, json.dumps({"address": address, "port": port}))
    address = located(address, place or {})
    clear_uploads(zoo, older=MOST_SECONDS)
    announce(f"The picker is at {address}")
    if browser:
        threading.Thread(target=_show_once_served, args=(zoo.home, address, port), daemon=True).start()
    from streamlit.web.cli import main as streamlit  # noqa: PLC0415 - reads the folder it stands in when it is imported

    try:
        settings = [f"--server.port={port}", *PINNED, *_reached(sign_in, host)]
        streamlit(["run", str(page), *settings], prog_name="streamlit", standalone_mode=False)
    finally:
        (zoo.home.root / _ADDRESS).unlink(missing_ok=True)
        clear_own_uploads(zoo)


def _reached(sign_in: "SignIn | None", host: str) -> list[str]:
    """How the page is reached: from this machine alone, or as its sign-in has it."""
    if sign_in is None:
        return [f"--server.address={HOST}", f"--browser.serverAddress={HOST}", "--server.xsrfCookieSameSite=strict"]
    return [
        f"--server.address={host}",
        f"--browser.serverAddress={sign_in.host}",
        f"--server.corsAllowedOrigins={sign_in.origin}",
        f"--server.allowedHosts={sign_in.host}",
        f"--client.allowedOrigins={sign_in.origin}",
        f"--secrets.files={sign_in.file}",
        "--server.xsrfCookieSameSite=lax",
    ]


def running(home: Home) -> str | None:
    """The address, with its token, of a picker that serves this home now; None where none does."""
    try:
        known = json.loads((home.root / _ADDRESS).read_text())
        with socket.create_connection((HOST, int(known["port"])), timeout=1):
            return str(known["address"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def located(address: str, place: Mapping[str, str]) -> str:
    """The address of a place on the page."""
    words = "&".join(f"{quote(name)}={quote(value)}" for name, value in place.items())
    return f"{address}{'&' if '?' in address else '?'}{words}" if words else address


def show(home: Home, address: str) -> None:
    """Open a browser by way of a file that only this user can read: a command line can be read by all."""
    redirect = home.root / "picker.html"
    _write_privately(redirect, f'<meta http-equiv="refresh" content="0; url={escape(address)}">')
    webbrowser.open(redirect.as_uri())


def _show_once_served(home: Home, address: str, port: int) -> None:
    """Open a browser when there is something to see."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            break
        time.sleep(0.1)
    show(home, address)


def _write_privately(place: Path, content: str) -> None:
    """A file that nobody but this user can read."""
    place.unlink(missing_ok=True)
    with os.fdopen(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(content)
