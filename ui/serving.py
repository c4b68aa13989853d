"""The picker's server: Streamlit in this very process, so that what ends this process ends the page.

What protects the page is said on the command line, which outranks every config file and environment variable; the
server stands in the home, so that neither `.streamlit/config.toml` nor a module of the folder it was started in is
read. A random token, handed over in the environment, keeps other users of the machine out.
"""

import os
import socket
import threading
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from registry.errors import PortUnusable
from ui.access import STARTED_IN, TOKEN, new_token
from ui.uploads import MOST_SECONDS, clear_own_uploads, clear_uploads

if TYPE_CHECKING:
    from registry.zoo import Zoo

__all__ = ["PINNED", "require_free", "serve"]

HOST = "127.0.0.1"
PINNED = (
    f"--server.address={HOST}",
    "--server.enableCORS=true",
    "--server.enableXsrfProtection=true",
    f"--server.corsAllowedOrigins=http://{HOST}",
    f"--server.allowedHosts={HOST}",
    "--server.allowedHosts=localhost",
    "--server.xsrfCookieSameSite=strict",
    "--server.enableAgentApi=false",
    "--server.enableStaticServing=false",
    "--server.baseUrlPath=",
    "--server.maxUploadSize=1024",
    "--server.fileWatcherType=none",
    "--server.runOnSave=false",
    "--server.headless=true",
    "--browser.gatherUsageStats=false",
    f"--browser.serverAddress={HOST}",
    "--client.showErrorDetails=none",
    "--client.toolbarMode=minimal",
    f"--client.allowedOrigins=http://{HOST}",
    "--global.developmentMode=false",
    "--logger.hideWelcomeMessage=true",
)
"""What no config file may change."""


def require_free(port: int) -> None:
    """A page can be served there.

    Raises:
        PortUnusable: another program has the port, or it is not ours to take.
    """
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((HOST, port))
        except OSError as cause:
            raise PortUnusable(port, cause.strerror or str(cause)) from cause


def serve(zoo: "Zoo", port: int, *, browser: bool, announce: Callable[[str], None]) -> None:
    """Serve the page until this process is ended."""
    token = new_token()
    address = f"http://{HOST}:{port}/?token={token}"
    page = Path(__file__).with_name("picker.py")
    os.environ |= {"TRANSFERZOO_HOME": str(zoo.home.root), TOKEN: token, STARTED_IN: str(Path.cwd())}
    os.chdir(zoo.home.root)
    clear_uploads(zoo, older=MOST_SECONDS)
    announce(f"The picker is at {address}")
    if browser:
        threading.Thread(target=_show, args=(zoo.home.root / "picker.html", address, port), daemon=True).start()
    from streamlit.web.cli import main as streamlit  # noqa: PLC0415 - reads the folder it stands in when it is imported

    try:
        streamlit(["run", str(page), f"--server.port={port}", *PINNED], prog_name="streamlit", standalone_mode=False)
    finally:
        clear_own_uploads(zoo)


def _show(redirect: Path, address: str, port: int) -> None:
    """Open a browser by way of a file that only this user can read: a command line can be read by all."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            break
        time.sleep(0.1)
    redirect.unlink(missing_ok=True)
    with os.fdopen(os.open(redirect, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(f'<meta http-equiv="refresh" content="0; url={address}">')
    webbrowser.open(redirect.as_uri())
