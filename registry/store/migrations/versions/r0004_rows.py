"""Keys of the rows that domains, and samples that were tuned on, consist of."""

import sqlalchemy as sa
from alembic import op

revision = "0004_rows"
down_revision = "0003_job_seals"


def upgrade() -> None:
    """Make their table."""
    op.create_table(
        "rows",
        sa.Column("name", sa.Text, primary_key=True, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.Column("seal", sa.Text, nullable=False),
    )
