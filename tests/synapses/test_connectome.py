"""`HierarchicalConnectome`: what holds exactly, whatever an optimiser does."""

import pytest
import torch

import phc_snn as phc
from phc_snn import numerics
from tests.tolerances import assert_near, assert_same_bits

TOPOLOGIES = {
    "feedforward": phc.Topology.feedforward(16),
    "bidirectional": phc.Topology.bidirectional(20),
}
OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "SGD-huge": lambda p: torch.optim.SGD(p, lr=1e4, momentum=0.99, nesterov=True),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.05),
    "Adam-huge": lambda p: torch.optim.Adam(p, lr=100.0),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.5),
}


def assert_lawful(connectome):
    """Dale's law, zero diagonal and topology, exactly."""
    weight = connectome.weight.detach()
    topology = connectome.topology
    assert bool(torch.isfinite(weight).all())
    assert not bool(weight[~topology.mask].any())
    assert not bool(weight.diagonal().any())
    assert bool((weight[:, topology.excitatory] >= 0).all())
    assert bool((weight[:, ~topology.excitatory] <= 0).all())


@pytest.mark.parametrize("dale", ["construction", "projection"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_law_holds_after_every_optimiser_step(dale, optimizer, topology):
    connectome = phc.HierarchicalConnectome(TOPOLOGIES[topology], dale=dale)
    step = OPTIMIZERS[optimizer](connectome.parameters())
    connectome.project_after(step)
    start = connectome.weight.detach().clone()
    assert_lawful(connectome)
    flipped = 0
    for _ in range(25):
        step.zero_grad()
        x = torch.randn(4, connectome.features)
        before = connectome.raw_weight.detach().clone()
        (connectome(x) * torch.randn(4, connectome.features)).sum().backward()
        step.step()
        flipped += int((before * connectome.raw_weight.detach() < 0).sum())
        assert_lawful(connectome)
    assert not torch.equal(connectome.weight.detach(), start)
    if dale == "construction" and "huge" in optimizer:
        assert flipped, "no weight was pushed across zero, so nothing was tested"


def test_projection_can_be_called_by_hand_and_its_hook_removed():
    connectome = phc.HierarchicalConnectome(TOPOLOGIES["feedforward"], dale="projection")
    with torch.no_grad():
        connectome.raw_weight.neg_()
    connectome.project()
    assert_lawful(connectome)
    step = torch.optim.SGD(connectome.parameters(), lr=1.0)
    connectome.project_after(step).remove()
    connectome.raw_weight.grad = connectome.sign.expand_as(connectome.raw_weight) * 10.0
    step.step()
    assert bool((connectome.weight * connectome.sign < 0).any())


def test_projection_touches_only_what_breaks_the_law():
    connectome = phc.HierarchicalConnectome(TOPOLOGIES["bidirectional"], dale="projection")
    before = connectome.raw_weight.detach().clone()
    connectome.project()
    assert_same_bits(connectome.raw_weight.detach(), before)
    for dale in ("construction", None):
        other = phc.HierarchicalConnectome(TOPOLOGIES["bidirectional"], dale=dale)
        with torch.no_grad():
            other.raw_weight.neg_()
        before = other.raw_weight.detach().clone()
        other.project()
        assert_same_bits(other.raw_weight.detach(), before)


@pytest.mark.parametrize("dale", ["construction", "projection"])
@pytest.mark.parametrize("value", [0.0, -0.0])
def test_no_weight_is_dead(dale, value):
    """A weight at zero has a gradient, and one step against it brings it back to life."""
    connectome = phc.HierarchicalConnectome(TOPOLOGIES["bidirectional"], dale=dale)
    mask, sign = connectome.mask, connectome.sign
    with torch.no_grad():
        connectome.raw_weight.fill_(value)
    step = torch.optim.SGD(connectome.parameters(), lr=1.0)
    connectome.project_after(step)
    (-(connectome.weight * sign).sum()).backward()  # asks for more of everything
    gradient = connectome.raw_weight.grad
    assert bool((gradient[mask] != 0).all())
    assert not bool(gradient[~mask].any())
    step.step()
    assert bool((connectome.weight[mask] != 0).all())
    assert_lawful(connectome)


def test_a_weight_that_crosses_zero_is_reflected():
    connectome = phc.HierarchicalConnectome(phc.Topology.bidirectional(10))
    with torch.no_grad():
        connectome.raw_weight.fill_(0.5)
        before = connectome.weight.clone()
        connectome.raw_weight.fill_(-0.5)
    assert_same_bits(connectome.weight.detach(), before)


def test_gradient_of_the_weight():
    connectome = phc.HierarchicalConnectome(phc.Topology.bidirectional(8)).double()
    raw = torch.randn(8, 8, dtype=torch.float64, requires_grad=True)

    def forward(raw, x):
        return torch.func.functional_call(connectome, {"raw_weight": raw}, (x,))

    x = torch.randn(3, 2, 8, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(forward, (raw, x))


def test_columns_are_presynaptic():
    topology = phc.Topology.from_edges([(0, 2)], torch.ones(3, dtype=torch.bool))
    connectome = phc.HierarchicalConnectome(topology)
    with torch.no_grad():
        connectome.raw_weight.fill_(0.5)
    assert connectome(torch.tensor([[1.0, 10.0, 100.0]])).tolist() == [[0.0, 0.0, 0.5]]


@pytest.mark.parametrize("shape", [(), (3,), (4, 2), (0, 2), (5, 0), (2, 3, 4)])
def test_any_leading_shape(shape):
    connectome = phc.HierarchicalConnectome(TOPOLOGIES["feedforward"])
    x = torch.randn(*shape, 16)
    current = connectome(x)
    assert current.shape == x.shape
    assert_near(current, x @ connectome.weight.T)
    assert_same_bits(connectome.transmit(x, connectome.coefficients(x.dtype)), current)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bits_do_not_depend_on_batch_time_order_or_threads(dtype):
    connectome = phc.HierarchicalConnectome(TOPOLOGIES["bidirectional"]).to(dtype)
    efficacy = torch.rand(40, 6, 20, dtype=dtype) * (torch.rand(40, 6, 20) < 0.2)
    whole = connectome(efficacy)
    assert_same_bits(torch.stack([connectome(x_t) for x_t in efficacy]), whole)
    assert_same_bits(connectome(efficacy[:, 2:3]), whole[:, 2:3])
    order = torch.randperm(20)
    permuted = numerics.linear(efficacy[..., order], connectome.weight[:, order])
    assert_same_bits(permuted, whole)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        assert_same_bits(connectome(efficacy), whole)
    finally:
        torch.set_num_threads(before)


def test_dtype_of_the_signal_is_kept():
    connectome = phc.HierarchicalConnectome(TOPOLOGIES["feedforward"])
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert connectome(torch.rand(3, 16, dtype=dtype)).dtype == dtype


@pytest.mark.parametrize("dale", ["construction", "projection", None])
def test_initial_weights_obey_the_law_and_scale_with_the_gain(dale):
    def weight(gain):
        connectome = phc.HierarchicalConnectome(
            TOPOLOGIES["bidirectional"],
            gain=gain,
            dale=dale,
            generator=torch.Generator().manual_seed(1),
        )
        assert_lawful(connectome)
        return connectome.weight.detach()

    assert_near(weight(6.0), 3.0 * weight(2.0))
    assert bool((weight(2.0) != 0).any(1).all())  # every neuron gets input
    assert not bool(weight(0.0).any())


def test_generator_repeats():
    made = [
        phc.HierarchicalConnectome(
            TOPOLOGIES["feedforward"], generator=torch.Generator().manual_seed(5)
        )
        for _ in range(2)
    ]
    assert_same_bits(made[0].weight.detach(), made[1].weight.detach())


def test_counts_the_connections_that_can_act():
    connectome = phc.HierarchicalConnectome(TOPOLOGIES["feedforward"])
    assert connectome.effective_weights == int(TOPOLOGIES["feedforward"].mask.sum())


def test_state_dict_of_another_topology_is_refused():
    saved = phc.HierarchicalConnectome(phc.Topology.feedforward(16))
    other = phc.HierarchicalConnectome(phc.Topology.bidirectional(16))
    before = other.weight.detach().clone()
    with pytest.raises(
        RuntimeError, match="mask: the saved network has another topology than this"
    ):
        other.load_state_dict(saved.state_dict())
    assert torch.equal(other.mask, phc.Topology.bidirectional(16).mask)
    assert_same_bits(other.weight.detach(), before)
    same = phc.HierarchicalConnectome(phc.Topology.feedforward(16))
    same.load_state_dict(saved.state_dict())
    assert_same_bits(same.weight.detach(), saved.weight.detach())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dale": "clamp"}, r"dale: got 'clamp', expected one of \('construction', 'projection'\)"),
        ({"gain": -1.0}, "gain: got -1.0, expected a .*number of at least 0"),
        ({"gain": float("nan")}, "gain: got nan"),
        ({"inhibition": -0.5}, "inhibition: got -0.5, expected a .*number of at least 0"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        phc.HierarchicalConnectome(TOPOLOGIES["feedforward"], **options)
