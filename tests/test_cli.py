"""The command line as a user meets it."""

import json
import os
import shlex
import signal
import subprocess
from dataclasses import fields
from statistics import median

import pytest
import torch
from filelock import FileLock

from phc_snn.data import load_uea
from phc_snn.training.checkpoint import load_model
from phc_snn.training.compare import CompareConfig, evaluate, train
from phc_snn.training.measure import MeasureConfig
from tests.command import call, interrupt_training, run, started

FILES = {
    "comparison.png",
    "report.html",
    "report.json",
    "model.safetensors",
    "model.json",
    "command.txt",
}
MEASURED = {"divergence.png", "report.html", "report.json"}


def test_help_names_every_option_of_the_main_job(tmp_path):
    assert "compare" in run("--help").stdout
    text = call("compare", "--help", cwd=tmp_path, columns=100).stdout
    for option in ("data", "seed", "neurons", "topology", "solver", "sweeps", "epochs", "device"):
        assert f"--{option}" in text
    assert "--out" in text


def test_help_names_every_option_of_the_measurement(tmp_path):
    text = call("divergence", "--help", cwd=tmp_path, columns=100).stdout
    for field in fields(MeasureConfig):
        if field.name != "checkpoint":
            assert f"--{field.name.replace('_', '-')}" in text
    assert "checkpoint" in text.lower()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare", "--data", "Nothing", "--data-dir", "/nowhere"], "does not exist"),
        (["compare", "--data", "JapaneseVowels"], "sequences of 7 to 26 steps, expected one"),
        (["compare", "--sweeps", "0"], "sweeps: got 0, expected 1 or more"),
        (["compare", "--neurons", "2"], "neurons: got 2, expected 4 or more"),
        (["compare", "--out", "/proc/x"], "out: cannot make the folder /proc/x"),
        (["compare", "--device", "abacus"], "abacus"),
        pytest.param(
            ["compare", "--device", "cuda"],
            "no CUDA device is available",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)
def test_bad_settings_are_one_line_and_exit_status_2(arguments, message, tmp_path):
    result = call(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("*")), "something was left behind"


