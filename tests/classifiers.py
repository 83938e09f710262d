"""A small `PHCSSM` for tests, and its input."""

import torch

import phc_snn as phc


def make(seed=0, **options):
    options = {"in_features": 5, "num_classes": 3, "neurons": 16, **options}
    return phc.PHCSSM(**options, generator=torch.Generator().manual_seed(seed))


def data(steps=30, batch=4, channels=5, dtype=torch.float32):
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(steps, batch, channels, generator=generator, dtype=torch.float64)
    return (1.5 * x).to(dtype)
