"""Our layers in snnTorch's loops: reset, detach, copies, autocast, and its backpropagation."""

import copy
import gc
import importlib
import warnings
import weakref

import pytest
import snntorch as snn
import torch
from snntorch import functional as SF  # noqa: N812
from snntorch import utils
from torch import nn

import phc_snn as phc
from tests.ecosystem.neurons import NEURONS
from tests.tolerances import assert_same_bits

# --- hidden state: reset, detach, copies ----------------------------------------------------------


class Net(nn.Module):
    """Our neurons on two levels, one of snnTorch between them."""

    def __init__(self, make):
        super().__init__()
        self.stack = nn.Sequential(
            nn.Linear(4, 3),
            make(3, init_hidden=True),
            nn.Linear(3, 3),
            snn.Leaky(beta=0.8, init_hidden=True),
        )
        self.last = make(3, init_hidden=True, output=True)

    def forward(self, x):
        return self.last(3.0 * self.stack(x))


def run(net, x):
    return torch.stack([net(x_t)[0] for x_t in x])


@torch.no_grad()
def test_snntorchs_reset_reaches_our_neurons(make):
    net, x = Net(make), torch.randn(20, 2, 4) * 2.0
    first = run(net, x)
    utils.reset(net)  # finds only what is on the first level of a module
    utils.reset(net.stack)
    assert_same_bits(run(net, x), first)


@torch.no_grad()
def test_snntorchs_reset_leaves_our_other_networks_alone(make):
    net, other = Net(make), make(3, init_hidden=True)
    x = torch.randn(2, 3)
    other(x)
    kept = other._hidden
    utils.reset(net)
    assert other._hidden is kept


@torch.no_grad()
def test_snntorchs_reset_still_does_what_it_did():
    layer = snn.Leaky(beta=0.9, init_hidden=True)
    net = nn.Sequential(nn.Linear(3, 3), layer)
    net(torch.ones(2, 3))
    utils.reset(net)
    assert not bool(layer.mem.any())
    assert utils.reset.__name__ == "reset"


@torch.no_grad()
def test_scoped_reset_of_a_nested_and_a_copied_network(make):
    net, x = Net(make), torch.randn(20, 2, 4) * 2.0
    first = run(net, x)
    twin = copy.deepcopy(net)
    phc.reset(net)
    assert twin.last._hidden is not None, "the copy was reset too"
    assert bool(twin.stack[3].mem.any()), "snnTorch's layer of the copy was reset too"
    assert_same_bits(run(net, x), first)
    phc.reset(twin)
    assert_same_bits(run(twin, x), first)


def test_scoped_detach_lets_time_be_truncated(make):
    net, twin = Net(make), Net(make)
    twin(torch.randn(2, 4))
    for _ in range(3):
        run(net, torch.randn(5, 2, 4)).sum().backward()
        phc.detach(net)
    assert all(not t.requires_grad for t in net.last._hidden)
    assert any(t.requires_grad for t in twin.last._hidden), "another network was detached"


@torch.no_grad()
def test_data_parallel_replicas_share_nothing_but_parameters(make):
    """What ``nn.DataParallel`` makes of a module on each device, and runs."""
    neuron, x = make(3, init_hidden=True), torch.randn(2, 3) + 1.0
    neuron(x)
    replica = neuron._replicate_for_data_parallel()
    replica._parameters = dict(neuron._parameters)
    replica._buffers = dict(neuron._buffers)
    kept = [t.clone() for t in neuron._hidden]
    replica(x)
    for now, before in zip(neuron._hidden, kept, strict=True):
        assert_same_bits(now, before)


def test_nothing_keeps_a_network_alive(make):
    before = len(snn.SpikingNeuron.instances)
    net = nn.Sequential(nn.Linear(4, 3), make(3, init_hidden=True))
    net(torch.randn(2, 4))
    phc.reset(net)
    utils.reset(net)
    assert len(snn.SpikingNeuron.instances) == before
    watch = weakref.ref(net[1])
    del net
    gc.collect()
    assert watch() is None


@torch.no_grad()
def test_strict_state_dict_round_trip_restores_behaviour(make):
    x = torch.randn(30, 2, 3) + 0.5
    trained, fresh = make(3, learn_threshold=True), make(3, learn_threshold=True)
    for parameter in trained.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter).abs())
    assert not torch.equal(trained.scan(x)[1], fresh.scan(x)[1])
    fresh.load_state_dict(trained.state_dict(), strict=True)
    for got, wanted in zip(fresh.scan(x)[:2], trained.scan(x)[:2], strict=True):
        assert_same_bits(got, wanted)


@torch.no_grad()
def test_hidden_state_follows_the_module(make):
    neuron, x = make(3, init_hidden=True), torch.randn(2, 3)
    neuron(x)
    neuron.double()
    assert neuron(x.double()).dtype == torch.float64


@torch.no_grad()
def test_autocast_changes_no_dtype_of_ours(make):
    """Under autocast ``nn.Linear`` gives bfloat16; a neuron stays in the dtype of its input."""
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.randn(10, 2, 3, dtype=dtype)
        neuron = make(3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = neuron.scan(x)
            step = neuron(x[0])
        outside = neuron.scan(x)
        assert {t.dtype for t in step} == {dtype}
        for got, wanted in zip(inside[:2], outside[:2], strict=True):
            assert_same_bits(got, wanted)


def test_a_network_learns_under_autocast():
    connectome = phc.HierarchicalConnectome(phc.Topology.bidirectional(8))
    network = phc.PHC(phc.ALIF(8), [phc.Delay(8), phc.TsodyksMarkram(8)], connectome)
    layer = phc.SequenceLayer(network, init_hidden=True, solver=phc.Jacobi(2))
    net = nn.Sequential(nn.Linear(4, 8), layer, nn.Linear(8, 2))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = net(torch.randn(20, 3, 4))
        assert out.dtype == torch.bfloat16
        out.float().square().sum().backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in net.parameters() if p.grad is not None)
    assert bool((net[0].weight.grad != 0).any())


# --- backpropagation through time by snnTorch -----------------------------------------------------


@pytest.fixture(scope="module")
def bptt():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the module announces its removal
        return importlib.import_module("snntorch.backprop").BPTT


LAST = {**NEURONS, "StepLayer": lambda n, **k: phc.StepLayer(phc.ALIF(n), **k)}


@pytest.mark.parametrize("last", LAST)
def test_bptt_over_three_batches(bptt, last):
    """Our neuron hidden in the middle and as the last layer: what a loop by hand does."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(4, 6),
        phc.LIF(6, init_hidden=True),
        nn.Linear(6, 3),
        LAST[last](3, init_hidden=True, output=True),
    )
    twin = copy.deepcopy(net)
    generator = torch.Generator().manual_seed(1)
    batches = [
        (torch.randn(7, 5, 4, generator=generator), torch.randint(3, (5,), generator=generator))
        for _ in range(3)
    ]
    criterion = SF.ce_rate_loss()
    before = net[0].weight.detach().clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    bptt(net, batches, optimizer=optimizer, criterion=criterion, time_var=True)

    optimizer = torch.optim.SGD(twin.parameters(), lr=0.1)
    for x, labels in batches:
        phc.reset(twin)
        optimizer.zero_grad()
        criterion(torch.stack([twin(x_t)[0] for x_t in x]), labels).backward()
        optimizer.step()
    assert not torch.equal(net[0].weight.detach(), before)
    for got, wanted in zip(net.parameters(), twin.parameters(), strict=True):
        assert_same_bits(got.detach(), wanted.detach())
