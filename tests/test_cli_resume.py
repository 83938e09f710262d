"""A training that is killed, or shared by processes, is the same training."""

import filecmp
import random
import resource
import signal
import subprocess
import sys
import time
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from phc_snn.cli import main
from phc_snn.data import write_pool
from phc_snn.training.train import SETTINGS
from tests.command import COMMAND, call

pytest.importorskip("lightning")
JOB = [
    "train", "--data", "BasicMotions", "--neurons", "8", "--readout", "voltage", "--dropout", "0.2",
]  # fmt: skip


@pytest.mark.slow
def test_killed_twenty_times_at_random_it_ends_with_the_same_bits(tmp_path):
    pytest.importorskip("aeon")
    # Processes that find everything imported, so that nearly all of their time is training.
    start = get_context("forkserver")
    start.set_forkserver_preload(
        ["phc_snn.commands.train", "phc_snn.training.lightning", "aeon.datasets"]
    )
    _train(start, ["--help"]).join(300)
    job = [*JOB, "--epochs", "60", "--checkpoint-seconds", "0"]
    undisturbed = _train(start, [*job, "--out", str(tmp_path / "whole")])
    began = time.monotonic()
    undisturbed.join(300)
    seconds = time.monotonic() - began
    assert undisturbed.exitcode == 0
    draw = random.Random(0)
    kills = runs = 0
    while kills < 20:
        out = tmp_path / str(runs)
        kills += _killed_and_ended(start, job, out, draw, seconds)
        runs += 1
        same = filecmp.cmp(tmp_path / "whole/model.safetensors", out / "model.safetensors", False)
        assert same, f"run {runs} ended with other weights"
        assert runs < 40, f"{kills} kills in {runs} runs: they end before they are killed"


def _train(start, arguments):
    process = start.Process(target=_command, args=(arguments,))
    process.start()
    return process


def _command(arguments):
    sys.argv = ["phc-snn", *arguments]
    main()


def _killed_and_ended(start, job, out, draw, seconds):
    """Kill a run at four random moments, if it lasts that long, and let it end; how many it was."""
    for kills in range(5):
        begun = (out / SETTINGS).exists()
        process = _train(
            start, ["train", "--resume", str(out)] if begun else [*job, "--out", str(out)]
        )
        # A machine may be busier than it was: a run that is only ever killed could last forever.
        process.join(draw.uniform(0.1, 0.6) * seconds if kills < 4 else 300)
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
    assert process.exitcode == 0
    return kills


@pytest.mark.parametrize(
    "device",
    [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.gpu)],
)
def test_two_processes_train_as_one(device, tmp_path):
    if device == "cuda" and torch.cuda.device_count() < 2:
        pytest.skip("one CUDA device")
    x = np.random.default_rng(0).normal(size=(57, 60, 3)).astype(np.float32)
    write_pool(tmp_path / "Noise" / "Noise.npz", x, [0, 1, 2] * 19)
    # Batches of 9 are shares of 5 and 4; the last one is smaller.
    job = [
        "train", "--data", "Noise", "--data-dir", str(tmp_path), "--protocol", "uea", "--neurons",
        "8", "--readout", "voltage", "--dropout", "0.2", "--epochs", "5", "--steps-per-epoch", "7",
        "--batch-size", "9", "--device", device,
    ]  # fmt: skip
    for name, more in (("one", []), ("two", ["--devices", "2", "--strategy", "ddp"])):
        command = [*COMMAND, *job, *more, "--out", str(tmp_path / name)]
        found = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert found.returncode == 0, found.stderr
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, value in one.items():
        assert (value.double() - two[name].double()).abs().max() <= 1e-6, name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "no.toml"], "config: no.toml does not exist; expected a TOML file"),
        (["--config", "typo.toml"], "typo.toml: nurons is not a setting; did you mean neurons?"),
        (["--config", "good.toml", "--neurons", "0"], "phc-snn: neurons: got 0, expected 1 or"),
        (["--config", "bad.toml"], "config: bad.toml is not TOML"),
        (["--resume", "nothing"], "resume: no run lies in nothing (settings.toml is missing)"),
        (["--resume", "several"], "but those of a sweep: call it again, and it goes on"),
        (["--resume", "x", "--neurons", "3"], "resume: a run goes on with the settings it has"),
        (["--resume", "x", "--neurons", "80"], "resume: a run goes on with the settings it has"),
        (["--resume", "x", "--config", "typo.toml"], "resume: a run goes on with the settings it"),
        (["--resume", "x", "--seeds", "0,1"], "resume: a run goes on with the settings it has"),
        (["--data", "Nothing", "--data-dir", "."], "does not exist"),
        (["--data", "Mine", "--data-dir", "."], "Mine.npz is there, which the protocol uea reads"),
        (["--out", "/proc/x"], "out: cannot make the folder /proc/x"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(arguments, message, tmp_path):
    pytest.importorskip("aeon")
    (tmp_path / "typo.toml").write_text("nurons = 3\n")
    (tmp_path / "bad.toml").write_text("neurons = \n")
    (tmp_path / "good.toml").write_text("neurons = 4\n")
    for place in ("several/seed=0/settings.toml", "Mine/Mine.npz"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).touch()
    before = set(tmp_path.rglob("*"))
    data = [] if "--data" in arguments else ["--data", "BasicMotions"]
    data = [] if arguments[0] in ("--config", "--resume") else data
    result = call("train", *data, *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert set(tmp_path.rglob("*")) == before


def test_a_file_and_the_command_line_say_the_same_names(tmp_path):
    (tmp_path / "a.toml").write_text(
        'data = "BasicMotions"\nneurons = 4\nepochs = 1\nreadout = "voltage"\ndropout = 0\n'
    )
    found = call("train", "--config", "a.toml", "--neurons", "8", "--out", "x", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "neurons = 8\n" in (tmp_path / "x" / SETTINGS).read_text()
    again = call("train", "--config", f"x/{SETTINGS}", "--out", "y", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert filecmp.cmp(tmp_path / "x/model.safetensors", tmp_path / "y/model.safetensors", False)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path):
    job = [*JOB, "--epochs", "3", "--checkpoint-seconds", "0", "--out", str(tmp_path / "x")]

    def small_files():  # what is larger cannot be written, as on a full disk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (6000, 6000))

    found = subprocess.run(
        [*COMMAND, *job], capture_output=True, text=True, preexec_fn=small_files, timeout=300
    )
    assert found.returncode == 2, found.stderr
    assert found.stderr.splitlines()[-1].startswith("phc-snn: ")
    assert "File too large" in found.stderr
    assert "Traceback" not in found.stderr
    left = tmp_path / "x"
    assert not left.exists() or not list(left.rglob("*.safetensors"))
