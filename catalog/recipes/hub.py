"""Put checkpoints of hubs into the catalog: facts that were read in public sources, each with its source and day.

    python catalog/recipes/hub.py --facts catalogue.csv --timm outcomes/timm

``--facts`` is a table with the columns hub_id, modality, architecture, parameters, license, pretraining_data, input,
hidden_size, layers, source_address, checked_on; an empty cell is unknown. hub.yaml adds what is no fact of that table.
``--timm`` is the folder with timm's results (results-imagenet*.csv), whose rows of the same weights become published
outcomes. The same tables give the same cards. Nothing is fetched.
"""

import argparse
import csv
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import yaml
from witness import computed

from registry.cards import UNKNOWN_LICENSE, Domain, Origin
from registry.catalog import write_domain, write_listing
from registry.listings import Architecture, Fact, Listing

HERE = Path(__file__).parent
CATALOG = HERE.parent
KINDS = {
    "license": ("license", r"licen[cs]e"),
    "pretraining_data": ("pretraining data", r"\bdata\b"),
    "input": ("input", r"\binput\b|\btokens\b|kHz|positions|\b(?:256|384|512|8192|224)\b"),
    "hidden_size": ("width", r"\bwidth\b|\bwide\b"),
    "layers": ("depth", r"\blayers\b"),
}
"""Columns of the table, what their facts are called, and which words of a source say that it is one of theirs."""
TIMM = {
    "results-imagenet.csv": "ImageNet-1k",
    "results-imagenet-real.csv": "ImageNet-ReaL",
    "results-imagenetv2-matched-frequency.csv": "ImageNet-V2",
    "results-imagenet-r.csv": "ImageNet-R",
    "results-imagenet-a.csv": "ImageNet-A",
    "results-sketch.csv": "ImageNet-Sketch",
}
"""timm's tables, and the set that each was judged on."""
WHAT = ("classification", "accuracy")
RESULTS = "https://github.com/huggingface/pytorch-image-models/blob/main/results/results-imagenet.csv"
SIZE = re.compile(r"(\d[\d.]* [MG]B)\b(?: (?:fp16|bf16))? file")
COUNT = re.compile(r"(?P<count>(?:about )?\d[\d.]* ?M\b|\d{1,3}(?:,\d{3})+)(?! MB)(?P<of> backbone)?")
ADDRESS = re.compile(r": (?=https?://)")


def main() -> None:
    """Write all cards and say how many, and how many facts have a witness."""
    requested = _arguments()
    added = yaml.safe_load((HERE / "hub.yaml").read_text())
    for name, card in added["domains"].items():
        write_domain(requested.into, _domain(name, card))
    with requested.facts.open(newline="") as file:
        rows = list(csv.DictReader(file))
    results = read_results(requested.timm)
    listings = [listing_of(row, added) for row in rows]
    day = max(row["checked_on"] for row in rows)
    listings += [listing_of_timm(hub, card, results["ImageNet-1k"], day) for hub, card in added["timm"].items()]
    listings = [_with_preset(listing, added["presets"]) for listing in listings]
    for listing in listings:
        write_listing(requested.into, listing)
    write_outcomes(requested.into, listings, added, results)
    facts = [fact for listing in listings for stated in listing.facts.values() for fact in stated]
    held = sum(bool(fact.witness) for fact in facts)
    print(f"{len(listings)} checkpoints, {len(facts)} facts, {held} of them held by a config", file=sys.stderr)
    for listing in listings:
        for kind in listing.contradictions:
            print(f"{listing.hub}: {kind}: {' / '.join(str(fact.value) for fact in listing.facts[kind])}")


def listing_of(row: dict[str, str], added: dict) -> Listing:
    """The card of a row of the table."""
    more = added["checkpoints"].get(row["hub_id"], {})
    built = _built(row, more)
    facts = dict(_facts(row, more, added))
    if built is not None:
        facts = {kind: _witnessed(kind, stated, built) for kind, stated in facts.items()}
    return Listing(
        name=row["hub_id"].rpartition("/")[2],
        hub=row["hub_id"],
        modality=row["modality"],
        architecture=row["architecture"],
        facts={kind: tuple(stated) for kind, stated in facts.items()},
        aliases=tuple(more.get("aliases", ())),
        data=tuple(more.get("data", ())),
        base=tuple(more.get("base", ())),
        built=built,
    )


def listing_of_timm(hub: str, card: dict, results: dict[str, dict[str, str]], day: str) -> Listing:
    """The card of a checkpoint of which nothing but its row of timm's results is known."""
    name = hub.rpartition("/")[2]
    row = results[name]
    facts = {
        "parameters": (Fact(f"{row['param_count']} M", RESULTS, day),),
        "pretraining data": (Fact(card["words"], "its id", day),),
        "input": (Fact(int(row["img_size"]), RESULTS, day),),
    }
    return Listing(name, hub, "image", card["architecture"], facts, data=tuple(card["data"]))


def _with_preset(listing: Listing, presets: dict) -> Listing:
    facts = [
        Fact(name, preset["source"], preset["checked"])
        for name, preset in presets.items()
        if listing.hub in preset["takes"]
    ]
    return replace(listing, facts={**listing.facts, "preset": tuple(facts)}) if facts else listing


def read_results(folder: Path) -> dict[str, dict[str, dict[str, str]]]:
    """Results by set and by model; of several input sizes the smallest."""
    result: dict[str, dict[str, dict[str, str]]] = {}
    for file, sample in TIMM.items():
        with (folder / file).open(newline="") as table:
            rows = sorted(csv.DictReader(table), key=lambda row: -int(row["img_size"]))
        result[sample] = {row["model"]: row for row in rows}
    return result


