"""Compiled and exported: the same bits as eager, in one graph."""

import copy
import logging
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn

import phc_snn as phc
from phc_snn.state import tensors
from tests.builders import make_network
from tests.tolerances import assert_near, assert_same_bits

MODELS = {
    "ALIF": lambda **k: phc.ALIF(16, **k),
    "ALIF-softplus": lambda **k: phc.ALIF(16, drive_transform="softplus", **k),
    "LIF": lambda **k: phc.LIF(16, **k),
    "LIF-zero": lambda **k: phc.LIF(16, reset_mechanism="zero", **k),
    "CubaLIF-subtract": lambda **k: phc.CubaLIF(16, reset_mechanism="subtract", **k),
    "TsodyksMarkram": lambda **k: phc.StepLayer(phc.TsodyksMarkram(16), **k),
    "PHC": lambda **k: phc.StepLayer(make_network(features=16, dtype=torch.float32), **k),
}
WITH_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
CASES = [
    *((model, "aot_eager") for model in MODELS),
    pytest.param("ALIF", "inductor", marks=WITH_COMPILER),
    *(
        pytest.param(model, "inductor", marks=[WITH_COMPILER, pytest.mark.slow])
        for model in MODELS
        if model != "ALIF"
    ),
]


@pytest.fixture(autouse=True)
def _fresh_compiler():
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def sequence(steps=25):
    return (torch.randn(steps, 3, 16) * 0.7 + 0.3).relu()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("model", "backend"), CASES)
@torch.no_grad()
def test_full_graph_with_a_hidden_state_has_the_bits_of_eager(model, backend):
    eager = MODELS[model](init_hidden=True)
    twin = copy.deepcopy(eager)
    compiled = torch.compile(twin, fullgraph=True, backend=backend)
    for x_t in sequence():
        assert_same_bits(compiled(x_t), eager(x_t))
    for got, wanted in zip(tensors(twin._hidden), tensors(eager._hidden), strict=True):
        assert_same_bits(got, wanted)


class Loop(nn.Module):
    def __init__(self, neuron):
        super().__init__()
        self.neuron = neuron

    def forward(self, x):
        state, spikes = None, []
        for x_t in x.unbind(0):
            out, _, state = self.neuron.step(x_t, state)
            spikes.append(out)
        return torch.stack(spikes)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("model", "backend"),
    [
        ("ALIF", "aot_eager"),
        ("LIF-zero", "aot_eager"),
        pytest.param("ALIF", "inductor", marks=[WITH_COMPILER, pytest.mark.slow]),
    ],
)
def test_gradients_of_a_compiled_loop(model, backend):
    neurons = [MODELS[model]() for _ in range(2)]
    x = sequence(6)
    leaves = [x.clone().requires_grad_() for _ in range(2)]
    wanted = Loop(neurons[0])(leaves[0])
    found = torch.compile(Loop(neurons[1]), fullgraph=True, backend=backend)(leaves[1])
    assert_same_bits(found, wanted)
    weight = torch.randn_like(x)
    (wanted * weight).sum().backward()
    (found * weight).sum().backward()
    assert_near(leaves[1].grad, leaves[0].grad)
    for one, other in zip(neurons[1].parameters(), neurons[0].parameters(), strict=True):
        assert_near(one.grad, other.grad)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("model", MODELS)
@torch.no_grad()
def test_export_is_a_step(model):
    layer = MODELS[model]()
    first, second = sequence(2)
    out, *states = layer(first)
    program = torch.export.export(layer, (first,))
    exported = tensors(tuple(program.module()(first)))
    for got, wanted in zip(exported, tensors((out, *states)), strict=True):
        assert_same_bits(got, wanted)
    program = torch.export.export(layer, (first, *states))
    exported = tensors(tuple(program.module()(second, *states)))
    for got, wanted in zip(exported, tensors(tuple(layer(second, *states))), strict=True):
        assert_same_bits(got, wanted)


COLD = """
import torch, phc_snn as phc
net = torch.nn.Sequential(torch.nn.Linear(4, 3), phc.SequenceLayer(phc.{model}, init_hidden=True))
x = torch.randn(5, 2, 4)
compiled = torch.compile(net, backend="eager")(x)
phc.reset(net)
print(bool(torch.equal(compiled, net(x))))
"""


@pytest.mark.slow
@pytest.mark.parametrize("model", ["LIF(3)", "LIF(3, reset_mechanism='zero')"])
def test_a_stack_over_sequences_compiles_in_a_fresh_process(model):
    """numba has not run yet there; its loops stay out of the graph."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COLD.format(model=model)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.stdout == "True\n", run.stderr


def test_the_check_of_values_is_left_out_of_a_graph():
    """It would make the graph depend on data; eager still refuses."""
    neuron = phc.LIF(16)
    compiled = torch.compile(neuron, fullgraph=True, backend="aot_eager")
    nan = torch.full((2, 16), torch.nan)
    assert bool(torch.isnan(compiled(nan)[1]).all())
    with pytest.raises(ValueError, match="NaN or Inf"):
        neuron(nan)
