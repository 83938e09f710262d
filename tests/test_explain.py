"""`explain`, and the solver that ``"auto"`` stands for."""

import pytest
import torch

import phc_snn as phc
from tests.builders import assert_same_gradients, assert_same_solution, currents, make_network


class Smooth:
    """A spike function whose derivative no kernel knows."""

    def __call__(self, x):
        return phc.FastSigmoid()(x) * 1.0


def test_the_table_says_what_runs_and_why():
    model = phc.PHCSSM(in_features=3, num_classes=2, neurons=8)
    found = phc.explain(model, torch.randn(40, 2, 3), repeats=1)
    text = str(found)
    assert "T = 40, B = 2, N = 8" in text
    assert "* Sequential" in text
    assert "one compiled loop goes through all steps" in text
    assert [type(cost.solver).__name__ for cost in found.costs] == ["Sequential", "Jacobi", "Exact"]
    assert all(cost.forward > 0 and cost.training > 0 for cost in found.costs)


def test_memory_is_in_proportion_to_the_steps():
    network = make_network(features=16, dtype=torch.float32)
    kept = [
        phc.explain(network, currents(network, steps), repeats=1).costs[0].kept
        for steps in (256, 1024)
    ]
    assert kept[1] == pytest.approx(4 * kept[0], rel=0.01)
    assert kept[0] >= 256 * 3 * 16 * 4 * 4  # at least input, spikes, voltage and current


def test_a_network_without_a_kernel_says_what_it_lacks():
    network = make_network(spike_grad=Smooth())
    found = phc.explain(network, currents(network, 30), repeats=1)
    assert isinstance(found.chosen, phc.Sequential)
    assert "the unknown derivative of the spike function" in found.reason
    assert all("derivative" in cost.way for cost in found.costs)


def test_the_model_stays_as_it_was():
    model = phc.PHCSSM(in_features=3, num_classes=2, neurons=8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    phc.explain(model, torch.randn(20, 2, 3), repeats=1)
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_input_without_a_value_is_refused():
    with pytest.raises(ValueError, match=r"x_seq: got shape \(0, 2, 8\), expected at least one"):
        phc.explain(make_network(), torch.zeros(0, 2, 8, dtype=torch.float64))


@pytest.mark.parametrize("spike_grad", [None, Smooth()])
@pytest.mark.parametrize("delay", [0, 1, 3])
def test_auto_is_the_sequential_network_and_its_gradient(delay, spike_grad):
    network = make_network(delay=delay, spike_grad=spike_grad)
    x = currents(network, 60)
    automatic, truth = network(x, solver="auto"), network(x, solver=phc.Sequential())
    assert_same_solution(automatic, truth)
    found, wanted = (
        torch.autograd.grad(network(x, solver=s).voltage.square().sum(), [*network.parameters()])
        for s in ("auto", phc.Sequential())
    )
    assert_same_gradients(found, wanted, 1e-5)


def test_auto_may_be_the_default_and_is_saved():
    model = phc.PHCSSM(in_features=3, num_classes=2, neurons=8, solver="auto")
    assert model.network.solver == phc.Auto()
    assert phc.PHCSSM.from_config(model.config()).network.solver == phc.Auto()


def test_another_word_is_refused():
    with pytest.raises(TypeError, match=r"solver: got 'fast', expected a solver .* or 'auto'"):
        make_network()(torch.zeros(3, 1, 8, dtype=torch.float64), solver="fast")


def test_auto_goes_under_functional_transforms():
    network = make_network()
    x = currents(network, 20)

    def loss(x):
        return network(x, solver="auto").voltage.square().sum()

    leaf = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(loss(leaf), leaf)
    assert_same_gradients([torch.func.grad(loss)(x).detach()], [expected], 1e-10)
