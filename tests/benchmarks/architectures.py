"""Architectures: what this makes of every architecture of transformers, each at a small size with random weights.

    python -m tests.benchmarks.architectures [--modality image] [--part 2/5] [--seconds 120] [--json FILE] [TYPE ...]

A row for each class that transformers' Auto classes have for a modality: its classifiers, and of the types without one
the bare model; of texts, where these are hundreds, those that people start from (`USUAL`), unless others are named. The
default configuration is made narrower and shallower as far as the net still works; it is saved with the image processor
(or a tokenizer) that belongs to it, and goes the whole way: registered (inspected, and examined whether it is a
function of its items), read by blocks, adapters beside its linear layers, one step of training in which every block
learns, resumed in its middle from kept activations, exported for the Auto classes and opened to the same logits. A cell
says yes, or no and why. ``--part 2/5`` is the second of five parts of the table, for a machine that has no hour at a
time; ``--seconds`` gives up a net that takes longer.
"""

import argparse
import json
import re
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional
from transformers import PreTrainedModel
from transformers.models.auto.image_processing_auto import (  # type: ignore[attr-defined]  # it exports no names
    IMAGE_PROCESSOR_MAPPING_NAMES,
)

from recommender.runs.folder import RunFolder
from recommender.serving.export import export
from recommender.tuning.activation_cache import ActivationCache
from recommender.tuning.classifier import Classifier, fresh_head
from recommender.tuning.heads import LinearHead, save_head
from registry.encoders.encoder import CheckpointEncoder, load_encoder
from registry.encoders.examination import examine_checkpoint
from registry.encoders.layers import layers_of
from registry.encoders.loading import auto_class, inspect, load_network, quiet
from registry.modalities import Modality, Network, modalities
from tests.registry.modalities.text.nets import word_pieces

MOST_PARAMETERS = 60_000_000
"""Of a net that is made here at all."""
USUAL: Mapping[str, tuple[str, ...]] = {
    "text": (
        "bert",
        "distilbert",
        "roberta",
        "deberta-v2",
        "electra",
        "albert",
        "mpnet",
        "xlm-roberta",
        "modernbert",
        "T5EncoderModel",
        "gpt2",
        "llama",
        "mamba",
    )
}
CLASSES = ("blue", "green", "red", "white", "black")
_SHRINKS = ((8, 2, 0, 64), (4, 2, 0, 64), (8, 2, 1, 64), (4, 2, 0, 0), (1, 2, 0, 0), (1, 99, 0, 0))
"""By how much widths are divided; how many layers, how many heads of attention are left; the side of the input (0: as
it is). The first with which the net works is taken."""
_DEPTH = re.compile(r"(?:^|_)(?:layers?|depths?|blocks|repeats)$|^n_layer$|_per_block$")
_WIDTH = re.compile(r"(?:hidden_sizes?|intermediate_size|_dims?|^d_model|_channels|^width|hidden_dim|n_embd|latents)$")
_DERIVED = re.compile(r"^(?:layer_types|id2label|label2id|_?stage_names|_?out_features|_?out_indices)$")
_KEPT = re.compile(r"num_channels|in_channels|head_dim|head_size|^patch|window")
_LEAST_WIDTH = 8
_VOCABULARY, _LAST_SPECIAL = 512, 3
"""Of the tokenizer that texts are written with: how many tokens there are, and the last that is no part of a text."""
_WHY = 110


@dataclass(frozen=True)
class Row:
    """What became of one architecture: yes, or no and why; empty where it never came to it."""

    architecture: str
    registered: str
    blocks: str = ""
    adapters: str = ""
    tuned: str = ""
    resumed: str = ""
    exported: str = ""

    @property
    def refused(self) -> tuple[str, ...]:
        """The columns that say no."""
        return tuple(field.name for field in fields(self) if str(getattr(self, field.name)).startswith("no"))


@dataclass(frozen=True)
class Built:
    """A small checkpoint of an architecture in a folder, or why there is none."""

    folder: Path | None
    why: str = ""


