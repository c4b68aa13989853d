"""Checkpoints are chosen by domain, license, size and hub in SQL; jobs are looked for by their owner."""

import json
from collections.abc import Mapping

import sqlalchemy as sa
from alembic import op

revision = "0010_chosen_by"
down_revision = "0009_pages"

_AT_ONCE = 500
_LONGEST = 200


def upgrade() -> None:
    """Fill the new columns from the cards; those of a card that cannot be read stay empty."""
    connection = op.get_bind()
    text = sa.Text(collation="C") if connection.dialect.name == "postgresql" else sa.Text()
    for name in ("domain", "license", "hub"):
        op.add_column("checkpoints", sa.Column(name, text, nullable=False, server_default=""))
    op.add_column("checkpoints", sa.Column("parameters", sa.BigInteger, nullable=False, server_default="0"))
    names = ("name", "card", "domain", "license", "hub", "parameters")
    table = sa.table("checkpoints", *(sa.column(name) for name in names))
    cards = [name for name in connection.scalars(sa.select(table.c.name)) if isinstance(name, str) and _is_utf8(name)]
    for start in range(0, len(cards), _AT_ONCE):
        some = table.c.name.in_(cards[start : start + _AT_ONCE])
        rows = connection.execute(sa.select(table.c.name, table.c.card).where(some)).all()
        filled = [{"of": row.name, **known} for row in rows if (known := _known(row.card))]
        if filled:
            order = sa.update(table).where(table.c.name == sa.bindparam("of"))
            connection.execute(order.values({name: sa.bindparam(name) for name in names[2:]}), filled)
    op.create_index("checkpoints_by_domain", "checkpoints", ["modality", "domain", "parameters", "license"])
    op.create_index("checkpoints_by_hub", "checkpoints", ["hub"])
    op.create_index("jobs_by_owner", "jobs", ["owner", "state"])


def _is_utf8(text: str) -> bool:
    """Whether it is no damaged name, which cannot be asked for."""
    return not any("\ud800" <= letter <= "\udfff" for letter in text)


def _known(written: object) -> dict[str, str | int]:
    """What a card says of these; nothing where it cannot be read."""
    try:
        card = json.loads(written) if isinstance(written, str) else None
    except (ValueError, RecursionError):
        return {}
    if not isinstance(card, Mapping):
        return {}
    locator, parameters = card.get("locator"), card.get("parameters")
    texts = {
        "domain": card.get("domain"),
        "license": card.get("license"),
        "hub": locator.get("hub") if isinstance(locator, Mapping) else None,
    }
    short = {name: text if isinstance(text, str) and len(text) <= _LONGEST else "" for name, text in texts.items()}
    whole = parameters if isinstance(parameters, int) else 0
    return {**short, "parameters": min(max(whole, 0), 2**63 - 1)}
