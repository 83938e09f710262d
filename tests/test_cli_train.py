"""``phc-snn train`` as a user meets it."""

import json
import shlex
from dataclasses import fields

import pytest
import torch

from phc_snn.training.checkpoint import load_model
from phc_snn.training.train import TrainConfig
from tests.command import call, interrupt_training

pytest.importorskip("tonic")
FILES = {
    "model.safetensors", "model.json", "command.txt", "settings.toml", "report.json", "progress",
}  # fmt: skip


def test_help_names_every_option(tmp_path):
    assert "train" in call("--help", cwd=tmp_path).stdout
    text = call("train", "--help", cwd=tmp_path, columns=100).stdout
    for field in fields(TrainConfig):
        assert f"--{field.name.replace('_', '-')}" in text


def test_trains_and_says_how_to_repeat_it(bars, tmp_path):
    out = tmp_path / "out"
    options = ["--neurons", "8", "--epochs", "2", "--cache", str(tmp_path / "cache")]
    job = ["train", "--data", "nmnist", "--data-dir", str(bars), *options, "--out", str(out)]
    result = call(*job, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert {path.name for path in out.iterdir()} == FILES
    for word in ("parallel", "sequential", "accuracy", "12 test recordings", "parameters"):
        assert word in result.stdout
    report = json.loads((out / "report.json").read_text())
    words = shlex.split((out / "command.txt").read_text())
    assert shlex.split(report["command"]) == words
    words[words.index("--out") + 1] = str(tmp_path / "again")
    assert call(*words[1:], cwd=tmp_path).returncode == 0
    first, second = load_model(out), load_model(tmp_path / "again")
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "data_dir: got none, expected the folder in which NMNIST lies"),
        (["--data-dir", "/nowhere"], "/nowhere/NMNIST/Train does not exist"),
        (["--data", "Nothing", "--data-dir", "/nowhere"], "does not exist"),
        (["--data", "BasicMotions", "--window", "5"], "window: got 5.0, but BasicMotions"),
        (["--dropout", "1"], "dropout: got 1.0, expected 0.0 to 0.99"),
        (["--seeds", "published"], "published ones split a set by the protocol uea, here it is ar"),
        (["--protocol", "uea", "--patience", "-1"], "phc-snn: patience: got -1"),
        (["--data-dir", "BARS", "--out", "/proc/x"], "out: cannot make the folder /proc/x"),
    ],
)
def test_bad_settings_are_one_line_and_leave_nothing(arguments, message, bars, tmp_path):
    arguments = [str(bars) if a == "BARS" else a for a in arguments]
    result = call("train", *arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("*")), "something was left behind"


@pytest.mark.slow
def test_ctrl_c_leaves_a_usable_result(bars, tmp_path):
    out = tmp_path / "out"
    job = ["train", "--data-dir", str(bars), "--neurons", "8", "--out", str(out)]
    status, seen = interrupt_training(*job, end=b"Model, report and settings")
    assert status == 0
    assert b"Training stopped by Ctrl-C" in seen
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["training"]["interrupted"] is True
    load_model(tmp_path / "out")
