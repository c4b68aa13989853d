"""Jobs keep typed requests; before, they kept the options of a command as they were typed."""

import json
from hashlib import sha256

import sqlalchemy as sa
from alembic import op

revision = "0006_requests"
down_revision = "0005_events"

_LASTING = ("created", "id", "key", "kind", "lane", "spec")
_SAMPLE = {
    "path",
    "labels",
    "task",
    "groups",
    "test",
    "metric",
    "class_folder",
    "follow_links",
    "keep_duplicates",
    "seed",
}
_NUMBERS = {"keep", "max_parameters", "seed"}


def upgrade() -> None:
    """Put the options of each job into the fields of its request, and seal it anew."""
    jobs = sa.table("jobs", *(sa.column(name, sa.Text) for name in (*_LASTING, "seal")))
    connection = op.get_bind()
    for row in connection.execute(sa.select(jobs)).mappings().all():
        if row["seal"] != _seal(row):  # damaged: left to be found so
            continue
        spec = json.dumps(_request(json.loads(row["spec"])), sort_keys=True)
        same = jobs.c.id == row["id"]
        connection.execute(sa.update(jobs).where(same).values(spec=spec, seal=_seal({**row, "spec": spec})))


def _request(options: dict[str, object]) -> dict[str, object]:
    if "path" not in options:
        return options
    fields: dict[str, object] = {}
    for option, value in options.items():
        name = option.replace("-", "_")
        if name == "no_controls":
            fields["controls"] = False
        elif name == "license":
            fields["licenses"] = value if isinstance(value, list) else [value]
        else:
            fields[name] = int(str(value)) if name in _NUMBERS and str(value).isdecimal() else value
    sample = {name: fields.pop(name) for name in sorted(_SAMPLE & set(fields))}
    return {**fields, "sample": sample}


def _seal(row: object) -> str:
    total = sha256()
    for name in _LASTING:
        content = str(row[name]).encode("utf-8", "surrogateescape")  # type: ignore[index]  # a row of the table
        total.update(f"{name}:{len(content)}:".encode())
        total.update(content)
    return total.hexdigest()
