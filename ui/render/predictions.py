"""Predictions: what a run says of items, and how often it is right."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from registry.escapes import shown
from registry.forms import Json
from registry.spans import OUTSIDE
from ui.render.parts import NEAREST, bullet, new_table
from ui.render.words import give_or_take, percent, scored

LISTED = 20


def answer_report(answer: Json, *, many: str, listed: bool) -> RenderableType:
    """What a run says of items (the first of them, where they are to be listed), and how often it is right.

    ``many`` is the modality's word for items.
    """
    parts: list[RenderableType] = []
    if listed:
        parts.append(_predictions(answer))
    if answer["judged"] is not None:
        parts += [Text(), _judgment(answer["judged"], many)]
    skipped = [f"skipped {row['file']}: {row['reason']}" for row in answer["skipped"]]
    return Group(*parts, *(bullet(note, "yellow") for note in (*answer["notes"], *skipped)))


def _predictions(answer: Json) -> RenderableType:
    value = answer["task"] == "regression"
    table = new_table("file", ">value" if value else "prediction", *([] if value else [">confidence"]))
    for row in answer["rows"][:LISTED]:
        if row.get("spans") is not None:
            table.add_row(Text(shown(row["file"])), _marked(row), percent(row["confidence"]))
            continue
        sure = [] if row["confidence"] is None else [percent(row["confidence"])]
        table.add_row(Text(shown(row["file"])), Text(shown(row["prediction"]), "bold"), *sure)
    more = len(answer["rows"]) - LISTED
    return Group(table, Text(f"and {more:,} more: --csv prints all", "dim")) if more > 0 else table


def _marked(row: Json) -> Text:
    """The words of an item, what belongs together in bold and with its kind behind it; plain tags behind each word."""
    words = [shown(word) for word in row["words"]]
    tags = row["prediction"].split()
    text, done = Text(), 0
    for span in row["spans"]:
        text.append(" ".join([*words[done : span["start"]], ""]))
        text.append(" ".join(words[span["start"] : span["end"]]), "bold")
        text.append(f" [{shown(span['kind'])}] ", "cyan")
        done = span["end"]
    plain = not row["spans"] and any(tag != OUTSIDE for tag in tags)
    rest = [f"{word}/{shown(tag)}" for word, tag in zip(words, tags, strict=True)] if plain else words[done:]
    return text.append(" ".join(rest))


def _judgment(judged: Json, many: str) -> RenderableType:
    """The run's own metric, accuracy where that is another, what is least often recognized, the confusions."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    line = f"{scored(judged['score'], judged['metric'])}{give_or_take(judged['standard_error'], judged['metric'])}"
    table.add_row(judged["metric"], Text(f"{line} on {judged['rows']:,} {many}", "bold"))
    if judged["metric"] != "accuracy" and judged["accuracy"] is not None:
        table.add_row("accuracy", percent(judged["accuracy"]))
    if judged["unknown"]:
        table.add_row("not judged", f"{judged['unknown']:,} of which nothing is known that the run could name")
    shares = {label: row["right"] / row["rows"] for label, row in judged["recall"].items()}
    for place, label in enumerate(sorted(shares, key=lambda label: (shares[label], label))[:NEAREST]):
        row = judged["recall"][label]
        first = "" if place else "least recognized" if len(shares) > NEAREST else "recognized"
        table.add_row(first, Text(f"{shown(label)}  {row['right']:,} of {row['rows']:,}  ({percent(shares[label])})"))
    for place, row in enumerate(judged["confusions"][:NEAREST]):
        line = f"{shown(row['class'])} taken for {shown(row['taken_for'])}  {row['rows']:,}"
        table.add_row("" if place else "confusions", Text(line))
    return table
