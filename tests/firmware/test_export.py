"""What is written, what is refused, and what it takes on a microcontroller."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import phc_snn as phc
from phc_snn.firmware import CORTEX_M4, HOST
from phc_snn.firmware.printer import real
from phc_snn.firmware.targets import build, run
from tests.firmware.test_bits import available, make, signal

FILES = ["README.md", "example_main.c", "metadata.json", "motion.c", "motion.h"]


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_its_bits(value):
    text = real(value)
    assert text.endswith("f")
    assert np.float32(text[:-1]).tobytes() == np.float32(value).tobytes()


def test_files_say_what_they_are(tmp_path):
    model = make(neurons=16)
    library = phc.export_c(model, tmp_path / "out", name="motion", inputs=signal())
    assert sorted(path.name for path in library.folder.iterdir()) == FILES
    content = json.loads((library.folder / "metadata.json").read_text())
    assert content["name"] == "motion"
    assert (content["inputs"], content["neurons"], content["classes"]) == (5, 16, 3)
    assert content["connections"] == int((model.connectome.weight != 0).sum())
    assert content["deviation"]["steps"] == 60 * 4 * 16
    assert phc.PHCSSM.from_config(content["model"]).network.features == 16
    header = (library.folder / "motion.h").read_text()
    assert library.weight_hash in header
    assert "#define MOTION_INPUTS 5" in header
    assert "-ffp-contract=off" in header
    assert f"{content['deviation']['differing_spikes']:,} spikes" in (
        library.folder / "README.md"
    ).read_text().replace("\n", " ")


def test_the_same_model_gives_the_same_files(tmp_path):
    texts = []
    for folder in ("one", "two"):
        phc.export_c(make(), tmp_path / folder, name="motion")
        texts.append([(tmp_path / folder / name).read_bytes() for name in FILES])
    assert texts[0] == texts[1]


def test_every_symbol_is_prefixed(tmp_path):
    available(HOST)
    phc.export_c(make(), tmp_path, name="motion")
    run(["gcc", "-std=c99", "-c", "motion.c", "-o", "motion.o"], tmp_path)
    listed = run(["nm", "--defined-only", "-g", "motion.o"], tmp_path)
    names = {line.split()[-1] for line in listed.splitlines()}
    assert names == {f"motion_{x}" for x in ("reset", "step", "logits", "decide", "selftest")}


def test_the_example_streams(tmp_path):
    """One sample in, one decision out, as the network in Python decides."""
    available(HOST)
    model, x = make(), signal(steps=9, batch=1)
    phc.export_c(model, tmp_path, name="motion")
    build(HOST, tmp_path, ["motion.c", "example_main.c"], "example")
    samples = "\n".join(" ".join(f"{v!r}" for v in row) for row in x[:, 0].tolist())
    import subprocess

    done = subprocess.run(
        [str(tmp_path / "example")], input=samples, capture_output=True, text=True, check=True
    )
    from phc_snn.firmware import BitReference

    reference, state, wanted = BitReference(model), None, []
    for t, x_t in enumerate(x):
        logits, state = reference.step(x_t, state)
        wanted.append(f"step {t + 1}: class {int(logits[0].argmax())}")
    assert done.stdout.splitlines() == wanted


def bad_nan():
    model = make()
    with torch.no_grad():
        model.connectome.raw_weight[0, 1] = torch.nan
    return model


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (make, {"name": "Motion"}, ValueError, "name: got 'Motion', expected a C identifier"),
        (make, {"name": "1x"}, ValueError, "name: got '1x'"),
        (make, {"name": "a-b"}, ValueError, "name: got 'a-b'"),
        (bad_nan, {}, ValueError, "network.connectome.raw_weight: has NaN or Inf"),
        (lambda: make().double(), {}, ValueError, "float64, expected float32"),
        (lambda: torch.nn.Linear(2, 2), {}, TypeError, "model: got Linear, expected a PHCSSM"),
        (lambda: make(delay=[0] + [1] * 7), {}, ValueError, "delay: got 0 steps"),
        (lambda: make(delay=0), {}, ValueError, "delay: got 0 steps"),
        (lambda: make(neuron="lrcssm"), {}, ValueError, "LrcSSM sends rates, expected spikes"),
        (lambda: make(neuron="s5"), {}, ValueError, "neuron: S5 has no C code"),
        (lambda: make(neuron="pspikessm"), {}, ValueError, "neuron: PSpikeSSM has no C code"),
        (make, {"name": "example_main"}, ValueError, "name: got 'example_main', a file of which"),
        (make, {"name": "math"}, ValueError, "name: got 'math'"),
        (make, {"scaling": {"mean": torch.zeros(5)}}, ValueError, "scaling: got .*expected JSON"),
        (make, {"scaling": {"mean": [float("nan")]}}, ValueError, "scaling: got .*expected JSON"),
        (
            lambda: make(windows=2, window_steps=2**32),
            {},
            ValueError,
            "window_steps: got 4294967296",
        ),
    ],
)
def test_what_has_no_c_code_is_refused_and_nothing_written(
    model, options, error, message, tmp_path
):
    with pytest.raises(error, match=message):
        phc.export_c(model(), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_spike_function_of_the_user_has_no_c_code(tmp_path):
    model = make()
    model.network.neuron.spike_grad = torch.sigmoid
    with pytest.raises(ValueError, match="neuron: ALIF has no C code, it uses the unknown"):
        phc.export_c(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("neurons", [16, 32, 64])
def test_budget(neurons, tmp_path):
    """48 KB of flash and 10 KB of RAM, all connections there are."""
    available(CORTEX_M4)
    library = phc.export_c(make(neurons=neurons), tmp_path, name="motion")
    budget = library.budget
    assert 0 < budget.flash <= 48 * 1024
    assert 0 < budget.state + budget.stack <= 10 * 1024
    assert budget.instructions > 1000
    assert library.warnings() == []
    assert library.warnings(flash=budget.flash + 1) == [
        f"flash: {budget.flash:,} bytes comes near the budget of {budget.flash + 1:,}"
    ]
    assert "passes the budget" in library.warnings(ram=100)[0]
    assert f"{budget.flash:,} bytes of flash" in (tmp_path / "README.md").read_text()


def test_without_the_compiler_nothing_is_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    library = phc.export_c(make(), tmp_path, name="motion")
    assert library.budget is None
    assert "arm-none-eabi-gcc" in library.warnings()[0]
    assert "Cortex-M4F" not in (tmp_path / "README.md").read_text()


def test_other_files_are_not_overwritten(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ValueError, match=r"folder: .* has README.md, which would be overwritten"):
        phc.export_c(make(), tmp_path, name="motion")
    assert (tmp_path / "README.md").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


def test_two_networks_want_two_folders(tmp_path):
    phc.export_c(make(), tmp_path, name="left")
    phc.export_c(make(seed=2), tmp_path, name="left")  # the same again is an update
    with pytest.raises(ValueError, match="no export of 'right'"):
        phc.export_c(make(), tmp_path, name="right")
    assert not (tmp_path / "right.c").exists()


def test_the_default_dtype_changes_nothing(tmp_path):
    model = make()
    phc.export_c(model, tmp_path / "one", name="motion")
    torch.set_default_dtype(torch.float64)
    try:
        phc.export_c(model, tmp_path / "two", name="motion")
    finally:
        torch.set_default_dtype(torch.float32)
    assert (tmp_path / "one/motion.c").read_text() == (tmp_path / "two/motion.c").read_text()


@pytest.mark.slow
def test_a_network_beyond_the_budget_is_exported_with_a_warning(tmp_path):
    available(CORTEX_M4)
    library = phc.export_c(make(neurons=192), tmp_path, name="motion")
    assert library.budget.flash > 128 * 1024
    assert "passes the budget" in library.warnings()[0]
