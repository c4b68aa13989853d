"""Advice: a sample, the verdict on it, the ranking and its reasons."""

from collections.abc import Iterable, Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from recommender.blocks import block_rows
from recommender.results import Verdict
from registry.escapes import shown
from registry.forms import Json
from ui.glossary import terms_of
from ui.render.parts import BAR, NEAREST, Id, bullet, new_table
from ui.render.words import converted_words, doubt_words, duration, gained, sample_words, scored, scored_interval, size

ROLES = {"frozen": "blue", "learns": "red", "not used": "bright_black"}
"""What a plan does with a block, and the color of it."""
ROWS = 5
"""Choices that a screen has room for."""
SUSPECTS = 10
"""Labels in doubt that all reasons name."""
REASONS, WIDE = 5, 74
"""Lines that a screen has room for with reasons of the best, and the letters on each."""


def sample_report(sample: Json) -> RenderableType:
    """What the sample is, and how healthy."""
    head = Text.assemble(("Sample  ", "dim"), (str(sample["name"]), "bold"), f": {sample_words(sample)}")
    warnings = [bullet(line, "yellow") for line in sample["health"]["warnings"]] or [
        Text("Health  nothing amiss", "dim")
    ]
    converted = converted_words(sample)
    return Group(head, *warnings, *([] if converted is None else [bullet(converted, "dim")]))


def advice_report(advice: Json, *, explain: bool = False) -> RenderableType:
    """A screen: verdict, ranked table with *no transfer*, the first reasons of the best, and what the words mean.

    With ``explain`` every row and reason, the curve over blocks, all scores, distances and what was skipped.
    """
    choices, skipped = advice["choices"], advice["skipped"]
    doubts = _suspects(advice.get("suspects"), most=SUSPECTS if explain else 1)
    judged = [_podium(advice["verdict"]), *_shift(advice.get("shift")), *_undone(advice.get("undone", ())), *doubts]
    judged += [Text(considered, "dim")] if (considered := advice.get("considered")) else []
    parts: list[RenderableType] = [*judged, Text()]
    if not choices:
        parts.append(_distances(advice["domains"]))
    else:
        rows = choices if explain else choices[:ROWS]
        parts += [_ranking(advice, rows), _terms([choice["strategy"] for choice in rows]), Text()]
        parts += [_reasons(choices)] if explain else [_best_reasons(choices[0])]
    if explain and choices:
        measured = [Text(), _curve(choices[0]), Text(), _scores(choices)] if choices[0]["blocks"] else []
        parts += [*measured, Text(), _distances(advice["domains"])]
    if explain and skipped:
        parts += [Text(), _skipped(skipped)]
    elif not explain:
        parts.append(_left_out(len(choices) - ROWS, len(skipped)))
    return Group(*parts)


def _podium(judgment: Json) -> RenderableType:
    verdict = Verdict.from_form(judgment)
    bet = ("✔ ", "bold green") if verdict.beyond_chance else ("≈ ", "bold cyan")
    mark, style = bet if verdict.transfer else ("✘ ", "bold yellow")
    return Text.assemble((mark, style), (verdict.sentence, "bold"))


def _shift(shift: Json | None) -> list[RenderableType]:
    """Whether the test part is another source, in a line; nothing where there is no test part."""
    if shift is None:
        return []
    return [Text.assemble(("Shift  ", "dim"), (shift["sentence"], "yellow" if shift["detected"] else "dim"))]


def _undone(rows: Sequence[Json]) -> list[RenderableType]:
    """What advice was cut short before, by its time or by Ctrl-C, in a line; nothing where it was not."""
    if not rows:
        return []
    first = f"{rows[0]['checkpoint']}: {rows[0]['reason']}"
    more = f", and {len(rows) - 1} more" if len(rows) > 1 else ""
    return [Text.assemble(("Undone  ", "dim"), (f"cut short: {first}{more}", "yellow"))]


def _suspects(suspects: Json | None, *, most: int) -> list[RenderableType]:
    """How many labels are in doubt, and the first of them; nothing where none is."""
    if not suspects or not suspects["rows"]:
        return []
    rows = suspects["rows"]
    count = f"{len(rows)} of {suspects['rows_judged']:,} looked at {'is' if len(rows) == 1 else 'are'} in doubt: "
    first = [f"{shown(row['item'])} is {shown(row['label'])}, rather {shown(row['suggested'])}" for row in rows[:most]]
    more = "; ..." if len(rows) > most else ""
    believed = f"; {words}" if (words := doubt_words(suspects)) else ""
    listed = f"{count}{'; '.join(first)}{more} (--suspects FILE.csv lists them{believed})"
    line = Text.assemble(("Labels  ", "dim"), listed)
    return [line]


def _ranking(advice: Json, choices: Sequence[Json]) -> RenderableType:
    metric = advice["sample"]["metric"]
    gain, distance = "gain over\nno transfer", "distance,\nnearer than"
    cost = f">cost\non {choices[0]['cost'].get('device', 'cpu')}" if choices else ">cost"
    table = new_table("tier", "checkpoint", f"expected\n{metric}", gain, distance, cost)
    for choice in choices:
        table.add_row(*_choice_cells(choice))
    base = advice["baseline"]
    table.add_row(
        "",
        Group(Text("no transfer", "italic"), Text(base["model"], "dim")),
        Group(
            Text(scored(base["mean"], metric), "italic"),
            Text(scored_interval(base["low"], base["high"], metric), "dim"),
        ),
        "",
        "",
        "",
    )
    return table


