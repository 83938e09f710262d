"""Every example runs, on small settings, and draws its figure."""

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))


# Norse, when it is imported.
@pytest.mark.filterwarnings("ignore:`torch.jit.script`:FutureWarning")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    if "norse" in path.stem:
        pytest.importorskip("norse.torch")
    small = ["--small"] if "--small" in path.read_text() else []
    monkeypatch.setattr(sys, "argv", [str(path), *small, "--out", str(tmp_path)])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out
    files = [file for file in tmp_path.iterdir() if file.is_file()]
    assert [file.suffix for file in files] == [".png"]
