"""Norse and snnTorch run our files with our spikes, and we theirs."""

import runpy
import sys
from pathlib import Path

import pytest
import torch

import phc_snn as phc
from phc_snn.convert.nir import from_nir, write_nir
from tests.convert.nir.networks import (
    B,
    N,
    T,
    inputs,
    quiet,
    recurrent,
    run_by_norse,
    run_by_snntorch,
    spikes_of,
    spread,
    stepped,
    weights,
)

pytest.importorskip("nir", reason="needs the extra 'export'")
RUNS = {"norse": run_by_norse, "snntorch": run_by_snntorch}


@pytest.fixture(params=RUNS)
def run_by(request):
    with quiet():
        pytest.importorskip(request.param, reason=f"{request.param} is not installed")
    return RUNS[request.param]


def lif(**options):
    return phc.LIF(N, reset_mechanism="zero", **options)


@pytest.mark.parametrize("seed", range(3))
def test_a_recurrent_network_has_the_same_spikes_elsewhere(run_by, seed, tmp_path):
    network, x_seq = recurrent(lif(), seed), inputs(seed)
    ours = spikes_of(network, x_seq)
    assert ours.numel() == 12_800
    assert 0.05 < ours.mean() < 0.35
    found = run_by(network, x_seq, tmp_path / "network.nir")
    assert int((found != ours).sum()) == 0


@pytest.mark.slow
@pytest.mark.parametrize("neuron", ["lif", "cuba"])
def test_twenty_networks_have_the_same_spikes_elsewhere(run_by, neuron, tmp_path):
    for seed in range(20):
        cell = lif() if neuron == "lif" else phc.CubaLIF(N, reset_mechanism="zero")
        scale = 0.4 if neuron == "lif" else 0.1
        network, x_seq = recurrent(cell, seed, scale=scale), inputs(seed, scale=scale)
        found = run_by(network, x_seq, tmp_path / "network.nir")
        assert int((found != spikes_of(network, x_seq)).sum()) == 0, seed


def test_the_comparison_would_see_a_wrong_weight(run_by, tmp_path):
    network, x_seq = recurrent(lif()), inputs()
    ours = spikes_of(network, x_seq)
    with torch.no_grad():
        network.connectome.weight[0, 1] += 0.5
    assert (run_by(network, x_seq, tmp_path / "network.nir") != ours).any()


@pytest.mark.parametrize(
    "build",
    [
        lambda: recurrent(lif(), bias=spread(-0.2, 0.3)),
        lambda: recurrent(lif(), drive=0.7),
        lambda: recurrent(lif(membrane_decay=0.0, threshold=0.3)),
        lambda: recurrent(phc.CubaLIF(N, reset_mechanism="zero"), scale=0.1),
        lambda: lif(threshold=0.7),
        lambda: phc.CubaLIF(N, reset_mechanism="zero", reset_input=True, reset_delay=False),
        lambda: phc.PHC(
            lif(), phc.Delay(N), phc.OneToOneConnectome(spread(-1, 1)), solver=phc.Sequential()
        ),
        lambda: phc.PHC(
            lif(),
            phc.Delay(N),
            phc.HierarchicalConnectome(phc.Topology.bidirectional(N)),
            solver=phc.Sequential(),
        ),
    ],
    ids=["bias", "drive", "no memory", "cuba", "feedforward", "cuba alone", "one to one", "masked"],
)
def test_what_both_can_run_has_the_same_spikes(run_by, build, tmp_path):
    torch.manual_seed(0)
    model, x_seq = build(), inputs()
    ours = spikes_of(model, x_seq)
    assert 0.01 < ours.mean() < 0.9
    assert int((run_by(model, x_seq, tmp_path / "network.nir") != ours).sum()) == 0


def test_a_stack_has_the_same_output(run_by, tmp_path):
    torch.manual_seed(0)
    first, network, last = torch.nn.Linear(6, N), recurrent(lif()), torch.nn.Linear(N, 3)
    x_seq = 2 * inputs(features=6)
    found = run_by(torch.nn.Sequential(first, network, last), x_seq, tmp_path / "network.nir")
    with torch.no_grad():
        torch.testing.assert_close(found, last(network(first(x_seq)).spikes))


def test_norse_takes_parameters_for_each_neuron_and_any_time_step(tmp_path):
    with quiet():
        pytest.importorskip("norse", reason="norse is not installed")
    neuron = lif(membrane_decay=spread(0.5, 0.95), threshold=spread(0.5, 1.5))
    network, x_seq = recurrent(neuron), inputs()
    found = run_by_norse(network, x_seq, tmp_path / "network.nir", dt=2e-3)
    assert int((found != spikes_of(network, x_seq)).sum()) == 0


def test_snntorch_refuses_parameters_for_each_neuron(tmp_path):
    network = recurrent(lif(membrane_decay=spread(0.5, 0.95)))
    with pytest.raises(AssertionError, match="must be same for all neurons"):
        run_by_snntorch(network, inputs(), tmp_path / "network.nir")


