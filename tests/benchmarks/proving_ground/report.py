"""The report: python -m tests.benchmarks.proving_ground.report [--modality NAME]. Reads the tables, nothing else."""

import argparse
from pathlib import Path

from tests.benchmarks.proving_ground.cells import HERE, read_design, read_never, read_outcomes, read_scores
from tests.benchmarks.proving_ground.findings import report
from tests.benchmarks.proving_ground.fused import bundled
from tests.benchmarks.proving_ground.pictures import draw
from tests.benchmarks.proving_ground.targets import GROUNDS
from tests.benchmarks.proving_ground.truth import kept_now
from tests.benchmarks.proving_ground.words import report_in_words


def main() -> None:
    """Print the report of each modality and draw its pictures."""
    parser = argparse.ArgumentParser(description="Judge the advice from the proving ground's tables.")
    parser.add_argument("--modality", choices=sorted(GROUNDS), nargs="+", default=[*GROUNDS])
    parser.add_argument("--tables", type=Path, default=HERE, help="where each modality has a folder of its tables")
    parser.add_argument("--catalog", type=Path, help="another catalog, from whose outcomes the cells are expected")
    parser.add_argument(
        "--kept", action="store_true", help="trainings that never beat their head score as plans now do"
    )
    requested = parser.parse_args()
    for modality in requested.modality:
        folder = requested.tables / modality
        design, outcomes, scores = (folder / f"{name}.csv" for name in ("design", "outcomes", "scores"))
        expected = bundled(modality, requested.catalog) if requested.tables == HERE else ()
        never = read_never(folder / "never.csv")
        cells, results = read_design(design), read_outcomes(outcomes)
        results = kept_now(cells, results) if requested.kept else results
        result = report(cells, results, read_scores(scores), expected, never)
        print(f"==== {modality}\n{report_in_words(result)}")
        for path in draw(result, folder / "pictures"):
            print(f"picture: {path}")


if __name__ == "__main__":
    main()
