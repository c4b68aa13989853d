"""A provider of sign-in on 127.0.0.1: OpenID Connect's discovery, authorization code with PKCE, tokens and keys.

https://openid.net/specs/openid-connect-core-1_0.html. Whoever comes picks who they are; the client is checked.
"""

import base64
import hashlib
import html
import json
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT, SECRET = "transferzoo", "a-secret-that-the-client-has"


@dataclass
class Provider:
    """Who is known to it, and what it was asked."""

    people: Mapping[str, Mapping[str, object]]
    """Claims by the name that stands on its page."""
    address: str = ""
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one"}))
    codes: dict[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)
    """What was authorized: who, and the request."""
    refused: list[str] = field(default_factory=list)
    ended: list[tuple[str, str]] = field(default_factory=list)
    """Sessions that were ended: whose, by the ID token handed over, and where they were sent on to."""
    ends_sessions: bool = True
    """Whether it has an end-session endpoint."""

    def token(self, fields: Mapping[str, str], client: tuple[str, str]) -> Mapping[str, object] | None:
        """Tokens for a code, once; None where anything of the request is not as it was authorized."""
        who, request = self.codes.pop(fields.get("code", ""), ("", {}))
        verifier = hashlib.sha256(fields.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        for what, sound in {
            "client": client == (CLIENT, SECRET),
            "code": bool(who),
            "redirect": fields.get("redirect_uri") == request.get("redirect_uri"),
            "PKCE": challenge == request.get("code_challenge"),
        }.items():
            if not sound:
                self.refused.append(what)
                return None
        now = int(time.time())
        claims: dict[str, Any] = {"iss": self.address, "aud": CLIENT, "sub": who, "iat": now, "exp": now + 600}
        claims |= {"nonce": request.get("nonce"), **self.people[who]}
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key)
        return {"access_token": secrets.token_hex(), "token_type": "Bearer", "expires_in": 600, "id_token": signed}


@contextmanager
def served(people: Mapping[str, Mapping[str, object]], *, ends_sessions: bool = True) -> Iterator[Provider]:
    """A provider that listens while this lasts."""
    provider = Provider(people, ends_sessions=ends_sessions)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(provider))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    provider.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Be silent."""

        def do_GET(self) -> None:
            split = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(split.query).items()}
            match split.path:
                case "/.well-known/openid-configuration":
                    self._json(
                        {
                            "issuer": provider.address,
                            "authorization_endpoint": f"{provider.address}/authorize",
                            "token_endpoint": f"{provider.address}/token",
                            "jwks_uri": f"{provider.address}/keys",
                            "response_types_supported": ["code"],
                            "subject_types_supported": ["public"],
                            "id_token_signing_alg_values_supported": ["RS256"],
                            "code_challenge_methods_supported": ["S256"],
                            **({"end_session_endpoint": f"{provider.address}/leave"} if provider.ends_sessions else {}),
                        }
                    )
                case "/keys":
                    self._json(KeySet([provider.key]).as_dict(private=False))
                case "/authorize":
                    links = (
                        f'<p><a href="/as?who={quote(who)}&{html.escape(split.query)}">{html.escape(who)}</a></p>'
                        for who in provider.people
                    )
                    self._send(200, f"<h1>Who are you?</h1>{''.join(links)}".encode(), "text/html")
                case "/leave":  # https://openid.net/specs/openid-connect-rpinitiated-1_0.html
                    token = jwt.decode(query["id_token_hint"], provider.key)
                    onward = query["post_logout_redirect_uri"]
                    provider.ended.append((token.claims["sub"], onward))
                    self.send_response(302)
                    self.send_header("Location", onward)
                    self.end_headers()
                case "/as":
                    code = secrets.token_hex()
                    provider.codes[code] = (query["who"], query)
                    back = urlencode({"code": code, "state": query["state"]})
                    self.send_response(302)
                    self.send_header("Location", f"{query['redirect_uri']}?{back}")
                    self.end_headers()
                case _:
                    self._send(404, b"", "text/plain")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            fields = {name: values[0] for name, values in parse_qs(body).items()}
            basic = self.headers.get("Authorization", "").removeprefix("Basic ")
            name, _, secret = base64.b64decode(basic).decode().partition(":")
            answer = provider.token(fields, (name, secret)) if self.path == "/token" else None
            if answer is None:
                self._json({"error": "invalid_grant"}, 400)
            else:
                self._json(answer)

        def _json(self, body: object, status: int = 200) -> None:
            self._send(status, json.dumps(body).encode(), "application/json")

        def _send(self, status: int, content: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler
