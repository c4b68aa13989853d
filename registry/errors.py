"""Every error of transferzoo. Each takes facts, writes its own message and names the remedy.

::

    TransferZooError                      what went wrong, and `.remedy`
    ├── UnknownName                (KeyError)      no such checkpoint, metric, strategy ...: did you mean?
    ├── NotHere                    (KeyError)      a checkpoint that is known, but whose weights are not here
    ├── UnusableName               (ValueError)    a name that cannot be given
    ├── NameTakenTwice             (ValueError)    two packages bring one name
    ├── PluginUnusable             (ImportError)   a plug-in that cannot be loaded
    ├── UnusableRequest            (ValueError)    a request with a field that does not fit
    ├── UnreadableForm             (ValueError)    kept JSON that is not what it is to be, with the key
    ├── UnreadableDocument         (ValueError)    a JSON, YAML or text file that is none, or beyond the limits
    ├── FolderUnusable             (OSError)       a place where nothing can be written
    ├── CacheDamaged               (ValueError)    kept features that are not what was kept
    ├── DiskFull                   (OSError)       no room where something is to be written, with the bytes missing
    ├── PortUnusable               (OSError)       a port on which nothing can be served
    ├── SignInUnusable             (ValueError)    a page for others without a sound sign-in
    ├── MlflowUnusable             (OSError)       a store of MLflow that cannot be read
    ├── ExtraMissing               (ImportError)   a library of an optional extra is not installed
    ├── ExtraUnusable              (ImportError)   one is installed, and does not load
    ├── ClusterError               (RuntimeError)  a Ray cluster
    │   ├── ClusterAway            (ConnectionError)   none answers at its address
    │   ├── ClusterRefused         (PermissionError)   its token is another
    │   ├── ClusterLost            (ConnectionError)   it went away while it was at work
    │   ├── ClusterOutOfRoom       (MemoryError)       of a worker's memory, or of the object store
    │   └── ClusterUnusable                            it cannot carry out what it was sent
    ├── SampleError                (ValueError)    the user's data
    │   ├── PathMissing            (FileNotFoundError)
    │   ├── PathOutside            (PermissionError)   beyond the folders that a page may read
    │   ├── NoItems                                nothing readable there
    │   ├── OtherTask                              boxes, masks, captions: no classes
    │   ├── AmbiguousLayout                        folders that may mean this or that
    │   ├── ItemUnreadable         (OSError)       an item that was there, and cannot be read any more
    │   ├── TooManyUnreadable                      more bad items than the limit
    │   ├── UnsafeArchive                          a zip that climbs out, explodes or collides
    │   ├── BadTable                               a CSV (groups, labels) with a bad column or row
    │   ├── UnusableArrays                         values that are no items
    │   ├── OtherRows                              the data changed since they were read
    │   ├── RowsInMemory                           rows that were arrays cannot be read again
    │   ├── LabelsMissing                          a task that folders cannot tell the targets of
    │   ├── UnfitMetric                            a metric that does not judge this task
    │   └── UnusableLabels                         None, mixed kinds, a value out of place
    ├── EstimatorError             (ValueError)    arrays that an estimator refuses
    │   ├── NotRows                                not rows by columns
    │   ├── NotProbabilities                       rows that are no class probabilities
    │   ├── NotFinite                              NaN or infinity, with the first row
    │   ├── NotNumbers                             text, objects, complex or masked values
    │   ├── OutOfRange                             values whose squares overflow or vanish
    │   ├── TooFewRows                             need N, have n
    │   ├── SingleClass                            scores need at least two
    │   ├── NoVariation                            all rows identical
    │   ├── WidthMismatch                          two clouds of different width
    │   ├── LengthMismatch                         features and labels of different length
    │   ├── TooManyNeighbors                       k > n
    │   ├── NotAScore                              what a plug-in's score gave cannot be used as one
    │   └── NotDefined                             this target kind has no such score
    ├── EncoderMismatch            (ValueError)    features of two spaces compared
    ├── CheckpointError            (ValueError)    a checkpoint folder
    │   ├── NoWeights
    │   ├── NotFetched                             a Git LFS pointer where a file should be
    │   ├── PickleRefused
    │   ├── RemoteCodeRefused
    │   ├── MalformedWeights
    │   ├── BadWeights                             NaN, infinity, duplicate keys, integers
    │   ├── ShapeMismatch                          config and weights disagree
    │   ├── NotAFunction                           the same item, another vector
    │   ├── AdapterOnly                            an adapter without the model that it changes
    │   ├── GgufOnly                               weights in GGUF alone
    │   ├── QuantizedOnly                          weights of a byte or less
    │   ├── ProcessorMissing                       nothing says how an item becomes an input
    │   └── Unsupported                            an architecture or modality that cannot be read here
    ├── HubError                   (OSError)       a hub of checkpoints
    │   ├── HubUnreachable                         no answer, or none in time
    │   ├── HubOffline                             asked to work offline, and this is not in the cache
    │   ├── HubMissing                             no such repository, revision or file
    │   ├── HubGated                               its terms must be agreed to first
    │   ├── HubRefused                             a token that is none, or may not do this
    │   ├── NotAHub                                a web page where a hub's answer should be
    │   ├── HubRedirected                          it leads to a host that is not allowed
    │   ├── HubDamaged                             files that are not what the hub says, twice
    │   ├── NoTables               (ValueError)    a data set that is no tables
    │   ├── SeveralConfigurations  (ValueError)    a data set of which one has to be named
    │   ├── HubDataTooLarge                        more of a data set than is fetched
    │   └── UnusableHubId          (ValueError)    no id, revision or file name of a hub
    ├── ObjectsError               (OSError)       a place of shared objects
    │   ├── UnusableObjects        (ValueError)    no URL of such a place, or no bound of its cache
    │   ├── ObjectsAway            (ConnectionError)   its server does not answer
    │   ├── ObjectsRefused         (PermissionError)   no keys, or they do not permit this
    │   ├── BucketMissing          (FileNotFoundError) no such bucket or folder
    │   ├── ObjectMissing          (FileNotFoundError) an object that was kept is not there
    │   ├── ObjectDamaged          (ValueError)    an object that is not what its digest says
    │   └── ObjectsFailed                          its server refuses for another reason
    ├── BadCard                    (ValueError)    a catalog file, with its key
    ├── BadLock                    (ValueError)    a lock of checkpoints that cannot be read
    ├── RegistryError              (RuntimeError)  storage
    │   ├── HomeUnusable           (OSError)
    │   ├── RegistryCorrupt
    │   ├── RegistryNewer
    │   ├── RegistryBusy
    │   ├── RegistryAway           (ConnectionError)   its server does not answer
    │   ├── RegistryRefused        (PermissionError)   its server lets nobody in
    │   ├── UnusableRegistry       (ValueError)    no URL of a registry
    │   └── AlreadyThere                           the name is taken by something else
    ├── AdviceError                (RuntimeError)  nothing to recommend, or advice for other data
    │   ├── NoCandidates
    │   ├── NotOffered                             a strategy that does not fit, with its reason
    │   └── OtherSample                            advice made for a different sample
    ├── AccessError                (PermissionError)  who asks at the service, and how much
    │   ├── KeyNeeded                              no key, or one that is none, expired or revoked
    │   ├── ScopeMissing                           the key does not permit that
    │   ├── OriginRefused                          a page of another site, or another name of this host
    │   ├── RequestRefused                         a request that is too large, too slow or malformed
    │   ├── LimitReached                           too many requests, jobs or bytes
    │   ├── UploadRefused                          an upload that is too large, too slow, or of no known kind
    │   └── KeyReused                              an idempotency key that stood for something else
    └── TuningError                (RuntimeError)
        ├── Diverged                               NaN loss
        ├── OutOfRoom                              memory or disk
        ├── DeviceMissing                          a device that is not there
        ├── NotResumable                           a run that is over, still going on, or whose ground has changed
        ├── NotFinished                            a run that cannot be used yet
        ├── NotExportable                          a run that no other format can express
        └── NotPromotable                           a run that gives no new checkpoint
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from math import isfinite
from pathlib import Path

__all__ = [
    "AccessError",
    "AdapterOnly",
    "AdviceError",
    "AlreadyThere",
    "AmbiguousLayout",
    "BadCard",
    "BadLock",
    "BadTable",
    "BadWeights",
    "BucketMissing",
    "CacheDamaged",
    "CheckpointError",
    "ClusterAway",
    "ClusterError",
    "ClusterLost",
    "ClusterOutOfRoom",
    "ClusterRefused",
    "ClusterUnusable",
    "ColumnsOfNoRecords",
    "DeviceMissing",
    "DiskFull",
    "Diverged",
    "EncoderMismatch",
    "EstimatorError",
    "ExtraMissing",
    "ExtraUnusable",
    "FolderUnusable",
    "GgufOnly",
    "HomeUnusable",
    "HubDamaged",
    "HubDataTooLarge",
    "HubError",
    "HubGated",
    "HubMissing",
    "HubOffline",
    "HubRedirected",
    "HubRefused",
    "HubUnreachable",
    "ItemUnreadable",
    "KeyNeeded",
    "KeyReused",
    "LabelsMissing",
    "LengthMismatch",
    "LimitReached",
    "MalformedWeights",
    "MlflowUnusable",
    "NameTakenTwice",
    "NoCandidates",
    "NoItems",
    "NoTables",
    "NoVariation",
    "NoWeights",
    "NotAFunction",
    "NotAHub",
    "NotAScore",
    "NotDefined",
    "NotExportable",
    "NotFetched",
    "NotFinished",
    "NotFinite",
    "NotHere",
    "NotNumbers",
    "NotOffered",
    "NotProbabilities",
    "NotPromotable",
    "NotResumable",
    "NotRows",
    "ObjectDamaged",
    "ObjectMissing",
    "ObjectsAway",
    "ObjectsError",
    "ObjectsFailed",
    "ObjectsRefused",
    "OriginRefused",
    "OtherRows",
    "OtherSample",
    "OtherTask",
    "OutOfRange",
    "OutOfRoom",
    "PathMissing",
    "PathOutside",
    "PickleRefused",
    "PluginUnusable",
    "PluginWarning",
    "PortUnusable",
    "ProcessorMissing",
    "QuantizedOnly",
    "RegistryAway",
    "RegistryBusy",
    "RegistryCorrupt",
    "RegistryError",
    "RegistryNewer",
    "RegistryRefused",
    "RemoteCodeRefused",
    "RequestRefused",
    "RowsInMemory",
    "SampleError",
    "ScopeMissing",
    "SeveralConfigurations",
    "ShapeMismatch",
    "SignInUnusable",
    "SingleClass",
    "TooFewRows",
    "TooManyNeighbors",
    "TooManyUnreadable",
    "TransferZooError",
    "TuningError",
    "UnfitMetric",
    "UnknownName",
    "UnreadableDocument",
    "UnreadableForm",
    "UnsafeArchive",
    "Unsupported",
    "UnusableArrays",
    "UnusableHubId",
    "UnusableLabels",
    "UnusableName",
    "UnusableObjects",
    "UnusableRegistry",
    "UnusableRequest",
    "UploadRefused",
    "WidthMismatch",
    "printable",
]

_NO_TEXT = re.compile("[\udc80-\udcff]")
"""How Python keeps the bytes of a file's name that are no UTF-8."""


