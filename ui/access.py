"""Access to the page: whoever has the token of its address; other users of the machine have not."""

import hmac
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

__all__ = ["STARTED_IN", "TOKEN", "is_admitted", "is_below", "new_token", "placed"]

TOKEN = "TRANSFERZOO_PICKER_TOKEN"  # noqa: S105 - the variable's name
"""The environment variable in which the server hands the token to the page: a command line can be read by all."""
STARTED_IN = "TRANSFERZOO_STARTED_IN"
"""The environment variable that names the folder in which paths typed on the page begin."""


def new_token() -> str:
    """192 random bits that may stand in an address."""
    return secrets.token_urlsafe(24)


def is_admitted(shown: str | None) -> bool:
    """Whether that is the token, compared in constant time; where the server has none, nobody is admitted."""
    token = os.environ.get(TOKEN, "")
    return bool(token) and hmac.compare_digest(token.encode(), (shown or "").encode())


def placed(path: str) -> Path:
    """A path that was typed on the page, from the folder that the server was started in."""
    return Path(os.environ.get(STARTED_IN, ".")).absolute() / Path(path.strip()).expanduser()


def is_below(place: Path, folders: Iterable[Path]) -> bool:
    """Whether a path lies, links followed, below one of these folders."""
    resolved = place.resolve()
    return any(resolved.is_relative_to(folder.resolve()) for folder in folders)
