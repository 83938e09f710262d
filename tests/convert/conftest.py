"""A classifier whose modes differ, and data that it can learn."""

import pytest
import torch

import phc_snn as phc

SAMPLES = 12


@pytest.fixture
def model():
    return phc.PHCSSM(3, 2, neurons=16, gain=30.0, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(SAMPLES) % 2
    x = torch.randn(SAMPLES, 40, 3, generator=generator)
    x[..., 0] += labels[:, None] * 2.0 - 1.0
    return x, labels
