"""Jobs carry a seal of what stays as it is while they are carried out."""

from hashlib import sha256

import sqlalchemy as sa
from alembic import op

revision = "0003_job_seals"
down_revision = "0002"

_LASTING = ("created", "id", "key", "kind", "lane", "spec")


def upgrade() -> None:
    """Seal the jobs that are there."""
    op.add_column("jobs", sa.Column("seal", sa.Text, nullable=False, server_default=""))
    jobs = sa.table("jobs", *(sa.column(name, sa.Text) for name in (*_LASTING, "seal")))
    connection = op.get_bind()
    for row in connection.execute(sa.select(jobs)).mappings().all():
        total = sha256()
        for name in _LASTING:
            content = str(row[name]).encode("utf-8", "surrogateescape")
            total.update(f"{name}:{len(content)}:".encode())
            total.update(content)
        same = jobs.c.id == row["id"]
        connection.execute(sa.update(jobs).where(same).values(seal=total.hexdigest()))
