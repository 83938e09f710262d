"""The pictures show the data that they are given."""

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
    assert legend == ["one", "three", "exact: none"]


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
    nothing = phc.measure_divergence(network, currents(network, 10)[:0])
    with pytest.raises(ValueError, match="there is nothing to draw of empty input"):
        nothing.plot()