def test_snntorch_refuses_what_it_has_not(tmp_path):
    for network in (recurrent(lif(), steps=2), recurrent(phc.LIF(N))):
        with pytest.raises(ValueError, match=r"Unknown node type.*(Delay|LI)"):
            run_by_snntorch(network, inputs(), tmp_path / "network.nir")


# From there to here.


def snntorch_file(neuron, path):
    import nir
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(6, N), neuron)
    with torch.no_grad():
        net[0].weight.mul_(2)
    with quiet():
        nir.write(path, export_to_nir(net, torch.zeros(1, 6), ignore_dims=[0]))
    net[1].reset_mem()
    return net


@pytest.mark.parametrize("kind", ["Leaky", "RLeaky", "Synaptic"])
def test_files_of_snntorch_have_its_spikes(kind, tmp_path):
    import snntorch

    options = {"init_hidden": True, "reset_mechanism": "zero", "reset_delay": False}
    beta = torch.full((N,), 0.8)
    neuron = {
        "Leaky": lambda: snntorch.Leaky(beta, threshold=torch.ones(N), **options),
        "RLeaky": lambda: snntorch.RLeaky(0.8, linear_features=N, **options),
        "Synaptic": lambda: snntorch.Synaptic(beta / 2, beta, threshold=torch.ones(N), **options),
    }[kind]()
    net = snntorch_file(neuron, tmp_path / "theirs.nir")
    x_seq = torch.rand(T, B, 6)
    with torch.no_grad():
        theirs = torch.stack([net(x_t) for x_t in x_seq.unbind(0)])
    chain = from_nir(tmp_path / "theirs.nir", dt=1e-4)
    assert 0.02 < theirs.mean() < 0.5
    assert int((spikes_of(chain, x_seq) != theirs).sum()) == 0


def test_snntorch_writes_a_reset_to_zero_whatever_it_has(tmp_path):
    """A known defect of its export: the file says so, and is read as it says."""
    import snntorch

    neuron = snntorch.Leaky(
        torch.full((N,), 0.8), threshold=torch.ones(N), reset_mechanism="subtract", init_hidden=True
    )
    snntorch_file(neuron, tmp_path / "theirs.nir")
    assert from_nir(tmp_path / "theirs.nir", dt=1e-4).layers[1].reset_mechanism == "zero"


@pytest.mark.parametrize("sample", [torch.zeros(6), torch.zeros(1, 6)], ids=["bare", "batch"])
@pytest.mark.parametrize("dt", [1.0, 1e-3])
def test_files_of_norse_have_its_spikes(dt, sample, tmp_path):
    """Norse writes tau in steps of its own dt, not in seconds: so it is read with dt squared."""
    with quiet():
        norse = pytest.importorskip("norse.torch", reason="norse is not installed")
    import nir

    torch.manual_seed(1)
    parameters = norse.LIFBoxParameters(
        tau_mem_inv=spread(0.05, 0.3) / dt, v_th=spread(0.2, 0.4), v_leak=torch.zeros(N)
    )
    net = norse.SequentialState(torch.nn.Linear(6, N), norse.LIFBoxCell(parameters, dt=dt))
    with torch.no_grad():
        net[0].weight.mul_(2)
    with quiet():
        nir.write(tmp_path / "theirs.nir", norse.to_nir(net, sample, dt=dt))
    x_seq = torch.rand(T, B, 6)
    theirs = stepped(net, x_seq)
    chain = from_nir(tmp_path / "theirs.nir", dt=dt * dt)
    assert 0.02 < theirs.mean() < 0.5
    assert int((spikes_of(chain, x_seq) != theirs).sum()) == 0


def test_a_file_that_norse_could_not_run_comes_back(tmp_path):
    """Norse leaves a Delay out without a word; the file holds it."""
    network, x_seq = recurrent(lif(), steps=3), inputs()
    write_nir(tmp_path / "network.nir", network, dt=1e-4)
    assert from_nir(tmp_path / "network.nir").layers[0].delay == 3
    ours = spikes_of(network, x_seq)
    assert int((spikes_of(from_nir(tmp_path / "network.nir"), x_seq) != ours).sum()) == 0
    with quiet():
        pytest.importorskip("norse", reason="norse is not installed")
    assert (run_by_norse(network, x_seq, tmp_path / "network.nir") != ours).any()


def test_the_example_names_what_is_not_installed(tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    example = Path(phc.__file__).parents[1] / "examples" / "10_nir_round_trip.py"
    for module in ("norse", "norse.torch"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(sys, "argv", [str(example), "--small", "--out", str(tmp_path)])
    runpy.run_path(str(example), run_name="__main__")
    printed = capsys.readouterr().out
    assert "Norse: norse is not installed; install it with: pip install 'phc-snn[norse]'" in printed
    assert "snnTorch: 0 of 5120 neuron-steps differ" in printed
    assert (tmp_path / "nir_round_trip.png").exists()


def test_weights_are_not_shared_with_the_network():
    from phc_snn.convert.nir import to_nir

    network = recurrent(lif())
    graph = to_nir(network, dt=1e-4)
    with torch.no_grad():
        network.connectome.weight.zero_()
    assert torch.equal(
        torch.from_numpy(graph.nodes["layer_0"].nodes["recurrent"].weight), weights()
    )
