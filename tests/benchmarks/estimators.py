"""How fast the estimators are beside plain forms of the same, in one run: ``python -m tests.benchmarks.estimators``.

Every time is the least of several rounds in which ours and the plain form take turns. The arithmetic limit is the time
that the matrix products alone would take at the float64 GEMM rate of the same run (k-NN works in float32, at twice the
rate, and can go below it). On a busy machine ask for ``--processor-time``: one thread, its own seconds alone.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits

from recommender.distance import distances
from recommender.distance.kernels import labelings, pool
from recommender.distance.mmd import gaussian_kernel, mmd
from recommender.testing.distances import null_p_value, shifted
from recommender.testing.scores import Scored, lost_to_noise
from recommender.transfer import FROM_THE_SOURCE_HEAD, scores
from recommender.transfer.decomposition import decompose
from recommender.transfer.hscore import hscore
from recommender.transfer.knn import knn_score
from recommender.transfer.linear import linear
from recommender.transfer.logme import logme
from registry.index import other_neighbors

MEMORY_CHILD = "--memory-child"
GIB = 2**30


@dataclass(frozen=True)
class Row:
    what: str
    plain: float
    ours: float
    wanted: float
    agreement: str
    products: float
    """Floating-point operations of the matrix products, in units of 1e9."""


@dataclass(frozen=True)
class Watch:
    clock: Callable[[], float]
    rounds: int

    def least(self, *calls: Callable[[], object]) -> list[float]:
        """The least time of each call, the calls taking turns."""
        least = [np.inf] * len(calls)
        for _ in range(self.rounds):
            for place, call in enumerate(calls):
                began = self.clock()
                call()
                least[place] = min(least[place], self.clock() - began)
        return least


def main() -> None:
    report = _arguments()
    if report.memory_child:
        _memory_child()
        return
    console = Console(width=150)
    if report.laws:
        console.print(_distance_laws(report.draws))
        console.print(_score_laws())
        return
    threads = 1 if report.processor_time else report.threads
    watch = Watch(time.process_time if report.processor_time else time.perf_counter, report.rounds)
    with threadpool_limits(threads):
        rate = _gemm_rate(watch)
        rows = [_mmd(watch), *_logme(watch), _knn(watch)]
    table = Table("", "plain, s", "ours, s", "ratio", "wanted", "same?", "limit, s", "of the limit")
    for row in rows:
        limit = row.products / rate
        table.add_row(
            row.what,
            f"{row.plain:.3f}",
            f"{row.ours:.3f}",
            f"{row.plain / row.ours:.1f}x",
            f"{row.wanted:g}x",
            row.agreement,
            f"{limit:.3f}",
            f"{row.ours / limit:.1f}x",
        )
    clock = "processor" if report.processor_time else "wall"
    console.print(f"{threads} threads, float64 GEMM {rate:.0f} GFLOP/s, least of {report.rounds} rounds, {clock} time")
    console.print(table)
    if report.large:
        console.print(_memory(report.threads))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processor-time", action="store_true", help="one thread, processor seconds")
    parser.add_argument("--large", action="store_true", help="also MMD of 20,000 x 20,000 rows and its memory")
    parser.add_argument("--laws", action="store_true", help="instead of speed: null, coverage and noise, simulated")
    parser.add_argument("--draws", type=int, default=600, help="how many draws the laws are simulated with")
    parser.add_argument(MEMORY_CHILD, action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def _gemm_rate(watch: Watch) -> float:
    """GFLOP/s of a float64 product of 2048 x 2048 matrices."""
    matrix = np.random.default_rng(0).normal(size=(2048, 2048))
    return 2 * 2.048**3 / min(watch.least(lambda: matrix @ matrix)[0] for _ in range(3))


def _mmd(watch: Watch) -> Row:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2000, 512)), random.normal(size=(2000, 512)) + 0.008
    results = []
    slow, fast = watch.least(
        lambda: results.append(plain_mmd(x, y, 30.0, 100, 0)),
        lambda: results.append(mmd(x, y, sigma=30.0, permutations=100, seed=0).p_same),
    )
    products = (4000**2 * 512 + 4000**2 * 2 * 102) / 1e9
    agreement = (
        f"p {results[0]:.4f} = {results[1]:.4f}"
        if results[0] == results[1]
        else f"p {results[0]:.4f} / {results[1]:.4f}"
    )
    return Row("MMD, 2000 + 2000 rows, d 512, 100 permutations", slow, fast, 25, agreement, products)


def plain_mmd(x: np.ndarray, y: np.ndarray, sigma: float, permutations: int, seed: int) -> float:
    """One kernel matrix, put in each permutation's order for the three kernel sums, as alibi-detect does."""
    pair = pool(x, y, None, (np.zeros(x.shape[1]), np.ones(x.shape[1])))
    lengths = np.square(pair.rows).sum(axis=1)
    squared = np.maximum(lengths[:, None] + lengths[None] - 2 * pair.rows @ pair.rows.T, 0)
    kernel = gaussian_kernel(sigma)(squared)
    np.fill_diagonal(kernel, 0)

    def statistic(first: np.ndarray) -> float:
        order = np.argsort(~first, kind="stable")
        mixed, n, m = kernel[order][:, order], int(first.sum()), int((~first).sum())
        within = mixed[:n, :n].sum() / (n * (n - 1)) + mixed[n:, n:].sum() / (m * (m - 1))
        return float(within - 2 * mixed[:n, n:].mean())

    observed = statistic(pair.first)
    reached = sum(statistic(label) >= observed - 1e-12 for label in labelings(pair, permutations, seed).T)
    return (reached + 1) / (permutations + 1)


