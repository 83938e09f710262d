"""Time series of one length as tensors, of several as sequences of their own lengths."""

from dataclasses import replace

import pytest
import torch

from phc_snn.data import TimeSeriesDataset, stacked


def make(x, **more):
    y = torch.zeros(len(x)).long()
    channels = x[0].shape[-1]
    zero, one = torch.zeros(channels), torch.ones(channels)
    return TimeSeriesDataset("made", ("a",), x, y, x, y, mean=zero, scale=one, **more)


@pytest.fixture
def unequal():
    generator = torch.Generator().manual_seed(0)
    x = [3 + 2 * torch.randn(steps, 2, generator=generator) for steps in (4, 9, 1)]
    return make(tuple(x))


def test_a_constant_channel_stays_finite():
    dataset = make(torch.ones(3, 5, 2))
    dataset = replace(dataset, test_x=torch.full((1, 5, 2), 1.001)).standardized()
    assert float(dataset.test_x.abs().max()) < 0.01


def test_sequences_are_scaled_over_their_own_steps(unequal):
    scaled = unequal.standardized()
    assert [len(x) for x in scaled.train_x] == [4, 9, 1]
    steps = torch.cat(scaled.train_x)
    torch.testing.assert_close(steps.mean(0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(steps.std(0), torch.ones(2))
    assert unequal.channels == scaled.channels == 2


def test_each_part_is_scaled_alike(unequal):
    unequal = replace(unequal, validation_x=unequal.train_x[:1], validation_y=torch.zeros(1))
    scaled = unequal.standardized().standardized()
    for part in ("train_x", "test_x", "validation_x"):
        for raw, x in zip(getattr(unequal, part), getattr(scaled, part), strict=True):
            torch.testing.assert_close((raw - scaled.mean) / scaled.scale, x)


def test_lengths_of_one_are_the_same_either_way():
    x = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(1))
    together, alone = make(x).standardized(), make(tuple(x)).standardized()
    torch.testing.assert_close(together.train_x, torch.stack(alone.train_x))


@pytest.mark.parametrize("part", ["test", "validation"])
def test_only_the_training_part_is_looked_at(part):
    x = torch.randn(5, 7, 3, generator=torch.Generator().manual_seed(1))
    dataset = make(x, validation_x=x, validation_y=torch.zeros(5).long())
    shifted = replace(dataset, **{f"{part}_x": x + 100})
    assert torch.equal(shifted.standardized().train_x, dataset.standardized().train_x)


def test_what_needs_one_length_says_so(unequal):
    x = torch.zeros(3, 5, 2)
    assert stacked(x) is x
    with pytest.raises(ValueError, match=r"data: got sequences of 1 to 9 steps, expected one len"):
        stacked(unequal.train_x)


def shifted(samples=3, steps=10, channels=4, seed=0):
    """Channels that are one row at many delays, and the row."""
    generator = torch.Generator().manual_seed(seed)
    row = torch.randn(samples, steps + (channels - 1) * channels, generator=generator)
    starts = [c * channels for c in range(channels)]
    return torch.stack([row[:, s : s + steps] for s in starts], dim=-1), row


@pytest.mark.parametrize(("steps", "channels"), [(10, 4), (12, 4), (7, 6), (9, 2)])
def test_delays_of_one_row_become_its_whole_recordings(steps, channels):
    x, row = shifted(steps=steps, channels=channels)
    found = make(x, validation_x=x[:1], validation_y=torch.zeros(1).long()).unshifted()
    count = row.shape[1] // steps
    assert found.train_x.shape == (3, steps, count)
    assert found.channels == len(found.mean) == len(found.scale) == count
    for c in range(count):
        assert torch.equal(found.train_x[:, :, c], row[:, c * steps : (c + 1) * steps])
    assert torch.equal(found.validation_x, found.train_x[:1])


@pytest.mark.parametrize(
    "x", [torch.randn(2, 10, 4), torch.randn(2, 10, 1), torch.zeros(2, 4, 4), torch.zeros(2, 3, 4)]
)
def test_other_sets_are_not_unshifted(x):
    with pytest.raises(ValueError, match="unshifted: made is not a set whose channels are one row"):
        make(x).unshifted()


def test_it_is_scaled_afterwards():
    with pytest.raises(ValueError, match="unshifted: made was scaled; scale it afterwards"):
        make(shifted()[0]).standardized().unshifted()


def test_steps_become_their_mean(unequal):
    found = unequal.averaged(4)
    assert [len(x) for x in found.train_x] == [1, 3, 1]
    torch.testing.assert_close(found.train_x[1][1], unequal.train_x[1][4:8].mean(0))
    assert torch.equal(found.train_x[1][2], unequal.train_x[1][8])  # what is left over
    equal = make(torch.arange(12.0).reshape(2, 6, 1)).averaged(3)
    assert equal.train_x.flatten().tolist() == [1, 4, 7, 10]
    assert torch.equal(unequal.averaged(1).train_x[1], unequal.train_x[1])
    with pytest.raises(ValueError, match="steps: got 0"):
        unequal.averaged(0)
