"""The run of P-SpikeSSM on spoken digits, on made-up ones."""

import argparse

import pytest
import torch

from benchmarks.p_spike import batches, of_one_length, train
from phc_snn.data import SpokenDigits


@pytest.fixture(autouse=True)
def restore_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def digits(samples, seed):
    """Each digit is a bump at a place of its own, in noise."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(samples) % 10
    x = 0.3 * torch.randn(12, samples, 10, generator=generator)
    x[4:8, torch.arange(samples), labels] += 2.0
    return x, labels


def test_learns_and_steps_as_it_was_trained():
    data = {name: digits(80, i) for i, name in enumerate(("train", "validation", "test"))}
    options = argparse.Namespace(
        features=16,
        blocks=1,
        modes=2,
        discretization="zoh",
        residual=False,
        epochs=12,
        batch=16,
        rate=2e-2,
        seed=0,
    )
    result = train(data, options)
    assert result["validation"] > 0.5
    assert result["test_mean"] > 0.5
    assert len(result["epochs"]) == 12
    assert result["epochs"][-1]["loss"] < result["epochs"][0]["loss"]
    assert result["steps_agree_in_every_bit"]
    again = train(data, options)
    assert [e["loss"] for e in again["epochs"]] == [e["loss"] for e in result["epochs"]]


def test_batches_are_of_one_size_and_cover_an_epoch():
    found = list(batches(10, 4, torch.Generator().manual_seed(0)))
    assert [len(index) for index in found] == [4, 4]
    assert len({int(i) for index in found for i in index}) == 8


def test_recordings_are_cut_off_and_filled_up():
    frames = [torch.ones(3, 2), 2.0 * torch.ones(8, 2)]
    part = SpokenDigits(
        "train",
        ["3_a_10.wav", "7_a_11.wav"],
        frames,
        window=10.0,
        bands=2,
        mean=torch.zeros(2),
        scale=torch.ones(2),
    )
    x, labels = of_one_length(part, 5)
    assert labels.tolist() == [3, 7]
    assert x[:, 0, 0].tolist() == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert x[:, 1, 1].tolist() == [2.0] * 5