def printable(text: str) -> str:
    r"""Text that can be written as UTF-8: a byte of a file's name that is no text becomes ``\xe9``, say."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return _NO_TEXT.sub(lambda odd: f"\\x{ord(odd[0]) - 0xDC00:02x}", text).encode(errors="replace").decode()
    return text


_MOST_NAMES = 30
"""Known names that a remedy tells; of more the closest."""
_CLOSEST = 5
_ALIKE = 0.7
"""Likeness (difflib's ratio) from which a name counts as misspelt: another word of like letters is no typing error."""


class TransferZooError(Exception):
    """The root: ``str(error)`` is one sentence about what is wrong; ``error.remedy`` says what to do."""

    def __init__(self, message: str, remedy: str) -> None:
        message, remedy = printable(message), printable(remedy)
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.add_note(remedy)  # a traceback in Python shows it, too

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[object, ...]:
        return (_revive, (type(self), self.__dict__.copy()))


def _revive(kind: type[TransferZooError], facts: dict[str, object]) -> TransferZooError:
    error = kind.__new__(kind)
    error.__dict__.update(facts)
    error.args = (facts["message"],)
    return error


class UnknownName(TransferZooError, KeyError):
    """No strategy, checkpoint, domain ... of that name."""

    def __init__(self, what: str, name: str, known: Sequence[str]) -> None:
        self.what, self.name, self.known = what, name, tuple(known)
        close = get_close_matches(name, known, n=1, cutoff=_ALIKE) or _containing(name, known)
        hint = f"Did you mean {close[0]!r}?" if close else _some(name, sorted(known))
        super().__init__(f"there is no {what} named {name!r}", hint)


def _some(name: str, known: Sequence[str]) -> str:
    """The names that there are; of many those that are spelled most like the one typed."""
    if len(known) <= _MOST_NAMES:
        return f"Known: {', '.join(known) or 'none'}."
    typed = name.casefold()
    containing = [one for one in known if len(name) > 2 and typed in one.casefold()]
    lower = {one.casefold(): one for one in known}
    alike = [lower[one] for one in get_close_matches(typed, lower, n=_CLOSEST, cutoff=0)]
    nearest = [*dict.fromkeys((*containing, *alike))][:_CLOSEST]
    return f"Of {len(known)} the closest are {', '.join(nearest)}."


def _containing(name: str, known: Sequence[str]) -> list[str]:
    """The only name that the one typed is a part of: ``balanced`` for ``balanced-accuracy``."""
    longer = [one for one in known if len(name) > 2 and name.casefold() in one.casefold()]
    return longer if len(longer) == 1 else []


class NotHere(TransferZooError, KeyError):
    """A checkpoint that is known, but whose weights are not on this disk."""

    def __init__(self, name: str, hub: str, size: int | None = None) -> None:
        self.name, self.hub, self.size = name, hub, size
        fetched = "" if size is None else f" ({_bytes(size)} to fetch)"
        super().__init__(
            f"checkpoint {name!r} ({hub}) is known, but its weights are not here{fetched}",
            f"Fetch it with `transferzoo zoo fetch {name}`.",
        )


class UnusableName(TransferZooError, ValueError):
    """A name that cannot be given."""

    def __init__(self, what: str, name: str) -> None:
        self.what, self.name = what, name
        super().__init__(
            f"a {what} cannot be named {name!r}",
            "Use letters, digits, '.', '_', '+' and '-'; begin with a letter or digit.",
        )


class PluginWarning(UserWarning):
    """A plug-in that is left out of what goes on without it, with its name and the reason."""


class NameTakenTwice(TransferZooError, ValueError):
    """Two packages bring a plug-in of one name, or a package brings a built-in's name."""

    def __init__(self, what: str, name: str, packages: Sequence[str]) -> None:
        self.what, self.name, self.packages = what, name, tuple(packages)
        strange = next(package for package in reversed(self.packages) if package != "transferzoo")
        super().__init__(
            f"the {what} {name!r} is brought by {' and '.join(packages)} alike",
            f"Uninstall {strange}, or have it use another name.",
        )


class PluginUnusable(TransferZooError, ImportError):
    """A plug-in that cannot be loaded, or is not what it should be."""

    def __init__(self, what: str, name: str, package: str, why: str) -> None:
        self.what, self.name, self.package, self.why = what, name, package, why
        super().__init__(f"the {what} {name!r} of {package} cannot be used: {why}", f"Update or uninstall {package}.")


class UnusableRequest(TransferZooError, ValueError):
    """A request with a field that is missing, unknown, or holds what it cannot hold."""

    def __init__(self, kind: str, field: str, why: str, remedy: str = "Correct it, and ask again.") -> None:
        self.kind, self.field, self.why = kind, field, why
        super().__init__(f"{kind}: {field}: {why}" if field else f"{kind}: {why}", remedy)


class UnreadableForm(TransferZooError, ValueError):
    """Kept JSON that is not what it is to be: damaged, or of another version."""

    def __init__(self, kind: str, key: str, why: str) -> None:
        self.kind, self.key, self.why = kind, key, why
        place = f" at {key}" if key else ""
        remedy = "Ask for it anew; `transferzoo doctor` finds what is damaged."
        super().__init__(f"what was kept is no {kind}{place}: {why[:1].lower()}{why[1:]}", remedy)


class UnreadableDocument(TransferZooError, ValueError):
    """A JSON, YAML or text file that is none, or that goes beyond the limits."""

    def __init__(self, path: Path | str, why: str) -> None:
        self.path, self.why = str(path), why
        super().__init__(f"{path} cannot be read: {why}", "Mend the file, or take it from where it came again.")


class FolderUnusable(TransferZooError, OSError):
    """A place where nothing can be written."""

    def __init__(self, folder: Path | str, why: str) -> None:
        self.folder, self.why = str(folder), why
        super().__init__(f"{folder} cannot be written: {why}", "Name a new or empty folder where you may write.")


class PortUnusable(TransferZooError, OSError):
    """A port on which the page cannot be served."""

    def __init__(self, port: int, why: str) -> None:
        self.port, self.why = port, why
        super().__init__(f"port {port} cannot be used: {why}", "Name another: transferzoo picker --port PORT.")


class SignInUnusable(TransferZooError, ValueError):
    """A page for others whose sign-in is missing or unsafe."""

    def __init__(self, file: Path | str, why: str) -> None:
        self.file, self.why = str(file), why
        super().__init__(
            f"the page is not served to others: {file}: {why}",
            "Write it as ui/README.md shows under 'For others' (provider, client, secrets), for yourself alone.",
        )


class AccessError(TransferZooError, PermissionError):
    """A request that the service does not let in."""


class KeyNeeded(AccessError):
    """A request without a key that admits it."""

    def __init__(self, why: str) -> None:
        super().__init__(f"no one is admitted here {why}", "Send a key that is valid as `Authorization: Bearer KEY`.")


class ScopeMissing(AccessError):
    """A key that does not permit what was asked for."""

    def __init__(self, name: str, has: str, needs: str) -> None:
        self.name, self.has, self.needs = name, has, needs
        super().__init__(f"the key {name!r} permits {has}, and this needs {needs}", f"Ask for a key with {needs}.")


class OriginRefused(AccessError):
    """A request that a page of another site made in somebody's browser, or that came under another name."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not let in", "Ask this service by its own address, and not from another's page.")


class LimitReached(AccessError):
    """More than one key may have."""

    def __init__(self, what: str, most: str, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"too many {what}: {most} at most", f"Wait {seconds:.0f} s, and ask again.")


class RequestRefused(AccessError):
    """A request that is not read to its end."""

    what = "request"

    def __init__(self, why: str, remedy: str, *, status: int) -> None:
        self.status = status
        super().__init__(f"this {self.what} is not taken: {why}", remedy)


class UploadRefused(RequestRefused):
    """An upload that is not taken."""

    what = "upload"


class KeyReused(AccessError):
    """An idempotency key under which something else was asked."""

    def __init__(self) -> None:
        super().__init__("that idempotency key stood for another request", "Take a new key for a new request.")


class CacheDamaged(TransferZooError, ValueError):
    """A file of kept features that is not as it was written, or is another's."""

    def __init__(self, path: Path | str, why: str) -> None:
        self.path, self.why = str(path), why
        super().__init__(f"{path} is damaged: {why}", "Remove it: it is made anew when it is needed.")


class DiskFull(TransferZooError, OSError):
    """A disk without room for what is to be written."""

    def __init__(self, path: Path | str, free: int, size: int | None = None) -> None:
        self.path, self.free, self.size = str(path), free, size
        self.missing = None if size is None else max(size - free, 0)
        lacking = f", {_bytes(self.missing)} are missing" if self.missing else ""
        super().__init__(
            f"the disk is full: no room to write {path} ({_bytes(free)} are free{lacking})",
            "Free some room there, then start the same again: what was whole before is whole still.",
        )


def _bytes(count: int) -> str:
    return f"{count} bytes" if count < 10_000 else f"{count / 1e6:,.2f} MB"


class MlflowUnusable(TransferZooError, OSError):
    """A store of MLflow that cannot be read."""

    def __init__(self, address: str, why: str) -> None:
        self.address, self.why = address, why
        super().__init__(why, f"Look whether {address} is where MLflow keeps its runs, and whether it answers.")


class ExtraMissing(TransferZooError, ImportError):
    """A library that only an optional extra installs."""

    def __init__(self, library: str, extra: str) -> None:
        self.library, self.extra = library, extra
        super().__init__(f"{library} is not installed", f'Run: pip install "transferzoo[{extra}]"')


class ExtraUnusable(TransferZooError, ImportError):
    """A library of an optional extra that is installed, and does not load."""

    def __init__(self, library: str, extra: str, why: str) -> None:
        self.library, self.extra, self.why = library, extra, why
        super().__init__(
            f"{library} is installed, but does not load: {why}",
            f'Install what it needs in versions that fit each other: pip install --upgrade "transferzoo[{extra}]"; '
            f'`python -c "import {library}"` must pass.',
        )


class ClusterError(TransferZooError, RuntimeError):
    """A Ray cluster that does not do what it is asked to."""


class ClusterAway(ClusterError, ConnectionError):
    """No cluster answers at that address."""

    def __init__(self, address: str, why: str) -> None:
        self.address, self.why = address, why
        super().__init__(
            f"no Ray cluster can be used at {address}: {why}",
            "Start one with `ray start --head`, correct RAY_ADDRESS, or unset it to start one on this machine.",
        )


class ClusterRefused(ClusterError, PermissionError):
    """A cluster whose token is not the one that is held here, or which wants one where none is held."""

    def __init__(self, address: str, why: str) -> None:
        self.address, self.why = address, why
        super().__init__(
            f"the Ray cluster at {address} refuses the token: {why}",
            "Set RAY_AUTH_MODE=token here as on every node, and give the cluster's own token in RAY_AUTH_TOKEN, in the "
            "file that RAY_AUTH_TOKEN_PATH names, or in ~/.ray/auth_token.",
        )


class ClusterLost(ClusterError, ConnectionError):
    """A cluster that went away while it was at work."""

    def __init__(self, address: str, why: str, remedy: str = "Start it again, and run the same command again.") -> None:
        self.address, self.why = address, why
        super().__init__(f"the Ray cluster at {address} was lost: {why}", remedy)


class ClusterOutOfRoom(ClusterError, MemoryError):
    """A worker's memory, or the object store, is full."""

    def __init__(self, what: str, remedy: str) -> None:
        self.what = what
        super().__init__(f"Ray is out of room: {what} is full", remedy)


class ClusterUnusable(ClusterError):
    """A cluster that cannot carry out what it was sent."""

    def __init__(self, why: str, remedy: str) -> None:
        self.why = why
        super().__init__(f"the Ray cluster cannot do this: {why}", remedy)


class SampleError(TransferZooError, ValueError):
    """The user's data cannot be used as they are."""


class PathMissing(SampleError, FileNotFoundError):
    """Nothing lies at that path."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        super().__init__(f"{path} does not exist", "Check the spelling; relative paths start where you stand.")


class PathOutside(SampleError, PermissionError):
    """A path that lies beyond the folders that a page may read."""

    def __init__(self, path: Path | str, roots: Sequence[Path]) -> None:
        self.path, self.roots = str(path), tuple(roots)
        allowed = " and ".join(map(str, roots)) or "no folder"
        super().__init__(
            f"{path} lies outside of what may be read here: {allowed}",
            "Start it with `--root DIR` to allow another folder.",
        )


_CLASS_FOLDERS = "Expected <class>/<file>, or train/ and test/ above it; any layout with --labels, and in `predict`."
_ANY_LAYOUT = "Check that it is the place you mean: a folder of any layout, a zip, or a single file that is whole."


class NoItems(SampleError):
    """A place without a single readable item."""

    def __init__(
        self, path: Path | str, expected: str, unreadable: int = 0, *, there: str = "", remedy: str = ""
    ) -> None:
        self.path, self.unreadable, self.there = str(path), unreadable, there
        also = f" ({unreadable} files could not be read)" if unreadable else ""
        lies = f", but {there}" if there else ""
        super().__init__(
            f"{path} holds no {expected}{also}{lies}",
            remedy or (_CLASS_FOLDERS if "class folders" in expected else _ANY_LAYOUT),
        )


class OtherTask(SampleError):
    """A folder of another task than those that can be advised on."""

    def __init__(self, path: Path | str, task: str, holds: str, where: str, remedy: str = "") -> None:
        self.path, self.task, self.holds, self.where = str(path), task, holds, where
        super().__init__(
            f"{path} is for {task}: it holds {holds}, {where} for one; a row here is an item and its one target",
            remedy
            or "To classify whole images give --labels FILE.csv (file, target) or class folders: crop boxes into them.",
        )


class AmbiguousLayout(SampleError):
    """Folders that may be read one way or another, with other classes."""

    def __init__(self, path: Path | str, why: str, remedy: str) -> None:
        self.path, self.why = str(path), why
        super().__init__(f"{path}: {why}", remedy)


class ItemUnreadable(SampleError, OSError):
    """An item that was there, and cannot be read any more."""

    def __init__(self, item: str, why: str) -> None:
        self.item, self.why = item, why
        super().__init__(f"{item} cannot be read: {why}", "Put the file back as it was, or read the sample anew.")


class TooManyUnreadable(SampleError):
    """So many bad items that the rest would mislead."""

    def __init__(self, path: Path | str, unreadable: int, of: int, first: str) -> None:
        self.path, self.unreadable, self.of = str(path), unreadable, of
        super().__init__(
            f"{unreadable} of {of} items in {path} cannot be read; the first: {first}",
            "Mend or remove them; up to one in five is skipped and counted.",
        )


class UnsafeArchive(SampleError):
    """A zip that must not be unpacked."""

    def __init__(self, path: Path | str, member: str, why: str) -> None:
        self.path, self.member, self.why = str(path), member, why
        super().__init__(
            f"{path} is refused: member {member!r} {why}",
            "Make a plain zip of the folder, or unpack it where you trust it and give the folder.",
        )


class BadTable(SampleError):
    """A CSV that lacks a column or has a bad row."""

    def __init__(self, path: Path | str, why: str, remedy: str) -> None:
        self.path, self.why = str(path), why
        super().__init__(f"{path}: {why}", remedy)


class ColumnsOfNoRecords(SampleError):
    """Columns that are named of a folder or archive of files, which has none."""

    def __init__(self, place: Path | str, options: Sequence[str]) -> None:
        self.place, self.options = str(place), tuple(options)
        listed = ", ".join(f"--{name}" for name in options)
        super().__init__(
            f"{place} holds no records, whose columns {listed} could name",
            "Give a CSV, TSV, JSON-lines or Parquet file, or a folder with train.* and test.* of them.",
        )


class UnusableArrays(SampleError):
    """Values in memory that are no items of the modality."""

    def __init__(self, dtype: str, shape: Sequence[int], why: str = "", remedy: str = "") -> None:
        self.dtype, self.shape, self.why = dtype, tuple(shape), why
        super().__init__(
            why or f"items cannot be an array of {dtype} and shape {self.shape}",
            remedy or "Give a list of items of one kind, or of paths of files; at least one.",
        )


class UnusableLabels(SampleError):
    """Labels that are missing, mixed or out of place, with the rows."""

    def __init__(
        self, why: str, rows: Sequence[int] = (), remedy: str = "Give every row one label of one kind."
    ) -> None:
        self.why, self.rows = why, tuple(rows)
        where = f" (rows {', '.join(map(str, self.rows[:5]))}{' ...' if len(self.rows) > 5 else ''})" if rows else ""
        super().__init__(f"labels cannot be used: {why}{where}", remedy)


class OtherRows(SampleError):
    """Data that changed since they were read."""

    def __init__(self, where: str, expected: str, actual: str) -> None:
        self.where, self.expected, self.actual = where, expected, actual
        super().__init__(
            f"{where} holds sample {actual[:12]} now, {expected[:12]} was read there", "Put the data back as they were."
        )


class RowsInMemory(SampleError):
    """A sample made from arrays: there is no place to read it from again."""

    def __init__(self, sample: str) -> None:
        self.sample = sample
        super().__init__(
            f"the rows of {sample} were arrays in memory, and lie nowhere to be read from",
            "From Python, with the same arrays: recommender.resume(RUN, zoo, sample=Sample.from_arrays(...)).",
        )


class LabelsMissing(SampleError):
    """A task whose targets no folder's name can tell."""

    def __init__(self, task: str) -> None:
        self.task = task
        super().__init__(
            f"class folders tell no {task} targets", "Give a CSV with the columns file and target: --labels FILE.csv."
        )


class UnfitMetric(SampleError):
    """A metric that does not judge such predictions."""

    def __init__(self, metric: str, task: str, fit: Sequence[str]) -> None:
        self.metric, self.task, self.fit = metric, task, tuple(fit)
        super().__init__(f"{metric} does not judge {task}", f"Choose {' or '.join(fit)}, or leave the metric out.")


class EstimatorError(TransferZooError, ValueError):
    """Arrays for which the number asked for does not exist."""


class NotRows(EstimatorError):
    """An array that is not rows by columns."""

    def __init__(self, what: str, shape: Sequence[int]) -> None:
        self.what, self.shape = what, tuple(shape)
        super().__init__(f"{what} must be rows by columns, has shape {self.shape}", "Give one row for each item.")


class NotProbabilities(EstimatorError):
    """Rows that are not a source head's class probabilities."""

    def __init__(self, method: str, row: int) -> None:
        self.method, self.row = method, row
        super().__init__(
            f"{method} reads class probabilities; row {row} is negative somewhere or does not sum to 1",
            "Give the softmax of the source head, not features.",
        )


class NotFinite(EstimatorError):
    """NaN or infinity in the input."""

    def __init__(self, what: str, row: int) -> None:
        self.what, self.row = what, row
        super().__init__(f"{what} has a NaN or infinite value, first in row {row}", "Remove or mend that row.")


class NotNumbers(EstimatorError):
    """An array of anything but real numbers, or with masked values."""

    def __init__(self, what: str, kind: str) -> None:
        self.what, self.kind = what, kind
        super().__init__(f"{what} must be real numbers, not {kind}", "Give an array of whole numbers or floats.")


class OutOfRange(EstimatorError):
    """Values so large or so close together that their squares overflow or vanish."""

    def __init__(self, what: str, row: int, value: float) -> None:
        self.what, self.row, self.value = what, row, value
        super().__init__(
            f"{what} cannot be squared: {value:.3g} in row {row}", "Rescale the columns; any common unit will do."
        )


class TooFewRows(EstimatorError):
    """Fewer rows than the estimate needs."""

    def __init__(self, what: str, need: int, have: int, remedy: str = "") -> None:
        self.what, self.need, self.have = what, need, have
        super().__init__(f"{what}: need {need} rows, have {have}", remedy or "Give more rows.")


class SingleClass(EstimatorError):
    """Only one class: nothing to tell apart."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what}: all rows belong to one class", "Add a second class; distances work without.")


class NoVariation(EstimatorError):
    """All rows are identical."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what}: no variation, all rows are identical", "Check how the rows were made.")


