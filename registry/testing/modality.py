"""What every modality keeps: its items, fingerprints and raw features, and the two ends of its networks.

```python
class TestNumbers(ModalityContract):
    modality = NUMBER
    contents = {"a.num": b"[1, 2]", "b.num": b"[3]", ...}
    copies = {"a.num": b"[1.0, 2.0]"}
    broken = (b"[", b"[1, null]")

    def network(self): return open_network(folder_of_a_small_checkpoint)
```
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from jaxtyping import Float

from registry.duplicates import Fingerprints
from registry.encoders.layers import layers_of, read_blocks
from registry.errors import UnusableArrays
from registry.files import matching
from registry.modalities import Item, Modality, Network, Prepared, Undecodable, modalities, modality_of

__all__ = ["ModalityContract"]

_TOLERANCE = 1e-4
"""How far two vectors of one item may lie apart, relative to the largest value of any."""
_MOST_PREVIEW = 1 << 18
_SHOWN = ("image/", "text/", "audio/")


class ModalityContract(ABC):
    """The tests. A subclass, named so that pytest collects it, says what they run on."""

    modality: Modality
    """What is tested; registered under its name."""
    contents: Mapping[str, bytes]
    """At least eight files that hold an item each, by name; no two are alike, and sizes or lengths differ."""
    copies: Mapping[str, bytes]
    """Some of these items written anew, in other bytes."""
    broken: Sequence[bytes]
    """What holds no item."""

    @abstractmethod
    def network(self) -> Network:
        """The two ends of a small checkpoint, as `Modality.open` gives them."""

    def test_its_name_and_words_are_complete(self) -> None:
        """It is known by its name, by the inputs it makes and by the endings of its files; no word is empty."""
        known, words = self.modality, self.modality.words
        assert isinstance(known, Modality)
        assert modalities[known.name] is known
        assert all(modality_of(argument) is known for argument in known.inputs)
        assert known.inputs
        assert all((words.one, words.many, words.unit, words.raw))
        assert all(ending == ending.lower() and ending.startswith(".") for ending in known.suffixes)
        assert all(Path(name).suffix.lower() in known.suffixes for name in self.contents)
        assert known.classifier
        assert known.processor_files
        assert known.defaults.cap > 0

    def test_the_same_bytes_have_the_same_digest_and_others_another(self) -> None:
        """A digest follows the content alone, whatever its name is."""
        items = self._items()
        again = [self._decoded(f"again/{name}", content) for name, content in self.contents.items()]
        assert all(isinstance(item, Item) for item in items)
        assert [item.digest for item in items] == [item.digest for item in again]
        assert len({item.digest for item in items}) == len(items) >= 8
        assert [item.name for item in items] == list(self.contents)

    def test_broken_bytes_are_a_reason_and_never_an_exception(self) -> None:
        """Also what is cut off anywhere, or has a byte changed, is an item or a reason."""
        for content in (b"", *self.broken):
            decoded = self.modality.decode("broken", content)
            assert isinstance(decoded, Undecodable), content[:40]
            assert decoded.reason
        random = np.random.default_rng(0)
        for name, content in self.contents.items():
            for cut in {*random.integers(0, len(content), 8).tolist(), len(content) - 1}:
                self._item_or_reason(name, content[:cut])
                damaged = bytearray(content)
                damaged[cut] ^= 1 << int(random.integers(8))
                self._item_or_reason(name, bytes(damaged))

    def test_settled_items_stay_as_they_are(self) -> None:
        """Settled by the reading that was measured on them, items are shown the same."""
        items, reading = self.modality.settled(self._items(), {})
        again, same = self.modality.settled(items, reading)
        assert [item.shown for item in again] == [item.shown for item in items]
        assert dict(same) == dict(reading)

    def test_what_python_holds_is_refused_by_name_where_it_is_no_item(self) -> None:
        """Values of no modality are an error with a remedy."""
        for values in (None, [object()], np.zeros((2, 2), dtype=complex)):
            try:
                self.modality.from_memory(values)
            except UnusableArrays:
                continue
            raise AssertionError(f"{values!r} was taken")

    def test_what_a_models_signature_states_is_what_python_may_hand_over(self) -> None:
        """Its example is items, of the kind of number and the shape stated; nothing is stated of a text's."""
        declared = self.modality.in_memory
        assert self.modality.from_memory(declared.example)
        if declared.dtype:
            for one in map(np.asarray, declared.example):
                assert one.dtype == np.dtype(declared.dtype)
                assert len(one.shape) == len(declared.shape)
                assert all(wanted in {-1, held} for wanted, held in zip(declared.shape, one.shape, strict=True))
        else:
            assert all(isinstance(one, str) for one in declared.example)

    def test_fingerprints_are_unit_vectors_or_zero_and_those_of_altered_items_too(self) -> None:
        """One for each item, and as many altered ones for each."""
        settled, _ = self.modality.settled(self._items(), {})
        vectors, altered = np.asarray(self.modality.fingerprints(settled)), np.asarray(self.modality.altered(settled))
        assert vectors.shape[0] == len(altered) == len(settled)
        assert altered.shape[1] == 0 or altered.shape[2] == vectors.shape[1]
        for rows in (vectors, altered):
            lengths = np.linalg.norm(rows, axis=-1)
            assert (np.isclose(lengths, 1, atol=1e-5) | (lengths == 0)).all()

    def test_fingerprints_find_a_copy_written_anew_and_no_other(self) -> None:
        """Each copy is alike its own original alone."""
        originals = self._items()
        settled, _ = self.modality.settled(originals, {})
        assert not Fingerprints.of(settled, self.modality).repeated().any()
        names = list(self.contents)
        for name, content in self.copies.items():
            copy = self._decoded(name, content)
            assert copy.digest != originals[names.index(name)].digest
            matches = [
                bool(Fingerprints.of(self.modality.settled([one, copy], {})[0], self.modality).repeated()[1])
                for one in originals
            ]
            assert matches == [other == name for other in names], name

    def test_raw_features_never_see_the_held_out_rows(self) -> None:
        """A row's features follow from the row and from what was fitted, whatever else is transformed with it."""
        items = self._items()
        half = len(items) // 2
        for name in self.modality.words.raws:
            fitted = self.modality.raw(name).fit(items[:half])
            before = _dense(fitted.transform(items[:half]))
            held_out = _dense(fitted.transform(items[half:]))
            assert np.isfinite(before).all()
            assert np.array_equal(_dense(fitted.transform(items[:half])), before)
            both = np.concatenate([before, held_out])
            assert np.allclose(_dense(fitted.transform(items)), both, rtol=1e-6, atol=1e-6)
            assert np.array_equal(_dense(self.modality.raw(name).fit(items[:half]).transform(items[half:])), held_out)

    def test_raw_features_begin_with_the_same_steps(self) -> None:
        """What needs no fitting is done once, whichever features are made of it; without a name the plainest are."""
        names = self.modality.words.raws
        steps = [_leading(self.modality.raw(name)) for name in names]
        assert all(one == steps[0] for one in steps)
        assert str(self.modality.raw()) == str(self.modality.raw(names[0]))

    def test_raw_features_can_be_computed_by_others(self) -> None:
        """The recipe is Python that needs none of this code."""
        for name in self.modality.words.raws:
            recipe = self.modality.raw_recipe(self.modality.raw(name).fit(self._items()))
            compile(recipe.code, "recipe", "exec")
            assert "def features" in recipe.code

    def test_a_preview_is_small_and_of_a_kind_that_a_browser_knows(self) -> None:
        """Every item can be shown."""
        for item in self._items():
            preview = self.modality.preview(item)
            assert preview.mime.startswith(_SHOWN)
            assert 0 < len(preview.content) <= _MOST_PREVIEW

    def test_a_batch_is_what_the_model_takes(self) -> None:
        """The main input and what goes with it; what the middle reads, and what may be blended, are parts of it."""
        network, rows = self._prepared()
        batch, context = network.batch(rows), network.context(rows)
        assert network.model.main_input_name in self.modality.inputs & set(batch)
        assert set(context) <= set(batch) - self.modality.inputs
        assert all(bool((context[name] == batch[name]).all()) for name in context)
        assert set(network.blended) <= set(batch) - set(context)
        assert all(len(tensor) == len(rows) for tensor in batch.values())
        chance = [np.random.default_rng(place) for place in range(len(rows))]
        assert set(network.batch(rows, chance)) == set(batch)

    def test_padding_and_batch_size_change_no_vector(self) -> None:
        """Every block gives an item the same vector alone, among others, and in another order."""
        network, rows = self._prepared()
        whole = _vectors(network, rows)
        turned = [block[::-1] for block in _vectors(network, rows[::-1])]
        alone = [np.concatenate(parts) for parts in zip(*(_vectors(network, [row]) for row in rows), strict=True)]
        for others in (turned, alone):
            for one, other in zip(whole, others, strict=True):
                assert np.abs(one - other).max() <= _TOLERANCE * np.abs(one).max()
        assert all(block.std(axis=0).max() > 0 for block in whole)

    def test_examples_are_the_same_each_time_and_can_be_prepared(self) -> None:
        """An export is checked on them."""
        one, other = (self.network().examples() for _ in range(2))
        assert [item.digest for item in one] == [item.digest for item in other]
        assert len({item.digest for item in one}) == len(one) >= 2
        network = self.network()
        prepared = [[network.prepare(item) for item in items] for items in (one, other)]
        assert all(_same(left, right) for left, right in zip(*prepared, strict=True))

    def test_kept_features_count_every_file_of_a_processor(self) -> None:
        """What a processor writes is named by the modality: features are kept under the content of all of it."""
        with TemporaryDirectory() as place:
            self.network().save_processor(Path(place))
            written = {file.relative_to(place).as_posix() for file in Path(place).rglob("*") if file.is_file()}
            named = {*matching(self.modality.processor_files, Path(place))}
        assert written
        assert written <= named

    def test_a_processor_that_was_written_makes_the_same_batch(self) -> None:
        """From transformers' side, as those read it who open an export."""
        network = self.network()
        items = network.examples()
        with TemporaryDirectory() as place:
            network.save_processor(Path(place))
            theirs = network.reopened(Path(place), items)
        ours = network.batch([network.prepare(item) for item in items])
        for name, tensor in ours.items():
            assert tensor.shape == theirs[name].shape
            assert float((tensor.float() - theirs[name].float()).abs().max()) <= _TOLERANCE * (
                1 + float(tensor.float().abs().max())
            )

    def _items(self) -> list[Item]:
        return [self._decoded(name, content) for name, content in self.contents.items()]

    def _decoded(self, name: str, content: bytes) -> Item:
        decoded = self.modality.decode(name, content)
        assert not isinstance(decoded, Undecodable), decoded
        return decoded

    def _item_or_reason(self, name: str, content: bytes) -> None:
        decoded = self.modality.decode(name, content)
        assert isinstance(decoded, Item) or decoded.reason

    def _prepared(self) -> tuple[Network, list[Prepared]]:
        network = self.network()
        assert isinstance(network, Network)
        settled, _ = self.modality.settled(self._items(), {})
        return network, [network.prepare(item) for item in settled]


def _vectors(network: Network, rows: Sequence[Prepared]) -> list[Float[np.ndarray, "n d"]]:
    reading = read_blocks(network, layers_of(network), network.batch(rows))
    return [block.detach().numpy() for block in reading.blocks]


def _same(one: Prepared, other: Prepared) -> bool:
    return set(one) == set(other) and all(np.array_equal(one[name], other[name]) for name in one)


def _leading(raw: Any) -> list[str]:  # noqa: ANN401 - scikit-learn has no types
    """The steps that need no fitting, in words."""
    return [str(one) for one in takewhile(lambda step: not step.__sklearn_tags__().requires_fit, _steps(raw))]


def _steps(raw: Any) -> list[Any]:  # noqa: ANN401 - as above
    return [step for _, step in getattr(raw, "steps", ())]


def _dense(rows: object) -> Float[np.ndarray, "n d"]:
    """Raw features as an array; those of texts are sparse."""
    return np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, np.float64)