def write_outcomes(into: Path, listings: list[Listing], added: dict, results: dict) -> None:
    """The published accuracy of each checkpoint that timm's tables have the weights of, on each of their sets."""
    (into / "outcomes").mkdir(parents=True, exist_ok=True)
    with (into / "outcomes" / "timm.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["checkpoint", "sample_name", "strategy", "task", "metric", "score", "input_size", "timm_row"])
        for listing in sorted(listings, key=lambda one: one.name):
            row = added["checkpoints"].get(listing.hub, {}).get("timm")
            row = listing.name if listing.hub in added["timm"] else row
            for sample, of in results.items():
                if row in of:
                    score = f"{float(of[row]['top1']) / 100:.5f}"
                    writer.writerow([listing.name, sample, "as published", *WHAT, score, of[row]["img_size"], row])


def _built(row: dict[str, str], more: dict) -> Architecture | None:
    if "config" not in more:
        return None
    config, settings = more["config"]
    model = more.get("model") or ("ConvNextModel" if row["architecture"].startswith("timm") else row["architecture"])
    return Architecture(config, model, settings, more.get("without", ""), more.get("counted", True))


def _facts(row: dict[str, str], more: dict, added: dict) -> Iterator[tuple[str, list[Fact]]]:
    """Each kind of fact with all that is stated of it."""
    segments, day = row["source_address"].split(" | "), row["checked_on"]
    readings = list(_readings(row, more))
    yield from _some("parameters", [*_parameters(row, segments, day), *_also(readings, "parameters")])
    for column, (kind, words) in KINDS.items():
        own = [Fact(_value(row[column]), _source(segments, words), day)] if row[column] else []
        if column == "license" and not own:
            own = _no_license(segments, day, readings)
        yield from _some(kind, [*own, *_also(readings, kind)])
    sizes = [(size[1], segment) for segment in segments if (size := SIZE.search(segment)) is not None]
    yield from _some("bytes", [Fact(size, _address(segment), day) for size, segment in sizes])
    if "paper" in more:
        objective, citation = added["papers"][more["paper"]]
        words = added["objectives"].get(objective, {"words": objective})["words"]
        yield "objective", [Fact(words, citation)]


def _no_license(segments: list[str], day: str, readings: list[tuple[str, Fact]]) -> list[Fact]:
    """That the hub's page has none, or was not read, where another source states one."""
    bare = next((s for s in segments if s.startswith("no licence tag")), None)
    if bare is not None:
        return [Fact(UNKNOWN_LICENSE, f"no license tag: {_address(bare)}", day)]
    return [Fact(UNKNOWN_LICENSE, "the hub's page was not read", day)] if _also(readings, "license") else []


def _parameters(row: dict[str, str], segments: list[str], day: str) -> Iterator[Fact]:
    """What the table states, and every other count that a source's label mentions."""
    stated = row["parameters"]
    if stated:
        number = int(stated)
        by_hand = [s for s in segments if re.search(r"parameters|counted", s) and "computed" not in s]
        computed_here = [s for s in segments if "computed" in s or "counted" in s or "loaded here" in s]
        rounded = len(stated) - len(stated.rstrip("0")) >= 4
        where = _counting(segments, stated) if rounded else (computed_here or by_hand or _all(segments))
        yield Fact(_short(number) if rounded else number, _address((where or segments)[0]), day)
    for segment in (s for s in segments if not s.startswith("computed")):
        label = ADDRESS.split(segment)[0]
        for match in COUNT.finditer(label):
            value = match["count"].replace(",", "") if "," in match["count"] else match["count"]
            known = {stated, _short(int(stated))} if stated else set()
            if match["of"] or str(value) in known or label[match.end() :].startswith((" file", "B")):
                continue
            yield Fact(int(value) if value.isdigit() else value, _address(segment), day)


def _counting(segments: list[str], stated: str) -> list[str]:
    short = _short(int(stated))
    return [s for s in segments if short in s] or [s for s in segments if "parameters" in s] or _all(segments)


def _all(segments: list[str]) -> list[str]:
    return [s for s in segments if s.startswith("all")]


def _short(number: int) -> str:
    """A rounded count as people write it: ``86.57 M``."""
    return f"{number / 1e6:g} M"


def _readings(row: dict[str, str], more: dict) -> Iterator[tuple[str, Fact]]:
    """Where sources differ: each reading rests on words of the table."""
    for reading in more.get("readings", ()):
        segment = next((s for s in row["source_address"].split(" | ") if reading["quote"] in s), None)
        if segment is None:
            raise SystemExit(f"{row['hub_id']}: the table does not say {reading['quote']!r}")
        source = f"{reading['quote']!r}, noted beside {_address(segment)}"
        yield reading["fact"], Fact(reading["value"], source, row["checked_on"])


def _also(readings: list[tuple[str, Fact]], kind: str) -> list[Fact]:
    return [fact for of, fact in readings if of == kind]


def _some(kind: str, facts: list[Fact]) -> Iterator[tuple[str, list[Fact]]]:
    if facts:
        yield kind, facts


def _value(cell: str) -> int | str:
    bare = cell.removesuffix(" blocks")
    return int(bare) if bare.isdigit() else bare


def _source(segments: list[str], words: str) -> str:
    """The addresses of the segments whose label names the fact, else all of them."""
    named = [s for s in segments if re.search(words, ADDRESS.split(s)[0]) or s.startswith("all")]
    nearest = named or [s for s in segments if "computed" in s or "counted" in s or "loaded here" in s]
    return " | ".join(_address(segment) for segment in nearest or segments)


def _address(segment: str) -> str:
    """Where a segment was read, or what computed it."""
    parts = ADDRESS.split(segment, maxsplit=1)
    return parts[1].split(" ")[0] if len(parts) == 2 else segment


def _witnessed(kind: str, stated: list[Fact], built: Architecture) -> list[Fact]:
    """The facts, those that the config computes marked; what it computes beside them where none is the same."""
    value = computed(built).get(kind)
    if value is None:
        return stated
    marked = [
        Fact(fact.value, fact.source, fact.checked, "config") if str(fact.value) == str(value) else fact
        for fact in stated
    ]
    if any(fact.witness for fact in marked):
        return sorted(marked, key=lambda fact: not fact.witness)
    settings = ", ".join(f"{key}={setting}" for key, setting in built.settings.items())
    return [Fact(value, f"computed: {built.config}({settings}), {built.model}", "", "config"), *marked]


def _domain(name: str, card: dict) -> Domain:
    return Domain(
        name,
        card["modality"],
        card["title"],
        card["family"],
        0,
        card.get("license", UNKNOWN_LICENSE),
        card.get("citation", ""),
        Origin.PUBLISHED,
        aliases=tuple(card.get("aliases", ())),
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Put checkpoints of hubs into the catalog.")
    parser.add_argument("--facts", type=Path, required=True, help="the table of facts, a CSV")
    parser.add_argument("--timm", type=Path, required=True, help="the folder with timm's tables of results")
    parser.add_argument("--into", type=Path, default=CATALOG, help="the catalog to write into")
    return parser.parse_args()


if __name__ == "__main__":
    main()