def _logme(watch: Watch) -> list[Row]:
    random = np.random.default_rng(0)
    labels = np.arange(10_000) % 100
    features = 0.3 * random.normal(size=(100, 768))[labels] + random.normal(size=(10_000, 768))

    def together() -> None:
        thin = decompose(features)
        logme(thin, labels)
        hscore(thin, labels)
        linear(thin, labels)

    slow, fast, all_three = watch.least(
        lambda: plain_logme(features, labels), lambda: logme(features, labels), together
    )
    apart = abs(plain_logme(features, labels) - logme(features, labels))
    gram = 2 * 10_000 * 768**2 / 2e9
    path = (2 * 10_000 * 768**2 + 10 * 2 * 10_000 * 768 * 100) / 1e9
    return [
        Row("LogME, n 10,000, d 768, c 100", slow, fast, 4, f"within {apart:.0e}", gram),
        Row("LogME + H-score + ridge leave-one-out of ten", slow, all_three, 1, "", gram + path),
    ]


def plain_logme(features: np.ndarray, labels: np.ndarray) -> float:
    """Thin SVD, then the fixed point of alpha and beta for each class, to the published tolerance or better.

    Targets are centered, which leaves one degree of freedom less than there are rows.
    """
    rows = (features - features.mean(axis=0)) / features.std(axis=0)
    n, d = rows.shape
    freedom = n - 1
    u, s, _ = np.linalg.svd(rows, full_matrices=False)
    squares = s**2
    results = []
    for label in np.unique(labels):
        target = (labels == label) - np.mean(labels == label)
        shares = (u.T @ target) ** 2
        rest = max(float(target @ target - shares.sum()), 0.0)
        alpha, beta = 1.0, 1.0
        for _ in range(200):
            known = beta * squares / (alpha + beta * squares)
            weight = (shares * squares * (beta / (alpha + beta * squares)) ** 2).sum()
            error = (shares * (alpha / (alpha + beta * squares)) ** 2).sum() + rest
            before, alpha, beta = alpha / beta, known.sum() / weight, (freedom - known.sum()) / error
            if abs(alpha / beta - before) <= 1e-5 * before:
                break
        weight = (shares * squares * (beta / (alpha + beta * squares)) ** 2).sum()
        error = (shares * (alpha / (alpha + beta * squares)) ** 2).sum() + rest
        log_determinant = np.log(alpha + beta * squares).sum() + (d - len(s)) * np.log(alpha)
        results.append(
            0.5
            * (
                freedom * np.log(beta / (2 * np.pi))
                + d * np.log(alpha)
                - beta * error
                - alpha * weight
                - log_determinant
            )
            / n
        )
    return float(np.mean(results))


def _knn(watch: Watch) -> Row:
    random = np.random.default_rng(0)
    labels = np.arange(10_000) % 100
    features = 0.3 * random.normal(size=(100, 768))[labels] + random.normal(size=(10_000, 768))

    def scaled() -> np.ndarray:
        return (features - features.mean(axis=0)) / features.std(axis=0)

    def plain() -> np.ndarray:
        return NearestNeighbors(n_neighbors=5, algorithm="brute").fit(scaled()).kneighbors(return_distance=False)

    slow, fast = watch.least(plain, lambda: knn_score(features, labels, metric="l2"))
    ours = other_neighbors(scaled(), 5)[1]
    same = f"{np.mean(np.sort(ours, axis=1) == np.sort(plain(), axis=1)):.2%} of neighbors"
    return Row("k-NN leave-one-out, n 10,000, d 768", slow, fast, 1.8, same, 10_000**2 * 768 / 1e9)


def _distance_laws(draws: int) -> Table:
    """The contract's simulations as figures: false alarms under the null, coverage at a shift of .5 in 8 columns."""
    table = Table("distance", "units", "P(p <= .05) under the null", "coverage of the 90 % interval")
    for name in sorted(distances):
        for grouped in (False, True):
            null = [null_p_value(distances[name], seed, grouped) for seed in range(draws)]
            results = [shifted(distances[name], seed, grouped) for seed in range(draws)]
            truth = np.mean([one.statistic for one in results])
            false = "none" if null[0] is None else f"{np.mean(np.array(null) <= 0.05):.3f}"
            covered = (
                "none"
                if results[0].low is None
                else f"{np.mean([one.low <= truth <= one.high for one in results]):.3f}"
            )
            table.add_row(name, "groups" if grouped else "rows", false, covered)
    return table


def _score_laws() -> Table:
    """How often noise in 768 columns beats a signal in 64, 60 rows each."""
    table = Table("score", "noise beats signal, of 40")
    for name in sorted(scores):
        table.add_row(name, str(lost_to_noise(Scored(scores[name], name in FROM_THE_SOURCE_HEAD))))
    return table


def _memory(threads: int) -> str:
    """What the large MMD takes above its inputs, in a process of its own."""
    call = [sys.executable, "-m", "tests.benchmarks.estimators", MEMORY_CHILD, "--threads", str(threads)]
    return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()


def _memory_child() -> None:
    random = np.random.default_rng(0)
    x, y = (random.standard_normal((20_000, 512), dtype=np.float64) for _ in range(2))
    mmd(x[:50], y[:50], sigma=30.0)
    before = psutil.Process().memory_info().rss
    began = time.perf_counter()
    with threadpool_limits(_arguments().threads):
        result = mmd(x, y, sigma=30.0, seed=0)
    seconds = time.perf_counter() - began
    above = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    print(
        f"MMD, 20,000 + 20,000 rows, d 512, 200 permutations: {above / GIB:.2f} GiB above the inputs (wanted: 1), "
        f"{seconds:.1f} s, p {result.p_same:.3f}"
    )


if __name__ == "__main__":
    main()
