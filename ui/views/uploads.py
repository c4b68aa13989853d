"""What is dropped on the picker."""

import hashlib
import os
from pathlib import Path

from registry.home import Home

__all__ = ["save_upload"]


def save_upload(home: Home, name: str, content: bytes) -> Path:
    """Keep an uploaded zip under the digest of its content; the same upload twice is one file."""
    digest = hashlib.sha256(content).hexdigest()[:16]
    stem = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(name).stem)[:60]
    place = home.root / "uploads" / digest / f"{stem or 'upload'}.zip"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        partial = place.with_suffix(f".{os.getpid()}.tmp")
        partial.write_bytes(content)
        partial.replace(place)
    return place
