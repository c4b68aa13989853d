"""Who may ask at a service: keys, what was written through it, and answers that are given again."""

import sqlalchemy as sa
from alembic import op

revision = "0007_access"
down_revision = "0006_requests"


def upgrade() -> None:
    """Make their tables."""
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("name", "hash", "scope", "created", "expires", "seal")),
        sa.Column("revoked", sa.Text),
    )
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("created", "key", "action", "seal")),
        sa.Column("status", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "answers",
        sa.Column("id", sa.Text, primary_key=True, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("request", "body", "created", "seal")),
        sa.Column("status", sa.Integer, nullable=False),
    )