class WidthMismatch(EstimatorError):
    """Two clouds whose rows differ in width."""

    def __init__(self, left: int, right: int) -> None:
        self.left, self.right = left, right
        super().__init__(f"clouds of different width: {left} and {right}", "Encode both with the same encoder.")


class LengthMismatch(EstimatorError):
    """Features and labels (or groups) of different length."""

    def __init__(self, what: str, left: int, right: int) -> None:
        self.what, self.left, self.right = what, left, right
        super().__init__(f"{what}: {left} rows against {right}", "Give one for each row.")


class TooManyNeighbors(EstimatorError):
    """More neighbors asked for than rows can give."""

    def __init__(self, k: int, rows: int) -> None:
        self.k, self.rows = k, rows
        super().__init__(f"{k} neighbors asked for, {rows} rows at hand", f"Ask for at most {max(rows, 0)}.")


class NotAScore(EstimatorError):
    """What a plug-in's score gave is no number, or no estimate of the metric that it declares."""

    def __init__(self, score: str, value: float, metric: str | None = None, error: float = 0.0) -> None:
        self.score, self.value, self.metric, self.error = score, value, metric, error
        kind = "finite number" if metric is None else f"{metric} with a standard error above 0 (± {error})"
        super().__init__(f"{score} gave {value}, which is no {kind}", "Tell who wrote the plug-in.")


