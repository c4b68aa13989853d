"""Checkpoints held open: what was asked for last stays, as far as a bound of memory allows."""

from registry.cards import BYTES_A_PARAMETER, Checkpoint
from registry.encoders import Encoder, open_encoder
from registry.errors import TransferZooError, Unsupported

__all__ = ["OpenNets"]

OPEN_BYTES = 2 << 30
"""Weights that are held open at most, at four bytes a parameter; the one asked for is held whatever it is."""


class OpenNets(dict[str, Encoder]):
    """Opened checkpoints by name, the most recently used last."""

    def __init__(self) -> None:
        super().__init__()
        self._bytes: dict[str, int] = {}

    def encoder(self, card: Checkpoint) -> Encoder:
        """The checkpoint of a card, opened.

        Raises:
            CheckpointError: it cannot be used, or its weights are not those of the card.
        """
        if card.name in self:
            self[card.name] = self.pop(card.name)
        else:
            size = BYTES_A_PARAMETER * card.parameters
            self._make_room(size)
            self[card.name] = _opened(card)
            self._bytes[card.name] = size
        return self[card.name]

    def _make_room(self, size: int) -> None:
        """Close the least recently used until another of that size keeps within `OPEN_BYTES`."""
        for name in [*self]:
            if sum(self._bytes.get(one, 0) for one in self) + size <= OPEN_BYTES:
                break
            del self[name]


def _opened(card: Checkpoint) -> Encoder:
    try:
        return open_encoder(card.folder, name=card.name, cap=card.cap, weights=card.digest)
    except (TransferZooError, OSError, MemoryError):
        raise
    except Exception as cause:  # a stranger's net, or a plug-in, may raise anything
        raise Unsupported(card.folder, f"{type(cause).__name__}: {cause}") from cause
