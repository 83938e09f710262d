"""What is written, what is refused, and what it takes on a microcontroller."""

import json
import os
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import phc_snn as phc
from phc_snn.firmware import CORTEX_M4, GPU, HOST
from phc_snn.firmware.golden import Golden
from phc_snn.firmware.printer import real
from phc_snn.firmware.targets import build, run
from tests.firmware.test_bits import available, make, signal

SIGNS = torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0]).expand(4, 2, 5)
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
    assert content["weights_sha256"] == library.weight_hash
    assert len(library.weight_hash) == 64
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
    assert names == {
        f"motion_{x}" for x in ("reset", "step", "logits", "clear_readout", "decide", "selftest")
    }


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
        (make, {"name": "example_main"}, ValueError, "but example_main.h or example_main.c is"),
        (make, {"name": "features"}, ValueError, "but features.h or features.c is there"),
        (make, {"name": "register"}, ValueError, "name: got 'register', a word of C"),
        (make, {"name": "this"}, ValueError, "name: got 'this', a word of C"),
        (make, {"name": "math"}, ValueError, "name: got 'math'"),
        (make, {"scaling": {"mean": torch.zeros(5)}}, ValueError, "scaling: got {'mean': tensor"),
        (make, {"scaling": {"mean": [0.0] * 5}}, ValueError, "scaling: got {'mean': "),
        (
            make,
            {"scaling": {"mean": float("nan"), "scale": 1}},
            ValueError,
            "scaling: got mean = nan, expected scale, and mean if there is one: a number",
        ),
        (make, {"scaling": {"scale": [1.0] * 4}}, ValueError, r"scaling: got scale = \[1.0, "),
        (make, {"scaling": {"scale": 0}}, ValueError, "scaling: got scale = 0, expected"),
        (make, {"scaling": {"scale": 2, "formula": 3}}, ValueError, "scaling: got formula = 3"),
        (make, {"scaling": {"scale": 10**400}}, ValueError, "scaling: got scale = 1000"),
        (make, {"scaling": {"scale": True}}, ValueError, "scaling: got scale = True"),
        (make, {"prepared": {"a": torch.zeros(1)}}, ValueError, "prepared: got .*expected JSON"),
        (make, {"prepared": [1]}, ValueError, r"prepared: got \[1\], expected JSON values by"),
        (make, {"inputs": SIGNS * 1e20}, ValueError, "inputs: has NaN or Inf, or numbers so large"),
        (make, {"inputs": torch.full((4, 2, 5), 3e38)}, ValueError, "the encoder overflows"),
        (make, {"classes": "abc"}, ValueError, "classes: got 'abc', expected 3 names"),
        (make, {"classes": ["a", "b"]}, ValueError, r"classes: got \['a', 'b'\], expected 3 names"),
        (make, {"inputs": np.zeros((4, 2, 5))}, TypeError, "inputs: got ndarray, expected a torch"),
        (make, {"inputs": torch.zeros(0, 2, 5)}, ValueError, r"inputs: got shape \(0, 2, 5\)"),
        (make, {"inputs": torch.zeros(4, 0, 5)}, ValueError, r"inputs: got shape \(4, 0, 5\)"),
        (make, {"inputs": torch.zeros(4, 2, 6)}, ValueError, r"inputs: got shape \(4, 2, 6\)"),
        (make, {"inputs": torch.full((4, 2, 5), torch.nan)}, ValueError, "inputs: has NaN or Inf"),
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
        f"flash: {budget.flash:,} bytes come near the budget of {budget.flash + 1:,}"
    ]
    assert "exceed the budget" in library.warnings(ram=100)[0]
    assert f"{budget.flash:,} bytes of flash" in (tmp_path / "README.md").read_text()


def test_without_the_compiler_nothing_is_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    library = phc.export_c(make(), tmp_path, name="motion")
    assert library.budget is None
    assert "arm-none-eabi-gcc" in library.warnings()[0]
    assert "Cortex-M4F" not in (tmp_path / "README.md").read_text()


