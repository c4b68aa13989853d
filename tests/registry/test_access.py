"""Keys of the service, its audit, and answers that are given again."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from registry.cards import Scope
from registry.errors import UnknownName
from registry.store import Store
from registry.store.integrity import sealed
from registry.store.schema import answers, api_keys, raw


@pytest.fixture
def access(place):
    return Store.open(place).access


def test_a_secret_admits_and_is_kept_nowhere(access):
    key, secret = access.create("ann", Scope.TUNE)
    assert access.admitted(secret) == key
    (row,) = access._rows(raw(api_keys), api_keys)
    assert secret.split("_", 2)[2] not in str(dict(row))


@pytest.mark.parametrize(
    "change", [lambda secret: secret[:-1], lambda secret: f"x{secret}", lambda secret: "", str.upper]
)
def test_no_other_admits(access, change):
    _, secret = access.create("ann", Scope.TUNE)
    assert access.admitted(change(secret)) is None


def test_an_expired_or_revoked_key_admits_nobody(access):
    _, expired = access.create("ann", Scope.READ, days=-0.1)
    key, revoked = access.create("ben", Scope.READ)
    access.revoke(key.id)
    assert access.admitted(expired) is access.admitted(revoked) is None
    assert [one.name for one in access.list()] == ["ben", "ann"]
    with pytest.raises(UnknownName, match="no key named"):
        access.revoke("none")


@pytest.mark.parametrize("scope", list(Scope))
def test_a_scope_permits_what_comes_before_it(access, scope):
    key, _ = access.create("ann", scope)
    permitted = [one for one in Scope if key.permits(one)]
    assert permitted == list(Scope)[: list(Scope).index(scope) + 1]


def test_the_audit_has_the_newest_first(access):
    for number in range(3):
        access.note("ann", f"POST /{number}", 201)
    assert [row.action for row in access.writes(2)] == ["POST /2", "POST /1"]


def test_an_answer_is_kept_for_a_day_and_for_one_owner(access):
    access.keep_answer("ann", "k", "digest", 202, {"job": "j"})
    assert access.answer("ann", "k") == ("digest", 202, {"job": "j"})
    assert access.answer("ben", "k") is None
    (row,) = access._rows(raw(answers), answers)
    old = {**row, "created": (datetime.now(UTC) - timedelta(days=2)).isoformat(timespec="microseconds")}
    access._database.write(lambda c: c.execute(sa.update(answers).values(sealed(answers, old))))
    assert access.answer("ann", "k") is None
