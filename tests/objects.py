"""A server that speaks S3, of moto, in a process of its own, with one bucket."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from tests.servers import PORT, is_open, serving

BUCKET = "shared"
SECRET = "planted-77c0"  # noqa: S105 - none


def s3_environment(port: int) -> dict[str, str]:
    """What a client sets."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def s3_server(log: Path) -> Iterator[tuple[int, int]]:
    """Its port and its process; the bucket is there. It keeps what it has in memory."""
    command = ["-m", "moto.server", "-H", "127.0.0.1", "-p", PORT]
    with serving(command, log, lambda port: port if is_open(port) else None) as (port, process):
        requests.put(f"http://127.0.0.1:{port}/{BUCKET}", timeout=60).raise_for_status()
        yield port, process
