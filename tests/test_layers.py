"""`StepLayer` and `SequenceLayer`: processes and networks as layers of a stack."""

import copy
import pickle

import pytest
import torch
from torch import nn

import phc_snn as phc
from phc_snn.state import tensors
from tests.builders import currents, make_network
from tests.tolerances import assert_same_bits

MODELS = {
    "ALIF": lambda: phc.ALIF(8),
    "LIF-reset": lambda: phc.LIF(8, reset_mechanism="subtract"),
    "Delay": lambda: phc.Delay(8, steps=3),
    "TsodyksMarkram": lambda: phc.TsodyksMarkram(8),
    "PHC": lambda: make_network(dtype=torch.float32),
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def sequence(steps=40, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(steps, 3, 8, generator=generator) * 0.7 + 0.3).relu()


def in_steps(layer, x, state=None):
    out = []
    for x_t in x.unbind(0):
        y, state = layer(x_t, state)
        out.append(y)
    return torch.stack(out), state


def assert_same_state(actual, expected):
    for got, wanted in zip(tensors(actual), tensors(expected), strict=True):
        assert_same_bits(got, wanted)


@torch.no_grad()
def test_steps_equal_the_sequence_equal_chunks(model):
    x = sequence()
    solver = phc.Exact() if isinstance(model, phc.PHC) else None
    whole, end = phc.SequenceLayer(model, solver=solver)(x)
    stepped, stepped_end = in_steps(phc.StepLayer(model), x)
    assert_same_bits(stepped, whole)
    assert_same_state(stepped_end, end)
    chunks, state = [], None
    for chunk in x.split([1, 0, 15, 24]):
        out, state = phc.SequenceLayer(model, solver=solver)(chunk, state)
        chunks.append(out)
    assert_same_bits(torch.cat(chunks), whole)
    assert_same_state(state, end)


@torch.no_grad()
def test_the_state_is_a_named_tuple_and_is_not_changed(model):
    layer = phc.StepLayer(model)
    x = sequence()
    _, state = in_steps(layer, x[:10])
    assert hasattr(state, "_fields")
    before = [t.clone() for t in tensors(state)]
    layer(x[10], state)
    for now, then in zip(tensors(state), before, strict=True):
        assert_same_bits(now, then)


@torch.no_grad()
def test_a_hidden_state_gives_the_same_spikes(model):
    x = sequence()
    wanted, _ = in_steps(phc.StepLayer(model), x)
    layer = phc.StepLayer(model, init_hidden=True)
    for _ in range(2):
        assert_same_bits(torch.stack([layer(x_t) for x_t in x]), wanted)
        phc.reset(layer)
    over_time = phc.SequenceLayer(model, init_hidden=True)
    if not isinstance(model, phc.PHC):
        parts = [over_time(x[:17]), over_time(x[17:])]
        assert_same_bits(torch.cat(parts), wanted)


@torch.no_grad()
def test_output_returns_the_voltage():
    for model in (MODELS["ALIF"](), MODELS["PHC"]()):
        x = sequence()
        layer = phc.StepLayer(model, init_hidden=True, output=True)
        *_, (spikes, voltage) = [layer(x_t) for x_t in x]
        state = None
        for x_t in x:
            wanted = model.step(x_t, state)
            state = wanted[2]
        assert_same_bits(spikes, wanted[0])
        assert_same_bits(voltage, wanted[1])
        spikes, voltage = phc.SequenceLayer(model, init_hidden=True, output=True)(x)
        assert spikes.shape == voltage.shape == x.shape


def test_stands_in_a_sequential_stack():
    network = MODELS["PHC"]()
    x = torch.randn(30, 3, 5)
    encode, decode = nn.Linear(5, 8), nn.Linear(8, 2)
    over_time = phc.SequenceLayer(network, init_hidden=True, solver=phc.Exact())
    sequence_stack = nn.Sequential(encode, over_time, decode)
    step_stack = nn.Sequential(encode, phc.StepLayer(network, init_hidden=True), decode)
    whole = sequence_stack(x)
    stepped = torch.stack([step_stack(x_t) for x_t in x])
    # nn.Linear rounds with the shape of its input; the spikes are the same.
    torch.testing.assert_close(stepped, whole)
    whole.square().sum().backward()
    assert all(bool((p.grad != 0).any()) for p in encode.parameters())


def test_the_solver_is_the_layers_own():
    network = MODELS["PHC"]()
    x = currents(network, 60)
    few = phc.SequenceLayer(network, solver=phc.Jacobi(1))(x)[0]
    exact = phc.SequenceLayer(network, solver=phc.Exact())(x)[0]
    assert_same_bits(few, network(x, solver=phc.Jacobi(1)).spikes)
    assert_same_bits(exact, network(x, solver=phc.Sequential()).spikes)
    assert not torch.equal(few, exact)


@torch.no_grad()
def test_copy_pickle_and_dtype_take_the_hidden_state_along(model):
    x = sequence()
    layer = phc.StepLayer(model, init_hidden=True)
    for x_t in x[:10]:
        layer(x_t)
    twins = [copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))]
    wide = copy.deepcopy(layer).double()
    wanted = layer(x[10])
    for twin in twins:
        assert_same_bits(twin(x[10]), wanted)
    assert wide(x[10].double()).dtype == torch.float64


