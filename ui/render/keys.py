"""Keys of the service: who has one, what it permits, and until when."""

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from registry.escapes import shown
from registry.forms import Json
from ui.render.parts import new_table


def key_table(rows: Sequence[Json]) -> RenderableType:
    """All keys, without their secrets."""
    if not rows:
        return Text("There are no keys: nobody is admitted but on 127.0.0.1.", "dim")
    table = new_table("key", "for", "permits", "created", "until")
    for row in rows:
        until = Text("revoked", "red") if row["revoked"] else Text(row["expires"][:10] or "always")
        table.add_row(row["id"], Text(shown(row["name"]), "bold"), row["scope"], row["created"][:10], until)
    return table