def test_an_error_is_one_line_in_a_process_of_its_own_too(tmp_path):
    result = run("compare", "--neurons", "2", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr == ("phc-snn: neurons: got 2, expected 4 or more\n")


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """One run for all tests and workers: where it lies, and what it printed."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder, printed = shared / "compare", shared / "compare.txt"
    with FileLock(shared / "compare.lock"):
        if not printed.exists():
            result = run("compare", "--epochs", "2", "--neurons", "16", "--out", str(folder))
            assert result.returncode == 0, result.stderr
            printed.write_text(result.stdout)
    return folder, printed.read_text()


def test_compare_writes_all_it_promises(finished):
    folder, text = finished
    assert {path.name for path in folder.iterdir()} == FILES
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert b"Difference against sweeps" in (folder / "report.html").read_bytes()
    for word in ("sequential", "parallel", "accuracy", "differ", "sweeps"):
        assert word in text


def test_report_says_how_to_repeat_the_run(finished, tmp_path):
    folder, _ = finished
    report = json.loads((folder / "report.json").read_text())
    command = (folder / "command.txt").read_text().split()
    assert report["command"].split() == command
    assert report["modes"]["exact"]["differing_spikes"] == 0
    assert report["modes"]["exact"]["accuracy"] == report["modes"]["sequential"]["accuracy"]
    again = tmp_path / "again"
    command[command.index("--out") + 1] = str(again)
    assert call(*command[1:], cwd=tmp_path).returncode == 0
    first, second = load_model(folder), load_model(again)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


def test_divergence_writes_all_it_promises(finished, tmp_path):
    folder, _ = finished
    out = tmp_path / "measured"
    result = run("divergence", str(folder / "model.safetensors"), "--out", str(out))
    assert result.returncode == 0, result.stderr
    assert {path.name for path in out.iterdir()} == MEASURED
    for word in ("sequential", "parallel", "16 sweeps", "exact", "accuracy"):
        assert word in result.stdout
    measured = json.loads((out / "report.json").read_text())
    compared = json.loads((folder / "report.json").read_text())
    for mode, name in (("parallel", "parallel"), ("exact", "exact"), ("sequential", "reference")):
        for figure in ("differing_spikes", "spikes", "first_differing_step", "voltage_rmse"):
            assert measured["solvers"][name][figure] == compared["modes"][mode][figure]
        assert measured["accuracy"][mode] == compared["modes"][mode]["accuracy"]


def test_divergence_says_how_to_repeat_it(finished, tmp_path):
    """The parallel mode of one's choice; a path with brackets, which rich reads as markup."""
    folder, _ = finished
    out = tmp_path / "a[/b]c"
    result = run("divergence", str(folder / "report.json"), "--solver", "exact",
                 "--device", "auto", "--curve", "2", "--out", str(out))  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert str(out) in result.stdout.splitlines()[-1]
    measured = json.loads((out / "report.json").read_text())
    assert measured["solvers"]["parallel"]["differing_spikes"] == 0
    assert len(measured["curve"]["step_difference"]) == 2
    for word in ("Repeat with", "Parallel", "Exact("):
        assert word in (out / "report.html").read_text(encoding="utf-8")
    words = shlex.split(measured["command"])
    assert words[:3] == ["phc-snn", "divergence", str(folder / "report.json")]
    assert words[words.index("--solver") + 1] == "exact"
    words[words.index("--out") + 1] = str(tmp_path / "again")
    assert call(*words[1:], cwd=tmp_path).returncode == 0
    again = json.loads((tmp_path / "again" / "report.json").read_text())
    assert again["curve"] == measured["curve"]


@pytest.mark.slow
def test_divergence_with_everything(finished, tmp_path):
    folder, _ = finished
    result = run("divergence", str(folder), "--phase", "--bridges", "--epochs", "1",
                 "--sample", "3", "--sweeps", "9", "--curve", "5", cwd=tmp_path)  # fmt: skip
    assert result.returncode == 0, result.stderr
    out = folder / "divergence"
    assert {path.name for path in out.iterdir()} == MEASURED
    measured = json.loads((out / "report.json").read_text())
    assert len(measured["curve"]["step_difference"]) == 5
    assert "9 sweeps" in measured["solvers"]
    assert set(measured["bridges"]) >= {"as trained", "exact", "fine-tuned"}
    assert "phase" in measured
    assert "fine-tuned" in result.stdout
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Spikes of sample 3" in page
    assert "chart-phase" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/nowhere"], "/nowhere/model.json does not exist; expected a run's folder"),
        (["RUN", "--sweeps", "0"], "sweeps: got 0, expected 1 or more"),
        (["RUN", "--sample", "40"], "sample: got 40, expected 0 to 39"),
        (["RUN", "--out", "/proc/x"], "out: cannot make the folder /proc/x"),
        (["RUN", "--out", "made/" + 300 * "x"], "out: cannot make the folder made/xxx"),
        (["RUN", "--data", "Nothing", "--data-dir", "/nowhere"], "does not exist"),
    ],
)
def test_bad_measurements_are_one_line_and_leave_nothing(finished, arguments, message, tmp_path):
    folder, _ = finished
    arguments = [str(folder) if a == "RUN" else a for a in arguments]
    result = call("divergence", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("*"))


@pytest.mark.slow
def test_ctrl_c_in_a_measurement_leaves_whole_files_or_none(finished, tmp_path):
    out = tmp_path / "made" / "out"
    with started(
        "divergence", str(finished[0]), "--phase", "--out", str(out),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        seen = [next(line for line in process.stdout if "at delay 2 (2 of 4)" in line)]
        assert out.is_dir()
        os.kill(process.pid, signal.SIGINT)
        text, errors = process.communicate(timeout=60)
    assert process.returncode == 130, (seen, text, errors)
    assert errors == "phc-snn: interrupted; files that were finished are complete\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_ctrl_c_leaves_a_usable_checkpoint(tmp_path):
    out = tmp_path / "out"
    status, seen = interrupt_training(
        "compare", "--out", str(out), end=rb"Figure, report, model and command"
    )
    assert status == 0
    assert b"Training stopped by Ctrl-C" in seen
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["training"]["interrupted"] is True
    load_model(tmp_path / "out")


@pytest.mark.slow
def test_the_main_job_learns():
    """Median over 5 seeds of the test accuracy, in both modes."""
    dataset = load_uea().standardized()
    found = []
    for seed in range(5):
        config = CompareConfig(seed=seed)
        model, _ = train(config, dataset)
        divergence, accuracy = evaluate(model, dataset, config.make_solver(), most_sweeps=1)
        found.append(accuracy)
        exact, sequential = divergence.solvers["exact"].solution, divergence.reference.solution
        assert torch.equal(exact.spikes, sequential.spikes)
        assert torch.equal(exact.voltage, sequential.voltage)
    assert median(accuracy["parallel"] for accuracy in found) >= 0.95
    assert median(accuracy["sequential"] for accuracy in found) >= 0.95
    assert all(accuracy["exact"] == accuracy["sequential"] for accuracy in found)