def main() -> None:
    """Print the table, row by row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("types", nargs="*", help="types of models as transformers names them; all of them by default")
    parser.add_argument("--modality", default="image", choices=sorted(modalities))
    parser.add_argument("--part", type=_part_of, default=(1, 1), help="one of so many parts of the table: 2/5")
    parser.add_argument("--seconds", type=int, default=0, help="give up a net after so many; 0: never")
    parser.add_argument("--json", type=Path, help="write the rows there, too")
    requested = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    rows = []
    for row in table(requested.modality, requested.types, requested.part, requested.seconds):
        print(" | ".join((row.architecture, *(str(value) for value in list(asdict(row).values())[1:]))), flush=True)
        rows.append(row)
    if requested.json:
        requested.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    _print_table(rows)


def table(modality: str, types: Sequence[str] = (), part: tuple[int, int] = (1, 1), seconds: int = 0) -> Iterator[Row]:
    """A row for each architecture of a modality, or of those types alone; of so many parts one.

    A net that takes more than ``seconds`` is given up; with 0 none is.
    """
    number, of = part
    for kind in architectures(modalities[modality], types)[number - 1 :: of]:
        with tempfile.TemporaryDirectory() as place:
            try:
                with _given_up_after(seconds):
                    row = judged(kind, modalities[modality], Path(place))
            except _TakesTooLong:
                row = Row(kind.__name__, f"no: it takes more than {seconds} s")
            yield row


class _TakesTooLong(BaseException):
    """Not an Exception: those that a net raises are caught on its way."""


@contextmanager
def _given_up_after(seconds: int) -> Iterator[None]:
    def give_up(_signal: int, _frame: object) -> None:
        raise _TakesTooLong

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def architectures(modality: Modality, types: Sequence[str] = ()) -> list[type[PreTrainedModel]]:
    """Classifiers of that modality, then bare models of the types that have none, and classes that are named."""
    result: dict[type[PreTrainedModel], None] = {}
    labelled = set()
    types = types or USUAL.get(modality.name, ())
    named = [name for name in types if hasattr(transformers, name)]
    for auto in (auto_class(modality), transformers.AutoModel):
        for of_type, names in (*auto._model_mapping._model_mapping.items(), *((name, name) for name in named)):
            kinds = [_class_of(name) for name in ([names] if isinstance(names, str) else names)]
            if types and of_type not in types:
                continue
            ours = [kind for kind in kinds if kind is not None and _takes(kind, modality)]
            if of_type in labelled:
                ours = [kind for kind in ours if _compares(kind)]
            result.update(dict.fromkeys(ours))
            if auto is not transformers.AutoModel and ours:
                labelled.add(of_type)
    return list(result)


def judged(kind: type[PreTrainedModel], modality: Modality, place: Path) -> Row:
    """One architecture, all the way."""
    built = _built(kind, modality, place)
    if built.folder is None:
        return Row(kind.__name__, f"no: {built.why}")
    folder = built.folder
    encoder, read = _tried(lambda: load_encoder(folder))
    if encoder is None:
        return Row(kind.__name__, "yes", read)
    rows = [encoder.network.prepare(item) for item in encoder.network.examples()]
    return Row(
        kind.__name__,
        "yes",
        f"yes, {len(encoder.blocks)}",
        _tried(lambda: _adapted(folder, rows))[1],
        _tried(lambda: _stepped(folder, rows))[1],
        _tried(lambda: _resumed(folder, rows))[1],
        _tried(lambda: _exported(encoder, folder, place / "exported"))[1],
    )


def _part_of(text: str) -> tuple[int, int]:
    """``2/5`` as two numbers."""
    number, of = map(int, text.split("/"))
    if not 1 <= number <= of:
        raise ValueError(text)
    return number, of


def _class_of(name: str) -> type[PreTrainedModel] | None:
    """A class of transformers; None where it cannot be had here."""
    try:
        kind: type[PreTrainedModel] = getattr(transformers, name)
        return kind if kind.config_class is not None else None
    except (ImportError, AttributeError):
        return None


def _takes(kind: type[PreTrainedModel], modality: Modality) -> bool:
    """Whether its items are of that modality: its main input, all that it takes, or one of the two that it compares."""
    stated = getattr(kind, "input_modalities", ())
    taken = {stated} if isinstance(stated, str) else set(stated)
    main = kind.main_input_name
    tower = modality.name == "image" and _compares(kind)
    ours = isinstance(main, str) and main in modality.inputs and not _compares(kind)
    return ours or taken == {modality.name} or tower


def _compares(kind: type[PreTrainedModel]) -> bool:
    """Whether it compares images with texts: its image encoder is what is registered."""
    return hasattr(kind, "get_image_features") and hasattr(kind, "get_text_features")


def _built(kind: type[PreTrainedModel], modality: Modality, place: Path) -> Built:
    """The smallest of the nets that works; where none does, why the largest does not."""
    why = "it has no default configuration"
    for number, shrink in enumerate(_SHRINKS):
        folder = place / f"{number}"
        try:
            with quiet(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                written = _written(kind, modality, folder, *shrink)
                if not written:
                    why += f"; no larger one was tried, for it is beyond {MOST_PARAMETERS:,} parameters"
                    break
                inspect(folder)
                examine_checkpoint(folder, "net")
        except Exception as fault:  # configurations so changed may raise anything; a fault of ours is to be told too
            why = _in_short(fault)
            continue
        return Built(folder)
    return Built(None, why)


def _written(
    kind: type[PreTrainedModel], modality: Modality, folder: Path, narrower: int, layers: int, heads: int, side: int
) -> bool:
    """Save a net at random weights with its processor, unless it is too large."""
    maker: Any = kind.config_class
    config = maker.from_dict({**_smaller(maker().to_dict(), narrower, layers, heads, side), "num_labels": 3})
    with torch.device("meta"):
        size = sum(p.numel() for p in kind(config).parameters())
    if size > MOST_PARAMETERS:
        return False
    torch.manual_seed(0)
    model = kind(config)
    _enliven(model)
    model.save_pretrained(folder)
    _PROCESSORS[modality.name](folder, model, side)
    return True


def _smaller(settings: Mapping[str, Any], narrower: int, layers: int, heads: int, side: int) -> dict[str, Any]:
    """The settings of a configuration with widths divided, fewer layers and smaller inputs, all the way down."""

    def changed(key: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return _smaller(value, narrower, layers, heads, side)
        if isinstance(value, list):
            return [changed(key, one) for one in value]
        if key == "depth_coefficient":  # EfficientNet's: 3.1 for its largest
            return min(value, 1.0)
        number = isinstance(value, int) and not isinstance(value, bool) and not _KEPT.search(key)
        return _less(key, value, narrower, layers, heads, side) if number else value

    return {key: changed(key, value) for key, value in settings.items() if not _DERIVED.search(key)}


def _less(key: str, value: int, narrower: int, layers: int, heads: int, side: int) -> int:
    if key == "image_size":
        return side or value
    if key == "vocab_size" or key.endswith("_token_id"):
        return 0 if key == "pad_token_id" else min(value, _VOCABULARY if key == "vocab_size" else _LAST_SPECIAL)
    if _DEPTH.search(key):
        return min(value, layers)
    if heads and "_heads" in key:
        return heads
    return max(_LEAST_WIDTH, value // narrower) if _WIDTH.search(key) and value > _LEAST_WIDTH else value


def _enliven(model: PreTrainedModel) -> None:
    """Weights through which a signal comes: as they are initialized to be trained, many make all items alike."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            small = parameter.ndim <= 1 and bool((parameter.abs() < 0.1).all())
            if small and re.search(r"scale|gamma|lambda", name):
                parameter.fill_(0.5)
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)


