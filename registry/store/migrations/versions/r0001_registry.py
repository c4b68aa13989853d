"""Cards, sketches, outcomes, recommendations, jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables of the first version."""
    op.create_table("notes", _text("key", key=True), _text("value"))
    op.create_table(
        "checkpoints",
        _text("name", key=True),
        _text("modality"),
        _text("digest"),
        _flag("bundled"),
        _text("card"),
        _text("seal"),
    )
    op.create_table(
        "domains",
        _text("name", key=True),
        _text("modality"),
        _text("family"),
        _flag("bundled"),
        _text("card"),
        _text("seal"),
    )
    op.create_table(
        "sketches",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("domain", sa.Text, sa.ForeignKey("domains.name", ondelete="CASCADE"), nullable=False),
        _text("lens"),
        _text("seal"),
        sa.Column("embedding", sa.LargeBinary, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("domain", "lens"),
        sqlite_autoincrement=True,
    )
    op.create_index("sketches_by_lens", "sketches", ["lens"])
    op.create_table(
        "outcomes",
        _text("id", key=True),
        _text("checkpoint"),
        _text("sample_digest"),
        _text("created"),
        _flag("bundled"),
        _text("card"),
        _text("seal"),
    )
    op.create_index("outcomes_by_checkpoint", "outcomes", ["checkpoint"])
    op.create_index("outcomes_by_sample", "outcomes", ["sample_digest"])
    op.create_table(
        "recommendations",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False, unique=True),
        _text("created"),
        _text("sample_digest"),
        _text("body"),
        _text("seal"),
        sqlite_autoincrement=True,
    )
    _create_jobs()


def _create_jobs() -> None:
    op.create_table(
        "jobs",
        _text("id", key=True),
        _text("kind"),
        _text("spec"),
        _text("state"),
        _text("created"),
        _text("heartbeat"),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        _text("stage"),
        sa.Column("done", sa.Integer, nullable=False),
        sa.Column("of", sa.Integer, nullable=False),
        _text("host"),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("result", sa.Text),
        sa.Column("error", sa.Text),
    )
    op.create_table(
        "points",
        sa.Column("job", sa.Text, sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        _text("series", key=True),
        sa.Column("step", sa.Integer, primary_key=True),
        sa.Column("value", sa.Float, nullable=False),
    )


def _text(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, primary_key=key, nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean, nullable=False)
