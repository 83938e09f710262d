"""What a step is given is a function of its number."""

from itertools import chain

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import TensorDataset

from phc_snn.training import batches
from phc_snn.training.batches import Augmented, OfEqualLength, StepSampler, draws, training_loader


def steps(size, batch_size, per_epoch, epochs, seed=0):
    sampler = StepSampler(size, batch_size, seed, per_epoch)
    found = []
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        found += list(sampler)
    return found


@given(
    size=st.integers(1, 20),
    batch_size=st.integers(1, 25),
    per_epoch=st.integers(1, 9),
    seed=st.integers(0, 2**63 - 1),
)
def test_each_pass_takes_each_recording_once(size, batch_size, per_epoch, seed):
    found = steps(size, batch_size, per_epoch, 6, seed)
    assert len(found) == 6 * per_epoch
    in_pass = -(-size // batch_size)
    for seen in range(len(found) // in_pass):
        taken = list(chain(*found[seen * in_pass : (seen + 1) * in_pass]))
        assert sorted(taken) == [(i, seen) for i in range(size)]


def test_the_length_of_an_epoch_changes_no_step():
    assert steps(10, 3, 1, 20) == steps(10, 3, 5, 4) == steps(10, 3, 20, 1)


def test_orders_differ_between_passes_and_seeds():
    found = {seed: [i for i, _ in chain(*steps(50, 50, 1, 2, seed))] for seed in (0, 1)}
    assert found[0][:50] != found[0][50:]
    assert found[0] != found[1]


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_each_batch(monkeypatch, processes):
    whole = steps(20, 7, 3, 4)
    shared = []
    for rank in range(processes):
        monkeypatch.setattr(batches, "_place", lambda rank=rank: (rank, processes))
        shared.append(steps(20, 7, 3, 4))
    for batch, parts in zip(whole, zip(*shared, strict=True), strict=True):
        assert sorted(chain(*parts)) == sorted(batch)
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_batch_too_small_to_share(monkeypatch):
    monkeypatch.setattr(batches, "_place", lambda: (0, 3))
    with pytest.raises(ValueError, match="batch_size: got 9, which leaves 2 of 20 recordings"):
        steps(20, 9, None, 1)


def test_draws_hang_on_all_numbers():
    def first(*numbers):
        return torch.rand(1, generator=draws(*numbers)).item()

    assert first(1, 2, 3) == first(1, 2, 3)
    assert len({first(1, 2, 3), first(3, 2, 1), first(1, 2), first(1, 2, 4), first(0, 0, 0)}) == 5


ITEMS = [(torch.ones(5 + i, 4), i) for i in range(6)]


class TestAugmented:
    def test_dropout_hangs_on_recording_pass_and_seed_and_not_on_the_batch(self):
        batch = Augmented(ITEMS, 0.5, seed=1)
        alone, together = batch[[(2, 0)]], batch[[(5, 0), (2, 0)]]
        assert torch.equal(alone.frames[:, 0], together.frames[:7, 1])
        for other in (batch[[(2, 1)]], Augmented(ITEMS, 0.5, seed=2)[[(2, 0)]]):
            assert not torch.equal(alone.frames, other.frames)

    def test_what_is_kept_grows(self):
        frames = Augmented([(torch.ones(4000, 4), 0)], 0.75)[[(0, 0)]].frames
        assert set(frames.unique().tolist()) == {0.0, 4.0}
        assert frames.mean().item() == pytest.approx(1.0, abs=0.05)

    def test_without_either_the_items_are_as_they_are(self):
        batch = Augmented(ITEMS)[[(3, 7), (0, 7)]]
        assert batch.lengths.tolist() == [8, 5]
        assert batch.labels.tolist() == [3, 0]
        assert batch.frames.sum().item() == 4 * 13


def test_recordings_of_one_length_need_no_padding():
    x, labels = torch.randn(6, 9, 2), torch.arange(6)
    loader = training_loader(TensorDataset(x, labels), batch_size=4, seed=0)
    assert isinstance(loader.dataset, OfEqualLength)
    seen = []
    for batch, lengths, of in loader:
        assert lengths is None
        assert torch.equal(batch, x[of].transpose(0, 1))
        seen += of.tolist()
    assert sorted(seen) == [0, 1, 2, 3, 4, 5]
    dropped = training_loader(TensorDataset(x, labels), batch_size=4, seed=0, dropout=0.5)
    assert isinstance(dropped.dataset, Augmented)
