"""Blocks of a choice as people look at them: what each scores, how large it is, what the plan does with it."""

from dataclasses import dataclass

from registry.forms import Json

__all__ = ["BlockRow", "block_rows"]


@dataclass(frozen=True)
class BlockRow:
    """A block of a backbone under a plan."""

    block: str
    score: float
    """Of a linear head on what comes out of it."""
    standard_error: float
    parameters: int | None
    """None where advice of an earlier version does not say."""
    role: str
    """``frozen``, ``learns``, or ``not used``: it lies beyond the block that the head reads."""
    rate: float | None
    """The highest rate at which it learns, where it learns."""
    part: str
    """What of it learns: ``all``, ``norms`` or ``adapters``; empty where nothing does."""
    read: bool
    """Whether the head reads it."""


def block_rows(choice: Json) -> list[BlockRow]:
    """The blocks of a choice in its JSON form, input side first."""
    plan, names = choice["plan"], [row["block"] for row in choice["blocks"]]
    used = names[: names.index(plan["read"]) + 1]
    rates, parts = _learning(plan, names)
    rows = []
    for row in choice["blocks"]:
        name = row["block"]
        role = "not used" if name not in used else "learns" if name in parts else "frozen"
        rate = rates.get(name) if role == "learns" else None
        part = parts[name] if role == "learns" else ""
        figures = row["score"], row["standard_error"], row.get("parameters")
        rows.append(BlockRow(name, *figures, role, rate, part, name == plan["read"]))
    return rows


def _learning(plan: Json, names: list[str]) -> tuple[dict[str, float], dict[str, str]]:
    """The highest rate of each block that learns, and what of it does; the top one has the stage's, each below less."""
    rates: dict[str, float] = {}
    parts: dict[str, str] = {}
    for stage in plan["stages"]:
        rate = stage["backbone_rate"]
        for name in reversed([name for name in names if name in stage["train"]]):
            rates[name] = max(rate, rates.get(name, 0.0))
            parts[name] = stage.get("only", "all")
            rate *= stage.get("layer_decay", 1.0)
    return rates, parts
