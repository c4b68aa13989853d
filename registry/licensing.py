"""Under which licenses a checkpoint stands: its weights, what they were trained from, and what on."""

from collections.abc import Callable, Sequence
from functools import cache

from registry.cards import UNKNOWN_LICENSE, Checkpoint, DeclaredDomains, Domain, Origin
from registry.licenses import Licenses, spdx
from registry.listings import Listing

__all__ = ["Licensing"]


class Licensing:
    """Licenses by what a registry knows of checkpoints, domains and listings."""

    def __init__(
        self,
        listing: Callable[[str], Listing | None],
        checkpoints: Callable[..., tuple[Checkpoint, ...]],
        domains: Callable[..., tuple[Domain, ...]],
        declared: Callable[[str], DeclaredDomains],
    ) -> None:
        """Ask for a listing by name, checkpoints of a ``name``, domains of ``names``, and what a modality's declare."""
        self._listing, self._checkpoints, self._domains = listing, checkpoints, domains
        self._declared = declared

    def once(self) -> "Licensing":
        """The same for many cards, of which nothing is read twice."""
        return Licensing(cache(self._listing), cache(self._checkpoints), cache(self._domains), cache(self._declared))

    def of(self, card: Checkpoint | Listing) -> Licenses:
        """The licenses of its weights, of what it was trained from and of what it was trained on, kept apart.

        Data of one's own count as permitted: nothing asks for their license. Of what comes from a hub, all that is not
        stated is unknown.
        """
        if isinstance(card, Listing):
            base = [license for hub in card.base for license in self._of_weights(hub) or (UNKNOWN_LICENSE,)]
            data = self._of_data(card.data) or (UNKNOWN_LICENSE,)
            return Licenses(card.licenses, tuple(dict.fromkeys(base)), data)
        declared = self._declared(card.modality).of(card)
        named = (*card.lineage, *(() if declared is None else (declared.name,)))
        base = [license for name in card.lineage for license in self._of_weights(name)]
        data = self._of_data((*named, *(() if card.domain is None else (card.domain,))))
        if card.locator is None:
            return Licenses((card.license,), tuple(dict.fromkeys(base)), data)
        known = {one.name for one in self._domains(names=tuple(sorted(set(card.lineage))))}
        ancestors = [name for name in card.lineage if name not in known]
        base = [license for name in ancestors for license in self._of_weights(name) or (UNKNOWN_LICENSE,)]
        listing = self._listing(card.locator.hub)
        stated = () if listing is None else (one for one in listing.licenses if one != UNKNOWN_LICENSE)
        weights = tuple(dict.fromkeys((spdx(card.license), *stated)))
        return Licenses(weights, tuple(dict.fromkeys(base)), data or (UNKNOWN_LICENSE,))

    def _of_weights(self, name: str) -> tuple[str, ...]:
        """The licenses of a checkpoint's weights, by its name or hub id; none where there is no such checkpoint."""
        listing = self._listing(name)
        registered = tuple(card.license for card in self._checkpoints(name=name))
        return registered or (() if listing is None else listing.licenses)

    def _of_data(self, names: Sequence[str]) -> tuple[str, ...]:
        """The licenses of published domains."""
        domains = self._domains(names=tuple(sorted(set(names))))
        return tuple(dict.fromkeys(one.license for one in domains if one.origin is Origin.PUBLISHED))
