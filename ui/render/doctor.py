"""Doctor: what is wrong, and what was done about it."""

from rich.console import Group, RenderableType
from rich.text import Text

from registry.escapes import shown
from registry.forms import Json
from ui.render.parts import bullet


def doctor_report(report: Json) -> RenderableType:
    """What is wrong, and what was done about it or is left to do."""
    aside = [Text("Kept aside, found damaged now or before", "dim")] if report["quarantined"] else []
    kept = [*aside, *(bullet(place, "dim") for place in report["quarantined"])]
    if not report["findings"]:
        return Group(Text("Nothing is wrong.", "green"), *kept)
    parts: list[RenderableType] = []
    for finding in report["findings"]:
        subject = (shown(finding["subject"]), "bold")
        parts.append(Text.assemble((f"{finding['kind']}  ", "yellow"), subject, f": {finding['what']}"))
        parts.append(bullet(finding["done"] or finding["remedy"], "green" if finding["done"] else ""))
    return Group(*parts, *kept)
