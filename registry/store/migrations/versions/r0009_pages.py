"""Pages of one modality's cards: an index by modality and name, so that a rare one is not searched for among all."""

from alembic import op

revision = "0009_pages"
down_revision = "0008_team"


def upgrade() -> None:
    """Index the tables of cards that are filtered by modality."""
    for table in ("checkpoints", "domains"):
        op.create_index(f"{table}_by_modality", table, ["modality", "name"])
