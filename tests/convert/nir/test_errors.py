"""What NIR cannot hold, or we cannot, is named."""

from typing import NamedTuple

import numpy as np
import pytest
import snntorch
import torch

import phc_snn as phc
from phc_snn.convert.nir import from_nir, to_nir, write_nir
from tests.convert.nir.networks import weights

nir = pytest.importorskip("nir", reason="needs the extra 'export'")


def network(neuron=None, synapses=None, connectome=None):
    neuron = phc.LIF(4, reset_mechanism="zero") if neuron is None else neuron
    synapses = phc.Delay(4) if synapses is None else synapses
    return phc.PHC(neuron, synapses, connectome or phc.DenseConnectome(torch.ones(4, 4)))


class Stochastic(torch.nn.Module):
    def forward(self, x):
        return (torch.rand_like(x) < torch.sigmoid(x)).to(x)


class Coefficients(NamedTuple):
    decay: torch.Tensor


class Resonator(phc.LIF):
    def coefficients(self, dtype):
        return Coefficients(torch.full((self.features,), 0.9 + 0.1j))


class Other(phc.LIF):
    pass


class Doubling(phc.DenseConnectome):
    def transmit(self, signal, coefficients):
        return 2 * super().transmit(signal, coefficients)


def poisoned():
    layer = torch.nn.Linear(4, 4)
    with torch.no_grad():
        layer.weight[1, 2] = float("nan")
    return layer


def nan_neuron():
    neuron = phc.LIF(4, reset_mechanism="zero")
    with torch.no_grad():
        neuron.raw_membrane_decay[1] = float("nan")
    return neuron


OUT = {
    "plasticity": (
        lambda: network(synapses=[phc.Delay(4), phc.TsodyksMarkram(4)]),
        r"model\.synapses\[1\]: NIR has no primitive for short-term plasticity \(TsodyksMarkram\)",
    ),
    "plasticity alone": (lambda: phc.TsodyksMarkram(4), "model: NIR has .* short-term plasticity"),
    "stochastic spikes": (
        lambda: phc.LIF(4, spike_grad=Stochastic()),
        r"no primitive for a spike_grad .* as stochastic spikes; use a surrogate that fires 1",
    ),
    "graded spikes": (
        lambda: phc.LIF(4, spike_grad=torch.sigmoid),
        "no primitive for a spike_grad",
    ),
    "softplus drive": (
        lambda: phc.ALIF(4, drive_transform="softplus"),
        "no primitive for a softplus drive; use drive_transform='identity'",
    ),
    "adaptation": (
        lambda: network(phc.ALIF(4)),
        r"model\.neuron: NIR .* the adaptation, which follows sigmoid\(V - v_th\); only",
    ),
    "complex poles": (
        lambda: Resonator(4),
        r"model \(Resonator\): NIR has no primitive for complex poles; what goes out is LIF",
    ),
    "another neuron": (
        lambda: Other(4),
        r"model \(Other\): NIR has no primitive for its equations",
    ),
    "inhibition": (
        lambda: phc.LIF(4, inhibition=True),
        "no primitive for inhibition across the layer; build it with inhibition=False",
    ),
    "no delay": (
        lambda: network(synapses=phc.Delay(4, [1, 1, 0, 1])),
        r"model\.synapses: .* in its own step \(a delay of 0\).* Delay\(4, steps=1\) or longer",
    ),
    "PHCSSM": (
        lambda: phc.PHCSSM(3, 2, neurons=8),
        r"model \(PHCSSM\): NIR has no primitive for the LayerNorm .* plasticity, and its readout",
    ),
    "reset within the step": (
        lambda: phc.LIF(4, reset_mechanism="subtract", reset_delay=False),
        r"reset_mechanism='subtract' with reset_delay=False.*use reset_delay=True",
    ),
    "reset of the input": (
        lambda: phc.CubaLIF(4, reset_mechanism="zero", reset_input=True),
        "no primitive for reset_input=True: a spike that takes the next input too; build",
    ),
    "negative threshold": (
        lambda: phc.LIF(4, reset_mechanism="zero", threshold=-0.5),
        "a reset with a negative threshold; use thresholds of at least 0",
    ),
    "mixed leaks": (
        lambda: phc.LIF(4, membrane_decay=[0.9, 1.0, 0.5, 0.5], reset_mechanism="zero"),
        "a decay of 1 beside others below it: an infinite time constant; give all neurons",
    ),
    "connectome": (
        lambda: network(connectome=Doubling(torch.ones(4, 4))),
        r"model\.connectome \(Doubling\): NIR has no primitive for its transmission; what goes out",
    ),
    "NaN weight": (poisoned, r"model\.weight: has NaN or Inf, expected finite values"),
    "NaN decay": (nan_neuron, "model: a parameter is NaN or Inf; NIR takes finite values"),
    "widths": (
        lambda: torch.nn.Sequential(torch.nn.Linear(3, 5), phc.LIF(4)),
        r"model\[1\]: takes 4 inputs, expected 5, what the layer before gives",
    ),
    "nothing": (torch.nn.Sequential, "model: has no layers, expected at least one"),
}


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")  # snnTorch says so
@pytest.mark.parametrize("name", OUT)
def test_what_does_not_go_out_is_named(name):
    build, message = OUT[name]
    with pytest.raises(ValueError, match=message):
        to_nir(build(), dt=1e-3)


@pytest.mark.parametrize("model", [torch.nn.ReLU(), torch.nn.Sequential(torch.nn.Dropout())])
def test_other_modules_are_refused(model):
    with pytest.raises(
        TypeError, match=r"model.*: got (ReLU|Dropout), which NIR has no exact form"
    ):
        to_nir(model, dt=1e-3)
    with pytest.raises(TypeError, match=r"model: got str, expected an nn\.Module"):
        to_nir("model", dt=1e-3)


def test_surrogates_of_snntorch_fire_as_a_step():
    for surrogate in (snntorch.surrogate.atan(), snntorch.surrogate.fast_sigmoid()):
        to_nir(phc.LIF(4, spike_grad=surrogate), dt=1e-3)
    to_nir(phc.LIF(4, surrogate_disable=True), dt=1e-3)


def test_time_steps_are_checked(tmp_path):
    neuron = phc.LIF(4)
    for dt in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"dt: got .*, expected a positive number of seconds"):
            to_nir(neuron, dt=dt)
    for dt in ("1", True, None):
        with pytest.raises(TypeError, match=r"dt: got .*, expected seconds for a time step"):
            to_nir(neuron, dt=dt)
    with pytest.raises(
        ValueError, match=r"dt: got None, expected seconds for a time step, as 1e-3"
    ):
        write_nir(tmp_path / "a.nir", neuron)
    with pytest.raises(ValueError, match=r"dt: got 0\.1 with a graph, expected None"):
        write_nir(tmp_path / "a.nir", to_nir(neuron, dt=1e-3), dt=0.1)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "nir", None)
    for call in (lambda: to_nir(phc.LIF(4), dt=1e-3), lambda: from_nir("a.nir")):
        with pytest.raises(ImportError, match=r"nir is not installed.*phc-snn\[export\]"):
            call()


# In.

E, Z = np.ones(4), np.zeros(4)


def leaky(**changes):
    values = {"tau": 1e-2 * E, "r": E, "v_leak": Z, "v_threshold": 0.1 * E, "v_reset": Z}
    return nir.LIF(**(values | changes))


def integrator(**changes):
    return nir.LI(**({"tau": 1e-2 * E, "r": E, "v_leak": Z} | changes))


def cuba(**changes):
    values = {"tau_syn": 1e-2 * E, "tau_mem": 1e-2 * E, "r": E, "v_leak": Z, "v_threshold": E}
    return nir.CubaLIF(**(values | changes))


def graph(edges, check=False, size=4, **nodes):
    ends = {"input": nir.Input(np.array([size])), "output": nir.Output(np.array([size]))}
    pairs = [tuple(edge.split(">")) for edge in edges.split()]
    return nir.NIRGraph(ends | nodes, pairs, type_check=check)


