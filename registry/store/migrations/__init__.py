"""The schema's history (Alembic). `HEAD` is the newest revision: an up-to-date database is known by one read."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["HEAD", "REVISIONS", "migrate"]

REVISIONS = (
    "0001",
    "0002",
    "0003_job_seals",
    "0004_rows",
    "0005_events",
    "0006_requests",
    "0007_access",
    "0008_team",
    "0009_pages",
    "0010_chosen_by",
)
"""Every revision this version knows, oldest first."""

HEAD = REVISIONS[-1]


def migrate(connection: "Connection") -> None:
    """Bring the schema to `HEAD` inside the connection's transaction."""
    from alembic import command  # noqa: PLC0415 - half a second that an up-to-date registry need not pay
    from alembic.config import Config  # noqa: PLC0415 - likewise

    config = Config()
    config.set_main_option("script_location", "registry.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
