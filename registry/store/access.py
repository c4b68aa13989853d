"""Access: the keys of a service, what was written through it, and answers that are given again.

Of a key's secret only the SHA-256 is kept: it is random, 256 bits long, and so needs no slow hash. What was answered
under an idempotency key is kept for a day.
"""

import hashlib
import hmac
import json
import secrets
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from registry.cards import ApiKey, AuditRow, Scope
from registry.errors import UnknownName
from registry.store.database import Database
from registry.store.integrity import sealed
from registry.store.schema import Row, answers, api_keys, audit, json_text, now, raw

_PREFIX = "tz"
_KEPT = timedelta(days=1)


class Access:
    """Who may ask, and what was asked."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, scope: Scope, *, days: float | None = None) -> tuple[ApiKey, str]:
        """A new key and its secret, which is shown this once; it expires after so many days."""
        identity, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        expires = "" if days is None else (datetime.now(UTC) + timedelta(days=days)).isoformat(timespec="seconds")
        key = ApiKey(identity, name, scope, now(), expires)
        row = {
            "id": identity,
            "name": name,
            "hash": _hash(secret),
            "scope": str(scope),
            "created": key.created,
            "expires": expires,
            "revoked": None,
        }
        self._database.write(lambda c: c.execute(sa.insert(api_keys).values(sealed(api_keys, row))))
        return key, f"{_PREFIX}_{identity}_{secret}"

    def list(self) -> tuple[ApiKey, ...]:
        """All keys, the newest first."""
        return tuple(_key(row) for row in self._rows(raw(api_keys).order_by(api_keys.c.created.desc()), api_keys))

    def revoke(self, identity: str) -> ApiKey:
        """From now on nobody is admitted with that key.

        Raises:
            UnknownName: there is none of that id.
        """
        rows = self._rows(raw(api_keys).where(api_keys.c.id == identity), api_keys)
        if not rows:
            raise UnknownName("key", identity, [key.id for key in self.list()])
        row = {**rows[0], "revoked": rows[0]["revoked"] or now()}
        order = sa.update(api_keys).where(api_keys.c.id == identity).values(sealed(api_keys, row))
        self._database.write(lambda c: c.execute(order))
        return _key(row)

    def admitted(self, presented: str) -> ApiKey | None:
        """The key that was presented, secret and all; None where it is none, has expired or was revoked."""
        prefix, _, rest = presented.partition("_")
        identity, _, secret = rest.partition("_")
        rows = self._rows(raw(api_keys).where(api_keys.c.id == identity), api_keys) if prefix == _PREFIX else ()
        if not rows or not hmac.compare_digest(rows[0]["hash"], _hash(secret)):
            return None
        key = _key(rows[0])
        over = key.expires and datetime.fromisoformat(key.expires) <= datetime.now(UTC)
        return None if over or key.revoked else key

    def note(self, key: str, action: str, status: int, request: str | None = None) -> None:
        """Write down that something was written through the service, by whom, and how it went."""
        row = {"id": request or uuid.uuid4().hex, "created": now(), "key": key, "action": action, "status": status}
        self._database.write(lambda c: c.execute(sa.insert(audit).values(sealed(audit, row))))

    def writes(self, most: int = 100) -> tuple[AuditRow, ...]:
        """The last writes through the service, the newest first."""
        newest = raw(audit).order_by(audit.c.number.desc()).limit(most)
        names = ("id", "created", "key", "action", "status")
        return tuple(AuditRow(**{name: row[name] for name in names}) for row in self._rows(newest, audit))

    def answer(self, owner: str, key: str) -> tuple[str, int, dict[str, Any]] | None:
        """What was asked (its digest) and answered (status, body) under an idempotency key in the last day."""
        rows = self._rows(raw(answers).where(answers.c.id == _of(owner, key)), answers)
        if not rows or datetime.fromisoformat(rows[0]["created"]) < datetime.now(UTC) - _KEPT:
            return None
        return str(rows[0]["request"]), int(rows[0]["status"]), json.loads(rows[0]["body"])

    def keep_answer(self, owner: str, key: str, request: str, status: int, body: Mapping[str, Any]) -> None:
        """Give the same answer when that is asked again; what is older than a day goes."""
        row = {
            "id": _of(owner, key),
            "request": request,
            "status": status,
            "body": json_text(body),
            "created": now(),
        }

        def work(connection: sa.Connection) -> None:
            oldest = (datetime.now(UTC) - _KEPT).isoformat(timespec="microseconds")
            connection.execute(sa.delete(answers).where(sa.or_(answers.c.created < oldest, answers.c.id == row["id"])))
            connection.execute(sa.insert(answers).values(sealed(answers, row)))

        self._database.write(work)

    def _rows(self, wanted: sa.Select[Any], table: sa.Table) -> tuple[Row, ...]:
        def work(connection: sa.Connection) -> tuple[Row, ...]:
            rows = connection.execute(wanted).mappings().all()
            return tuple(row for row in rows if self._database.sound(table, row))

        return self._database.run(work)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _of(owner: str, key: str) -> str:
    return hashlib.sha256(f"{owner}\n{key}".encode()).hexdigest()


def _key(row: Row) -> ApiKey:
    names = ("id", "name", "created", "expires", "revoked")
    return ApiKey(**{name: row[name] for name in names}, scope=Scope(row["scope"]))