class NotDefined(EstimatorError):
    """The definition does not admit this kind of target."""

    def __init__(self, method: str, target: str) -> None:
        self.method, self.target = method, target
        super().__init__(f"{method} is not defined for {target} targets", "Choose another score.")


class EncoderMismatch(TransferZooError, ValueError):
    """Features of two different spaces were about to be compared."""

    def __init__(self, left: str, right: str) -> None:
        self.left, self.right = left, right
        super().__init__(
            f"features of {left!r} and of {right!r} lie in different spaces",
            "Encode both with one encoder.",
        )


class CheckpointError(TransferZooError, ValueError):
    """A checkpoint folder that cannot be used."""


class NoWeights(CheckpointError):
    """No safetensors file (or no config)."""

    def __init__(self, folder: Path | str, missing: str = "model.safetensors") -> None:
        self.folder, self.missing = str(folder), missing
        super().__init__(f"{folder} has no {missing}", "Save the model with save_pretrained().")


class NotFetched(CheckpointError):
    """A Git LFS pointer where a file should be."""

    def __init__(self, path: Path | str) -> None:
        self.path = str(path)
        super().__init__(
            f"{path} is a Git LFS pointer: the file that it stands for was not fetched",
            "Install git-lfs and run `git lfs pull` in that folder, or download the file itself.",
        )


