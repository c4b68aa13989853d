"""Kept advice is listed newest first."""

from dataclasses import dataclass
from pathlib import Path

from registry.home import Home
from registry.store import Store


@dataclass(frozen=True)
class Advice:
    id: str

    def to_dict(self) -> dict[str, object]:
        return {"id": self.id, "sample": {"digest": "d"}}


def test_kept_advice_is_listed_newest_first(tmp_path: Path) -> None:
    store = Store.open(Home.find(tmp_path).database)
    for name in ("first", "second", "third"):
        store.keep(Advice(name))
    assert [advice["id"] for _, advice in store.kept(2)] == ["third", "second"]
