"""What symbols record, and what they refuse."""

import pytest
import torch

from phc_snn.kernels import Stage, UntraceableError
from phc_snn.kernels.graph import Graph
from tests.kernels.comparison import BOTH, assert_same_results, by_kernel, by_operations, flat


@pytest.fixture
def x():
    return Graph().add("input", payload=("x", 0))


def test_common_nodes_are_one(x):
    assert (x * 2.0 + 1.0).index == (x * 2.0 + 1.0).index
    assert (x * 0.0).index != (x * -0.0).index


def test_needed_does_not_look_behind_what_is_given(x):
    y = x + 1.0
    z = y * y
    assert x.graph.needed([z.index], [y.index]) == [y.index, z.index]
    assert x.index in x.graph.needed([z.index])


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda x: x == 0.0, "a test for equality"),
        (lambda x: x != 0.0, "a test for equality"),
        (lambda x: x.to(torch.float32), "a change of dtype"),
        (lambda x: bool(x > 0.0), "a decision that depends on a value"),
        (lambda x: x**3, "the power 3"),
        (lambda x: x.cumsum(0), "the operation 'cumsum'"),
        (torch.exp, "the function 'exp'"),
    ],
)
def test_refuses_what_is_no_scalar_operation(x, use, message):
    with pytest.raises(UntraceableError, match=message):
        use(x)


def quotients(x, state, c, time):
    return (3.0 / (x * x + 1.0), x / 3.0, 0.1 - x), state


@pytest.mark.parametrize("dtype", BOTH)
def test_numbers_on_the_left_have_the_bits_of_tensors(dtype):
    stages, x = [Stage(quotients, (), ())], torch.randn(200, 1, 5, dtype=dtype)
    assert_same_results(flat(by_kernel(stages, x)), flat(by_operations(stages, x)))