class PickleRefused(CheckpointError):
    """Only pickled weights."""

    def __init__(self, folder: Path | str, file: str) -> None:
        self.folder, self.file = str(folder), file
        super().__init__(
            f"{folder} has only pickled weights ({file}), which can run code when opened",
            "Convert them where you trust them: save_pretrained(..., safe_serialization=True).",
        )


class RemoteCodeRefused(CheckpointError):
    """A config that asks for code from elsewhere."""

    def __init__(self, folder: Path | str, field: str) -> None:
        self.folder, self.field = str(folder), field
        super().__init__(
            f"{folder} asks for remote code (config field {field!r})",
            "Use an architecture of transformers.",
        )


class MalformedWeights(CheckpointError):
    """A safetensors file that does not parse."""

    def __init__(self, path: Path | str, why: str) -> None:
        self.path, self.why = str(path), why
        super().__init__(f"{path} is not a sound safetensors file: {why}", "Download or save it again.")


class BadWeights(CheckpointError):
    """Weights that are NaN, infinite, stored twice or no floats."""

    def __init__(self, path: Path | str, tensor: str, why: str, remedy: str = "Download or save it again.") -> None:
        self.path, self.tensor, self.why = str(path), tensor, why
        super().__init__(f"{path}: tensor {tensor!r} {why}", remedy)


