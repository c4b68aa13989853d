"""A job's progress is an event: its phase (the column ``stage``), the phase's part, and which step of all it is."""

import sqlalchemy as sa
from alembic import op

revision = "0005_events"
down_revision = "0004_rows"


def upgrade() -> None:
    """Give every job the columns."""
    op.add_column("jobs", sa.Column("part", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("step", sa.Integer, nullable=False, server_default="0"))
    op.add_column("jobs", sa.Column("steps", sa.Integer, nullable=False, server_default="0"))
