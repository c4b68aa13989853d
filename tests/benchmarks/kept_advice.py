"""What it saves to carry out kept advice instead of probing and planning again. Prints a table.

    python -m tests.benchmarks.kept_advice SAMPLE [--limit 800]

Seconds of this process, beside those that passed. Probing anew is measured twice: where the features of the advice are
still kept in the home, and where they are not.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from recommender.flow import evaluate, kept_choice, recommend
from registry.sample import Sample
from registry.zoo import Zoo


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sample", type=Path)
    parser.add_argument("--limit", type=int, default=800)
    arguments = parser.parse_args()
    sample = Sample.from_folder(arguments.sample, limit=arguments.limit)
    with tempfile.TemporaryDirectory() as home:
        with Zoo.open(home) as zoo:
            advice = recommend(sample, zoo)
            zoo.keep(advice)
            checkpoint, strategy = advice.best.checkpoint.name, advice.best.plan.strategy
        print(f"{sample.name}: {len(sample)} rows; {strategy} on {checkpoint}, {len(advice.choices)} choices")

        def kept(zoo: Zoo) -> None:
            kept_choice(zoo.advice() or {}, 0, sample, zoo)

        def anew(zoo: Zoo) -> None:
            evaluate(sample, zoo, checkpoint, strategy)

        _report("kept advice, as it is carried out", home, kept)
        _report("its one choice probed and planned anew, features kept", home, anew)
        _report("all of the advice anew, features kept", home, lambda zoo: recommend(sample, zoo))
        shutil.rmtree(Path(home) / "features")
        _report("its one choice probed and planned anew", home, anew)
        shutil.rmtree(Path(home) / "features")
        _report("all of the advice anew", home, lambda zoo: recommend(sample, zoo))


def _report(what: str, home: str, work: Callable[[Zoo], object]) -> None:
    with Zoo.open(home) as zoo:
        own, passed = time.process_time(), time.perf_counter()
        work(zoo)
        own, passed = time.process_time() - own, time.perf_counter() - passed
    print(f"{what:55}{own:8.2f} s of this process, {passed:7.2f} s passed")


if __name__ == "__main__":
    main()
