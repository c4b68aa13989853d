"""Jobs queue in lanes, one for each device."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Give every job a lane."""
    op.add_column("jobs", sa.Column("lane", sa.Text, nullable=False, server_default="cpu"))
