"""Plugins: name -> whatever a point takes. Ours first, then the entry points of a group, each loaded when asked for.

An installed package brings a score, say, by an entry point of the group ``transferzoo.scores``. One that cannot be
loaded is a warning that names it where all are asked, and a named error where it alone is; a name that is taken
twice is a named error wherever it is met, for nobody could tell which of the two is meant.
"""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from registry.errors import NameTakenTwice, PluginUnusable, PluginWarning, UnknownName

__all__ = ["Plugins", "warn_of_plugin"]

Plugin = TypeVar("Plugin")

_OURS = "transferzoo"


@runtime_checkable
class _EntryPoint(Protocol):
    """An entry point of the standard library, or of the backport ``importlib_metadata`` where something loaded that."""

    @property
    def name(self) -> str:
        """The name that it is looked up by."""

    @property
    def value(self) -> str:
        """``module:object``."""

    @property
    def dist(self) -> Any:  # noqa: ANN401 - a distribution of either library
        """The package that brings it."""

    def load(self) -> Any:  # noqa: ANN401 - whatever the package brings
        """What stands behind it."""


def warn_of_plugin(kind: str, name: str, failure: Exception) -> None:
    """Say that a plug-in was left out of what goes on without it."""
    words = " ".join(str(failure).split()) or type(failure).__name__
    reason = words if isinstance(failure, PluginUnusable) else f"the {kind} {name!r} of a plug-in failed: {words}"
    warnings.warn(f"{reason}; it is left out", PluginWarning, stacklevel=3)


class Plugins(Mapping[str, Plugin], Generic[Plugin]):
    """A read-only mapping of names to what stands behind them; nothing is imported before it is asked for.

    Args:
        what: the kind, in a word: ``score``.
        group: the group of entry points by which packages bring more of the kind.
        ours: the names that ship, each with a loader without arguments.
        promise: what every one must be an instance of, as far as ``isinstance`` can see; None: something to call.
        adapt: turns what a package brought, with its name, into what is handed out.
    """

    def __init__(
        self,
        what: str,
        group: str,
        ours: Mapping[str, Callable[[], Plugin]],
        promise: type | None = None,
        adapt: Callable[[str, Plugin], Plugin] = lambda _, brought: brought,
    ) -> None:
        self._what = what
        self._group = group
        self._ours = ours
        self._promise = promise
        self._adapt = adapt
        self._loaded: dict[str, Plugin] = {}
        self._path: tuple[str, ...] | None = None
        self._points: dict[str, _EntryPoint] = {}

    @property
    def brought(self) -> tuple[str, ...]:
        """Names that installed packages bring, sorted.

        Raises:
            NameTakenTwice: two packages bring one name, or one brings a name of ours.
        """
        self._discover()
        return tuple(sorted(self._points))

    def __getitem__(self, name: str) -> Plugin:
        """What stands behind a name.

        Raises:
            UnknownName: there is none.
            PluginUnusable: it cannot be loaded, or is not what it should be.
            NameTakenTwice: as `brought`.
        """
        self._discover()
        if name not in self._loaded:
            if name in self._points:
                self._loaded[name] = self._load(self._points[name])
            elif name in self._ours:
                self._loaded[name] = self._ours[name]()
            else:
                raise UnknownName(self._what, name, tuple(self))
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        self._discover()
        return iter((*self._ours, *self.brought))

    def __contains__(self, name: object) -> bool:
        self._discover()
        return name in self._ours or name in self._points

    def __len__(self) -> int:
        return len(self._ours) + len(self.brought)

    def usable(self) -> Iterator[tuple[str, Plugin]]:
        """Every name with what stands behind it, ours first; what cannot be loaded is left out with a warning.

        Raises:
            NameTakenTwice: as `brought`.
        """
        for name in self:
            try:
                plugin = self[name]
            except PluginUnusable as failure:
                warn_of_plugin(self._what, name, failure)
            else:
                yield name, plugin

    def each(self) -> Iterator[Plugin]:
        """What stands behind every name; as `usable`."""
        return (plugin for _, plugin in self.usable())

    def _discover(self) -> None:
        """Find what is installed, once for every state of the import path."""
        if self._path == tuple(sys.path):
            return
        points: dict[str, _EntryPoint] = {}
        for point in entry_points(group=self._group):
            other = points.get(point.name)
            if point.name in self._ours:
                raise NameTakenTwice(self._what, point.name, (_OURS, _owner(point)))
            if other is not None and other.value != point.value:
                raise NameTakenTwice(self._what, point.name, (_owner(other), _owner(point)))
            points[point.name] = point
        for name in self._points:
            self._loaded.pop(name, None)
        self._points, self._path = points, tuple(sys.path)

    def _load(self, point: _EntryPoint) -> Plugin:
        try:
            brought: Plugin = point.load()
        except Exception as cause:  # a stranger's module may raise anything
            words = f"{type(cause).__name__}: {cause}"
            raise PluginUnusable(self._what, point.name, _owner(point), words) from cause
        if not (callable(brought) if self._promise is None else isinstance(brought, self._promise)):
            promise = self._what if self._promise is None else self._promise.__name__
            why = f"{point.value} is no {promise}"
            raise PluginUnusable(self._what, point.name, _owner(point), why)
        return self._adapt(point.name, brought)


def _owner(point: _EntryPoint) -> str:
    """The package that brings it."""
    return point.value if point.dist is None else str(point.dist.name)