def single(node, **options):
    return graph("input>n n>output", n=node, **options)


SQUARE = nir.Linear(weights(features=4).numpy())
LOOP = "input>n n>w w>n n>output"
IN = {
    "leak": (lambda: single(leaky(v_leak=E)), r"node 'n' \(LIF\): v_leak has 1, expected 0"),
    "reset": (
        lambda: single(leaky(v_reset=0.5 * E)),
        r"node 'n' \(LIF\): v_reset has 0.5, expected",
    ),
    "tau": (lambda: single(leaky(tau=-E)), r"node 'n' \(LIF\): tau: got -1 s, expected .* above 0"),
    "short tau": (
        lambda: single(leaky(tau=E * 1e-4)),
        r"node 'n' \(LIF\): tau: got 0.0001 s with dt=0.001, expected at least dt",
    ),
    "r": (lambda: single(leaky(r=-E)), r"node 'n' \(LIF\): a unit of input adds -0.1 .* above 0"),
    "w_in": (lambda: single(cuba(w_in=0.0)), r"node 'n' \(CubaLIF\): a unit of input adds 0 to"),
    "NaN": (lambda: single(leaky(r=E * np.nan)), r"node 'n' \(LIF\): r has NaN or Inf"),
    "size": (
        lambda: single(leaky(), size=5),
        r"node 'n' \(LIF\): v_threshold has shape \(4,\), expected one value or 5",
    ),
    "weights": (
        lambda: single(SQUARE, size=3),
        r"node 'n' \(Linear\): weight has shape \(4, 4\), expected \(outputs, 3\)",
    ),
    "convolution": (
        lambda: single(nir.Conv1d(4, np.ones((1, 1, 1)), 1, 0, 1, 1, np.ones(1))),
        r"node 'n' \(Conv1d\): has no exact form here, expected Linear, Affine",
    ),
    "readout": (lambda: single(integrator()), r"node 'n' \(LI\): has no exact form here"),
    "half a step": (
        lambda: single(nir.Delay(1.5e-3 * E)),
        r"node 'n' \(Delay\): delay: got 0.0015 s with dt=0.001, expected a whole number of steps",
    ),
    "into the past": (
        lambda: single(nir.Delay(-1e-3 * E)),
        r"node 'n' \(Delay\): delay: got -0.001 s .* expected a whole number of steps, 0 or more",
    ),
    "delay without end": (
        lambda: single(nir.Delay(1e9 * E)),
        r"node 'n' \(Delay\): delay: got 1e\+12 steps, expected at most 1048576",
    ),
    "width without end": (
        lambda: single(nir.Scale(np.array(1.0)), size=10**12),
        r"node 'n' \(Scale\): takes 1000000000000 values, expected 1 to 16777216",
    ),
    "a knot": (
        lambda: knot(40),
        r"node 'g.input': leads from 40 nodes to 40, expected a few",
    ),
    "branch": (
        lambda: graph("input>a input>b a>output b>output", a=leaky(), b=leaky()),
        r"node 'input' \(Input\): feeds 2 nodes \['a', 'b'\], expected one",
    ),
    "membrane read outside": (
        lambda: graph(
            "input>m m>t m>w w>output t>output", m=integrator(), t=nir.Threshold(E), w=SQUARE
        ),
        r"node 'm' \(LI\): feeds 'w', expected only its neuron, which ends in 't'",
    ),
    "threshold of a sum": (
        lambda: graph("input>m m>t w>m t>w w>output", m=integrator(), t=nir.Threshold(E), w=SQUARE),
        r"node 'w' \(Linear\): feeds \['t', 'output'\], expected only 't', its loop",
    ),
    "input through the loop's weights": (
        lambda: graph("input>w n>w w>n n>output", n=leaky(), w=SQUARE),
        r"node 'w' \(Linear\): is fed by \['input', 'n'\], expected \['input'\]: sums are taken",
    ),
    "loop through two layers": (
        lambda: graph("input>a a>v v>b b>w w>a b>output", a=leaky(), b=leaky(), v=SQUARE, w=SQUARE),
        r"node 'a' \(LIF\): is fed by \['input', 'w'\], expected \['input'\]: sums are taken only",
    ),
    "two loops": (
        lambda: graph("input>n n>v n>w v>n w>n n>output", n=leaky(), v=SQUARE, w=SQUARE),
        r"node 'n' \(LIF\): its spikes go on to .* expected one node to go on to and one loop",
    ),
    "two sets of weights": (
        lambda: graph("input>n n>v v>w w>n n>output", n=leaky(), v=SQUARE, w=SQUARE),
        r"node 'w' \(Linear\): is the second set of weights in its loop, expected one",
    ),
    "loop of another width": (
        lambda: graph(LOOP, n=leaky(), w=nir.Linear(np.ones((3, 4)))),
        r"node 'w' \(Linear\): gives 3 values back, expected 4, one for each neuron",
    ),
    "delays of what is received": (
        lambda: graph(
            "input>n n>w w>d d>n n>output",
            n=leaky(),
            w=SQUARE,
            d=nir.Delay(1e-3 * np.arange(4.0)),
        ),
        r"node 'd' \(Delay\): delays what each neuron receives, expected one delay for all",
    ),
    "beside the way": (
        lambda: graph("input>n n>output a>b b>a", n=leaky(), a=SQUARE, b=SQUARE),
        r"node 'a' \(Linear\): is not on the way from input to output",
    ),
    "nothing": (lambda: graph("input>output"), "graph: has no layers between input and output"),
    "no such node": (
        lambda: graph("input>x x>output"),
        "edge 'input' -> 'x': there is no node 'x', expected edges between nodes of the graph",
    ),
    "two inputs": (
        lambda: graph("input>n other>n n>output", n=leaky(), other=nir.Input(np.array([4]))),
        "graph: has 2 Input nodes, expected one",
    ),
    "graph inside without output": (
        lambda: single(nir.NIRGraph({"i": nir.Input(np.array([4]))}, [], type_check=False)),
        r"node 'n' \(NIRGraph\): has 0 Output nodes, expected one",
    ),
    "suppression of another threshold": (
        lambda: suppressed(crossing=2 * E),
        r"node 'c' \(Threshold\): threshold differs from that of 't'",
    ),
    "suppression that excites": (
        lambda: suppressed(r=E),
        r"node 's' \(LI\): a unit of input adds",
    ),
    "lag of two steps": (
        lambda: suppressed(lag=2e-3 * E),
        r"node 'd' \(Delay\): expected a delay of one step inside a neuron",
    ),
    "leak of ALIF": (
        lambda: suppressed(tau=E),
        r"node 't' \(Threshold\): membrane_decay: got values .* < 0.99",
    ),
}


def suppressed(crossing=E, r=-E, lag=1e-3 * E, tau=1e-2 * E):
    return graph(
        "input>m m>c m>t c>d d>s s>t t>output",
        m=integrator(tau=tau, r=10 * E),
        c=nir.Threshold(crossing),
        d=nir.Delay(lag),
        s=integrator(r=r),
        t=nir.Threshold(E),
    )


def knot(size):
    """A graph in a graph, whose input is fed by many and feeds many."""
    scales = {f"s{i}": nir.Scale(E) for i in range(size)}
    wires = [f"input>{name} {name}>output" for name in scales]
    inner = graph(" ".join(wires), **scales)
    wires = [f"input>{name} {name}>g" for name in scales]
    return graph(" ".join(wires) + " g>output", g=inner, **scales)


@pytest.mark.parametrize("name", IN)
def test_what_does_not_come_in_is_named(name):
    build, message = IN[name]
    with pytest.raises(ValueError, match=message):
        from_nir(build(), dt=1e-3)


def test_the_suppressed_neuron_of_these_tests_comes_in():
    (neuron,) = from_nir(suppressed(), dt=1e-3).layers
    assert neuron.refractory_lag == 1
    torch.testing.assert_close(neuron.suppression_strength, torch.full((4,), 0.1))


def test_a_graph_without_its_time_step_needs_one():
    with pytest.raises(ValueError, match=r"dt: got None and the graph records none, .* 1e-4"):
        from_nir(single(leaky()))
    with pytest.raises(TypeError, match=r"graph: got int, expected a nir\.NIRGraph or the path"):
        from_nir(3)


