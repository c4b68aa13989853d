"""Sign-in for a page that others reach: by OpenID Connect, which Streamlit's own ``st.login`` speaks.

Who signs in is somebody else's word (the provider's); who is let in is said here, by patterns of e-mail addresses.
"""

import math
import stat
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from registry.errors import ExtraMissing, SignInUnusable

__all__ = ["Places", "SignIn", "SignOuts", "is_let_in", "read_sign_in"]

_KEYS = ("redirect_uri", "cookie_secret", "client_id", "client_secret", "server_metadata_url")
_BACK = "/oauth2callback"
"""Where a provider sends people back to."""
_LEAST_SECRET = 32
_PLACES, _RETURN = 1000, 900.0
"""Places that are remembered over sign-in, and for how many seconds."""
_HERE = frozenset({"127.0.0.1", "localhost"})


@dataclass(frozen=True)
class SignIn:
    """How people sign in, and who is let in."""

    file: Path
    """A TOML as Streamlit's ``secrets.toml``, with the section ``auth``."""
    origin: str
    """Scheme, host and port that people see in their browsers."""
    admitted: tuple[str, ...]
    """Patterns of e-mail addresses: ``*@example.org``."""

    @property
    def host(self) -> str:
        """The name of the origin's host."""
        return urlsplit(self.origin).hostname or ""


def read_sign_in(file: Path, admitted: Sequence[str]) -> SignIn:
    """The configuration of sign-in, once it is known to be whole and safe.

    Raises:
        SignInUnusable: it is missing, lacks a key, or is unsafe.
        ExtraMissing: what speaks OpenID Connect is not installed.
    """
    try:
        stated = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SignInUnusable(file, "there is no such file") from None
    except (OSError, ValueError) as cause:
        raise SignInUnusable(file, f"it cannot be read ({cause})") from cause
    section = stated.get("auth")
    keys = section if isinstance(section, Mapping) else {}
    if missing := [key for key in _KEYS if not isinstance(keys.get(key), str) or not keys[key]]:
        raise SignInUnusable(file, f"its section [auth] lacks {', '.join(missing)}")
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SignInUnusable(file, "others on this machine can read the secrets in it: chmod 600")
    if len(keys["cookie_secret"]) < _LEAST_SECRET:
        raise SignInUnusable(file, f"its cookie_secret has fewer than {_LEAST_SECRET} letters")
    back = urlsplit(keys["redirect_uri"])
    if back.path != _BACK or back.scheme not in {"http", "https"} or not back.hostname:
        raise SignInUnusable(file, f"its redirect_uri is not the page's address followed by {_BACK}")
    for name in ("redirect_uri", "server_metadata_url"):
        address = urlsplit(keys[name])
        if address.scheme != "https" and address.hostname not in _HERE:
            raise SignInUnusable(file, f"its {name} is no https address, so that others could listen")
    if not admitted:
        raise SignInUnusable(file, "nobody is let in: say who with --admit '*@example.org'")
    for library in ("authlib", "httpx"):
        if find_spec(library) is None:
            raise ExtraMissing(library, "remote")
    return SignIn(file.absolute(), f"{back.scheme}://{back.netloc}", tuple(admitted))


def is_let_in(user: Mapping[str, object], admitted: Sequence[str]) -> bool:
    """Whether who signed in is one of those: by an e-mail address that the provider does not call unverified."""
    address = user.get("email")
    if not isinstance(address, str) or user.get("email_verified") is False:
        return False
    return any(fnmatchcase(address.casefold(), pattern.casefold()) for pattern in admitted)


class Places:
    """Where browsers were before they were sent to sign in: a provider sends everybody back to the first page.

    A browser is told by its XSRF token (`access.browser_of`); each place is given back once.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, str, dict[str, str]]] = {}
        self._lock = Lock()

    def keep(self, browser: str, page: str, query: Mapping[str, str]) -> None:
        """Remember a browser's page and query; of too many browsers the first is forgotten."""
        with self._lock:
            self._kept.pop(browser, None)
            self._kept[browser] = self._clock(), page, dict(query)
            while len(self._kept) > _PLACES:
                del self._kept[next(iter(self._kept))]

    def pop(self, browser: str) -> tuple[str, dict[str, str]] | None:
        """Where a browser was; None where it was nowhere else, or too long ago."""
        with self._lock:
            since, page, query = self._kept.pop(browser, (-math.inf, "", {}))
        return (page, query) if self._clock() - since <= _RETURN else None


class SignOuts:
    """When browsers signed out: a tab that was open by then is still taken for signed in by the server of the page.

    A browser is told as by `Places`; times are those of ``clock``, which `now` reads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.now = clock
        self._ended: dict[str, float] = {}
        self._lock = Lock()

    def keep(self, browser: str) -> None:
        """Remember that a browser signs out now; of too many browsers the first is forgotten."""
        with self._lock:
            self._ended.pop(browser, None)
            self._ended[browser] = self.now()
            while len(self._ended) > _PLACES:
                del self._ended[next(iter(self._ended))]

    def ended(self, browser: str, since: float) -> bool:
        """Whether a browser has signed out since then."""
        with self._lock:
            return self._ended.get(browser, -math.inf) >= since
