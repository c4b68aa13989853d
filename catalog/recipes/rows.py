"""Write which rows each domain consists of, for `recommend` to know what a seedling has seen.

    python catalog/recipes/rows.py --shared ../shared

A domain's rows are those that a bundled seedling grew on (`grow.py` holds a tenth out) and those that its sketch was
made of. Only a key of each row's content is kept (registry/sketch.py), beside the sketch.
"""

import argparse
from hashlib import sha256
from pathlib import Path

import yaml
from bundle import domain_items
from bundling import CATALOG, HERE
from grow import settings_of
from sources import CROPS, hold_out, read_labeled

from registry.catalog import write_rows
from registry.sketch import RowKeys


def main() -> None:
    """Write the rows of every domain."""
    parser = argparse.ArgumentParser(description="Write which rows each domain consists of.")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the folder that holds data/")
    shared = parser.parse_args().shared
    domains = yaml.safe_load((HERE / "domains.yaml").read_text())
    recipes = yaml.safe_load((HERE / "seedlings.yaml").read_text())
    grown: dict[str, set[str]] = {}
    for name in sorted(path.stem for path in (CATALOG / "checkpoints/image").glob("*.yaml")):
        for source, digests in grown_on(settings_of(recipes, name), shared).items():
            grown.setdefault(source, set()).update(digests)
    for name, report in domains.items():
        digests = {item.digest for item in domain_items(shared, report["source"])} | grown.get(report["source"], set())
        write_rows(CATALOG, "image", RowKeys.of(name, digests))
        print(f"{name}: {len(digests)} rows")


def grown_on(recipe: dict, shared: Path) -> dict[str, set[str]]:
    """Content digests of the rows that a seedling learned from, by source, drawn as `grow.py` draws them."""
    sources = recipe["source"] if isinstance(recipe["source"], list) else [recipe["source"]]
    crops = {source: CROPS if len(sources) > 1 and source.startswith("domains/") else 1 for source in sources}
    owners, labels = [], []
    for source in sources:
        for blob, label in read_labeled(shared, source):
            owners += [(source, sha256(blob).hexdigest())] * crops[source]
            labels += ["" if crops[source] > 1 else label] * crops[source]
    kept, _ = hold_out(labels, 0.1, recipe["seed"])
    seen: dict[str, set[str]] = {source: set() for source in sources}
    for row in kept:
        source, digest = owners[row]
        seen[source].add(digest)
    return seen


if __name__ == "__main__":
    main()
