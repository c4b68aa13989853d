"""What stands in for others' packages: ``numbers`` holds one that brings a modality, as pip would lay it."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

__all__ = ["SHAPES", "WAVES", "save_net", "series", "write_catalog", "write_series"]

SHAPES = ("dip", "falling", "peak", "rising")
WAVES = ("fast", "slow")
_FORMS = {
    "dip": lambda t: np.abs(t - 0.5) * 4 - 1,
    "falling": lambda t: 1 - 2 * t,
    "peak": lambda t: 1 - np.abs(t - 0.5) * 4,
    "rising": lambda t: 2 * t - 1,
    "fast": lambda t: np.sin(6 * np.pi * t),
    "slow": lambda t: np.sin(2 * np.pi * t),
}
_PROCESSOR = {"longest": 24, "center": 0.0, "scale": 1.0}


def series(form: str, rows: int, seed: int, noise: float = 0.15) -> list[list[float]]:
    """Series of 6 to 16 numbers whose order shows their form, which mean, spread and ends do not."""
    random = np.random.default_rng([seed, *form.encode()])
    lengths = random.integers(6, 17, rows)
    return [
        (_FORMS[form](np.linspace(0, 1, length)) + random.normal(0, noise, length)).round(4).tolist()
        for length in lengths
    ]


def write_series(folder: Path, forms: Sequence[str], rows: int, seed: int, *, test_rows: int = 0) -> Path:
    """A folder a form, of ``*.num`` files; with ``test_rows`` in ``train`` and ``test``."""
    parts = [("", rows, seed)] if not test_rows else [("train", rows, seed), ("test", test_rows, seed + 1)]
    for part, count, drawn in parts:
        for form in forms:
            place = folder / part / form
            place.mkdir(parents=True)
            for row, values in enumerate(series(form, count, drawn)):
                (place / f"{row:03d}.num").write_text(json.dumps(values))
    return folder


def save_net(folder: Path, *, forms: Sequence[str] = (), steps: int = 60, seed: int = 0) -> Path:
    """A checkpoint: a classifier trained on these forms, or without any a backbone at random initialization."""
    import torch
    from transferzoo_numbers.network import NumberConfig, NumberForNumberClassification, NumberModel, NumberNetwork

    from registry.encoders.loading import quiet
    from registry.modalities import modalities

    torch.manual_seed(seed)
    labels = dict(enumerate(forms)) or {0: "LABEL_0", 1: "LABEL_1"}
    config = NumberConfig(id2label=labels, label2id={name: place for place, name in labels.items()})
    model = (NumberForNumberClassification if forms else NumberModel)(config)
    network = NumberNetwork(model, _PROCESSOR, 24)
    if forms:
        drawn = [(values, place) for place, form in enumerate(forms) for values in series(form, 100, seed + 100)]
        items = modalities["number"].from_memory([values for values, _ in drawn])
        rows, truth = [network.prepare(item) for item in items], torch.tensor([place for _, place in drawn])
        optimizer, random = torch.optim.AdamW(model.parameters(), 5e-3), np.random.default_rng(seed)
        for _ in range(steps):
            chosen = random.choice(len(rows), 64, replace=False)
            logits = model(**network.batch([rows[row] for row in chosen])).logits
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(logits, truth[chosen]).backward()
            optimizer.step()
    with quiet():
        model.eval().save_pretrained(folder)
    network.save_processor(folder)
    return folder


def write_catalog(catalog: Path, data: Path) -> None:
    """The catalog of the package: a lens, and the two domains that it was pretrained on."""
    from registry.cards import Checkpoint, Domain, Origin
    from registry.catalog import write_checkpoint, write_domain, write_lens
    from registry.encoders import open_encoder
    from registry.encoders.loading import inspect
    from registry.sample import Sample
    from registry.sketch import fit_lens, sketch_of

    folder = save_net(catalog / "nets" / "lens", forms=(*SHAPES, *WAVES), seed=7)
    opened = inspect(folder)
    encoder = open_encoder(folder, name="numbers-lens")
    seen = {
        name: encoder.encode(Sample.from_folder(write_series(data / name, forms, 40, 5)).items).last
        for name, forms in (("shapes", SHAPES), ("waves", WAVES))
    }
    lens = fit_lens("numbers-lens", "number", list(seen.values()))
    write_lens(catalog, lens)
    for name, cloud in seen.items():
        card = Domain(name, "number", name.title(), name, len(cloud), "CC0-1.0", origin=Origin.PUBLISHED)
        write_domain(catalog, card, sketch_of(name, cloud, lens))
    write_checkpoint(
        catalog,
        Checkpoint(
            "numbers-lens",
            "number",
            opened.architecture,
            folder,
            opened.digest,
            opened.parameters,
            opened.input_size,
            license="CC0-1.0",
            domain="shapes",
            origin=Origin.SEEDLING,
        ),
    )
