"""Batches of recordings of different lengths."""

import pytest
import torch

from phc_snn.data import EventBatch, collate_events, event_loader

ITEMS = [
    (torch.full((steps, 2, 3), float(steps)), label) for steps, label in ((2, 1), (5, 0), (0, 3))
]


def test_time_comes_first_and_padding_is_known():
    batch = collate_events(ITEMS)
    assert batch.frames.shape == (5, 3, 2, 3)
    assert batch.lengths.tolist() == [2, 5, 0]
    assert batch.labels.tolist() == [1, 0, 3]
    assert batch.lengths.dtype == batch.labels.dtype == torch.int64
    assert batch.mask.shape == (5, 3)
    assert batch.mask.sum(0).tolist() == [2, 5, 0]
    assert not bool(batch.frames[~batch.mask].any())
    for i, (frames, _) in enumerate(ITEMS):
        assert torch.equal(batch.frames[batch.mask[:, i], i], frames)


def test_batch_first():
    first, other = collate_events(ITEMS), collate_events(ITEMS, batch_first=True)
    assert torch.equal(other.frames, first.frames.transpose(0, 1))
    assert torch.equal(other.mask, first.mask.T)
    assert torch.equal(other.lengths, first.lengths)


def test_a_batch_of_empty_recordings():
    batch = collate_events(ITEMS[2:])
    assert batch.frames.shape == (0, 1, 2, 3)
    assert batch.mask.shape == (0, 1)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "items: got none"),
        (
            [(torch.ones(2, 3), 0), (torch.ones(2, 4), 0)],
            r"items: got frames of the shapes \[\(3,\), \(4,\)\], expected one for all",
        ),
    ],
)
def test_items_that_make_no_batch(items, message):
    with pytest.raises(ValueError, match=message):
        collate_events(items)


class TestLoader:
    def test_gives_every_recording_once(self):
        batches = list(event_loader(ITEMS, batch_size=2))
        assert all(isinstance(batch, EventBatch) for batch in batches)
        assert [batch.labels.tolist() for batch in batches] == [[1, 0], [3]]
        assert batches[1].frames.shape == (0, 1, 2, 3)

    def test_order_is_that_of_the_generator(self):
        def orders(seed):
            generator = torch.Generator().manual_seed(seed)
            loader = event_loader(100 * ITEMS, batch_size=100, shuffle=True, generator=generator)
            return [batch.labels.tolist() for _ in range(2) for batch in loader]

        assert orders(0) == orders(0)
        assert orders(0) != orders(1)
        assert orders(0)[0] != orders(0)[3], "a new order each time"

    def test_batch_first(self):
        (batch,) = event_loader(ITEMS, batch_size=3, batch_first=True)
        assert batch.frames.shape == (3, 5, 2, 3)

    @pytest.mark.parametrize("size", [0, -1, 2.0])
    def test_sizes_that_are_none(self, size):
        with pytest.raises(ValueError, match=r"batch_size: got .*, expected a positive integer"):
            event_loader(ITEMS, batch_size=size)