def _image_processor(folder: Path, model: PreTrainedModel, side: int) -> None:
    """The processor of the type, for pictures of the size that the net states; a plain one where it has none."""
    config = model.config
    whole = re.sub(r"_vision(_model)?$", "", str(config.model_type))  # a tower's processor is that of the whole
    kinds = (IMAGE_PROCESSOR_MAPPING_NAMES.get(of_type) for of_type in (str(config.model_type), whole))
    named = next((kind for kind in kinds if kind), {}).get("pil", "")
    maker = getattr(transformers, named or "ViTImageProcessorPil")
    settings: dict[str, Any] = maker().to_dict()
    stated = getattr(getattr(config, "vision_config", config), "image_size", None)
    stated = stated[0] if isinstance(stated, list | tuple) else stated
    wanted = stated if isinstance(stated, int) else side
    if "max_num_patches" in settings and side:
        settings["max_num_patches"] = (side // settings["patch_size"]) ** 2
    for key in ("size", "crop_size"):
        if wanted and isinstance(settings.get(key), Mapping):
            settings[key] = dict.fromkeys((edge for edge, value in settings[key].items() if value), wanted)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def _tokenizer(folder: Path, model: PreTrainedModel, side: int) -> None:
    """A tokenizer of word pieces, trained on a few sentences."""
    del side
    tokenizer = word_pieces()
    takes = signature(model.forward).parameters
    tokenizer.model_input_names = [name for name in tokenizer.model_input_names if name in takes]
    tokenizer.save_pretrained(folder)


_PROCESSORS: Mapping[str, Callable[[Path, PreTrainedModel, int], None]] = {
    "image": _image_processor,
    "text": _tokenizer,
}


def _classifier(folder: Path, rows: Sequence[Any]) -> tuple[Classifier, dict[str, torch.Tensor], Network]:
    """A net with a head drawn at random, and a batch."""
    network = load_network(folder)
    layers = layers_of(network)
    batch = network.batch(rows)
    classifier = Classifier(network, layers, layers.names[-1], fresh_head(1, len(CLASSES)))
    with torch.no_grad():
        width = classifier.blocks(**batch)[-1].shape[1]
    torch.manual_seed(1)
    classifier.head = nn.Linear(width, len(CLASSES))
    return classifier, batch, network


def _adapted(folder: Path, rows: Sequence[Any]) -> str:
    built, batch, _ = _classifier(folder, rows)
    with torch.no_grad():
        before = built(**batch)
    built.adapt(built.layers.names, 2)
    built.learn(built.layers.names, "adapters")
    after = built(**batch)
    if not torch.allclose(before, after.detach(), atol=1e-4 * float(before.abs().max() + 1)):
        return "no: adapters change it before they have learned anything"
    _loss(after).backward()
    learning = [p for name, p in built.body.named_parameters() if "lora_B" in name]
    moved = sum(p.grad is not None and bool(p.grad.any()) for p in learning)
    return f"yes, {moved}" if moved else "no: no gradient comes to them"


def _stepped(folder: Path, rows: Sequence[Any]) -> str:
    built, batch, _ = _classifier(folder, rows)
    built.learn(built.layers.names)
    built.train(False)
    before = {name: p.detach().clone() for name, p in built.body.named_parameters()}
    optimizer = torch.optim.SGD([p for p in built.parameters() if p.requires_grad], 1e-2)
    loss = _loss(built(**batch))
    loss.backward()
    nn.utils.clip_grad_norm_(built.parameters(), 1.0)
    optimizer.step()
    if not bool(torch.isfinite(loss)):
        return "no: its loss is no number"
    changed = {name for name, p in built.body.named_parameters() if not torch.equal(p, before[name])}
    still = [
        block.name for block in built.layers.blocks if not any(name.startswith(block.prefixes) for name in changed)
    ]
    return f"no: {', '.join(still)} learns nothing" if still else "yes"


def _resumed(folder: Path, rows: Sequence[Any]) -> str:
    built, batch, network = _classifier(folder, rows)
    names = built.layers.names
    if len(names) < 2:
        return "no: it is one block"
    middle = names[(len(names) - 1) // 2]
    try:
        ActivationCache(built.eval(), middle, batch, network.context(rows).keys())
    except Exception as fault:  # a net that hands on more than one tensor may raise anything
        return f"no: {_in_short(fault)}"
    return "yes"


def _exported(encoder: CheckpointEncoder, folder: Path, to: Path) -> str:
    width = encoder.encode(encoder.network.examples()[:1]).last.vectors.shape[1]
    random = np.random.default_rng(0)
    weight, bias = random.normal(size=(len(CLASSES), width)), random.normal(size=len(CLASSES))
    save_head(LinearHead(weight.astype(np.float32) / np.float32(width**0.5), bias.astype(np.float32)), folder)
    run = {
        "task": "classification",
        "classes": CLASSES,
        "plan": {"strategy": "linear-probe", "read": encoder.blocks[-1]},
        "sample": {"metric": "accuracy", "modality": encoder.modality, "origin": ""},
    }
    (folder / "run.json").write_text(json.dumps(run))
    done = export(RunFolder(folder), to)
    return f"yes, {done.architecture}"


def _loss(logits: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(logits, torch.arange(len(logits)) % len(CLASSES))


def _tried(step: Callable[[], Any]) -> tuple[Any, str]:
    """What a step gives, and in words."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            done = step()
    except Exception as fault:  # this is what is to be told
        return None, f"no: {_in_short(fault)}"
    return done, done if isinstance(done, str) else "yes"


def _in_short(fault: Exception) -> str:
    words = getattr(fault, "why", None) or f"{type(fault).__name__}: {fault}"
    return " ".join(str(words).split())[:_WHY]


def _print_table(rows: Sequence[Row]) -> None:
    shown = Table(title=f"{len(rows)} architectures of transformers {transformers.__version__}")
    for field in fields(Row):
        shown.add_column(field.name)
    for row in rows:
        shown.add_row(*(str(getattr(row, field.name)) for field in fields(Row)))
    console = Console(width=240)
    console.print(shown)
    for field in list(fields(Row))[1:]:
        answers = [str(getattr(row, field.name)) for row in rows]
        console.print(f"{field.name}: {sum(answer.startswith('yes') for answer in answers)} of {len(rows)}")


if __name__ == "__main__":
    main()
