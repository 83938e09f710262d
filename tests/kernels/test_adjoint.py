"""The graph of a vector-Jacobian product against autograd, on random expressions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from phc_snn import numerics
from phc_snn.emit import Emit
from phc_snn.kernels.adjoint import cotangents
from phc_snn.kernels.graph import Graph, Symbol, UntraceableError
from phc_snn.surrogate import FastSigmoid
from tests.tolerances import assert_near

LEAVES = 3


def evaluate(graph, values):
    """Every node of a graph on tensors; ``values`` are those of its inputs."""
    found = []
    for op, args, payload in graph.nodes:
        x = [found[a] for a in args]
        found.append(
            {
                "input": lambda p=payload: values[p],
                "constant": lambda p=payload: torch.tensor(p[0], dtype=torch.float64),
                "add": lambda x=x: x[0] + x[1],
                "sub": lambda x=x: x[0] - x[1],
                "mul": lambda x=x: x[0] * x[1],
                "div": lambda x=x: x[0] / x[1],
                "neg": lambda x=x: -x[0],
                "abs": lambda x=x: x[0].abs(),
                "greater": lambda x=x: x[0] > x[1],
                "number": lambda x=x: x[0].double(),
                "where": lambda x=x: torch.where(*x),
                "detach": lambda x=x: x[0],
                "sigmoid": lambda x=x: numerics.sigmoid(x[0]),
                "softplus": lambda x=x: numerics.softplus(x[0]),
                "erf": lambda x=x: numerics.erf(x[0]),
                "gaussian": lambda x=x: numerics.gaussian(x[0]),
                "spike": lambda x=x: (x[0] > 0).double(),
            }[op]()
        )
    return found


def expression(draw):
    """A function of symbols or tensors alike, out of all operations that models use."""
    steps = draw(
        st.lists(st.tuples(st.sampled_from(OPERATIONS), *[st.integers(0, 99)] * 3), max_size=12)
    )

    def build(values):
        values = list(values)
        for operation, i, j, k in steps:
            n = len(values)
            values.append(operation(values[i % n], values[j % n], values[k % n]))
        return values[-1]

    return build


SPIKE = Emit(FastSigmoid())
OPERATIONS = (
    lambda x, y, z: x + y,
    lambda x, y, z: x - 0.5 * y,
    lambda x, y, z: x * y - z,
    lambda x, y, z: x / (y * y + 1.0),
    lambda x, y, z: 2.0 / (x.abs() + 1.0),
    lambda x, y, z: -x,
    lambda x, y, z: torch.where(x > y, z, x),
    lambda x, y, z: numerics.sigmoid(x),
    lambda x, y, z: numerics.softplus(x) - y,
    lambda x, y, z: numerics.gelu(x),
    lambda x, y, z: numerics.gaussian(x) + z,
    lambda x, y, z: SPIKE(x) * y,
    lambda x, y, z: x.detach() * y,
    lambda x, y, z: (1.0 - (x > 0.0).to(None if isinstance(x, Symbol) else x.dtype)) * y,
)


@given(st.data(), st.integers(0, 1000))
def test_cotangents_are_those_of_autograd(data, seed):
    leaves = torch.randn(
        LEAVES, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    ).unbind(0)
    build = expression(data.draw)
    tensors = [leaf.clone().requires_grad_() for leaf in leaves]
    result = build(tensors)
    wanted = (
        torch.autograd.grad(result.sum(), tensors, allow_unused=True)
        if result.requires_grad
        else [None] * LEAVES
    )
    graph = Graph()
    symbols = [graph.add("input", payload=i) for i in range(LEAVES)]
    node = build(symbols)
    seed_symbol = graph.constant(1.0)
    found = cotangents(graph, {node.index: seed_symbol}, [s.index for s in symbols])
    values = evaluate(graph, dict(enumerate(leaves)))
    assert_near(values[node.index].expand(7), result.detach().expand(7))
    for symbol, gradient in zip(symbols, wanted, strict=True):
        got = values[found[symbol.index].index] if symbol.index in found else torch.zeros(())
        expected = torch.zeros(7, dtype=torch.float64) if gradient is None else gradient
        assert_near(got.double().expand(7), expected, 1e-10)


def test_an_operation_without_a_derivative_is_named():
    graph = Graph()
    x = graph.add("input", payload=0)
    y = graph.add("power_of_two", x)
    with pytest.raises(UntraceableError, match="the derivative of 'power_of_two'"):
        cotangents(graph, {y.index: graph.constant(1.0)}, [x.index])
