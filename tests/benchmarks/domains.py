"""How fast and how right is the search for near domains, and does its file survive? Prints a table.

    python -m tests.benchmarks.domains [--domains 100000]

The domains are mixtures of runs of rows of the catalog's real domains, seen through the catalog's own lens.
One thread works. Times are its own; what waiting for other processes and for the disk added stands beside them.
"""

import os

for _library in ("OMP", "OPENBLAS", "MKL"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import argparse  # noqa: E402 - the libraries read these variables when they are first loaded
import resource  # noqa: E402
import signal  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
from collections.abc import Callable, Sequence  # noqa: E402
from functools import partial  # noqa: E402
from pathlib import Path  # noqa: E402

import faiss  # noqa: E402
import numpy as np  # noqa: E402
from scipy.sparse import csr_array  # noqa: E402

from registry.cards import Domain  # noqa: E402
from registry.catalog import read_catalog  # noqa: E402
from registry.features import Features  # noqa: E402
from registry.home import catalog_folder  # noqa: E402
from registry.index import DomainIndex  # noqa: E402
from registry.sketch import Lens, Sketch  # noqa: E402
from registry.store import Entries  # noqa: E402
from registry.zoo import Zoo  # noqa: E402

QUERIES = 1000
CHECKED = 200
NEAREST = 10
ROWS = 64
KEPT = 8
DIRECTIONS = 32


def main() -> None:
    """Measure and print."""
    requested = _arguments()
    faiss.omp_set_num_threads(1)
    result = read_catalog(catalog_folder())
    lens = result.lenses["image"]
    sketches = [sketch for sketch in result.sketches if sketch.lens == lens.digest]
    built = mixtures(sketches, lens, requested.domains + QUERIES, seed=0)
    known, queries = built[: requested.domains], built[requested.domains :]
    message = f"{requested.domains:,} domains of {known.shape[1]} numbers, mixtures of {len(sketches)} real ones"
    print(f"{message}; one thread; load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores")
    report_search(known, queries)
    with tempfile.TemporaryDirectory() as folder:
        report_file(known, queries[0], Path(folder))
        report_registry(known, queries, sketches[0], Path(folder))


def mixtures(sketches: list[Sketch], lens: Lens, count: int, seed: int) -> np.ndarray:
    """Embeddings of so many domains, each of `ROWS` rows from one to three runs of rows of real domains."""
    random = np.random.default_rng(seed)
    rows = [sketch.rows.vectors for sketch in sketches]
    starts = np.cumsum([0, *map(len, rows)])
    each = np.stack([lens.embed(row[None]) for cloud in rows for row in cloud])
    directions = random.normal(size=(DIRECTIONS, rows[0].shape[1]))
    orders = [np.argsort(directions @ lens.standardize(cloud).T) for cloud in rows]
    drawn = np.stack([_one_mixture(random, orders, starts) for _ in range(count)])
    shares = csr_array((np.full(drawn.size, 1 / ROWS, np.float32), drawn.ravel(), np.arange(0, drawn.size + 1, ROWS)))
    return np.concatenate([shares[start : start + 10_000] @ each for start in range(0, count, 10_000)])


def report_search(known: np.ndarray, queries: np.ndarray) -> None:
    """Time of a search, its recall, and how far it is from what memory allows."""
    index = DomainIndex(known.shape[1])
    index.add(np.arange(len(known)), known)
    first = Times([lambda: index.search(queries[0], NEAREST)])
    search = Times([partial(index.search, query, NEAREST) for query in queries])
    flat = faiss.IndexFlatL2(known.shape[1])
    flat.add(known)
    whole = Times([partial(flat.search, query[None], NEAREST) for query in queries[:20]])
    bounds, column = np.ones((len(known), 64), dtype=np.float32), np.ones(64, dtype=np.float32)
    scan = Times([partial(np.matmul, bounds, column)] * 50)
    recall = np.mean([_recall(index, known, query) for query in queries[:CHECKED]])
    print_row("search", search.summary(), "p99 < 10 ms")
    print_row(f"recall@{NEAREST} against exact search in float64", f"{recall:.4f}", ">= .99")
    print_row("FAISS flat over all numbers", f"{whole.summary()}: {whole.median / search.median:.0f} times as long")
    times = search.median / scan.median
    print_row("reading the 64 leading numbers once", f"{scan.summary()}: the search takes {times:.0f} times as long")
    print_row("the first search, which fits the components", first.summary())
    adding = Times([partial(index.add, [len(known) + at], queries[at : at + 1]) for at in range(100)])
    print_row("adding one to the index", adding.summary(), "< 50 ms")
    size = known.nbytes * (1 + 64 / known.shape[1]) / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print_row("memory of the index", f"{size:.2f} GiB (the benchmark's peak: {peak:.2f})")


def report_file(known: np.ndarray, query: np.ndarray, folder: Path) -> None:
    """Saving, loading, and a process killed in the midst of a save."""
    index, path = DomainIndex(known.shape[1]), folder / "index.faiss"
    index.add(np.arange(len(known)), known)
    saving = Times([lambda: index.save(path, "stamp")])
    print_row("saving the file", f"{saving.summary()}, {path.stat().st_size / 2**20:.0f} MiB")
    print_row("loading it, checksum and all", Times([lambda: DomainIndex.load(path, "stamp")]).summary())
    expected, sound = index.search(query, NEAREST)[1].tolist(), 0
    for attempt in range(5):
        _save_and_die(path, 0.05 + 0.2 * attempt)
        kept = DomainIndex.load(path, "stamp")
        sound += kept is not None and kept.search(query, NEAREST)[1].tolist() == expected
    print_row("kill -9 in the midst of a save", f"{sound} of 5 times the file was whole", "5")


def report_registry(known: np.ndarray, queries: np.ndarray, like: Sketch, folder: Path) -> None:
    """The same through the door: a registry of all these domains, its index made from SQL, one more added."""
    zoo = Zoo.open(folder / "home")
    starts = range(0, len(known), 5000)
    filling = Times([partial(zoo.store.write, entries(at, known[at : at + 5000], like)) for at in starts])
    print_row("registering them, each", f"{1e3 * filling.waited.sum() / len(known):.2f} ms")

    def near(zoo: Zoo = zoo) -> list[tuple[Domain, float]]:
        return zoo.near(like.rows, NEAREST)

    print_row("making the index from SQL, and searching", Times([near]).summary())
    print_row("zoo.near with 256 rows", Times([near] * 100).summary())
    later = [entries(len(known) + place, queries[place : place + 1], like) for place in range(30)]
    adding = Times([lambda one=one: (zoo.store.write(one), near()) for one in later])
    print_row("registering one and finding it", adding.summary(), "< 50 ms")
    path = zoo.index_path(zoo.lens("image"))
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    again = Zoo.open(folder / "home")
    making = Times([partial(near, again)])
    same = "the same answer" if near(again) == near() else "ANOTHER ANSWER"
    print_row("a damaged file, made anew from SQL", f"{making.summary()}, {same}", "the same answer")


class Times:
    """Seconds of each piece of work: the thread's own, and with waiting."""

    def __init__(self, work: Sequence[Callable[[], object]]) -> None:
        own, waited = [], []
        for piece in work:
            begun, began = time.thread_time(), time.perf_counter()
            piece()
            own.append(time.thread_time() - begun)
            waited.append(time.perf_counter() - began)
        self.own, self.waited = np.array(own), np.array(waited)

    @property
    def median(self) -> float:
        """The median of the thread's own time."""
        return float(np.median(self.own))

    def summary(self) -> str:
        """Median and p99, and the same with waiting; one number where there is but one."""
        if len(self.own) == 1:
            return f"{self.own[0]:.2f} s ({self.waited[0]:.2f})"
        own, waited = (np.quantile(1e3 * times, [0.5, 0.99]) for times in (self.own, self.waited))
        return f"{own[0]:.2f} / {own[1]:.2f} ms ({waited[0]:.2f} / {waited[1]:.2f})"


def entries(first: int, embeddings: np.ndarray, like: Sketch) -> Entries:
    """Domains with those embeddings; their few rows are another's."""
    rows = Features(like.rows.vectors[:KEPT], like.rows.encoder)
    names = [f"mixture-{first + place:06d}" for place in range(len(embeddings))]
    cards = tuple(Domain(name, "image", name, "mixtures", ROWS) for name in names)
    built = zip(names, embeddings, strict=True)
    return Entries(domains=cards, sketches=tuple(Sketch(name, like.lens, rows, one, ROWS) for name, one in built))


def _save_and_die(path: Path, after: float) -> None:
    """Start a process that saves over and over, and kill it."""
    code = (
        "import sys; from pathlib import Path; from registry.index import DomainIndex\n"
        "path = Path(sys.argv[1]); index = DomainIndex.load(path, 'stamp'); print('ready', flush=True)\n"
        "while True: index.save(path, 'stamp')"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE) as saver:
        saver.stdout.readline()
        time.sleep(after)
        saver.send_signal(signal.SIGKILL)


def _one_mixture(random: np.random.Generator, orders: list[np.ndarray], starts: np.ndarray) -> np.ndarray:
    """Row numbers of one made-up domain: runs of rows that lie together in one direction of a real domain."""
    parts = random.integers(1, 4)
    sizes = random.multinomial(ROWS, random.dirichlet(np.ones(parts)))
    drawn = []
    for size in sizes:
        source = random.integers(len(orders))
        order = orders[source][random.integers(DIRECTIONS)]
        width = random.integers(len(order) // 8, len(order) + 1)
        first = random.integers(len(order) - width + 1)
        drawn.append(starts[source] + order[first + random.integers(width, size=size)])
    return np.concatenate(drawn)


def _recall(index: DomainIndex, known: np.ndarray, query: np.ndarray) -> float:
    exact = np.argpartition(np.square(known.astype(np.float64) - query).sum(axis=1), NEAREST)[:NEAREST]
    return len(set(index.search(query, NEAREST)[1].tolist()) & set(exact.tolist())) / NEAREST


def print_row(what: str, measured: str, wanted: str = "") -> None:
    """One figure beside what is wanted of it."""
    print(f"{what:<44} {measured:<62} {wanted}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the search for near domains.")
    parser.add_argument("--domains", type=int, default=100_000)
    return parser.parse_args()


if __name__ == "__main__":
    main()
