"""How grown checkpoints get into the catalog, of whatever modality: weights, cards, lens, and sketches of domains."""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from registry.cards import Checkpoint, Domain, Origin
from registry.catalog import write_checkpoint, write_domain, write_lens, write_rows
from registry.encoders.encoder import CheckpointEncoder, load_encoder
from registry.features import Encoded, cached
from registry.modalities import Item
from registry.sketch import RowKeys, fit_lens, sketch_of

HERE = Path(__file__).parent
CATALOG = HERE.parent
LEAST_MARGIN = 0.03


@dataclass(frozen=True)
class Bundling:
    """What of it differs from one modality to the next."""

    modality: str
    domains: str
    """The file of domains that are sketched, beside this one."""
    files: tuple[str, ...]
    """Of a checkpoint's folder, the weights' among them."""
    card_of: Callable[[dict, Path, Path, dict], Checkpoint]
    """The card of a checkpoint from what was noted when it grew, its work folder, its folder and the domains."""
    items_of: Callable[[Path, str], list[Item]]
    """The items of a source from which its sketch is made."""
    work: str
    lens: str
    keys_of: Callable[[Path, str], set[str]] | None = None
    """Digests of the rows that a source consists of; None where rows.py writes them."""

    def run(self) -> None:
        """Bundle what the command line names, and print what became of it."""
        options = self._arguments()
        domains = self.read_domains()
        grown = {one.parent.parent.name: json.loads(one.read_text()) for one in options.work.glob("*/done/card.json")}
        names = options.names or [name for name in grown if _margin(options.work / name) >= LEAST_MARGIN]
        for name in sorted(names):
            self._bundle(name, grown[name], options.work / name, domains)
        self._write_domains(domains, options.shared, options.work, options.lens)

    def read_domains(self) -> dict:
        """What the cards of the sketched domains say, and where their rows lie, by name."""
        return yaml.safe_load((HERE / self.domains).read_text())

    def encode_domains(self, encoder: CheckpointEncoder, domains: dict, shared: Path, work: Path) -> dict[str, Encoded]:
        """Every domain's rows through an encoder, kept in WORK/seen."""
        encoded = {}
        for name, described in domains.items():
            kept = work / "seen" / f"{encoder.name}-{encoder.digest[:12]}-{name}.safetensors"
            source = described["source"]
            encoded[name] = cached(kept, lambda source=source: encoder.encode(self.items_of(shared, source)))
            print(f"{name}: {len(encoded[name])} rows seen by {encoder.name}", file=sys.stderr, flush=True)
        return encoded

    def _bundle(self, name: str, noted: dict, work: Path, domains: dict) -> None:
        """Copy one checkpoint's files and write its card."""
        folder = CATALOG / "seedlings" / name
        folder.mkdir(parents=True, exist_ok=True)
        for file in self.files:
            shutil.copyfile(work / "done" / file, folder / file)
        card = self.card_of(noted, work, folder, domains)
        write_checkpoint(CATALOG, card)
        print(f"{name}: {card.parameters:,} parameters")

    def _write_domains(self, domains: dict, shared: Path, work: Path, through: str) -> None:
        """Look at every domain through one block of the checkpoint that is the lens; write all that this gives."""
        name, block = through.split("#")
        encoder = load_encoder(CATALOG / "seedlings" / name, name=name)
        place = encoder.blocks.index(block)
        encoded = self.encode_domains(encoder, domains, shared, work)
        seen = {domain: features.blocks[place] for domain, features in encoded.items()}
        lens = fit_lens(self.modality, self.modality, list(seen.values()))
        write_lens(CATALOG, lens)
        for domain, described in domains.items():
            card = Domain(
                domain,
                self.modality,
                described["title"],
                described["family"],
                len(seen[domain]),
                described["license"],
                described["citation"],
                Origin.PUBLISHED,
                aliases=tuple(described.get("aliases", ())),
            )
            write_domain(CATALOG, card, sketch_of(domain, seen[domain], lens))
            if self.keys_of is not None:
                keys = RowKeys.of(domain, self.keys_of(shared, described["source"]))
                write_rows(CATALOG, self.modality, keys)

    def _arguments(self) -> argparse.Namespace:
        parser = argparse.ArgumentParser(description=f"Put what has grown of {self.modality} into the catalog.")
        parser.add_argument("names", nargs="*", help="which checkpoints; all with a sufficient margin if none is named")
        parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the folder that holds the data")
        parser.add_argument("--work", type=Path, default=Path(self.work), help="where what has grown lies")
        parser.add_argument("--lens", default=self.lens, help="checkpoint#block to see domains through")
        return parser.parse_args()


def _margin(work: Path) -> float:
    path = work / "margin.json"
    return float(json.loads(path.read_text())["margin_over_random"]) if path.exists() else 0.0
