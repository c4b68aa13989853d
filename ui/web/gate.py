"""The gate: before anything is asked, who asks, from where and how often; after it a line in the log, and in the audit.

Where the service is bound to this machine alone, nobody needs a key; then a request must be made to one of this
machine's own names, and by no page of another site, so that no browser can be led here.
"""

import json
import logging
import time
from asyncio import wait_for
from collections import deque
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from anyio.to_thread import run_sync
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from registry.cards import ApiKey
from registry.cards import Scope as KeyScope
from registry.errors import AccessError, KeyNeeded, LimitReached, OriginRefused, RequestRefused
from registry.zoo import Zoo
from ui.web.problems import problem_of, response_of

__all__ = ["LOCAL", "OPEN_PATHS", "Gate", "Limits", "Meters"]

LOCAL = ApiKey("local", "local", KeyScope.ADMIN, "", "")
"""Who asks without a key, on this machine alone."""
OPEN_PATHS = frozenset({"/health", "/ready"})
"""What may be asked without a key everywhere."""
_OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")
_WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_REMEMBERED = 2.0
"""Seconds for which a key that was admitted is not looked up again."""
_MOST_BODY = 1 << 20
"""Bytes of what is asked; an upload has bounds of its own."""
_SILENCE = 30.0
"""Seconds within which more of a body must come."""
_UPLOADS = "/samples"
_logger = logging.getLogger("transferzoo.service")


@dataclass(frozen=True)
class Limits:
    """What one key may have."""

    requests_a_minute: int = 600
    open_jobs: int = 20
    upload_bytes: int = 1 << 30
    bytes_a_key: int = 8 << 30


@dataclass
class Meters:
    """What `/metrics` shows."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    requests: Counter = field(init=False)
    seconds: Histogram = field(init=False)

    def __post_init__(self) -> None:
        labels = ("method", "path", "status")
        self.requests = Counter("transferzoo_requests", "Requests answered.", labels, registry=self.registry)
        self.seconds = Histogram(
            "transferzoo_request_seconds", "Seconds until a request was answered.", labels[:2], registry=self.registry
        )


class Gate:
    """ASGI middleware around the whole service."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        zoo: Zoo,
        keyless: bool,
        limits: Limits,
        meters: Meters,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app, self._zoo, self._keyless = app, zoo, keyless
        self._limits, self._meters, self._clock = limits, meters, clock
        self._admitted: dict[str, tuple[float, ApiKey]] = {}
        self._recent: dict[str, deque[float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it with the reason why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request, began, status, key = uuid4().hex, self._clock(), 500, None
        scope.setdefault("state", {})["request"] = request

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request.encode())]
            await send(message)

        try:
            key = await self._admit(scope)
            scope["state"]["key"] = key
            await self._app(scope, receive if scope["path"] == _UPLOADS else _bounded(receive), answered)
        except AccessError as refused:
            await response_of(problem_of(refused, request), refused)(scope, receive, answered)
        finally:
            await self._account(scope, request, key, status, self._clock() - began)

    async def _admit(self, scope: Scope) -> ApiKey:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            raise RequestRefused("its address holds a zero byte", "Ask without it.", status=400)
        host = headers.get("host", "")
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            raise OriginRefused("a page of another site")
        if scope["path"] in OPEN_PATHS:
            return LOCAL
        word, _, presented = headers.get("authorization", "").partition(" ")
        if word.lower() == "bearer":
            key = await self._known(presented.strip())
        elif self._keyless:
            if host.rpartition(":")[0] not in _OWN_NAMES and host not in _OWN_NAMES:
                raise OriginRefused(f"a request for the host {host!r}")
            key = LOCAL
        else:
            raise KeyNeeded("without a key")
        self._count(key)
        return key

    async def _known(self, presented: str) -> ApiKey:
        looked, key = self._admitted.get(presented, (float("-inf"), LOCAL))
        if self._clock() - looked < _REMEMBERED:
            return key
        caller = await run_sync(self._zoo.access.admitted, presented)
        if caller is None:
            self._admitted.pop(presented, None)
            raise KeyNeeded("with a key that is none, has expired or was revoked")
        if len(self._admitted) > 10_000:
            self._admitted.clear()
        self._admitted[presented] = self._clock(), caller
        return caller

    def _count(self, key: ApiKey) -> None:
        """One more request in the last minute."""
        recent, now = self._recent.setdefault(key.id, deque()), self._clock()
        while recent and now - recent[0] >= 60:
            recent.popleft()
        if len(recent) >= self._limits.requests_a_minute:
            raise LimitReached("requests", f"{self._limits.requests_a_minute} a minute", 60 - (now - recent[0]))
        recent.append(now)

    async def _account(
        self, scope: MutableMapping[str, Any], request: str, key: ApiKey | None, status: int, seconds: float
    ) -> None:
        route = scope.get("route")
        path = getattr(route, "path", "other")  # as it is declared: an address names things without number
        self._meters.requests.labels(scope["method"], path, status).inc()
        self._meters.seconds.labels(scope["method"], path).observe(seconds)
        line = {
            "request": request,
            "key": None if key is None else key.id,
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "seconds": round(seconds, 4),
        }
        _logger.info(json.dumps(line))
        if scope["method"] in _WRITING and key is not None:
            action = f"{scope['method']} {scope['path']}"
            await run_sync(self._zoo.access.note, key.id, action, status, request)


def _bounded(receive: Receive) -> Receive:
    """The same messages, as long as the body comes in time and is no larger than what is asked can be.

    What is refused is raised as an `HTTPException`, for whoever parses the body lets no other through.
    """
    size, whole = 0, False

    async def bounded() -> Message:
        nonlocal size, whole
        if whole:  # whoever waits now waits for the client to leave
            return await receive()
        try:
            message = await wait_for(receive(), _SILENCE)
        except TimeoutError:
            slow = RequestRefused(f"nothing came for {_SILENCE:.0f} s", "Send it again.", status=408)
            raise HTTPException(slow.status) from slow
        size += len(message.get("body", b""))
        whole = not message.get("more_body", False)
        if size > _MOST_BODY:
            remedy = "Send less; data go to `POST /samples`."
            large = RequestRefused(f"it has more than {_MOST_BODY} bytes", remedy, status=413)
            raise HTTPException(large.status) from large
        return message

    return bounded
