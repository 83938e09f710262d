"""A network that nobody has trained yet: it fires, not too much, and no neuron is out of reach."""

import pytest
import torch

import phc_snn as phc

STEPS, BATCH, CHANNELS = 250, 16, 6


def standardised(x):
    return (x - x.mean((0, 1))) / x.std((0, 1))


def white_noise(generator):
    return standardised(torch.randn(STEPS, BATCH, CHANNELS, generator=generator))


def movements(generator):
    """Slow oscillations under noise, as a sensor on a wrist sees them."""
    time = torch.arange(STEPS)[:, None, None]
    frequency = 0.02 + 0.08 * torch.rand(BATCH, CHANNELS, generator=generator)
    phase = 6.3 * torch.rand(BATCH, CHANNELS, generator=generator)
    noise = torch.randn(STEPS, BATCH, CHANNELS, generator=generator)
    return standardised(torch.sin(6.3 * frequency * time + phase) + 0.5 * noise)


@torch.no_grad()
@pytest.mark.parametrize("signal", [white_noise, movements])
@pytest.mark.parametrize("topology", ["feedforward", "bidirectional"])
@pytest.mark.parametrize("neurons", [16, 32, 64])
def test_fires_between_2_and_20_percent_of_the_time(neurons, topology, signal):
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        model = phc.PHCSSM(CHANNELS, 4, neurons=neurons, topology=topology, generator=generator)
        spikes = model(signal(generator), solver=phc.Exact()).solution.spikes
        assert 0.02 <= float(spikes.mean()) <= 0.20, f"seed {seed}"
        silent = (spikes.sum((0, 1)) == 0).nonzero().flatten().tolist()
        assert not silent, f"seed {seed}: neurons {silent} never fire"
