"""Without the optional packages the core works, and a bridge says which extra to install."""

import json
import subprocess
import sys

import pytest

PROBE = """
import json, sys
for name in ("norse", "tonic", "nir", "nirtorch", "h5py", "aeon", "lightning", "matplotlib"):
    sys.modules[name] = None  # import raises ModuleNotFoundError
import snntorch, torch
import phc_snn as phc

connectome = phc.HierarchicalConnectome(phc.Topology.bidirectional(8))
network = phc.PHC(phc.ALIF(8), [phc.Delay(8), phc.TsodyksMarkram(8)], connectome)
x = torch.randn(20, 2, 8)
exact = network(x, solver=phc.Exact())
stepped = network(x, solver=phc.Sequential())
layer = phc.StepLayer(network, init_hidden=True)
found = {"core": bool(torch.equal(exact.spikes, stepped.spikes)) and layer(x[0]).shape == (2, 8)}
found["own"] = phc.from_snntorch(snntorch.RLeaky(beta=0.9, linear_features=8))(x).spikes.shape[0]
for name, touch in {
    "to_nir": lambda: phc.to_nir(phc.LIF(8, reset_mechanism="zero"), dt=1e-3),
    "from_nir": lambda: phc.from_nir("network.nir"),
    "write_nir": lambda: phc.write_nir("network.nir", phc.LIF(8), dt=1e-3),
    "read_nir": lambda: phc.read_nir("network.nir"),
    "events": lambda: __import__("phc_snn.data").data.load_events("nmnist", "."),
    "uea": lambda: __import__("phc_snn.data").data.load_uea(),
}.items():
    try:
        touch()
        found[name] = "no error"
    except ImportError as error:
        found[name] = f"{type(error).__name__}: {error}"
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def bare():
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROBE], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_the_core_works(bare):
    assert bare["core"] is True
    assert bare["own"] == 20


@pytest.mark.parametrize(
    ("bridge", "extra"),
    [
        ("to_nir", "export"),
        ("from_nir", "export"),
        ("write_nir", "export"),
        ("read_nir", "export"),
        ("events", "events"),
        ("uea", "uea"),
    ],
)
def test_a_bridge_names_its_extra(bare, bridge, extra):
    assert bare[bridge].startswith("MissingExtraError: ")
    assert f"is not installed; install it with: pip install 'phc-snn[{extra}]'" in bare[bridge]
