"""Where things lie on disk: the home folder of a registry, and the bundled catalog."""

import os
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path

import platformdirs

from registry.errors import DiskFull, HomeUnusable
from registry.files import disk_full_named
from registry.object_cache import ObjectCache, cache_bound, shared_objects

__all__ = ["Home", "catalog_folder", "is_home"]

_DATABASE = "registry.db"


@dataclass(frozen=True)
class Home:
    """One registry's folder. ``Home.find`` takes the argument, else ``TRANSFERZOO_HOME``, else the platform's place."""

    root: Path
    writable: bool = True
    """Whether anything can be kept there; a home that cannot be written can still be read."""
    registry: str | None = field(default=None, repr=False)
    """URL of the database, where that is not the home's own file. It may hold a password."""
    objects: str | None = None
    """Where objects are shared with other homes: ``s3://bucket/prefix`` or a folder; None where they are not."""
    cache_bytes: int = 0
    """Of what was fetched from there, at most so much stays that nobody holds."""

    @classmethod
    def named(cls, root: Path | str | None = None, registry: str | None = None, objects: str | None = None) -> "Home":
        """The home that these or the environment name (see `find`), as it is: it may not be there.

        Raises:
            HomeUnusable: its name is blank.
            UnusableObjects: the bound of the cache is none.
        """
        usual = platformdirs.user_data_dir("transferzoo", appauthor=False)
        named = root or os.environ.get("TRANSFERZOO_HOME") or usual
        if not str(named).strip():
            raise HomeUnusable(repr(str(named)), "its name is blank")
        shared = registry or os.environ.get("TRANSFERZOO_REGISTRY") or None
        place = objects or os.environ.get("TRANSFERZOO_OBJECTS") or None
        bound = 0 if place is None else cache_bound(os.environ.get("TRANSFERZOO_CACHE_GB"))
        return cls(Path(named).expanduser().absolute(), registry=shared, objects=place, cache_bytes=bound)

    @classmethod
    def find(cls, root: Path | str | None = None, registry: str | None = None, objects: str | None = None) -> "Home":
        """The home at a place, made if need be; one whose registry cannot be written is read-only.

        Its registry is at that URL, else at that of ``TRANSFERZOO_REGISTRY``, else a file in it. Its objects are shared
        at that URL, else at that of ``TRANSFERZOO_OBJECTS``, else not at all; ``TRANSFERZOO_CACHE_GB`` bounds what is
        kept of those that were fetched.

        Raises:
            UnusableObjects: the URL of the objects, or the bound, is none.
            ExtraMissing: what speaks S3 is not installed.
            HomeUnusable: its name is blank, it cannot be created, or holds no registry and cannot be written.
            DiskFull: there is no room to make it.
        """
        home = cls.named(root, registry, objects)
        if home.objects is not None:
            home.shared  # noqa: B018 - a URL that is none is refused before anything is made
        try:
            with disk_full_named(home.root):
                for folder in (home.root, home.features, home.runs, home.checkpoints, home.artifacts):
                    folder.mkdir(parents=True, exist_ok=True)
                proof = home.root / f".writable-{os.getpid()}"
                proof.touch()
                proof.unlink()
        except DiskFull:
            raise
        except OSError as cause:
            if home.registry is None and os.access(home.database, os.R_OK):
                return cls(home.root, writable=False)
            raise HomeUnusable(home.root, cause.strerror or str(cause)) from cause
        return home

    def require_writable(self) -> None:
        """Refuse what must be kept where nothing can be.

        Raises:
            HomeUnusable: it is read-only.
        """
        if not self.writable:
            raise HomeUnusable(self.root, "it is read-only, and this must be written")

    @property
    def shared(self) -> ObjectCache | None:
        """The objects that are shared with other homes, and what of them lies here; None where nothing is shared.

        Raises:
            UnusableObjects: the URL is of no place of objects.
            ExtraMissing: what speaks S3 is not installed.
        """
        if self.objects is None or not self.writable:
            return None
        return shared_objects(self.objects, self.root / "cache", self.cache_bytes)

    @property
    def database(self) -> Path:
        """The SQLite file of the registry."""
        return self.root / _DATABASE

    @property
    def index(self) -> Path:
        """The folder's FAISS file; always rebuildable from the database."""
        return self.root / "domains.faiss"

    @property
    def features(self) -> Path:
        """Cached features, one safetensors file for each (sample, encoder)."""
        return self.root / "features"

    @property
    def runs(self) -> Path:
        """One folder a tuning run: weights, head, journal."""
        return self.root / "runs"

    @property
    def checkpoints(self) -> Path:
        """Checkpoints that the registry keeps itself."""
        return self.root / "checkpoints"

    @property
    def tracking_database(self) -> Path:
        """MLflow's SQLite store."""
        return self.root / "mlflow.db"

    @property
    def locks(self) -> Path:
        """Empty files, one a name, that a process locks while it registers something under that name."""
        return self.root / "locks"

    @property
    def damaged(self) -> Path:
        """What was found damaged and is kept aside: rows as JSON, files as they lay."""
        return self.root / "damaged"

    @property
    def artifacts(self) -> Path:
        """MLflow's artifact folder."""
        return self.root / "artifacts"


def is_home(folder: Path | str) -> bool:
    """Whether a folder is that of a registry: what lies in it is this tool's own."""
    return (Path(folder) / _DATABASE).is_file()


def catalog_folder() -> Path:
    """The bundled catalog: inside the installed package, else beside it in a checkout."""
    bundled = Path(str(files("registry"))) / "_catalog"
    return bundled if bundled.is_dir() else Path(str(files("registry"))).parent / "catalog"
