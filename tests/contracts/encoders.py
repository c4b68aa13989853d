"""What every encoder promises. A plug-in subclasses `EncoderContract` and gives the fixtures `encoder` and `items`."""

import numpy as np
import pytest

from registry.encoders import Encoder
from registry.errors import TooFewRows
from registry.progress import Cancelled
from tests.observers import Recorder

TOLERANCE = 1e-4


class EncoderContract:
    """The laws; every test takes the encoder under test and at least five different items."""

    def test_it_keeps_the_promise(self, encoder):
        assert isinstance(encoder, Encoder)
        assert len(set(encoder.blocks)) == len(encoder.blocks) > 0

    def test_as_many_rows_come_out_as_items_go_in_for_every_block(self, encoder, items):
        for count in (1, 5):
            encoded = encoder.encode(items[:count])
            assert encoded.names == encoder.blocks
            assert [len(block) for block in encoded.blocks] == [count] * len(encoder.blocks)

    def test_the_same_items_give_the_same_vectors(self, encoder, items):
        once, twice = encoder.encode(items), encoder.encode(items)
        for left, right in zip(once.blocks, twice.blocks, strict=True):
            assert np.array_equal(left.vectors, right.vectors)

    def test_vectors_are_finite_32_bit_floats(self, encoder, items):
        for block in encoder.encode(items).blocks:
            assert block.vectors.dtype == np.float32
            assert np.isfinite(block.vectors).all()

    def test_an_item_has_its_vector_whatever_else_is_in_the_batch(self, encoder, items):
        together = encoder.encode(items)
        for row in (0, len(items) - 1):
            alone = encoder.encode([items[row]])
            for left, right in zip(together.blocks, alone.blocks, strict=True):
                scale = max(1.0, float(np.abs(left.vectors).max()))
                assert np.abs(left.vectors[row] - right.vectors[0]).max() < TOLERANCE * scale

    def test_different_items_have_different_vectors(self, encoder, items):
        vectors = encoder.encode(items[:2]).last.vectors
        assert not np.array_equal(vectors[0], vectors[1])

    def test_every_block_names_its_space(self, encoder, items):
        spaces = [block.encoder for block in encoder.encode(items[:1]).blocks]
        assert spaces == [f"{encoder.name}@{encoder.digest}#{block}" for block in encoder.blocks]

    def test_progress_is_told_to_the_end(self, encoder, items):
        recorder = Recorder()
        encoder.encode(items, progress=recorder)
        assert recorder.counts[0] == (0, len(items))
        assert recorder.counts[-1] == (len(items), len(items))

    def test_encoding_ends_where_the_observer_wants_no_more(self, encoder, items):
        with pytest.raises(Cancelled):
            encoder.encode(items, progress=Recorder(stopped=True))

    def test_no_items_are_refused(self, encoder):
        with pytest.raises(TooFewRows):
            encoder.encode([])
