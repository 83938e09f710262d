"""Processes and networks of this library inside Norse's containers."""

import inspect

import pytest
import torch
from torch import nn

import phc_snn as phc
from phc_snn.state import map_state, tensors
from tests.builders import make_network
from tests.tolerances import assert_same_bits

norse = pytest.importorskip("norse.torch", reason="Norse is not installed (extra norse)")

N = 8
MODELS = {
    "ALIF": lambda: phc.ALIF(N),
    "LIF-zero": lambda: phc.LIF(N, reset_mechanism="zero"),
    "CubaLIF": lambda: phc.CubaLIF(N),
    "Delay": lambda: phc.Delay(N, steps=2),
    "TsodyksMarkram": lambda: phc.TsodyksMarkram(N),
    "PHC": lambda: make_network(features=N, dtype=torch.float32),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def stack(model):
    return norse.SequentialState(norse.LIFCell(), phc.StepLayer(model), nn.Linear(N, 3))


def sequence(steps=60):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(steps, 4, N, generator=generator) * 4.0 + 2.0


@pytest.mark.parametrize("layer", [phc.StepLayer, phc.SequenceLayer])
def test_norse_sees_a_layer_with_a_state(layer):
    parameter = inspect.signature(layer(phc.ALIF(N)).forward).parameters["state"]
    assert parameter.default is None
    assert norse.SequentialState(layer(phc.ALIF(N))).stateful_layers == [True]


@torch.no_grad()
def test_steps_equal_lifted_time_equal_chunks(model):
    net, x = stack(model), sequence()
    state, stepped = None, []
    for x_t in x:
        out, state = net(x_t, state)
        stepped.append(out)
    stepped = torch.stack(stepped)
    assert bool(stepped.any())
    lifted, lifted_state = norse.Lift(net)(x)
    assert_same_bits(lifted, stepped)
    assert isinstance(state[1], tuple)
    assert hasattr(state[1], "_fields")
    for got, wanted in zip(tensors(lifted_state[1]), tensors(state[1]), strict=True):
        assert_same_bits(got, wanted)
    parts, state = [], None
    for chunk in x.split([1, 19, 40]):
        out, state = norse.Lift(net)((chunk, state))
        parts.append(out)
    assert_same_bits(torch.cat(parts), stepped)


@torch.no_grad()
def test_a_sequence_layer_stands_beside_norses_layers_over_time(model):
    """The whole sequence at once, ours parallel over time: the same as step by step."""
    x = sequence()
    solver = phc.Exact() if isinstance(model, phc.PHC) else None
    over_time = norse.SequentialState(norse.LIF(), phc.SequenceLayer(model, solver=solver))
    whole, end = over_time(x)
    cells = norse.SequentialState(norse.LIFCell(), phc.StepLayer(model))
    stepped, _ = norse.Lift(cells)(x)
    assert_same_bits(whole, stepped)
    parts, state = [], None
    for chunk in x.split([20, 40]):
        out, state = over_time(chunk, state)
        parts.append(out)
    assert_same_bits(torch.cat(parts), whole)
    for got, wanted in zip(tensors(state[1]), tensors(end[1]), strict=True):
        assert_same_bits(got, wanted)


@torch.no_grad()
def test_the_state_that_is_passed_is_not_changed(model):
    net, x = stack(model), sequence(5)
    state = None
    for x_t in x[:4]:
        _, state = net(x_t, state)
    ours = state[1]
    kept = map_state(torch.clone, ours)
    net(x[4], list(state))
    for now, before in zip(tensors(ours), tensors(kept), strict=True):
        assert_same_bits(now, before)


def test_gradients_pass_through_the_stack(model):
    net, x = stack(model), sequence(20).requires_grad_()
    out, _ = norse.Lift(net)(x)
    out.square().sum().backward()
    assert bool((x.grad != 0).any())
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and name != "threshold":
            assert parameter.grad is not None, name
