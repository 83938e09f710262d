"""Two states that drive one another, scanned."""

import pytest
import torch

from phc_snn.scan.pair import pair_loop, pair_scan
from tests.tolerances import assert_near


def problem(steps, dtype=torch.float64):
    torch.manual_seed(0)
    matrix = tuple(tuple(0.6 * torch.rand(4, dtype=dtype) - 0.2 for _ in range(2)) for _ in "12")
    drive = tuple(torch.randn(steps, 3, 4, dtype=dtype) for _ in range(2))
    initial = tuple(torch.randn(3, 4, dtype=dtype) for _ in range(2))
    return matrix, drive, initial


@pytest.mark.parametrize("steps", [1, 2, 3, 5, 8, 17, 64, 1000])
def test_is_the_loop_over_steps(steps):
    given = problem(steps)
    for got, wanted in zip(pair_scan(*given), pair_loop(*given), strict=True):
        assert_near(got, wanted)


def test_gradients_are_those_of_the_loop():
    found = []
    for run in (pair_scan, pair_loop):
        matrix, drive, initial = problem(33)
        leaves = [t.requires_grad_() for t in (*matrix[0], *matrix[1], *drive, *initial)]
        first, second = run(matrix, drive, initial)
        total = (first * torch.linspace(-1, 1, 4)).sum() + second.square().sum()
        found.append(torch.autograd.grad(total, leaves))
    for got, wanted in zip(*found, strict=True):
        assert_near(got, wanted)


def test_no_steps():
    matrix, drive, initial = problem(0)
    for run in (pair_scan, pair_loop):
        assert [x.shape for x in run(matrix, drive, initial)] == [(0, 3, 4), (0, 3, 4)]


def test_powers_that_vanish_become_zero():
    """Arithmetic on denormal numbers is many times slower, and nothing of them can be seen."""
    matrix = ((0.5, torch.full((1,), 0.01)), (torch.zeros(1), torch.full((1,), 0.01)))
    drive = (torch.zeros(4096, 1), torch.ones(4096, 1))
    first, second = pair_scan(matrix, drive, (torch.ones(1), torch.ones(1)))
    tiny = torch.finfo(torch.float32).tiny
    for values in (first, second):
        assert not bool(((values != 0) & (values.abs() < tiny)).any())