def test_a_copy_takes_no_graph_along(model):
    layer = phc.StepLayer(model, init_hidden=True)
    layer(sequence(1)[0].requires_grad_())
    assert any(t.requires_grad for t in tensors(layer._hidden))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert not any(t.requires_grad for t in tensors(twin._hidden))


def test_reset_and_detach_reach_layers_of_the_tree_alone():
    net = nn.ModuleDict({"deep": nn.Sequential(phc.StepLayer(MODELS["PHC"](), init_hidden=True))})
    twin = copy.deepcopy(net)
    bystander = phc.StepLayer(phc.ALIF(8), init_hidden=True)
    x = sequence()
    first = [net["deep"](x_t) for x_t in x]
    bystander(x[0])
    for x_t in x:
        twin["deep"](x_t)
    phc.reset(net)
    for got, wanted in zip([net["deep"](x_t) for x_t in x], first, strict=True):
        assert_same_bits(got, wanted)
    assert twin["deep"][0]._hidden is not None
    assert bystander._hidden is not None
    for _ in range(3):  # truncated backpropagation through time
        sum(net["deep"](x_t).sum() for x_t in x[:5]).backward()
        phc.detach(net)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: phc.StepLayer(nn.ReLU()), TypeError, "model: got ReLU, expected a PHC, or a proc"),
        (
            lambda: phc.StepLayer(phc.ALIF(8, init_hidden=True)),
            ValueError,
            "model: the ALIF keeps a state of its own",
        ),
        (
            lambda: phc.StepLayer(phc.Delay(8), output=True),
            ValueError,
            "output: got True, but Delay has no voltage",
        ),
        (
            lambda: phc.SequenceLayer(phc.ALIF(8), solver=phc.Exact()),
            TypeError,
            r"solver: got Exact\(.*\) for a ALIF, expected None",
        ),
        (
            lambda: phc.SequenceLayer(MODELS["PHC"](), solver="exact"),
            TypeError,
            "solver: got 'exact' for a PHC",
        ),
    ],
)
def test_bad_arguments_are_named(make, error, message):
    with pytest.raises(error, match=message):
        make()


@torch.no_grad()
def test_a_refused_call_leaves_the_state(model):
    x = sequence()
    layer = phc.StepLayer(model, init_hidden=True)
    layer(x[0])
    kept = [t.clone() for t in tensors(layer._hidden)]
    with pytest.raises(TypeError, match=r"StepLayer keeps its own state \(init_hidden=True\)"):
        layer(x[1], layer._hidden)
    with pytest.raises(ValueError, match=r"batch size 2 does not match .* phc_snn\.reset"):
        layer(x[1, :2])
    with pytest.raises(ValueError, match="x_t: got shape"):
        layer(x[1, :, :5])
    assert_same_state(layer._hidden, tuple(kept))
    _, state = phc.StepLayer(model)(x[0])
    with pytest.raises(ValueError, match="batch size 2 does not match the carried state's 3"):
        phc.StepLayer(model)(x[1, :2], state)
