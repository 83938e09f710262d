"""A saved model comes back with the same behaviour, or with an error that names the file."""

import json

import pytest
import torch

import phc_snn as phc
from phc_snn.training.checkpoint import load_model, save_model

VARIANTS = {
    "default": {},
    "feedforward spike": {"topology": "feedforward", "readout": "spike"},
    "no plasticity, delays": {"plasticity": False, "delay": [1, 2, 3, 4, 5, 6, 7, 8]},
    "paper's choices": {"drive_transform": "softplus", "drive": 2.0, "refractory_lag": 1},
    "projection, exact": {"dale": "projection", "solver": phc.Exact(), "release": "pre"},
    "own topology": {
        "topology": phc.Topology.bidirectional(8, regions=[4, 2, 2], excitatory_fraction=0.5)
    },
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_round_trip_keeps_every_bit(tmp_path, options, dtype):
    model = phc.PHCSSM(3, 4, neurons=8, **options).to(dtype)
    x = torch.randn(20, 5, 3, dtype=dtype)
    save_model(model, tmp_path, classes=["a", "b"])
    loaded = load_model(tmp_path)
    assert loaded.network.solver == model.network.solver
    expected, actual = model(x), loaded(x)
    assert torch.equal(expected.logits, actual.logits)
    assert torch.equal(expected.solution.voltage, actual.solution.voltage)
    assert json.loads((tmp_path / "model.json").read_text())["classes"] == ["a", "b"]


def test_either_file_names_the_run(tmp_path):
    save_model(phc.PHCSSM(3, 2, neurons=8), tmp_path)
    assert load_model(tmp_path / "model.safetensors").in_features == 3
    assert load_model(str(tmp_path / "model.json")).num_classes == 2


def _damage(folder, name, content):
    (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("model.json", b"{", r"model\.json is not JSON"),
        ("model.json", b"\xff\xfe", r"model\.json is not JSON"),
        ("model.json", b"[]", r"model\.json is not a phc_snn checkpoint"),
        ("model.json", b'{"format": 99, "model": {}}', r"has format 99, this version reads 1"),
        ("model.json", b'{"format": 1, "model": {"neurons": 8}}', r"config: .*missing entries"),
        ("model.safetensors", b"nothing", r"model\.safetensors is damaged or does not fit"),
        ("model.safetensors", b"", r"model\.safetensors is damaged or does not fit"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, match):
    save_model(phc.PHCSSM(3, 2, neurons=8), tmp_path)
    _damage(tmp_path, name, content)
    with pytest.raises(ValueError, match=match):
        load_model(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    save_model(phc.PHCSSM(3, 2, neurons=8), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors does not exist"):
        load_model(tmp_path)


def test_weights_of_another_topology_are_refused(tmp_path):
    save_model(phc.PHCSSM(3, 2, neurons=8), tmp_path / "a")
    save_model(phc.PHCSSM(3, 2, neurons=8, topology="feedforward"), tmp_path / "b")
    (tmp_path / "b" / "model.json").replace(tmp_path / "a" / "model.json")
    with pytest.raises(ValueError, match="another topology"):
        load_model(tmp_path / "a")
