"""The report: python -m tests.benchmarks.proving_ground.report [--out FOLDER]. Reads the three tables, nothing else."""

import argparse
from pathlib import Path

from tests.benchmarks.proving_ground.cells import HERE, read_design, read_outcomes, read_scores
from tests.benchmarks.proving_ground.findings import report
from tests.benchmarks.proving_ground.fused import bundled
from tests.benchmarks.proving_ground.pictures import draw
from tests.benchmarks.proving_ground.words import report_in_words


def main() -> None:
    """Print the report and draw its pictures."""
    parser = argparse.ArgumentParser(description="Judge the advice from the proving ground's tables.")
    parser.add_argument("--tables", type=Path, default=HERE, help="folder of design.csv, outcomes.csv and scores.csv")
    parser.add_argument("--out", type=Path, default=HERE / "pictures", help="where the two pictures go")
    requested = parser.parse_args()
    design, outcomes, scores = (requested.tables / f"{name}.csv" for name in ("design", "outcomes", "scores"))
    expected = bundled() if requested.tables == HERE else ()
    result = report(read_design(design), read_outcomes(outcomes), read_scores(scores), expected)
    print(report_in_words(result))
    for path in draw(result, requested.out):
        print(f"picture: {path}")


if __name__ == "__main__":
    main()
