"""What is told to memory changes no value."""

import numpy as np
import pytest
import torch
from numpy import uint64 as count

from phc_snn import affine_scan
from phc_snn.kernels import hints
from tests.tolerances import assert_same_bits


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex64, np.complex128])
@pytest.mark.parametrize("streamed", [0, 1])
@pytest.mark.parametrize(("low", "lanes"), [(0, 64), (0, 67), (3, 1), (5, 50), (7, 0), (16, 33)])
def test_a_row_is_written_and_nothing_beside_it(dtype, streamed, low, lanes):
    array = np.full((3, 67), -1, dtype)
    values = (np.arange(80) + 1).astype(dtype)
    expected = array.copy()
    expected[1, low : low + lanes] = values[:lanes]
    hints.write(array, count(1), count(low), values, count(lanes), count(streamed))
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
@pytest.mark.parametrize("shape", [(5, 3, 7), (9, 2, 1030), (4, 64)])
@pytest.mark.parametrize("constant", [False, True])
def test_a_scan_past_the_caches_has_the_same_bits(
    monkeypatch, restore_threads, dtype, shape, constant
):
    generator = torch.Generator().manual_seed(0)
    real = torch.float64 if dtype == torch.float64 else torch.float32
    a = torch.rand(shape[1:] if constant else shape, dtype=real, generator=generator).to(dtype)
    b, g = torch.randn((2, *shape), dtype=dtype, generator=generator).unbind(0)
    a.requires_grad_()
    b = b.clone().requires_grad_()

    def run():
        h = affine_scan(a, b, backend="numba")
        return [h.detach(), *torch.autograd.grad(h, (a, b), g)]

    found = run()
    monkeypatch.setattr(hints, "_STREAMED", 1)
    asked = []
    monkeypatch.setattr(
        "phc_snn.scan.compiled.is_streamed",
        lambda array: asked.append(hints.is_streamed(array)) or asked[-1],
    )
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        for value, expected in zip(run(), found, strict=True):
            assert_same_bits(value, expected)
    assert asked
    assert all(asked)
