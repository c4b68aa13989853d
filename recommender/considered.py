"""Which checkpoints advice reads: all of a modality, or of very many those that the database and the distance choose.

Up to `MOST_READ` are read one by one, as they are. Of more, those alone are read that are within the constraints as far
as the database can tell (size, license of the weights, names), and of more than `MOST_READ` of these: what has
outcomes, what of a hub is here, what was trained on the nearest domains, and the largest of what was trained on none
whose distance is known. How many are left unread is said in a sentence.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from recommender.constraints import Constraints
from recommender.history import History
from registry.cards import Checkpoint, Wanted
from registry.errors import HubError
from registry.features import Features
from registry.hub import Hub
from registry.zoo import Zoo

__all__ = ["MOST_READ", "Considered", "consider"]

MOST_READ = 2000
"""Cards that are read: a third of a second."""
_QUARTER = MOST_READ // 4
"""As many have outcomes at most, as many of a hub are here, and as many of a hub are not."""
_NEAREST = 1000
"""Domains whose checkpoints are looked for."""
_SHARE = 8
"""So many of the nearest domains have a part of the room, however many checkpoints the first of them has."""
_AT_ONCE = 20
"""Domains that are asked for together."""


@dataclass(frozen=True)
class Considered:
    """The cards that advice is about, by name; where they are not all, ``sentence`` says what they are."""

    cards: tuple[Checkpoint, ...]
    sentence: str = ""


def consider(modality: str, features: Features, zoo: Zoo, constraints: Constraints, history: History) -> Considered:
    """The cards of a modality that are worth reading for a sample that the lens sees so."""
    everything = Wanted(modality)
    total = zoo.checkpoint_count(everything)
    if total <= MOST_READ:
        return Considered(zoo.checkpoints(modality))
    wanted = constraints.wanted(zoo, modality)
    within = zoo.checkpoint_count(wanted)
    number = f"{within:,} are" if within else "none is"
    limited = "" if wanted == everything else f", of which {number} within the constraints,"
    if 0 < within <= MOST_READ:
        cards = zoo.checkpoints_where(wanted)
        how = f"{within:,} that are within the constraints were considered, and no other was looked at by itself"
        return Considered(_by_name(cards), f"Of {total:,} {modality} checkpoints the {how}.")
    cards = _Choice(wanted if within else everything, features, zoo, history).cards()
    how = "those with outcomes, of the nearest source domains, and the largest of which no distance is known"
    return Considered(
        _by_name(cards), f"Of {total:,} {modality} checkpoints{limited} {len(cards):,} were considered: {how}."
    )


@dataclass(eq=False)
class _Choice:
    """A choice among more checkpoints than are read."""

    wanted: Wanted
    features: Features
    zoo: Zoo
    history: History
    taken: dict[str, Checkpoint] = field(default_factory=dict)

    def cards(self) -> tuple[Checkpoint, ...]:
        """What is known best first, until there is no room."""
        domains = [domain.name for domain, _ in self.zoo.near(self.features, _NEAREST)]
        lens = self.zoo.lens(str(self.wanted.modality))
        read = self.zoo.checkpoints_where
        self._take(read(replace(self.wanted, names=self._with_outcomes())), MOST_READ)
        self._take(read(replace(self.wanted, hubs=_fetched()), most=_QUARTER), MOST_READ)
        for hub, room in ((False, MOST_READ), (True, MOST_READ + _QUARTER)):
            wanted = replace(self.wanted, from_hub=hub)
            if self.zoo.checkpoint_count(wanted):
                half = len(self.taken) + (room - len(self.taken)) // 2
                self._take_nearest(wanted, domains, max(1, (half - len(self.taken)) // _SHARE), half)
                self._take(read(replace(wanted, unsketched_in=lens.digest), most=room), room)
                self._take_nearest(wanted, domains, room, room)
        return tuple(self.taken.values())

    def _take_nearest(self, wanted: Wanted, domains: Sequence[str], each: int, room: int) -> None:
        """So many of each domain, the nearest domain's first."""
        for start in range(0, len(domains), _AT_ONCE):
            if len(self.taken) < room:
                some = domains[start : start + _AT_ONCE]
                cards = self.zoo.checkpoints_where(replace(wanted, domains=tuple(some)), each=each)
                self._take(sorted(cards, key=lambda card: some.index(str(card.domain))), room)

    def _take(self, cards: Sequence[Checkpoint], room: int) -> None:
        for card in cards:
            if len(self.taken) < room:
                self.taken.setdefault(card.name, card)

    def _with_outcomes(self) -> tuple[str, ...]:
        names = sorted({outcome.checkpoint for outcome in self.history.outcomes})
        return tuple(sorted(names, key=lambda name: -self.history.advantage(name))[:_QUARTER])


def _fetched() -> tuple[str, ...]:
    """Ids of what of a hub is here."""
    with suppress(HubError):
        return Hub().fetched()
    return ()


def _by_name(cards: Sequence[Checkpoint]) -> tuple[Checkpoint, ...]:
    return tuple(sorted(cards, key=lambda card: card.name))
