"""Who may import whom, and what an import of the package brings with it."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import phc_snn

ROOT = Path(phc_snn.__file__).parent
# Lower ranks know nothing of higher ones. A new module at the top level has to be given its place.
RANKS = [
    {
        "checks",
        "numerics",
        "state",
        "emit",
        "surrogate",
        "scan",
        "kernels",
        "cotangents",
        "extras",
        "files",
        "padding",
    },
    {"axes", "hidden", "parameters", "process"},
    {"neurons", "synapses"},
    {"functional", "named"},
    {"circuit", "solution"},
    {"solvers"},
    {"phc"},
    {"layers"},
    {"encoder", "outputs", "readout", "stack_layers"},
    {"models", "spike_blocks", "spike_stack", "stacked"},
    {"ensemble"},
    {"convert", "data", "explain", "firmware", "training", "plots", "report"},
    {"cli", "commands"},
]
RANK = {name: i for i, names in enumerate(RANKS) for name in names}
# Of one rank, but they do not know each other.
STRANGERS = {("neurons", "synapses"), ("synapses", "neurons")}
OPTIONAL = {
    "aeon",
    "h5py",
    "lightning",
    "matplotlib",
    "nir",
    "nirtorch",
    "norse",
    "pandas",
    "plotly",
    "pytorch_lightning",
    "rich",
    "safetensors",
    "scipy",
    "sklearn",
    "tonic",
    "typer",
}


def modules():
    return sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def component(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def components():
    return {component(path) for path in modules()}


def imports(path):
    """(module, line, whether at the top level) of every import in a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = []
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write imports in full"
            names = [f"{node.module}.{a.name}" for a in node.names] if node.module else []
            inside = node.module == "phc_snn"
            found += [
                (m, node.lineno, id(node) in top) for m in (names if inside else [node.module])
            ]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    own = component(path)
    assert own in RANK, f"{own} has no place among the layers; give it one in RANKS"
    for module, line, _ in imports(path):
        parts = module.split(".")
        if parts[0] != "phc_snn":
            continue
        other = parts[1] if len(parts) > 1 and parts[1] in components() else "convert"
        # A name of the package itself brings all that the package exports, `convert` included.
        assert other in RANK, f"{path}:{line}: {other} has no place among the layers"
        assert RANK[other] <= RANK[own], f"{path}:{line}: {own} imports {other} from above"
        assert (own, other) not in STRANGERS, f"{path}:{line}: {own} imports {other}"


def test_the_check_sees_a_wrong_import(tmp_path, monkeypatch):
    wrong = tmp_path / "scan" / "loop.py"
    wrong.parent.mkdir()
    wrong.write_text("def f():\n    from phc_snn.models import PHCSSM\n    return PHCSSM\n")
    (tmp_path / "models.py").touch()
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    with pytest.raises(AssertionError, match="scan imports models from above"):
        test_imports_go_one_way(wrong)


CORE = set().union(*RANKS[: RANK["ensemble"] + 1], {"convert", "explain"})


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_optional_packages_are_not_imported_by_the_core(path):
    if component(path) not in CORE:
        pytest.skip("may need an extra")
    for module, line, _ in imports(path):
        assert module.split(".")[0] not in OPTIONAL, f"{path}:{line}: {module} is an extra"


PROBE = """
import json, sys, time
began = time.process_time()
import torch, snntorch
middle = time.process_time()
before = set(sys.modules)
import phc_snn
seconds = {"needed": middle - began, "own": time.process_time() - middle}
added = {m.split(".")[0] for m in set(sys.modules) - before}
print(json.dumps({
    "seconds": seconds,
    "added": sorted(added),
    "loaded": sorted({m.split(".")[0] for m in sys.modules}),
    "cuda": torch.cuda.is_initialized(),
    "missing": [name for name in phc_snn.__all__ if not hasattr(phc_snn, name)],
}))
"""


@pytest.fixture(scope="module")
def fresh_import():
    run = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:phc_snn", "-c", PROBE],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(run.stdout)


def test_import_loads_no_optional_package(fresh_import):
    assert not OPTIONAL & set(fresh_import["added"])
    for name in ("aeon", "lightning", "matplotlib", "typer", "rich", "tonic", "norse", "nir"):
        assert name not in fresh_import["loaded"]


def test_import_does_not_load_the_compiler(fresh_import):
    assert "numba" not in fresh_import["loaded"]


def test_import_does_not_touch_cuda(fresh_import):
    assert fresh_import["cuda"] is False


def test_import_is_quick(fresh_import):
    seconds = fresh_import["seconds"]
    assert seconds["own"] < 0.5 * seconds["needed"], seconds  # torch and snnTorch


def test_every_public_name_exists(fresh_import):
    assert fresh_import["missing"] == []
