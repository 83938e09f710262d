"""Networks under ``torch.vmap``: what each of them would have done alone."""

import pytest
import torch
from torch.func import functional_call, stack_module_state

import phc_snn as phc
from phc_snn import numerics
from tests.builders import make_network
from tests.tolerances import GRADIENT_TOLERANCE, assert_near, assert_same_bits

K, STEPS, BATCH = 3, 25, 4


def models(**options):
    """Classifiers of one structure with weights of their own."""
    settings = {"neurons": 8, "solver": "auto"} | options
    return [
        phc.PHCSSM(5, 2, **settings, generator=torch.Generator().manual_seed(k)) for k in range(K)
    ]


def sequences(seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(K, STEPS, BATCH, 5, generator=generator, dtype=dtype)
    return x, torch.arange(K * BATCH).reshape(K, BATCH) % 2


def mapped(first, parameters, buffers, x, labels, lengths=None):
    """Losses, logits, spikes and final states of all."""

    def one(own, fixed, x, labels):
        output = functional_call(first, (own, fixed), (x,), {"lengths": lengths})
        loss = first.loss(output, labels)
        return loss, output.logits, output.solution.spikes, output.state

    return torch.vmap(one)(parameters, buffers, x, labels)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"readout": "spike", "neuron": "lif"},
        {"delay": 3, "plasticity": False},
        {"windows": 5, "window_steps": 5, "encoder_norm": False},
        {"solver": phc.Jacobi(3)},
        {"dale": None},
        {"drive_transform": "softplus", "release": "pre"},
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("lengths", [None, torch.tensor([25, 3, 0, 17])], ids=["whole", "padded"])
def test_each_does_what_it_does_alone(options, dtype, lengths):
    alone = [model.to(dtype) for model in models(**options)]
    parameters, buffers = stack_module_state(alone)
    x, labels = sequences(dtype=dtype)
    loss, logits, spikes, state = mapped(alone[0], parameters, buffers, x, labels, lengths)
    loss.sum().backward()
    for k, model in enumerate(alone):
        output = model(x[k], lengths=lengths)
        expected = model.loss(output, labels[k])
        expected.backward()
        assert_near(loss[k], expected)
        assert_same_bits(spikes[k], output.solution.spikes)
        assert_near(logits[k], output.logits)  # torch rounds some functions otherwise under vmap
        for found, own in zip(
            phc.state.tensors(state), phc.state.tensors(output.state), strict=True
        ):
            assert_near(found[k].to(dtype), own.to(dtype))
        for name, parameter in model.named_parameters():
            assert_near(parameters[name].grad[k], parameter.grad, GRADIENT_TOLERANCE[dtype])


def test_topologies_may_differ():
    alone = [
        phc.PHCSSM(5, 2, neurons=8, topology=kind, solver="auto")
        for kind in ("bidirectional", "feedforward", "bidirectional")
    ]
    x, labels = sequences()
    _, logits, spikes, _ = mapped(alone[0], *stack_module_state(alone), x, labels)
    for k, model in enumerate(alone):
        assert_near(logits[k], model(x[k]).logits)
        assert_same_bits(spikes[k], model(x[k]).solution.spikes)


@pytest.mark.parametrize("options", [{}, {"windows": 3, "window_steps": 7}], ids=str)
def test_one_network_may_take_many_batches(options):
    model = models(**options)[0]
    x, _ = sequences()
    found = torch.vmap(lambda x: model(x).logits)(x)
    for k in range(K):
        assert_near(found[k], model(x[k]).logits)


def test_many_networks_may_take_one_batch():
    alone = models()
    x, _ = sequences()

    def one(parameters, buffers):
        return functional_call(alone[0], (parameters, buffers), (x[0],)).logits

    with torch.no_grad():
        found = torch.vmap(one)(*stack_module_state(alone))
        for k, model in enumerate(alone):
            assert_near(found[k], model(x[0]).logits)


def test_they_go_on_from_states_of_their_own():
    alone = models()
    x, _ = sequences()
    first = [model(x[k, :10]).state for k, model in enumerate(alone)]
    state = phc.state.map_state(lambda *each: torch.stack(each), *first)

    def one(parameters, buffers, x, state):
        return functional_call(alone[0], (parameters, buffers), (x, state)).logits

    found = torch.vmap(one)(*stack_module_state(alone), x[:, 10:], state)
    for k, model in enumerate(alone):
        assert_near(found[k], model(x[k]).logits)


