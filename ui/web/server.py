"""The server: uvicorn around the routes, with bounds on headers, connections and the time that it takes to end."""

import asyncio
import logging
from collections.abc import Callable
from ipaddress import ip_address

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from registry.errors import KeyNeeded
from registry.zoo import Zoo
from ui.web.app import create_app
from ui.web.gate import Limits

__all__ = ["serve_http"]

_MOST_HEADER_BYTES = 32 << 10
_HEADER_SECONDS = 20.0
"""From the first byte of a request, or from the connection, to the end of its headers."""
_MOST_CONNECTIONS = 1000
_GRACE = 5
"""Seconds that open requests are given when the service ends; jobs go on, for they are processes of their own."""


class _Punctual(H11Protocol):
    """Closes a connection whose next request does not come to the end of its headers in time."""

    _awaited: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._await_no_more()
        elif self._awaited is None:
            self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._await_no_more()
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        self._awaited = self.loop.call_later(_HEADER_SECONDS, self.transport.close)

    def _await_no_more(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None


def serve_http(zoo: Zoo, host: str, port: int, *, limits: Limits, announce: Callable[[str], None]) -> None:
    """Serve until this process is told to end.

    Raises:
        KeyNeeded: it is to be reached from other machines, and there is no key yet.
    """
    keyless = _is_loopback(host)
    if not keyless and not any(key.revoked is None for key in zoo.access.list()):
        raise KeyNeeded(f"on {host} without a key: create one with `transferzoo keys create NAME`")
    logging.basicConfig(format="%(message)s")
    logging.getLogger("transferzoo.service").setLevel(logging.INFO)
    announce(
        f"The service is at http://{host}:{port} (docs at /docs){'' if keyless else '; every request needs a key'}"
    )
    uvicorn.run(
        create_app(zoo, keyless=keyless, limits=limits),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        http=_Punctual,
        h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_GRACE,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