class ShapeMismatch(CheckpointError):
    """The config describes another net than the weights hold."""

    def __init__(self, folder: Path | str, detail: str, remedy: str | None = None) -> None:
        self.folder, self.detail = str(folder), detail
        super().__init__(
            f"{folder}: config and weights disagree: {detail}",
            remedy or "Use the config that came with the weights.",
        )


class NotAFunction(CheckpointError):
    """An encoder whose vectors do not follow from the item alone."""

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(
            f"{name} is not a function of its input: {why}",
            "Pretraining heads that mask at random are of this kind: save the encoder inside without the head.",
        )


class Unsupported(CheckpointError):
    """Something transferzoo cannot open."""

    def __init__(self, folder: Path | str, why: str, remedy: str = "See registry/README.md: Checkpoints.") -> None:
        self.folder, self.why = str(folder), why
        super().__init__(f"{folder} cannot be opened: {why}", remedy)


class AdapterOnly(CheckpointError):
    """An adapter, without the model that it changes."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = str(folder)
        super().__init__(f"{folder} is an adapter, not a whole model", "Save it merged: model.merge_and_unload().")


class GgufOnly(CheckpointError):
    """Weights in GGUF, and in no other form."""

    def __init__(self, folder: Path | str, file: str) -> None:
        self.folder, self.file = str(folder), file
        super().__init__(
            f"{folder} has its weights in GGUF only ({file}), which cannot be fine-tuned",
            "Take the repository that it was converted from: its card names it as base_model.",
        )


class QuantizedOnly(CheckpointError):
    """Weights of a byte or less."""

    def __init__(self, folder: Path | str, how: str) -> None:
        self.folder, self.how = str(folder), how
        super().__init__(
            f"{folder} has quantized weights only ({how})",
            "Take the checkpoint as float32, float16 or bfloat16, as it was before it was quantized.",
        )


class ProcessorMissing(CheckpointError):
    """A checkpoint that does not say how an item becomes its input."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = str(folder)
        super().__init__(
            f"{folder} has no processor: neither preprocessor_config.json nor a tokenizer is there",
            "Fetch it by hand, put the processor of its base model beside it, and add the folder.",
        )


class HubError(TransferZooError, OSError):
    """A hub of checkpoints. No message ever holds a token."""


class HubUnreachable(HubError):
    """No answer from a hub, none in time, one that broke off, or that it cannot give one now."""

    def __init__(self, endpoint: str, why: str, *, how: str = "cannot be reached") -> None:
        self.endpoint, self.why = endpoint, why
        super().__init__(
            f"{endpoint} {how}: {why}",
            "Try again later; what was fetched is kept, and all that is in the cache works (HF_HUB_OFFLINE=1).",
        )