def test_plasticity_of_each():
    """R-STDP changes the weights that are mapped over in place."""
    alone, rule = models(), phc.RSTDP(eta=1.0)
    parameters, buffers = stack_module_state(alone)
    name = "network.connectome.raw_weight"
    x, _ = sequences()
    spikes = [model(x[k]).solution.spikes.detach() for k, model in enumerate(alone)]
    rewards = torch.tensor([1.0, -0.5, 0.25])

    class Rule(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = alone[0]

        def forward(self, spikes, reward):
            rule.update(self.model.connectome, spikes, reward)
            return reward

    def one(raw, buffers, spikes, reward):
        own = {f"model.{n}": t for n, t in buffers.items()} | {f"model.{name}": raw}
        return functional_call(Rule(), own, (spikes, reward))

    raw = parameters[name].detach()
    before = raw.clone()
    torch.vmap(one)(raw, buffers, torch.stack(spikes), rewards)
    assert not torch.equal(raw, before)
    for k, model in enumerate(alone):
        rule.update(model.connectome, spikes[k], rewards[k])
        assert_same_bits(raw[k], model.connectome.raw_weight.detach())


@pytest.mark.parametrize("stacked", [(True, False), (False, True), (True, True)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_exact_product(stacked, dtype):
    x = torch.randn(K, 7, 2, 33, dtype=dtype).requires_grad_()
    weight = torch.randn(K, 4, 33, dtype=dtype).requires_grad_()
    dims = tuple(0 if s else None for s in stacked)
    given = [t if s else t[0] for t, s in zip((x, weight), stacked, strict=True)]
    found = torch.vmap(numerics.linear, dims)(*given)
    cotangent = torch.randn_like(found)
    gradients = torch.autograd.grad(found, (x, weight), cotangent)
    pairs = [
        [t[k if s else 0] for t, s in zip((x, weight), stacked, strict=True)] for k in range(K)
    ]
    expected = torch.stack([numerics.linear(*pair) for pair in pairs])
    assert_same_bits(found, expected)
    for a, b in zip(gradients, torch.autograd.grad(expected, (x, weight), cotangent), strict=True):
        assert_near(a, b)


def test_a_scan_of_mapped_coefficients():
    a, b = torch.rand(K, 1, 5, dtype=torch.float64), torch.randn(9, K, 2, 5, dtype=torch.float64)
    a.requires_grad_(), b.requires_grad_()
    found = torch.vmap(lambda a, b: phc.affine_scan(a, b), (0, 1))(a, b)
    expected = torch.stack([phc.affine_scan(a[k], b[:, k]) for k in range(K)])
    assert_same_bits(found, expected)
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), (a, b)),
        torch.autograd.grad(expected.square().sum(), (a, b)),
        strict=True,
    ):
        assert_near(one, other)


def test_delays_that_differ_within_a_network():
    network = make_network(synapses=[phc.Delay(8, steps=torch.arange(8) + 1)])
    x = torch.randn(K, STEPS, BATCH, 8, dtype=torch.float64)
    found = torch.vmap(lambda x: network(x, solver=phc.Sequential()).spikes)(x)
    for k in range(K):
        assert_same_bits(found[k], network(x[k], solver=phc.Sequential()).spikes)


def test_other_transforms_still_take_tensor_operations():
    """A gradient of one network inside another transform has no kernel, and the same value."""
    network = make_network()
    x = torch.randn(K, STEPS, BATCH, 8, dtype=torch.float64)

    def loss(x):
        return network(x, solver=phc.Sequential()).voltage.square().sum()

    found = torch.vmap(torch.func.grad(loss))(x)
    for k in range(K):
        own = x[k].clone().requires_grad_()
        loss(own).backward()
        assert_near(found[k], own.grad, 1e-10)


def test_second_derivatives_say_that_there_are_none_where_a_kernel_takes_all_at_once():
    network = make_network()
    x = torch.randn(K, STEPS, BATCH, 8, dtype=torch.float64).requires_grad_()
    voltage = torch.vmap(lambda x: network(x, solver=phc.Sequential()).voltage)(x)
    with pytest.raises(RuntimeError, match="second derivative of networks"):
        torch.autograd.grad(voltage.square().sum(), x, create_graph=True)


@pytest.mark.parametrize(
    "solver", [phc.Exact(), phc.Jacobi(8, tolerance=1e-3)], ids=["exact", "jacobi"]
)
@pytest.mark.parametrize("what", ["input", "weights"])
def test_solvers_that_decide_by_values_refuse(solver, what):
    alone = models(solver=solver)
    x, _ = sequences()

    def of_weights(parameters, buffers):
        return functional_call(alone[0], (parameters, buffers), (x[0],)).logits

    mapped_over = {
        "input": (lambda x: alone[0](x).logits, (x,)),
        "weights": (of_weights, stack_module_state(alone)),
    }
    function, given = mapped_over[what]
    with pytest.raises(ValueError, match=r"solver: .* decides by values.* use "):
        torch.vmap(function)(*given)


def test_exact_refuses_a_functional_gradient():
    """It would be that of nothing: what is recorded is told by the tensors, and these do not."""
    network = make_network()
    x = torch.randn(STEPS, BATCH, 8, dtype=torch.float64)
    with pytest.raises(ValueError, match="solver: Exact decides by values"):
        torch.func.grad(lambda x: network(x, solver=phc.Exact()).voltage.sum())(x)


def test_nan_is_found_under_a_functional_gradient():
    network = make_network()
    x = torch.full((STEPS, BATCH, 8), torch.nan, dtype=torch.float64)
    with pytest.raises(ValueError, match="NaN or Inf"):
        torch.func.grad(lambda x: network(x, solver=phc.Sequential()).voltage.sum())(x)
