"""Several homes on one server: a job knows its home, its owner and how often it was begun; text is ordered by bytes."""

import sqlalchemy as sa
from alembic import op

revision = "0008_team"
down_revision = "0007_access"


def upgrade() -> None:
    """Give every job the columns; on PostgreSQL, order all text as SQLite does, whatever its locale."""
    op.add_column("jobs", sa.Column("home", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("owner", sa.Text, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("tries", sa.Integer, nullable=False, server_default="0"))
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        inspector = sa.inspect(connection)
        for table in inspector.get_table_names():
            texts = [column["name"] for column in inspector.get_columns(table) if isinstance(column["type"], sa.Text)]
            for name in texts:
                op.alter_column(table, name, type_=sa.Text(collation="C"))
