"""Archives of data sets, unpacked under every release of Python 3.11."""

import tarfile
from pathlib import Path

__all__ = ["unpack"]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a tar file of ours; early releases of Python 3.11 have no filter of what it may write where."""
    with tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)
        packed.extractall(folder)  # noqa: S202 - as above
