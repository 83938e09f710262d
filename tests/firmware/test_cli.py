"""``phc-snn export-c``."""

import json

import pytest
import torch

import phc_snn as phc
from phc_snn.firmware import HOST
from tests.command import call
from tests.firmware.test_bits import available, make
from tests.firmware.test_export import raises

pytest.importorskip("safetensors")
pytest.importorskip("typer")

FILES = ["README.md", "example_main.c", "metadata.json", "motion.c", "motion.h"]


def export(*arguments, cwd):
    return call("export-c", *map(str, arguments), cwd=cwd)


@pytest.fixture
def saved(tmp_path):
    from phc_snn.training.checkpoint import save_model

    save_model(make(neurons=16), tmp_path / "run", classes=["left", "right", "none"],
               scaling={"mean": [0.0] * 5, "scale": [1.0] * 5},
               series={"average": 5, "unshift": None})  # fmt: skip
    return tmp_path / "run"


def test_writes_the_files(saved, tmp_path):
    model = saved / "model.safetensors"
    done = export(model, "-o", "c", "--name", "motion", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == FILES
    content = json.loads((tmp_path / "c" / "metadata.json").read_text())
    assert content["scaling"] == {
        "formula": "(x - mean) / scale", "mean": [0.0] * 5, "scale": [1.0] * 5,
    }  # fmt: skip
    assert content["classes"] == ["left", "right", "none"]
    assert content["prepared"] == {"series": {"average": 5}}
    assert "the arithmetic was not compared with torch" in done.stdout.replace("\n", " ")


def test_warns_of_a_budget(saved, tmp_path):
    available(phc.firmware.CORTEX_M4)
    done = export(saved, "--flash", 1000, "--ram", 500, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "bytes exceed the budget of 1,000" in said
    assert "bytes exceed the budget of 500" in said


def damage_weights(run):
    path = run / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])


def damage_config(run):
    (run / "model.json").write_text("{")


def poison(run):
    from safetensors.torch import load_file, save_file

    tensors = load_file(run / "model.safetensors")
    tensors["network.connectome.raw_weight"][0, 1] = torch.nan
    save_file(tensors, run / "model.safetensors")


def inject(run):
    """What stands in the file goes into C code: nothing but numbers may."""
    content = json.loads((run / "model.json").read_text())
    content["model"]["neurons"] = "8];}; int system_call(void); /*"
    (run / "model.json").write_text(json.dumps(content))


def other_neuron(run):
    content = json.loads((run / "model.json").read_text())
    content["model"]["neuron"] = "../../etc"
    (run / "model.json").write_text(json.dumps(content))


def scale_by_nothing(run):
    content = json.loads((run / "model.json").read_text())
    content["scaling"]["scale"][2] = 0
    (run / "model.json").write_text(json.dumps(content))


def remove(run):
    (run / "model.safetensors").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damage_weights, "is damaged or does not fit"),
        (damage_config, "is not JSON"),
        (poison, "has NaN or Inf"),
        (inject, "neurons: got '8];};"),
        (other_neuron, "neuron: got '../../etc'"),
        (scale_by_nothing, "scaling: got scale = [1.0, 1.0, 0,"),
        (remove, "does not exist"),
    ],
)
def test_a_hostile_checkpoint_is_one_line_and_writes_nothing(change, message, saved, tmp_path):
    change(saved)
    done = export(saved, "-o", "c", cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "c").exists()


def test_wrong_settings_are_one_line(saved, tmp_path):
    for arguments, message in (
        (["--name", "a b"], "name: got 'a b'"),
        (["--flash", 0], "flash: got 0"),
        (["--verify"], "verify: there is no test set"),
        (["-o", "/proc/x"], "folder: cannot"),
        (["-o", saved / "model.json"], "model.json is a file, expected a folder"),
    ):
        done = export(saved, "-o", "c", *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert message in done.stderr
        assert not (tmp_path / "c" / "network.c").exists()


def test_a_machine_that_computes_other_bits_gets_no_code(saved, tmp_path, monkeypatch):
    from phc_snn.firmware import job

    available(HOST)
    config = job.ExportConfig(saved, out=tmp_path / "c", verify=True)
    data = type("Data", (), {"test_x": (torch.ones(9, 5), torch.ones(7, 5))})
    monkeypatch.setattr(job, "read_config", lambda path: {"data": "Gestures"})
    monkeypatch.setattr(job, "read_test_set", lambda *arguments: data)
    monkeypatch.setattr(job, "TARGETS", (HOST,))
    done = job.export_run(config)
    assert [found.target for found in done.verified] == [HOST.name]
    assert done.verified[0].values == 2 * 7 * (7 * 16 + 3)
    assert "test recordings were compared on their first 7 steps" in done.notes
    monkeypatch.setattr(job, "verify", raises(ChildProcessError("gcc\nno space left")))
    with pytest.raises(ValueError, match=r"this machine runs other programs, .*\(no space left\)"):
        job.export_run(config)
    wrong = phc.firmware.Verification(HOST.name, 100, {"voltage": 7, "spikes": 0}, 2, 1.0)
    monkeypatch.setattr(job, "verify", lambda *arguments, **options: wrong)
    config = job.ExportConfig(saved, out=tmp_path / "other", verify=True)
    message = "verify: on this machine 7 of 100 numbers differ in a bit, and the self-test says 2"
    with pytest.raises(ValueError, match=message):
        job.export_run(config)
    assert not (tmp_path / "other").exists()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        ValueError, match=r"no machine to run on \(this machine: there is no gcc, no nm"
    ):
        job.export_run(config)


@pytest.mark.slow
def test_verifies_on_the_test_set(tmp_path):
    pytest.importorskip("aeon")
    available(HOST)
    assert call("compare", "--epochs", "2", "--out", "run", cwd=tmp_path).returncode == 0
    done = export("run", "--verify", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "this machine: 0 of 912,000 numbers differ in a bit" in said
    assert "100.0 % of the decisions are the same" in said
