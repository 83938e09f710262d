"""The pictures show the data that they are given."""

from dataclasses import replace

import pytest
import torch

import phc_snn as phc
from phc_snn import plots
from tests.builders import currents, make_network

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def divergence():
    network = make_network(gain=4.0)
    x = currents(network, 40, batch=3)
    phase = phc.phase_diagram(network, x, gains=(0.5, 1.0, 2.0), delays=(1, 4), limit=20)
    solvers = {"one": phc.Jacobi(1), "three": phc.Jacobi(3), "exact": phc.Exact()}
    return phc.measure_divergence(network, x, solvers=solvers, phase=phase)


def titles(figure):
    return [axes.get_title("left") or axes.get_title() for axes in figure.axes if axes.get_xlabel()]


def test_all_pictures(divergence, tmp_path):
    figure = divergence.plot()
    assert len(titles(figure)) == 5
    plots.save(figure, tmp_path / "all.png")
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("picture", ["sweeps", "certificate", "raster", "voltage", "phase"])
def test_one_picture(divergence, picture, tmp_path):
    figure = divergence.plot(picture)
    assert len(titles(figure)) == 1
    plots.save(figure, tmp_path / "one.png")


def test_raster_marks_the_differing_spikes(divergence):
    figure = divergence.plot("raster", solver="three", sample=1)
    a = divergence.solvers["three"].solution.spikes[:, 1].bool()
    b = divergence.reference.solution.spikes[:, 1].bool()
    shown = [len(group.get_offsets()) for group in figure.axes[0].collections]
    assert shown == [int((a & b).sum()), int((a & ~b).sum()), int((b & ~a).sum())]
    assert "sample 1" in figure.axes[0].get_title("left")


def test_defaults_show_what_differs_most(divergence):
    assert divergence.most_different() == "one"
    differing = (
        divergence.solvers["one"].solution.spikes != divergence.reference.solution.spikes
    ).sum(dim=(0, 2))
    title = divergence.plot("raster").axes[0].get_title("left")
    assert f"sample {int(differing.argmax())}" in title


def test_curves_are_the_data(divergence):
    line = divergence.plot("sweeps").axes[0].lines[0]
    assert line.get_ydata().tolist() == (100 * divergence.curve.step_difference).tolist()
    equal, proved, _ = divergence.plot("certificate").axes[0].lines
    median = divergence.curve.certified_steps.double().median(1).values
    assert torch.equal(torch.as_tensor(proved.get_ydata()), median)
    assert (equal.get_ydata() >= proved.get_ydata()).all()


def test_voltage_error_is_the_root_mean_square(divergence):
    one = divergence.solvers["one"]
    found = plots.voltage_error(one, divergence.reference)
    error = one.solution.voltage - divergence.reference.solution.voltage
    assert float(found[7]) == pytest.approx(float(error[7].square().mean().sqrt()))
    legend = [t.get_text() for t in divergence.plot("voltage").axes[0].get_legend().get_texts()]
    assert legend == ["one", "three", "exact: no error"]


def test_an_error_in_a_single_step_is_seen(divergence):
    voltage = divergence.reference.solution.voltage.clone()
    voltage[9] += 1e-3
    voltage[20:22] += 1e-3
    one = replace(
        divergence.solvers["exact"],
        solution=replace(divergence.reference.solution, voltage=voltage),
    )
    line = replace(divergence, solvers={"one": one}).plot("voltage").axes[0].lines[0]
    assert torch.as_tensor(line.get_ydata()).isfinite().nonzero()[:, 0].tolist() == [9, 20, 21]
    assert [t for t, dot in enumerate(line.get_markevery()) if dot] == [9]
    assert line.get_marker() == "."


@pytest.mark.parametrize(
    ("difference", "scale", "bottom", "top"),
    [
        ([0.3, 0.04], "log", 1.0, 60.0),
        ([0.3, 0.004, 0.0], "symlog", 0.0, 60.0),
        ([0.0], "linear", 0.0, 1.0),
    ],
)
def test_every_point_of_the_curve_is_inside_the_axes(divergence, difference, scale, bottom, top):
    values = torch.tensor(difference, dtype=torch.float64)
    curve = replace(divergence.curve, step_difference=values)
    axes = replace(divergence, curve=curve).plot("sweeps").axes[0]
    assert axes.get_yscale() == scale
    assert axes.get_ylim() == pytest.approx((bottom, top))
    assert axes.get_xlim() == (0.5, max(len(difference), 2) + 0.5)


def test_traces_show_where_the_modes_part():
    network = make_network(gain=4.0)
    x = currents(network, 400, batch=1)
    found = phc.measure_divergence(network, x, solvers={"two": phc.Jacobi(2)}, sweeps=2)
    two, reference = found.solvers["two"], found.reference
    figure = plots.two_modes(two, reference, found.curve, thresholds=found.thresholds)
    _, traces, _ = figure.axes
    error = (two.solution.voltage - reference.solution.voltage).abs()[:, 0]
    worst, neuron = divmod(int(error.argmax()), 8)
    sequential, parallel, threshold = traces.lines
    steps = list(sequential.get_xdata())
    assert worst in steps
    assert len(steps) == 120
    assert traces.get_title("left") == f"Voltage of neuron {neuron}"
    shown = torch.as_tensor(parallel.get_ydata())
    assert torch.equal(shown, two.solution.voltage[steps, 0, neuron])
    assert set(threshold.get_ydata()) == {float(found.thresholds[neuron])}


def test_phase_diagram_prints_the_sweeps(divergence):
    axes = divergence.plot("phase").axes[0]
    sweeps = divergence.phase.sweeps.flatten().tolist()
    expected = [f"{s:.0f}" if s < 20 else "≥20" for s in sweeps]
    assert [t.get_text() for t in axes.texts] == expected


@pytest.mark.parametrize(
    ("pictures", "options", "message"),
    [
        (("pie",), {}, "pictures: got 'pie', expected some of"),
        ((), {"solver": "none"}, "solver: got 'none', expected one of"),
        ((), {"sample": 3}, "sample: got 3, expected 0 to 2"),
        ((), {"sample": -1}, "sample: got -1, expected 0 to 2"),
    ],
)
def test_bad_arguments(divergence, pictures, options, message):
    with pytest.raises(ValueError, match=message):
        divergence.plot(*pictures, **options)


def test_what_was_not_measured_is_not_drawn():
    network = make_network()
    found = phc.measure_divergence(network, currents(network, 10), sweeps=0)
    assert len(titles(found.plot())) == 2
    for picture in ("phase", "sweeps"):
        with pytest.raises(ValueError, match=f"there is no data for '{picture}'"):
            found.plot(picture)
    alone = phc.measure_divergence(network, currents(network, 10), solvers={}, sweeps=0)
    assert titles(alone.plot()) == ["Spikes of sample 0"]
    nothing = phc.measure_divergence(network, currents(network, 10)[:0])
    with pytest.raises(ValueError, match="there is nothing to draw of empty input"):
        nothing.plot()