def test_width_that_nobody_says():
    scalar = np.array(1.0)
    node = nir.LIF(scalar, scalar, 0 * scalar, scalar)
    unknown = nir.NIRGraph(
        {"i": nir.Input(None), "n": node, "o": nir.Output(None)},
        [("i", "n"), ("n", "o")],
        type_check=False,
    )
    with pytest.raises(ValueError, match=r"node 'n' \(LIF\): neither it nor the Input says how"):
        from_nir(unknown, dt=1e-3)


# Foreign forms that do come in.


def euler(r, tau, threshold, x_seq, dt=1e-3, reset=True):
    """The forward Euler steps of a LIF in NIR's own units."""
    v, spikes = torch.zeros(x_seq.shape[1:]), []
    for x in x_seq.unbind(0):
        v = v + dt / tau * (r * x - v)
        fired = (v > threshold).float()
        v = v * (1 - fired) if reset else v
        spikes.append(fired)
    return torch.stack(spikes)


@pytest.mark.parametrize("r", [0.3, 1.0, 7.0])
def test_any_resistance(r):
    x_seq = torch.randn(200, 4, 4, generator=torch.Generator().manual_seed(0)) + 0.5
    model = from_nir(single(leaky(r=r * E, v_threshold=0.1 * r * E), check=True), dt=1e-3)
    expected = euler(r, 1e-2, 0.1 * r, x_seq)
    assert 0.01 < expected.mean() < 0.9
    assert torch.equal(model(x_seq)[0], expected)
    pair = graph("input>m m>t t>output", m=integrator(r=r * E), t=nir.Threshold(0.1 * r * E))
    expected = euler(r, 1e-2, 0.1 * r, x_seq, reset=False)
    assert torch.equal(from_nir(pair, dt=1e-3)(x_seq)[0], expected)


def test_a_loop_of_bare_wire_or_scale():
    scaled = from_nir(graph(LOOP, n=leaky(), w=nir.Scale(0.5 * E)), dt=1e-3)
    assert torch.equal(scaled.layers[0].connectome.weight, torch.full((4,), 0.5))
    bare = from_nir(graph("input>n n>n n>output", n=leaky()), dt=1e-3)
    assert torch.equal(bare.layers[0].connectome.weight, torch.ones(4))
    assert bare.layers[0].delay == 1


def test_a_scale_from_spike_to_membrane_that_is_no_reset_is_a_weight():
    wires = "input>m m>t t>k k>m t>output"
    parts = {"m": integrator(), "t": nir.Threshold(0.1 * E)}
    reset = from_nir(graph(wires, k=nir.Scale(-E), **parts), dt=1e-3).layers[0]
    assert reset.reset_mechanism == "subtract"
    weight = from_nir(graph(wires, k=nir.Scale(-2 * E), **parts), dt=1e-3).layers[0]
    assert torch.equal(weight.connectome.weight, torch.full((4,), -2.0))


def test_synapse_and_membrane_as_one_node():
    node = nir.CubaLI(tau_syn=1e-2 * E, tau_mem=2e-2 * E, r=2 * E, v_leak=Z, w_in=3 * E)
    (neuron,) = from_nir(graph("input>m m>t t>output", m=node, t=nir.Threshold(E)), dt=1e-3).layers
    assert isinstance(neuron, phc.CubaLIF)
    torch.testing.assert_close(neuron.threshold, torch.full((4,), 1 / (0.1 * 3 * 0.05 * 2)))


def test_delay_after_the_weights_of_a_loop():
    wires = "input>n n>w w>d d>n n>output"
    network = from_nir(graph(wires, n=leaky(), w=SQUARE, d=nir.Delay(2e-3 * E)), dt=1e-3).layers[0]
    assert network.delay == 3
