"""How ``snntorch.utils`` is taught about our layers, and when it is left as it is."""

import pytest
import snntorch
import torch
from snntorch import utils
from torch import nn

import phc_snn as phc
from phc_snn.hidden import Hidden, teach_snntorch


def native_reset(net):
    """What a snnTorch may have that goes by the class and not by a list."""
    for part in net.modules():
        if isinstance(part, snntorch.SpikingNeuron):
            part.reset_mem()


def test_a_snntorch_that_resets_any_neuron_is_left_as_it_is(monkeypatch):
    monkeypatch.setattr(utils, "reset", native_reset)
    teach_snntorch()
    assert utils.reset is native_reset
    net = nn.Sequential(phc.LIF(3, init_hidden=True))
    net(torch.ones(2, 3))
    utils.reset(net)
    assert net[0]._hidden is None


def test_a_snntorch_without_the_functions_is_left_as_it_is(monkeypatch):
    monkeypatch.delattr(utils, "_final_layer_check")
    teach_snntorch()
    assert not hasattr(utils, "_final_layer_check")


def test_it_is_taught_once():
    taught = utils.reset
    teach_snntorch()
    assert utils.reset is taught


class Foreign(snntorch.SpikingNeuron):
    """A layer of another library, with a state of its own."""

    resets = 0

    def reset_mem(self):
        self.resets += 1


def test_layers_of_other_libraries_are_left_to_them():
    net = nn.Sequential(Foreign(), phc.LIF(3, init_hidden=True))
    snntorch.SpikingNeuron.instances.remove(net[0])
    net[1](torch.ones(2, 3))
    utils.reset(net=net)
    assert net[1]._hidden is None
    assert net[0].resets == 0
    phc.reset(net)  # the caller's own word: every layer with a state
    assert net[0].resets == 1


def test_the_probe_leaves_no_trace():
    before = list(snntorch.SpikingNeuron.instances)
    teach_snntorch()
    assert [*snntorch.SpikingNeuron.instances] == before


def test_outputs_of_other_layers_are_counted_by_snntorch():
    """Ours by what they return; all others as before."""
    for last, count in (
        (phc.ALIF(3), 4),
        (phc.LIF(3, init_hidden=True), 1),
        (phc.CubaLIF(3, init_hidden=True, output=True), 3),
        (phc.StepLayer(phc.Delay(3)), 2),
        (snntorch.Leaky(beta=0.9), 2),
        (snntorch.Synaptic(alpha=0.9, beta=0.9), 3),
        (nn.Linear(3, 3), 1),
    ):
        if isinstance(last, Hidden):
            assert utils._final_layer_check(last) == count
        assert utils._final_layer_check(nn.Sequential(nn.Linear(3, 3), last)) == count


def test_a_layer_says_how_much_it_returns():
    with pytest.raises(NotImplementedError):
        Hidden().outputs  # noqa: B018
