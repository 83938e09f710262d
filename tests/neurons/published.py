"""A neuron against equations written down a second time, as their authors' programs compute them.

An oracle is ``oracle(x, state, parameters) -> ([output, ...], state)``: one plain loop over time on
float64 tensors, sharing no code with the package. ``state`` and ``parameters`` are dictionaries.
"""

import copy

import pytest
import torch

from phc_snn.state import map_state, tensors
from tests.contracts.gradients import weighted_sum
from tests.processes import in_chunks, in_steps, signal

LENGTHS = (50, 250, pytest.param(1000, marks=pytest.mark.slow))


class Published(torch.autograd.Function):
    """A step at zero, strictly above, with a derivative that is written down beside it."""

    @staticmethod
    def forward(ctx, x, derivative):
        ctx.save_for_backward(x)
        ctx.derivative = derivative
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * ctx.derivative(x), None


def boxcar(x):
    return Published.apply(x, lambda x: ((x > -0.5) & (x <= 0.5)).to(x.dtype))


def triangle(x):
    return Published.apply(x, lambda x: torch.clamp(1.0 - x.abs(), min=0.0))


def rate(y):
    """What models without spikes send in a network; not published."""
    return torch.tanh(y).clamp(min=0.0)


def _leaf(value):
    """What gradients are asked for; a counter has none."""
    return value.clone().requires_grad_(value.is_floating_point())


def _gradients(values, leaves):
    """Of `weighted_sum`, for those leaves that can have one; None for the others."""
    moving = [leaf for leaf in leaves if leaf.requires_grad]
    found = iter(torch.autograd.grad(weighted_sum(values), moving, allow_unused=True))
    return [next(found) if leaf.requires_grad else None for leaf in leaves]


def _assert_equal(got, wanted, what):
    got, wanted = got.detach(), wanted.detach()
    scale = max(1.0, float(wanted.abs().max())) if wanted.numel() else 1.0
    worst = float((got - wanted).abs().max()) if wanted.numel() else 0.0
    assert worst <= 1e-12 * scale, f"{what}: {worst:.1e} of {scale:.1e}"


def assert_published(neuron, oracle, x, state, modes=("scan", "steps", "chunks")):
    """Outputs, final state and all gradients, of every mode, to 1e-12 of the largest value.

    Args:
        neuron: Any process.
        oracle: See above; its parameters are those of ``neuron.named_parameters()``, its state has
            the fields of the neuron's.
        x: (T, B, N), float64.
        state: The neuron's, a NamedTuple.
        modes: Those that the neuron has.
    """
    neuron = copy.deepcopy(neuron).double()
    known = {
        "scan": neuron.scan,
        "steps": lambda x, s: in_steps(neuron, x, s),
        "chunks": lambda x, s: in_chunks(neuron, x, [len(x) // 3, len(x) - len(x) // 3], s),
    }
    parameters = {name: p.detach().clone() for name, p in neuron.named_parameters()}
    leaves = [_leaf(t) for t in (x, *tensors(state), *parameters.values())]
    count = len(tensors(state))
    given = dict(zip(state._fields, leaves[1 : count + 1], strict=True))
    named = dict(zip(parameters, leaves[count + 1 :], strict=True))
    outputs, after = oracle(leaves[0], given, named)
    expected = [*outputs, *(after[name] for name in state._fields)]
    wanted = _gradients(expected, leaves)
    for mode, run in ((mode, known[mode]) for mode in modes):
        own_x, own_state = _leaf(x), map_state(_leaf, state)
        *outputs, after = run(own_x, own_state)
        results = [*outputs, *after]
        for i, (got, want) in enumerate(zip(results, expected, strict=True)):
            _assert_equal(got, want, f"{mode}, result {i}")
        given = [own_x, *own_state, *neuron.parameters()]
        found = _gradients(results, given)
        names = ["input", *state._fields, *parameters]
        for name, got, want in zip(names, found, wanted, strict=True):
            assert (got is None) == (want is None), name
            if want is not None:
                _assert_equal(got, want, f"{mode}, gradient of {name}")


def assert_published_from(neuron, oracle, steps, start):
    """As `assert_published`, on the usual input, from a state ``"zero"`` or ``"random"``."""
    state = neuron.initial_state(3, dtype=torch.float64)
    if start == "random":
        state = map_state(torch.randn_like, state)
    assert_published(neuron, oracle, signal(neuron, steps), state)