class HubOffline(HubError):
    """Something that is not cached, while the hub is offline."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what} is not in the cache, and HF_HUB_OFFLINE forbids to ask the hub",
            "Unset HF_HUB_OFFLINE where there is a network; `transferzoo zoo list` shows what is here.",
        )


class HubMissing(HubError):
    """No such repository, revision or file."""

    def __init__(self, endpoint: str, what: str) -> None:
        self.endpoint, self.what = endpoint, what
        super().__init__(
            f"{endpoint} has no {what}, or not for everybody",
            "Check the spelling; a private repository wants HF_TOKEN. Search: transferzoo zoo search WORDS",
        )


class HubGated(HubError):
    """A repository whose terms must be agreed to first."""

    def __init__(self, endpoint: str, hub: str) -> None:
        self.endpoint, self.hub = endpoint, hub
        super().__init__(
            f"{hub} is gated: its terms must be agreed to first",
            f"Agree at {endpoint}/{hub}, then set HF_TOKEN to a token of that account.",
        )


class HubRefused(HubError):
    """A token that is missing or unknown, or that may not do this."""

    def __init__(self, endpoint: str, status: int) -> None:
        self.endpoint, self.status = endpoint, status
        super().__init__(
            f"{endpoint} refuses this ({status})", "Set HF_TOKEN to a token that may do it (write, to upload)."
        )


class NotAHub(HubError):
    """A web page, or anything else, where a hub's answer should be."""

    def __init__(self, endpoint: str, why: str) -> None:
        self.endpoint, self.why = endpoint, why
        super().__init__(
            f"{endpoint} does not answer as a hub does: {why}",
            "Log in to the network that you are in (a captive portal?), or correct HF_ENDPOINT.",
        )


class HubRedirected(HubError):
    """A hub that leads to a host which is not allowed."""

    def __init__(self, endpoint: str, host: str) -> None:
        self.endpoint, self.host = endpoint, host
        super().__init__(
            f"{endpoint} leads to another host, {host}: nothing was fetched from there",
            f"If you trust it, allow it: TRANSFERZOO_HUB_HOSTS={host}",
        )


class HubDamaged(HubError):
    """Files that came, twice, other than the hub says they are."""

    def __init__(self, hub: str, files: Sequence[str], aside: Path | str) -> None:
        self.hub, self.files, self.aside = hub, tuple(files), str(aside)
        super().__init__(
            f"{hub}: {', '.join(files)} came twice other than its checksum says, and is set aside in {aside}",
            "Something between here and the hub changes what is fetched: try another network.",
        )


class HubTooLarge(HubError):
    """A file of a repository that is larger than can be fetched."""

    def __init__(self, hub: str, file: str, size: int, most: int) -> None:
        self.hub, self.file, self.size, self.most = hub, file, size, most
        super().__init__(
            f"{hub}/{file} is said to have {size:,} bytes; of one file {most:,} can be fetched",
            "Take one whose weights lie in smaller shards (save_pretrained cuts them), or a smaller model.",
        )


class NoTables(HubError, ValueError):
    """A data set of a hub without a table."""

    def __init__(self, hub: str, script: str | None) -> None:
        self.hub, self.script = hub, script
        beside = "" if script is None else f", but a script, {script}, which is never run"
        super().__init__(
            f"{hub} holds no Parquet, CSV, TSV or JSON lines file{beside}",
            f"The hub keeps tables of most data sets: {hub}@refs/convert/parquet; else fetch it yourself, and give its "
            "folder.",
        )


class SeveralConfigurations(HubError, ValueError):
    """A data set of a hub with several configurations, none of them its usual one."""

    def __init__(self, hub: str, names: Sequence[str]) -> None:
        self.hub, self.names = hub, tuple(names)
        more = "" if len(self.names) <= _MOST_NAMES else f" and {len(self.names) - _MOST_NAMES} more"
        listed = f"{', '.join(self.names[:_MOST_NAMES])}{more}"
        super().__init__(
            f"{hub} has {len(self.names)} configurations, none of which is its usual one: {listed}",
            f"Name one: --config {self.names[0]!r} (on the page: Configuration).",
        )


class HubDataTooLarge(HubError):
    """More of a data set than is fetched."""

    def __init__(self, hub: str, size: int, most: int) -> None:
        self.hub, self.size, self.most = hub, size, most
        super().__init__(
            f"{hub} has {size:,} bytes there; at most {most:,} are fetched",
            "Take a smaller part (--split, --config), or fetch it yourself, and give its folder.",
        )


class UnusableHubId(HubError, ValueError):
    """No id, revision or file name that a hub may have."""

    def __init__(self, name: str, why: str) -> None:
        self.name, self.why = name, why
        super().__init__(
            f"{name!r} is no repository of a hub: {why}", "Write organization/name, or organization/name@revision."
        )


class BadCard(TransferZooError, ValueError):
    """A catalog file with a bad or missing key."""

    def __init__(self, file: Path | str, key: str, why: str) -> None:
        self.file, self.key, self.why = str(file), key, why
        super().__init__(f"{file}: {key}: {why}", "catalog/README.md describes the cards.")


class BadLock(TransferZooError, ValueError):
    """A lock of checkpoints that cannot be read."""

    def __init__(self, path: Path | str, why: str) -> None:
        self.path, self.why = str(path), why
        super().__init__(f"{path} is no lock of checkpoints: {why}", "Write it anew with `transferzoo zoo lock`.")


class ObjectsError(TransferZooError, OSError):
    """A place of shared objects. No message ever holds a key."""


class UnusableObjects(ObjectsError, ValueError):
    """A setting of shared objects that cannot be used. It is not repeated, for it may hold a key."""

    def __init__(
        self,
        why: str,
        setting: str = "the URL of the shared objects",
        remedy: str = "Give --objects or TRANSFERZOO_OBJECTS as s3://BUCKET/PREFIX, or a folder.",
    ) -> None:
        self.why, self.setting = why, setting
        super().__init__(f"{setting} cannot be used: {why}", remedy)


class ObjectsAway(ObjectsError, ConnectionError):
    """The server of shared objects does not answer, or not in time."""

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(
            f"the objects at {where} cannot be reached: {why}",
            "Check that the server runs and AWS_ENDPOINT_URL, then start the same again: what is there stays.",
        )


class ObjectsRefused(ObjectsError, PermissionError):
    """There are no keys for shared objects, or they do not permit this."""

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(
            f"the objects at {where} are refused: {why}",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE) to one who may read and write there.",
        )


class BucketMissing(ObjectsError, FileNotFoundError):
    """There is no such bucket, or folder of objects."""

    def __init__(self, where: str, command: str) -> None:
        self.where, self.command = where, command
        super().__init__(f"there is nothing to keep objects in at {where}", f"Check the name, or make it: {command}")


class ObjectMissing(ObjectsError, FileNotFoundError):
    """An object is not where it should be."""

    def __init__(self, where: str) -> None:
        self.where = where
        super().__init__(
            f"the object {where} is not there",
            "Where it was made, `transferzoo doctor --repair` uploads it again.",
        )


class ObjectDamaged(ObjectsError, ValueError):
    """An object that is not what its digest says. It was not placed."""

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(
            f"the object {where} is damaged: {why}; it is not used",
            "Remove it there; where it was made, `transferzoo doctor --repair` uploads it again.",
        )


