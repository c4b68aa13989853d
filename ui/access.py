"""Access to the page: whoever has the token of its address; and what of this machine the page may read."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from registry.errors import PathOutside

__all__ = [
    "ADMITTED",
    "ROOTS",
    "STARTED_IN",
    "TOKEN",
    "admitted",
    "browser_of",
    "is_admitted",
    "is_below",
    "is_inside",
    "locate",
    "new_token",
    "owner_of",
    "placed",
    "roots",
]

TOKEN = "TRANSFERZOO_PICKER_TOKEN"  # noqa: S105 - the variable's name
"""The environment variable in which the server hands the token to the page: a command line can be read by all."""
STARTED_IN = "TRANSFERZOO_STARTED_IN"
"""The environment variable that names the folder in which paths typed on the page begin."""
ADMITTED = "TRANSFERZOO_ADMITTED"
"""The environment variable with who is let in once signed in, as JSON; set where others reach the page."""
ROOTS = "TRANSFERZOO_ROOTS"
"""The environment variable that names the folders below which the page may read."""


def new_token() -> str:
    """192 random bits that may stand in an address."""
    return secrets.token_urlsafe(24)


def is_admitted(shown: str | None) -> bool:
    """Whether that is the token, compared in constant time; where the server has none, nobody is admitted."""
    token = os.environ.get(TOKEN, "")
    return bool(token) and hmac.compare_digest(token.encode(), (shown or "").encode())


def admitted() -> tuple[str, ...] | None:
    """Patterns of who is let in once signed in; None where the page is for this machine alone, and a token admits."""
    stated = os.environ.get(ADMITTED)
    return None if stated is None else tuple(json.loads(stated))


def owner_of(name: str) -> str:
    """What folders of somebody's uploads begin with: no name can be read off it."""
    return hashlib.sha256(f"{os.environ.get(TOKEN, '')}:{name}".encode()).hexdigest()[:12]


def browser_of(cookies: Mapping[str, str]) -> str | None:
    """What is the same for a browser as long as it is open: its XSRF token, taken out of the cookie's changing mask.

    The cookie is of Tornado's second form: version, mask, masked token and time.
    """
    version, *parts = cookies.get("_streamlit_xsrf", "").strip('"').split("|")
    if version != "2" or len(parts) != 3:
        return None
    try:
        mask, masked = (bytes.fromhex(part) for part in parts[:2])
        return bytes(byte ^ mask[place % len(mask)] for place, byte in enumerate(masked)).hex()
    except (ValueError, ZeroDivisionError):
        return None


def roots() -> tuple[Path, ...]:
    """The folders below which the page may read: those that were named, else the home and where it was started.

    Where others reach the page there are none but those that were named.
    """
    named = [Path(root) for root in os.environ.get(ROOTS, "").split(os.pathsep) if root]
    if admitted() is not None:
        return tuple(dict.fromkeys(named))
    return tuple(dict.fromkeys(named or (Path.home(), _started_in())))


def placed(path: str) -> Path:
    """A path that was typed on the page, from the folder that the server was started in.

    Raises:
        PathOutside: it lies, links followed, below none of the roots.
    """
    return locate(path.strip(), _started_in(), roots())


def locate(path: str, start: Path, folders: Sequence[Path]) -> Path:
    """A path that somebody else named, from the folder ``start``.

    Raises:
        PathOutside: it lies, links followed, below none of the folders, or is no path at all.
    """
    try:
        place = start / Path(path).expanduser()
    except RuntimeError as cause:  # of a user who is not there
        raise PathOutside(path, folders) from cause
    if not is_below(place, folders):
        raise PathOutside(ascii(path)[1:-1], folders)
    return place


def is_inside(place: Path, *besides: Path) -> bool:
    """Whether a path lies, links followed, below one of the roots, or of these folders."""
    return is_below(place, (*roots(), *besides))


def is_below(place: Path, folders: Iterable[Path]) -> bool:
    """Whether a path lies, links followed, below one of these folders; what is no path lies nowhere."""
    try:
        resolved = place.resolve()
    except (OSError, RuntimeError, ValueError):  # a loop of links, or a character that no path can hold
        return False
    return any(resolved.is_relative_to(folder.resolve()) for folder in folders)


def _started_in() -> Path:
    return Path(os.environ.get(STARTED_IN, ".")).absolute()
