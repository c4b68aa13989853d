"""Print what is bundled: source, architecture, parameters, own accuracy, margin over random, license.

python catalog/recipes/table.py
"""

from pathlib import Path

from rich.console import Console
from rich.table import Table

from registry.catalog import read_catalog

OWN = ("held_out_accuracy", "held_out_cosine_to_teacher", "held_out_loss")


def main() -> None:
    """One row a seedling."""
    drawn = Table(title="Seedlings")
    for column in ("seedling", "architecture", "lineage", "parameters", "own held-out", "over random", "license"):
        drawn.add_column(column, justify="right" if column in {"parameters", "own held-out", "over random"} else "left")
    for card in read_catalog(Path(__file__).parent.parent).checkpoints:
        report = card.measured
        own = next((report[key] for key in OWN if key in report), None)
        drawn.add_row(
            card.name,
            card.architecture.removesuffix("ForImageClassification"),
            ", ".join(card.lineage),
            f"{card.parameters:,}",
            f"{own}",
            f"{float(str(report['margin_over_random'])):+.3f}",
            card.license,
        )
    Console(width=170).print(drawn)


if __name__ == "__main__":
    main()