def _choice_cells(choice: Json) -> tuple[RenderableType, ...]:
    expected, gain, cost, distance = choice["expected"], choice["gain"], choice["cost"], choice["distance"]
    metric = expected["metric"]
    more, reach = gained(gain, metric)
    nearer = None if distance is None else distance["percentile"]
    style = "green" if gain["low"] > 0 else "red" if gain["high"] < 0 else "yellow"
    return (
        Text(str(choice["tier"]), "dim"),
        Group(Id(choice["checkpoint"], "bold"), Text(choice["strategy"], "cyan"), *_remarks(choice)),
        Group(
            Text(scored(expected["mean"], metric), "bold"),
            Text(scored_interval(expected["low"], expected["high"], metric), "dim"),
        ),
        Group(Text(more, style), Text(reach, "dim")),
        Group(
            Text("-" if distance is None else f"{distance['value']:.3f}"),
            Text("no sketch" if distance is None else "" if nearer is None else f"{nearer:.0f} %", "dim"),
        ),
        Group(Text(duration(cost["seconds"])), Text(size(cost["peak_memory_bytes"]), "dim")),
    )


def _remarks(choice: Json) -> list[Text]:
    """What was realized of the checkpoint on this sample, and whether it has seen rows of it before."""
    metric, marks = choice["expected"]["metric"], []
    marks += [
        Text(f"{row['strategy']} realized {scored(row['score'], metric)}", "green")
        for row in choice.get("realized", ())[-1:]
    ]
    known = choice.get("exposure")
    if known is not None:
        judged = f"judged on {known['rows_judged']:,} others" if known["probe_believed"] else "probe not believed"
        marks.append(Text(f"saw these rows: {judged}", "yellow"))
    return marks


def _terms(strategies: list[str]) -> RenderableType:
    """What the words of a ranking mean, right below it."""
    meanings = "; ".join(f"{name}: {meaning}" for name, meaning in terms_of(strategies))
    return Text(f"{meanings}; intervals: nominal 90 %", "dim")


def _best_reasons(choice: Json) -> RenderableType:
    """Why this checkpoint, then why this plan; as many as a screen has room for."""
    of_plan = choice["plan"]["because"]
    first = [reason for reason in choice["because"] if reason not in of_plan]
    lines: list[str] = []
    room = REASONS
    for reason in (*first, *(one for one in choice["because"] if one in of_plan)):
        room -= -(-len(reason) // WIDE)
        if room >= 0 or not lines:
            lines.append(reason)
    head = Text.assemble(("Because  ", "dim"), (choice["checkpoint"], "bold"), ", ", choice["strategy"])
    return Group(head, *(bullet(reason) for reason in lines))


def _left_out(choices: int, skipped: int) -> RenderableType:
    """What a screen has no room for."""
    parts = [f"{choices} more choices"] if choices > 0 else []
    parts += ["all reasons", "the curve over blocks"]
    parts += [f"why {skipped} were skipped"] if skipped else []
    return Text(f"-v shows {', '.join(parts[:-1])} and {parts[-1]}.", "dim")


def _reasons(choices: Iterable[Json]) -> RenderableType:
    parts: list[RenderableType] = []
    for choice in choices:
        parts.append(Text.assemble(("Because  ", "dim"), (choice["checkpoint"], "bold"), ", ", choice["strategy"]))
        parts += [bullet(reason) for reason in choice["because"]]
    return Group(*parts)


def _curve(choice: Json) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    for row in block_rows(choice):
        filled = round(BAR * max(0.0, min(1.0, row.score)))
        label = f"{row.role}, head reads here" if row.read else row.role
        bar = Text("█" * filled, ROLES[row.role]) + Text("·" * (BAR - filled), "dim")
        table.add_row(Text(row.block), bar, scored(row.score, choice["expected"]["metric"]), label)
    title = Text.assemble(
        ("Blocks  ", "dim"), (choice["checkpoint"], "bold"), " from input to output: score of a linear head after each"
    )
    return Group(title, Padding(table, (0, 0, 0, 2)))


def _scores(choices: Sequence[Json]) -> RenderableType:
    """Every score of every choice; those of plug-ins among them."""
    names = list(dict.fromkeys(name for choice in choices for name in choice["scores"]))
    columns = new_table("score", *(f">{place}." for place in range(1, len(choices) + 1)))
    for name in names:
        values = [choice["scores"].get(name) for choice in choices]
        columns.add_row(Text(name), *("-" if value is None else f"{value:.3f}" for value in values))
    title = Text("Scores of the last block, of each checkpoint in its place; higher is better", "dim")
    return Group(title, Padding(columns, (0, 0, 0, 2)))


def _skipped(rows: Sequence[Json]) -> RenderableType:
    return Group(Text("Skipped", "dim"), *(bullet(f"{row['checkpoint']}: {row['reason']}") for row in rows))


def _distances(rows: Sequence[Json]) -> RenderableType:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    longest = max((row["value"] for row in rows), default=0.0) or 1.0
    for row in rows[:NEAREST]:
        filled = round(BAR * row["value"] / longest)
        brought = ", ".join(f"{name} {value:.3f}" for name, value in row.get("plugins", {}).items())
        table.add_row(Text(row["domain"]), Text("█" * filled, "blue"), f"{row['value']:.3f}", Text(brought, "dim"))
    return Group(Text("Distance to the nearest source domains", "dim"), Padding(table, (0, 0, 0, 2)))
