"""Licenses by their SPDX names: what people write becomes an SPDX expression, and what is not understood is unknown.

packaging knows the names and the grammar (https://spdx.org/licenses, SPDX 2.3 annex D). A license outside SPDX's list
that hubs have a name for is a ``LicenseRef-``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from registry.cards import UNKNOWN_LICENSE
from registry.errors import UnknownName

__all__ = ["WRITTEN", "Licenses", "permits", "require_license", "spdx"]

WRITTEN = {
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache2.0": "Apache-2.0",
    "asl 2.0": "Apache-2.0",
    "expat": "MIT",
    "bsd 2": "BSD-2-Clause",
    "bsd 2 clause": "BSD-2-Clause",
    "simplified bsd": "BSD-2-Clause",
    "bsd 3": "BSD-3-Clause",
    "bsd 3 clause": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "boost": "BSL-1.0",
    "boost 1.0": "BSL-1.0",
    "cc0": "CC0-1.0",
    "cc0 1.0": "CC0-1.0",
    "public domain": "LicenseRef-public-domain",
    "gpl 2": "GPL-2.0-only",
    "gpl 2.0": "GPL-2.0-only",
    "gplv2": "GPL-2.0-only",
    "gpl 2.0+": "GPL-2.0-or-later",
    "gpl 3": "GPL-3.0-only",
    "gpl 3.0": "GPL-3.0-only",
    "gplv3": "GPL-3.0-only",
    "gpl 3.0+": "GPL-3.0-or-later",
    "gpl 2.0 or later": "GPL-2.0-or-later",
    "gpl 3.0 or later": "GPL-3.0-or-later",
    "gplv2 or later": "GPL-2.0-or-later",
    "gplv3 or later": "GPL-3.0-or-later",
    "lgpl 2.1": "LGPL-2.1-only",
    "lgpl 2.1+": "LGPL-2.1-or-later",
    "lgpl 2.1 or later": "LGPL-2.1-or-later",
    "lgpl 3": "LGPL-3.0-only",
    "lgpl 3.0": "LGPL-3.0-only",
    "lgplv3": "LGPL-3.0-only",
    "lgpl 3.0+": "LGPL-3.0-or-later",
    "agpl 3": "AGPL-3.0-only",
    "agpl 3.0": "AGPL-3.0-only",
    "agplv3": "AGPL-3.0-only",
    "agpl 3.0+": "AGPL-3.0-or-later",
    "mpl 2": "MPL-2.0",
    "mpl 2.0": "MPL-2.0",
    "mozilla public 2.0": "MPL-2.0",
    "eupl 1.2": "EUPL-1.2",
    "openrail++": "LicenseRef-openrailpp",
}
"""What people write to what they mean: lower case, a space for each hyphen or underscore, without the words in
`_FILLERS`. A bare "bsd", "gpl" or "cc" is not here: it leaves open which. ``cc by-sa 4.0`` is read by its pattern."""
_HUBS = (
    "apple-amlr",
    "apple-ascl",
    "bigcode-openrail-m",
    "bigscience-bloom-rail-1.0",
    "bigscience-openrail-m",
    "creativeml-openrail-m",
    "deepfloyd-if-license",
    "fair-noncommercial-research-license",
    "gemma",
    "grok2-community",
    "h-research",
    "intel-research",
    "llama2",
    "llama3",
    "llama3.1",
    "llama3.2",
    "llama3.3",
    "llama4",
    "lgpl-lr",
    "openmdw-1.0",
    "openrail",
)
"""Names of licenses that model hubs know and SPDX does not."""
_COMMON = (
    "Apache-2.0",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "GPL-2.0-only",
    "GPL-3.0-only",
    "LGPL-3.0-only",
    "AGPL-3.0-only",
    "MPL-2.0",
    "ISC",
    "Unlicense",
)
_FILLERS = re.compile(r"\b(the|licen[cs]e[ds]?|version|under)\b|,|\bv\.?(?=\s*\d)", re.IGNORECASE)
_CREATIVE = re.compile(r"cc (by(?: (?:nc|nd|sa))*) (\d\.\d)")
_LONGEST = 500


@dataclass(frozen=True)
class Licenses:
    """What a checkpoint is under: its weights, the checkpoints that it was trained from, and the data, kept apart.

    Each is what is stated, and may be several where sources disagree; empty where there is no such thing.
    """

    weights: tuple[str, ...]
    base: tuple[str, ...] = ()
    data: tuple[str, ...] = ()

    def objection(self, wanted: Sequence[str]) -> str | None:
        """Why somebody who takes the ``wanted`` licenses alone may not take it; None where all are permitted.

        The strictest counts, and an unknown license is never a permissive one.
        """
        for of, stated in (("", self.weights), (" of its base model", self.base), (" of its training data", self.data)):
            for license in stated:
                if not permits(license, wanted):
                    what = UNKNOWN_LICENSE if license == UNKNOWN_LICENSE else repr(license)
                    disputed = f" (sources disagree: {', '.join(stated)})" if not of and len(stated) > 1 else ""
                    return f"license{of} {what}{disputed}, asked for {' or '.join(wanted)}"
        return None

    def lacking(self, wanted: Sequence[str]) -> str | None:
        """The one license that would have to be wanted, too; None where it is unknown, or there are more or none."""
        stated = {spdx(one) for one in (*self.weights, *self.base, *self.data)}
        missing = [one for one in stated if not permits(one, wanted)]
        return missing[0] if len(missing) == 1 and missing[0] != UNKNOWN_LICENSE else None


def spdx(stated: str) -> str:
    """The SPDX expression that a text means, or ``unknown``.

    Only a name, or a whole expression, is understood; never a word within a sentence.
    """
    if len(stated) > _LONGEST:
        return UNKNOWN_LICENSE
    bare = " ".join(_FILLERS.sub(" ", stated).split())
    name = _name(stated.strip()) or _name(bare)
    if name is not None:
        return name
    parts = [part.strip() for part in re.split(r"(\(|\)|\b(?:and|or|with)\b)", bare, flags=re.IGNORECASE)]
    return _canonical(" ".join(_name(part) or part for part in parts)) or UNKNOWN_LICENSE


def permits(license: str, wanted: Sequence[str]) -> bool:
    """Whether somebody who takes the ``wanted`` licenses, and no other, may take what is under ``license``.

    Of ``A OR B`` one must be wanted, of ``A AND B`` both; an exception (``WITH``) only adds to what is allowed, and of
    ``GPL-3.0-or-later`` version 3 may be chosen. What is not understood is permitted by nothing.
    """
    expression = spdx(license)
    taken = {part for one in wanted for part in _parts(spdx(one))} - {UNKNOWN_LICENSE}
    return expression != UNKNOWN_LICENSE and _holds(_parts(expression), taken)


def require_license(name: str) -> str:
    """The SPDX expression of a license that somebody names.

    Raises:
        UnknownName: it is none, with those that are spelled alike.
    """
    known = spdx(name)
    if known == UNKNOWN_LICENSE:
        names = {one.casefold(): one for one in (*_COMMON, *_HUBS, *WRITTEN.values())}
        close = [names[one] for one in get_close_matches(name.casefold(), names, n=3, cutoff=0.6)]
        raise UnknownName("license", name, close or _COMMON)
    return known


def _name(text: str) -> str | None:
    """The SPDX name of a single license, as people and hubs write it."""
    low = text.casefold()
    spaced = " ".join(re.split(r"[\s_-]+", low))
    if spaced in WRITTEN:
        return WRITTEN[spaced]
    if low in _HUBS:
        return f"LicenseRef-{low}"
    if creative := _CREATIVE.fullmatch(spaced):
        return _canonical(f"cc-{creative[1].replace(' ', '-')}-{creative[2]}")
    return None if re.search(r"[\s()]", text) else _canonical(text)


def _canonical(expression: str) -> str | None:
    try:
        return str(canonicalize_license_expression(expression))
    except InvalidLicenseExpression:
        return None


def _parts(expression: str) -> list[str]:
    """Licenses (each with its exception), operators and parentheses of a canonical expression."""
    return [part for part in re.split(r"([()])| (AND|OR) ", expression) if part and part.strip()]


def _holds(parts: list[str], taken: set[str]) -> bool:
    """Evaluate the parts of a canonical expression, and use them up; AND binds closer than OR."""
    any_of, all_of = False, True
    while parts:
        match parts.pop(0):
            case ")":
                break
            case "OR":
                any_of, all_of = any_of or all_of, True
            case "(":
                all_of = _holds(parts, taken) and all_of
            case "AND":
                pass
            case name:
                all_of = _taken(name, taken) and all_of
    return any_of or all_of


def _taken(name: str, taken: set[str]) -> bool:
    plain = name.partition(" WITH ")[0]
    least = plain.removesuffix("+").removesuffix("-or-later")
    return bool({name, plain} & taken) or (plain != least and bool({least, f"{least}-only"} & taken))
