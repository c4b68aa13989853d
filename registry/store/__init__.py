"""Store: what the registry remembers, in SQL: cards, sketches, outcomes, advice, jobs. Nothing else speaks SQL."""

from registry.store.cards import Entries, Store
from registry.store.database import Database
from registry.store.integrity import Damage
from registry.store.jobs import Jobs
from registry.store.repair import damaged_rows, quarantine, salvage

__all__ = ["Damage", "Database", "Entries", "Jobs", "Store", "damaged_rows", "quarantine", "salvage"]