class ObjectsFailed(ObjectsError):
    """The server of shared objects could not do it."""

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"the objects at {where} cannot be used: {why}", "Look into the server's log, then retry.")


class RegistryError(TransferZooError, RuntimeError):
    """The registry's storage."""


class HomeUnusable(RegistryError, OSError):
    """The home folder cannot be made, read or written."""

    def __init__(self, home: Path | str, why: str) -> None:
        self.home, self.why = str(home), why
        super().__init__(
            f"the home folder {home} cannot be used: {why}",
            "Choose another with --home or TRANSFERZOO_HOME.",
        )


class RegistryCorrupt(RegistryError):
    """The database or one of its rows is damaged."""

    def __init__(self, path: Path | str, why: str, remedy: str = "Run `transferzoo doctor --repair`.") -> None:
        self.path, self.why = str(path), why
        super().__init__(f"the registry {path} is damaged: {why}", remedy)


class RegistryAway(RegistryError, ConnectionError):
    """The server of a registry does not answer, or has no such database. No message ever holds a password."""

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(
            f"the registry {where} cannot be reached: {why}",
            "Check that PostgreSQL runs there, that the database exists, and TRANSFERZOO_REGISTRY or --registry.",
        )


class RegistryRefused(RegistryError, PermissionError):
    """The server of a registry does not let this user in, or not write. No message ever holds a password."""

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(
            f"the registry {where} refuses: {why}",
            "Check user and password in TRANSFERZOO_REGISTRY, and that the user owns the database's tables.",
        )


class UnusableRegistry(RegistryError, ValueError):
    """What was given as a registry's URL is none. It is not repeated, for it may hold a password."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(
            f"the registry's URL cannot be used: {why}",
            "Give --registry or TRANSFERZOO_REGISTRY as postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE.",
        )


class RegistryNewer(RegistryError):
    """Written by a later transferzoo."""

    def __init__(self, path: Path | str, actual: str) -> None:
        self.path, self.actual = str(path), actual
        super().__init__(
            f"the registry {path} was written by a newer transferzoo (schema {actual})",
            "Upgrade transferzoo, or choose another home with --home.",
        )


class RegistryBusy(RegistryError):
    """Another process held the database too long."""

    def __init__(self, path: Path | str, seconds: float) -> None:
        self.path, self.seconds = str(path), seconds
        super().__init__(
            f"the registry {path} stayed locked for {seconds:.0f} s",
            "Close the other process, then retry.",
        )


class AlreadyThere(RegistryError):
    """The name belongs to something else."""

    def __init__(self, what: str, name: str) -> None:
        self.what, self.name = what, name
        super().__init__(f"a different {what} named {name!r} is already registered", "Choose another name.")


class NameHeld(RegistryError):
    """Another process registers or fetches something of that name at this moment."""

    def __init__(self, what: str, name: str) -> None:
        self.what, self.name = what, name
        super().__init__(
            f"another process is {'fetching' if what == 'file' else 'registering'} the {what} {name!r} at this moment",
            "Wait until it has ended, then retry, or choose another name.",
        )


class AdviceError(TransferZooError, RuntimeError):
    """No advice can be given, or it does not fit."""


class NoCandidates(AdviceError):
    """Every checkpoint was filtered out or failed."""

    def __init__(self, why: str, relax: str = "") -> None:
        self.why, self.relax = why, relax
        remedy = relax or "Loosen the constraints or add checkpoints."
        super().__init__(f"no checkpoint is left to recommend: {why}", remedy)


class NotOffered(AdviceError):
    """The strategy does not fit this case."""

    def __init__(self, strategy: str, why: str, remedy: str = "Choose another strategy.") -> None:
        self.strategy, self.why = strategy, why
        super().__init__(f"{strategy} is not offered here: {why}", remedy)


class OtherSample(AdviceError):
    """Advice made for other data."""

    def __init__(self, advice: str, expected: str, actual: str) -> None:
        self.advice, self.expected, self.actual = advice, expected, actual
        super().__init__(
            f"recommendation {advice} was made for sample {expected[:12]}, this one is {actual[:12]}",
            "Run `transferzoo recommend` on this folder first.",
        )


class TuningError(TransferZooError, RuntimeError):
    """A fine-tuning that did not come to its end."""


class Diverged(TuningError):
    """The loss became NaN or infinite."""

    def __init__(self, step: int, loss: float, rate: float, *, finite_inputs: bool = True) -> None:
        self.step, self.loss, self.rate, self.finite_inputs = step, loss, rate, finite_inputs
        remedy = "No learning rate helps: what goes into the net is no number. Look for broken items or preprocessing."
        if finite_inputs:
            tenth = f" from {rate:.1g} to {rate / 10:.1g}" if isfinite(rate) else ": it is no number itself"
            remedy = f"Lower the learning rate{tenth}."
        super().__init__(f"the loss became {loss} at step {step}", remedy)


class DeviceMissing(TuningError):
    """A device that is not there, or that torch cannot use."""

    def __init__(self, device: str, why: str, there: Sequence[str]) -> None:
        self.device, self.why, self.there = device, why, tuple(there)
        super().__init__(f"there is no device {device!r}: {why}", f"Use auto, or one of: {', '.join(self.there)}.")


class NotResumable(TuningError):
    """A run that cannot go on."""

    def __init__(self, run: str, why: str, remedy: str) -> None:
        self.run, self.why = run, why
        super().__init__(f"run {run} cannot be resumed: {why}", remedy)


class NotFinished(TuningError):
    """A run that cannot be used yet."""

    def __init__(self, run: str, state: str, reason: str) -> None:
        self.run, self.state, self.reason = run, state, reason
        super().__init__(
            f"run {run} is {state}{f' ({reason})' if reason else ''}: there is nothing to use yet",
            f"Wait for it, or go on with it: transferzoo runs resume {run}",
        )


class NotExportable(TuningError):
    """A run that the requested format cannot express."""

    def __init__(self, run: str, why: str, remedy: str) -> None:
        self.run, self.why = run, why
        super().__init__(f"run {run} cannot be exported: {why}", remedy)


class NotPromotable(TuningError):
    """A run that gives the registry no new checkpoint."""

    def __init__(self, run: str, why: str, remedy: str) -> None:
        self.run, self.why = run, why
        super().__init__(f"run {run} cannot be promoted: {why}", remedy)


class OutOfRoom(TuningError):
    """Memory or disk ran out."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"out of {what}", "Free some, or use a smaller batch or checkpoint.")
