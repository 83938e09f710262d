"""The connectomes without constraints, and a network that has one."""

import pytest
import torch

import phc_snn as phc
from tests.builders import assert_same_solution
from tests.tolerances import assert_near, assert_same_bits


def dense(features=6, bias=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(features, features, generator=generator) / features**0.5
    return phc.DenseConnectome(weight, torch.full((features,), 0.1) if bias else None)


def one_to_one(features=6):
    return phc.OneToOneConnectome(torch.linspace(-1.0, 0.5, features))


@pytest.mark.parametrize("bias", [True, False])
def test_dense_is_a_linear_layer(bias):
    connectome = dense(bias=bias)
    linear = torch.nn.Linear(6, 6, bias=bias)
    linear.load_state_dict(connectome.state_dict())
    x = torch.randn(4, 3, 6)
    assert_near(connectome(x), linear(x))


def test_one_to_one_crosses_to_no_other_neuron():
    connectome = one_to_one()
    assert_same_bits(connectome(torch.eye(6)), torch.diag(connectome.weight))


@pytest.mark.parametrize("connectome", [dense(), dense(bias=False), one_to_one()])
def test_bits_do_not_depend_on_batch_or_time(connectome):
    x = torch.randn(50, 7, 6)
    whole = connectome(x)
    for t in (0, 17, 49):
        assert_same_bits(connectome(x[t, 2]), whole[t, 2])


@pytest.mark.parametrize("connectome", [dense(), one_to_one()])
def test_scale_multiplies_the_weights_alone(connectome):
    before = connectome.weight.detach().clone()
    silent = connectome(torch.zeros(6)).detach()
    connectome.scale(2.0)
    assert_same_bits(connectome.weight.detach(), 2.0 * before)
    assert_same_bits(connectome(torch.zeros(6)).detach(), silent)


@pytest.mark.parametrize("make", [dense, one_to_one])
@pytest.mark.parametrize("reset", ["none", "subtract", "zero"])
def test_a_network_with_it_is_solved_exactly(make, reset):
    neuron = phc.LIF(6, membrane_decay=0.8, reset_mechanism=reset, learn_threshold=True)
    network = phc.PHC(neuron, phc.Delay(6), make()).double()
    x = torch.randn(80, 3, 6, dtype=torch.float64) + 0.3
    stepped = network(x, solver=phc.Sequential())
    assert 0.02 < float(stepped.spikes.detach().mean()) < 0.98
    exact = network(x, solver=phc.Exact())
    assert_same_solution(exact, stepped)
    assert bool(exact.converged.all())

    def gradients(solution):
        return torch.autograd.grad(
            (solution.spikes * x).sum() + solution.voltage.sum(), list(network.parameters())
        )

    for got, wanted in zip(gradients(exact), gradients(stepped), strict=True):
        assert_near(got, wanted, 1e-5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: phc.DenseConnectome(torch.ones(3, 4)), r"weight: got shape \(3, 4\), expected"),
        (
            lambda: phc.DenseConnectome(torch.ones(3, 3), torch.ones(2)),
            r"bias: got shape \(2,\), expected \(3,\) as weight has",
        ),
        (lambda: phc.OneToOneConnectome(torch.ones(3, 3)), r"weight: got shape \(3, 3\)"),
        (lambda: dense()(torch.ones(2, 5)), r"signal: got torch.float32 of shape \(2, 5\)"),
        (lambda: one_to_one()(torch.ones(6).long()), "signal: got torch.int64"),
    ],
)
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: phc.DenseConnectome([[1.0]]), "weight: got list, expected a floating-point tens"),
        (lambda: phc.DenseConnectome(torch.eye(2).long()), r"weight: got torch\.int64"),
        (lambda: phc.DenseConnectome(torch.eye(1), 0.5), "bias: got float, expected"),
        (lambda: phc.OneToOneConnectome(0.5), "weight: got float, expected"),
    ],
)
def test_weights_of_another_kind_are_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make()