def test_a_compiler_that_fails_is_no_reason_to_write_nothing(tmp_path, monkeypatch):
    available(CORTEX_M4)
    (tmp_path / "bin").mkdir()
    broken = tmp_path / "bin" / "arm-none-eabi-gcc"
    broken.write_text("#!/bin/sh\necho cannot read spec file >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    library = phc.export_c(make(), tmp_path / "out", name="motion")
    assert library.budget is None
    assert library.warnings() == [
        "flash, stack and instructions were not measured: cannot read spec file"
    ]


def test_a_self_test_without_spikes_is_told(tmp_path):
    model = make()
    assert phc.export_c(model, tmp_path / "one", name="motion").selftest_spikes > 0
    with torch.no_grad():
        model.network.neuron.threshold.fill_(1e6)
    library = phc.export_c(model, tmp_path / "two", name="motion")
    assert library.selftest_spikes == 0
    assert "no neuron fires in the self-test" in library.warnings()[0]


@pytest.mark.parametrize("quiet", ["exit 0", "echo 1 2 3"])
def test_a_board_that_says_nothing_is_no_reason_either(quiet, tmp_path, monkeypatch):
    available(CORTEX_M4)
    (tmp_path / "bin").mkdir()
    broken = tmp_path / "bin" / "qemu-system-arm"
    broken.write_text(f"#!/bin/sh\n{quiet}\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}:{os.environ['PATH']}")
    library = phc.export_c(make(), tmp_path / "out", name="motion")
    assert library.budget is None
    assert "measured: a program that writes 5 wrote" in library.warnings()[0]


def test_code_that_fails_where_others_run_is_not_written(tmp_path, monkeypatch):
    available(CORTEX_M4)
    monkeypatch.setattr(
        "phc_snn.firmware.source.golden", lambda reference, tables: Golden(12345, 1)
    )
    with pytest.raises(ChildProcessError, match=r"runs other programs, .*self-test says 2"):
        phc.export_c(make(), tmp_path / "out", name="motion")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("target", [HOST, CORTEX_M4, GPU], ids=lambda target: target.name)
def test_a_machine_that_runs_programs_has_no_fault(target):
    from phc_snn.firmware.targets import fault

    lacking = f"there is no {', no '.join(target.missing)}" if target.missing else ""
    assert fault(target) == lacking


def test_what_went_wrong_is_told_in_a_line():
    from phc_snn.firmware.targets import told

    text = "gcc -c x.c\nx.c:3:1: error: 'y' undeclared\n  3 | y\n    | ^\n"
    assert told(ChildProcessError(text)) == "x.c:3:1: error: 'y' undeclared"
    assert told(ChildProcessError("gcc\nno space left\n")) == "no space left"
    assert told(ChildProcessError("")) == ""


def test_a_folder_in_the_place_of_a_file(tmp_path):
    (tmp_path / "README.md").mkdir()
    with pytest.raises(ValueError, match=r"folder: .*README.md is no file; choose another folder"):
        phc.export_c(make(), tmp_path, name="motion")
    assert [path.name for path in tmp_path.iterdir()] == ["README.md"]


@pytest.mark.parametrize("folder", ["", None, 3])
def test_what_is_no_folder(folder):
    with pytest.raises(ValueError, match=f"folder: got {folder!r}, expected the name of a folder"):
        phc.export_c(make(), folder)


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path, monkeypatch):
    """Nothing of a first export, all of the one before: never half of each."""
    from phc_snn import files

    calls = []

    def full(temporary, text, **options):
        calls.append(temporary)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        return original(temporary, text, **options)

    original = files.Path.write_text
    phc.export_c(make(), tmp_path / "there", name="motion")
    before = {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()}
    for place in ("new", "there"):
        calls.clear()
        with monkeypatch.context() as patched:
            patched.setattr(files.Path, "write_text", full)
            patched.setattr("phc_snn.firmware.export.measure_budget", lambda *texts: None)
            with pytest.raises(OSError, match=r"folder: cannot write to .*No space left"):
                phc.export_c(make(delay=4), tmp_path / place, name="motion")
    assert list((tmp_path / "new").iterdir()) == []
    assert {path.name: path.read_bytes() for path in (tmp_path / "there").iterdir()} == before
    phc.export_c(make(delay=4), tmp_path / "new", name="motion")


def raises(error):
    def function(*arguments, **options):
        raise error

    return function


def test_the_example_is_the_users(tmp_path):
    phc.export_c(make(), tmp_path, name="motion")
    (tmp_path / "example_main.c").write_text("mine")
    phc.export_c(make(seed=2), tmp_path, name="motion")
    assert (tmp_path / "example_main.c").read_text() == "mine"


def test_the_page_says_how_input_is_scaled_and_what_classes_mean(tmp_path):
    phc.export_c(
        make(), tmp_path, name="motion", scaling={"mean": [1.0, 2.0, 3.0, 4.0, 5.0], "scale": 2},
        classes=["rest", "left", "right"], prepared={"series": {"average": 5}},
    )  # fmt: skip
    page = (tmp_path / "README.md").read_text()
    assert "`(x - mean) / scale`" in page
    assert "mean = [1.0, 2.0, 3.0, 4.0, 5.0]\nscale = 2\n" in page
    assert "Classes: 0 rest, 1 left, 2 right." in page
    assert "series = {'average': 5}" in page
    content = json.loads((tmp_path / "metadata.json").read_text())
    assert content["prepared"] == {"series": {"average": 5}}
    for file in ("README.md", "motion.h", "motion.c"):
        assert content["build"] in (tmp_path / file).read_text()


def test_names_of_a_users_neuron_that_are_taken(tmp_path):
    """Coefficients and states go by their names, but not by those of others."""
    from phc_snn.firmware.names import RESERVED

    text = phc.export_c(make(windows=2, window_steps=9), tmp_path, name="motion")
    code = (text.folder / "motion.c").read_text() + (text.folder / "motion.h").read_text()
    own = {word for word in re.findall(r"motion_([a-z_]+)", code) if word not in text.states}
    tables = {"membrane_decay", "adaptation_decay", "adaptation_strength", "suppression_decay",
              "suppression_strength", "threshold", "facilitation_decay", "recovery_decay",
              "increment"}  # fmt: skip
    assert {word for word in own if not word.endswith("_") and word not in tables} <= set(RESERVED)


def test_names_that_a_neuron_gives_are_made_names_of_c():
    from typing import NamedTuple

    from phc_snn.firmware.plan import _named
    from phc_snn.kernels.trace import Stage

    class State(NamedTuple):
        register: torch.Tensor
        sent_0: torch.Tensor
        v: torch.Tensor

    class Coefficients(NamedTuple):
        v_2: torch.Tensor
        first_register: torch.Tensor
        this: torch.Tensor

    values = [torch.zeros(2) for _ in range(3)]
    stage = Stage(lambda: None, Coefficients(*values), State(*values))
    states, tables = _named([stage, stage], 2)
    assert [name for name, _ in states[:3]] == ["register_2", "own_sent_0", "v"]
    assert [name for name, _ in states[3:]] == ["register_3", "own_sent_0_2", "v_3"]
    assert [table.name for table in tables[:3]] == ["v_2", "own_first_register", "this_2"]
    every = [name for name, _ in states] + [table.name for table in tables]
    assert len(set(every)) == 12


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
    assert "exceed the budget" in library.warnings()[0]
