"""What the documentation shows must run as it is printed."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
import torch

import phc_snn

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(phc_snn.__path__, "phc_snn.")
    if not module.name.startswith(("phc_snn.commands", "phc_snn.training.lightning"))
)

# Pages about bridges to other packages.
NEEDS = {
    "norse": ["norse.torch"],
    "nir": ["nir", "norse.torch"],
    "events": ["tonic"],
    "uea": ["aeon"],
}


def code_blocks(page):
    return re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_of_a_page_run_in_order(page, tmp_path, monkeypatch):
    for package in NEEDS.get(page.stem, ()):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)  # for the files that a page writes
    torch.manual_seed(0)
    namespace = {}
    for block in code_blocks(page):
        exec(compile(block, str(page), "exec"), namespace)


def test_readme_example_has_15_lines_at_most():
    block = code_blocks(ROOT / "README.md")[0]
    statements = [line for line in block.splitlines() if line and not line.startswith("import")]
    assert len(statements) <= 15


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_run(name):
    torch.manual_seed(0)
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0


@pytest.mark.parametrize("name", phc_snn.__all__)
def test_public_names_are_documented(name):
    documented = getattr(phc_snn, name).__doc__
    assert documented
    assert documented.strip()


def test_api_page_lists_the_public_classes_and_functions():
    listed = set(re.findall(r"::: phc_snn\.(\w+)$", (ROOT / "docs/api.md").read_text(), re.M))
    assert "neurons" in listed  # the page shows all that this module exports
    listed |= set(phc_snn.neurons.__all__)
    states = {name for name in phc_snn.__all__ if name.endswith("State")}
    missing = set(phc_snn.__all__) - states - listed - {"Solver"}
    assert missing == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_local_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target
