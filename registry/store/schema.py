"""Schema: the tables, what of them is sealed, and how their rows are selected as they lie."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from registry.cards import Checkpoint, Domain, Outcome

Card = Checkpoint | Domain | Outcome
Row = Mapping[Any, Any]
JSON_COLUMNS = {"card", "body", "spec", "result"}
"""Columns that hold a JSON object."""
CHOSEN_BY = {"domain", "hub", "license", "parameters"}
"""Of a checkpoint, what its card says too, in columns by which the database chooses; its seal is the card's."""
_LONGEST_CHOICE = 200
"""Longer text is not chosen by: its column is empty, and a reader of the card decides."""
LASTING = {"id", "key", "kind", "spec", "created", "lane"}
"""Of a job, what stays as it is while it is carried out: that is sealed."""
metadata = sa.MetaData()
notes = sa.Table(
    "notes", metadata, sa.Column("key", sa.Text, primary_key=True), sa.Column("value", sa.Text, nullable=False)
)


def _card_table(name: str, key: str, *columns: str) -> sa.Table:
    texts = [sa.Column(column, sa.Text, nullable=False) for column in (*columns, "card", "seal")]
    bundled = sa.Column("bundled", sa.Boolean, nullable=False)
    return sa.Table(name, metadata, sa.Column(key, sa.Text, primary_key=True), bundled, *texts)


checkpoints = _card_table("checkpoints", "name", "modality", "digest")
for _column in ("domain", "license", "hub"):
    checkpoints.append_column(sa.Column(_column, sa.Text, nullable=False, server_default=""))
checkpoints.append_column(sa.Column("parameters", sa.BigInteger, nullable=False, server_default="0"))
sa.Index("checkpoints_by_domain", *(checkpoints.c[name] for name in ("modality", "domain", "parameters", "license")))
sa.Index("checkpoints_by_hub", checkpoints.c.hub)
domains = _card_table("domains", "name", "modality", "family")
outcomes = _card_table("outcomes", "id", "checkpoint", "sample_digest", "created")
for _table in (checkpoints, domains):
    sa.Index(f"{_table.name}_by_modality", _table.c.modality, _table.c.name)
sa.Index("outcomes_by_checkpoint", outcomes.c.checkpoint)
sa.Index("outcomes_by_sample", outcomes.c.sample_digest)
sketches = sa.Table(
    "sketches",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("domain", sa.Text, sa.ForeignKey("domains.name", ondelete="CASCADE"), nullable=False),
    sa.Column("lens", sa.Text, nullable=False),
    sa.Column("seal", sa.Text, nullable=False),
    sa.Column("embedding", sa.LargeBinary, nullable=False),
    sa.Column("packed", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("domain", "lens"),
    sqlite_autoincrement=True,
)
sa.Index("sketches_by_lens", sketches.c.lens)
recommendations = sa.Table(
    "recommendations",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("created", "sample_digest", "body", "seal")),
    sqlite_autoincrement=True,
)
jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    *(
        sa.Column(name, sa.Text, nullable=False)
        for name in ("kind", "spec", "state", "created", "heartbeat", "stage", "host")
    ),
    *(sa.Column(name, sa.Integer, nullable=False) for name in ("done", "of", "pid")),
    sa.Column("part", sa.Text, nullable=False, server_default=""),
    *(sa.Column(name, sa.Integer, nullable=False, server_default="0") for name in ("step", "steps")),
    sa.Column("result", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("lane", sa.Text, nullable=False, server_default="cpu"),
    sa.Column("seal", sa.Text, nullable=False, server_default=""),
    *(sa.Column(name, sa.Text, nullable=False, server_default="") for name in ("home", "owner")),
    sa.Column("tries", sa.Integer, nullable=False, server_default="0"),
)
sa.Index("jobs_by_owner", jobs.c.owner, jobs.c.state)
points = sa.Table(
    "points",
    metadata,
    sa.Column("job", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("series", sa.Text, primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
)
rows = sa.Table(
    "rows",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("packed", sa.LargeBinary, nullable=False),
    sa.Column("seal", sa.Text, nullable=False),
)
api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("name", "hash", "scope", "created", "expires", "seal")),
    sa.Column("revoked", sa.Text),
)
audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("created", "key", "action", "seal")),
    sa.Column("status", sa.Integer, nullable=False),
    sqlite_autoincrement=True,
)
answers = sa.Table(
    "answers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in ("request", "body", "created", "seal")),
    sa.Column("status", sa.Integer, nullable=False),
)
CONTENT = (checkpoints, domains, sketches, outcomes, recommendations, rows, jobs, points, api_keys, audit, answers)
"""All that a user would miss; those that others refer to come first."""


def chosen_by(card: Mapping[str, Any]) -> dict[str, str | int]:
    """The columns of a checkpoint by which the database chooses, as its card has them."""
    locator, parameters = card.get("locator"), card.get("parameters")
    texts = {
        "domain": card.get("domain"),
        "license": card.get("license"),
        "hub": locator.get("hub") if isinstance(locator, Mapping) else None,
    }
    short = {
        name: text if isinstance(text, str) and len(text) <= _LONGEST_CHOICE else "" for name, text in texts.items()
    }
    whole = parameters if isinstance(parameters, int) else 0
    return {**short, "parameters": min(max(whole, 0), 2**63 - 1)}


def now() -> str:
    """The present moment, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def raw(table: sa.Table, *names: str) -> sa.Select[Any]:
    """Rows as they lie in the database: no type's own reading chokes on a damaged value."""
    columns = [table.c[name] for name in names] or list(table.c)
    labelled: list[Any] = [sa.type_coerce(column, sa.types.NullType()).label(column.name) for column in columns]
    selected: sa.Select[Any] = sa.select(*labelled)
    return selected


def mappings(connection: sa.Connection, wanted: sa.Select[Any]) -> Sequence[Row]:
    """All rows of a selection."""
    return connection.execute(wanted).mappings().all()


def equal_to(table: sa.Table, **wanted: object) -> list[sa.ColumnElement[bool]]:
    """Conditions: each of these columns has that value; None stands for any."""
    return [table.c[column] == value for column, value in wanted.items() if value is not None]


def key_of(table: sa.Table) -> str:
    """The column by which a row is named."""
    return next(name for name in ("id", "name", "job") if name in table.c)


def counted_columns(table: sa.Table) -> set[str]:
    """Columns that the database itself counts."""
    return {c.name for c in table.primary_key if isinstance(c.type, sa.Integer) and len(table.primary_key) == 1}


def json_text(body: Mapping[str, object]) -> str:
    """JSON; a name that is no UTF-8 is written in escapes, and comes back as it was."""
    plain = json.dumps(body, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return plain if plain.isascii() or is_utf8(plain) else json.dumps(body, sort_keys=True, allow_nan=False)


def is_utf8(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
