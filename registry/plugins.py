"""Plugins: name -> strategy. Ours first, then the entry points of a group; an unknown name gets "did you mean"."""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from registry.errors import UnknownName

__all__ = ["Plugins"]

Kind = TypeVar("Kind")


class Plugins(Mapping[str, Kind], Generic[Kind]):
    """A read-only mapping of names to strategies; nothing behind a name is imported before it is asked for.

    ``ours`` maps each name to a loader without arguments. A plug-in cannot replace one of ours.
    """

    def __init__(self, what: str, group: str, ours: Mapping[str, Callable[[], Kind]]) -> None:
        self._what = what
        self._group = group
        self._ours = ours
        self._loaded: dict[str, Kind] = {}

    def __getitem__(self, name: str) -> Kind:
        if name not in self._loaded:
            loaders = self._loaders()
            if name not in loaders:
                raise UnknownName(self._what, name, tuple(loaders))
            self._loaded[name] = loaders[name]()
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaders())

    def __len__(self) -> int:
        return len(self._loaders())

    def _loaders(self) -> dict[str, Callable[[], Kind]]:
        theirs = {point.name: point.load for point in entry_points(group=self._group)}
        return {**theirs, **self._ours}
