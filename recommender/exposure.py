"""Exposure: which of the user's rows a checkpoint has seen before, so that its probe on them would flatter it.

Its own domain, those of its lineage (ancestors, teachers, the samples that it was tuned on) and the one that its card
declares in words are looked through. Rows are recognized by the digest of their content. A copy that was written anew
(another format or quality) has another digest, but lies nearer than any new row to the rows that a sketch keeps; where
the domain is so large that its sketch would hardly hold one of the user's rows, the two-sample test of one source
(Gretton et al. 2012) decides instead.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from recommender.distance.mmd import mmd
from recommender.results import Exposure
from registry.cards import Checkpoint, DeclaredDomains, Domain, Wanted
from registry.features import Features
from registry.index import neighbors
from registry.sample import Sample
from registry.sketch import Sketch
from registry.zoo import Zoo

__all__ = ["LEAST_UNSEEN", "Exposures", "enough_unseen"]

LEAST_UNSEEN = 50
"""Rows that a checkpoint has not seen, from which its score on them is believed."""
SAME_SOURCE = 0.05
"""p of the test of one source, above which it is not rejected."""
_NEAR = 0.25
"""Share of the usual distance between a domain's neighboring rows, within which a row counts as a copy.

Of 9 pairs of new rows of one source at most 1 % lay as near (5 % where frames of one track are parted), of 7 sets of
copies written anew as JPEG or at another size 30 to 60 %.
"""
_TELLING = 0.1
"""Share of a domain's rows that the sample could be a copy of, from which the sketch's rows tell copies."""
_LEAST_COPIES = 0.05


def enough_unseen(rows: int, classes: int) -> bool:
    """Whether so many unseen rows judge a checkpoint: `LEAST_UNSEEN`, and two for each class."""
    return rows >= max(LEAST_UNSEEN, 2 * classes)


@dataclass(eq=False)
class Exposures:
    """What each checkpoint has seen of a sample. ``looked`` are rows of it, ``features`` what the lens sees of them."""

    sample: Sample
    looked: Sample
    features: Features
    zoo: Zoo
    cards: Sequence[Checkpoint] = ()
    """Whom `of` will be asked for: what these refer to is read at once."""
    _cards: dict[str, Checkpoint] = field(init=False, default_factory=dict)
    _domains: dict[str, Domain] = field(init=False, default_factory=dict)
    _declared: DeclaredDomains = field(init=False)
    _read: set[str] = field(init=False, default_factory=set)
    _cache: dict[str, tuple[frozenset[str], str]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._declared = self.zoo.declared_domains(self.sample.modality)
        self._look_up({name for card in self.cards for name in (*card.lineage, card.domain or "")})

    def declared(self, checkpoint: Checkpoint) -> Domain | None:
        """The domain that a card without one declares in words."""
        return self._declared.of(checkpoint)

    def of(self, checkpoint: Checkpoint) -> Exposure | None:
        """What it has seen of the sample; None where nothing is known of that."""
        by_domain = {name: self._through(name) for name in self._learned_from(checkpoint)}
        exposed = frozenset[str]().union(*(rows for rows, _ in by_domain.values()))
        rows = len(self.sample) + (0 if self.sample.test is None else len(self.sample.test))
        if exposed:
            through = tuple(name for name, (rows_of, _) in by_domain.items() if rows_of)
            because = f"it learned from {len(exposed):,} of these {rows:,} rows ({', '.join(through)})"
            return Exposure(exposed, through, copies=False, because=because)
        copied = [(name, why) for name, (_, why) in by_domain.items() if why]
        if not copied:
            return None
        names, reasons = zip(*copied, strict=True)
        return Exposure(frozenset(), names, copies=True, because="; ".join(reasons))

    def _learned_from(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """Names of the domains that shaped it, through teachers and ancestors that are registered here too."""
        sources, visited, waiting = dict[str, None](), set[str](), [checkpoint]
        while waiting:
            card = waiting.pop()
            declared = self.declared(card)
            named = {*card.lineage, card.domain or "", "" if declared is None else declared.name}
            self._look_up(named)
            sources |= dict.fromkeys(sorted(name for name in named if name in self._domains))
            waiting += [self._cards[name] for name in sorted(named - visited) if name in self._cards]
            visited |= named
        return tuple(sources)

    def _look_up(self, names: set[str]) -> None:
        """Read the checkpoints and domains of these names, those of this modality."""
        fresh = sorted(names - self._read - {""})
        if not fresh:
            return
        self._read |= names
        of = self.sample.modality
        self._domains |= {one.name: one for one in self.zoo.domains_named(fresh) if one.modality == of}
        named = self.zoo.checkpoints_where(Wanted(of, names=tuple(fresh)))
        self._cards |= {card.name: card for card in named}

    def _through(self, name: str) -> tuple[frozenset[str], str]:
        """Digests of the sample's rows that a domain holds; else why all may be copies of its rows, or nothing."""
        if name not in self._cache:
            domain = self._domains[name]
            kept = self.zoo.rows(name) or self.zoo.rows(f"sample:{domain.digest}")
            items = (*self.sample.items, *(() if self.sample.test is None else self.sample.test.items))
            exposed = frozenset(item.digest for item in items if kept is not None and item.digest in kept)
            rows = domain.rows if kept is None else max(len(kept.keys), 1)
            self._cache[name] = exposed, "" if exposed else self._copies(name, rows)
        return self._cache[name]

    def _copies(self, name: str, rows: int) -> str:
        sketch = self.zoo.sketch(name)
        if sketch is None or len(sketch.rows) < 2 or len(self.looked) < 2:
            return ""
        expected = min(1.0, len(self.looked) / rows)
        if expected >= _TELLING:
            share = self._copied(sketch)
            if share < max(_LEAST_COPIES, expected / 2):
                return ""
            return f"{100 * share:.0f} % of the rows kept of its source {name} have copies here"
        lens = self.zoo.lens(self.sample.modality)
        ours, theirs = lens.standardize(self.features.vectors), lens.standardize(sketch.rows.vectors)
        groups = None if self.looked.groups is None else (self.looked.group_ids, np.arange(len(theirs)))
        p = mmd(ours, theirs, sigma=lens.sigma, groups=groups).p_same
        if p is None or p <= SAME_SOURCE:
            return ""
        return f"these rows cannot be told from its source {name} (p {p:.2f}), which is too large to look them up in"

    def _copied(self, sketch: Sketch) -> float:
        """Share of a sketch's rows that a row of the sample lies much nearer to than their own neighbors do."""
        lens = self.zoo.lens(self.sample.modality)
        ours, theirs = (lens.standardize(part.vectors).astype(np.float32) for part in (self.features, sketch.rows))
        own = float(np.median(neighbors(theirs, theirs, 2)[0][:, 1]))
        return float((neighbors(theirs, ours, 1)[0][:, 0] < _NEAR * own).mean())
