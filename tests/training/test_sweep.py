"""Grids of runs: every combination once, complete ones never again."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from phc_snn.training.checkpoint import load_model
from phc_snn.training.settings import write_settings
from phc_snn.training.sweep import Grid, Run, _is_complete, grouped, read_grid, sweep, to_dict
from phc_snn.training.train import TrainConfig, train
from tests.command import call, run, started

pytest.importorskip("lightning")
pytest.importorskip("aeon")
BASE = TrainConfig(data="BasicMotions", neurons=8, epochs=1, readout="voltage", dropout=0.0)
GRID = """
data = "BasicMotions"
epochs = 1
dropout = 0
[grid]
neurons = [4, 8]
seed = [0, 1]
"""


def test_every_combination_is_a_run_with_a_name_of_its_own(tmp_path):
    grid = Grid(BASE, {"neurons": (4, 8), "readout": ("voltage", "spike"), "seed": (0, 1, 2)})
    runs = grid.runs(tmp_path)
    assert len(runs) == len({config.out for config in runs.values()}) == 12
    config = runs["neurons=4,readout=spike,seed=2"]
    assert config == replace(
        BASE, neurons=4, readout="spike", seed=2, out=tmp_path / "neurons=4,readout=spike,seed=2"
    )


@pytest.mark.slow
def test_a_run_of_a_sweep_is_the_run_by_itself(tmp_path):
    result = sweep(Grid(BASE, {"seed": (0, 3)}), tmp_path / "sweep", jobs=2)
    alone = train(replace(BASE, seed=3, out=tmp_path / "alone"))
    model = load_model(tmp_path / "sweep" / "seed=3")
    for a, b in zip(alone.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(a, b)
    (group,) = result.groups
    assert [run.name for run in group.runs] == ["seed=0", "seed=3"]
    assert group.runs[1].test == alone.modes["sequential"].accuracy
    assert group.settings == {}


@pytest.mark.slow
def test_complete_runs_are_read_and_open_ones_go_on(tmp_path):
    grid = Grid(BASE, {"seed": (0, 1)})
    train(grid.runs(tmp_path)["seed=0"])
    marked = tmp_path / "seed=0" / "model.safetensors"
    before = marked.stat().st_mtime_ns
    told = []
    sweep(grid, tmp_path, progress=lambda *x: told.append(x))
    assert told == [(1, 2, ""), (2, 2, "seed=1")]
    assert marked.stat().st_mtime_ns == before
    told.clear()
    (tmp_path / "seed=1" / "report.json").unlink()
    sweep(grid, tmp_path, progress=lambda *x: told.append(x))
    assert told == [(1, 2, ""), (2, 2, "seed=1")]
    content = json.loads((tmp_path / "results.json").read_text())
    assert content["grid"] == {"seed": [0, 1]}
    assert len(content["groups"][0]["runs"]) == 2


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_the_others_are_complete(tmp_path):
    grid = Grid(replace(BASE, data="Nothing", data_dir=tmp_path), {"seed": (0, 1)})
    with pytest.raises(RuntimeError, match=r"2 of 2 runs failed, first seed=[01]: folder: .*exist"):
        sweep(grid, tmp_path / "out")
    assert not (tmp_path / "out" / "results.json").exists()


def test_runs_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="grid: two runs would be called seed=1; give each value"):
        sweep(Grid(BASE, {"seed": (1, 1)}), tmp_path)


def test_a_folder_of_another_sweep_is_refused(tmp_path):
    config = Grid(BASE, {"seed": (0,)}).runs(tmp_path)["seed=0"]
    write_settings(config, config.out / "settings.toml")
    with pytest.raises(ValueError, match=r"seed=0 holds a run with neurons = 8, here it is 4; cho"):
        sweep(Grid(replace(BASE, neurons=4), {"seed": (0,)}), tmp_path)


def test_a_run_that_ctrl_c_ended_is_not_complete(tmp_path):
    report = tmp_path / "report.json"
    assert not _is_complete(tmp_path)
    for interrupted in (True, False):
        report.write_text(json.dumps({"training": {"interrupted": interrupted}}))
        assert _is_complete(tmp_path) is not interrupted


def test_what_the_settings_refuse_is_found_before_any_run(tmp_path):
    with pytest.raises(ValueError, match="neurons: got 0"):
        sweep(Grid(BASE, {"neurons": (8, 0)}), tmp_path)
    assert not list(tmp_path.iterdir())


def test_groups_are_over_seeds_and_the_best_validation_comes_first():
    def made(neurons, seed, validation, test):
        return Run("", {"neurons": neurons, "seed": seed}, validation, test, 7, 1.0)

    runs = [made(4, 0, 0.5, 0.9), made(8, 0, 0.6, 0.1), made(4, 1, 0.7, 0.7), made(8, 1, 0.7, 0.3)]
    first, second = grouped(runs)
    assert first.settings == {"neurons": 8}
    assert first.validation == pytest.approx((0.65, 0.0707), abs=1e-4)
    assert first.test == pytest.approx((0.2, 0.1414), abs=1e-4)
    assert [r.settings["seed"] for r in second.runs] == [0, 1]
    (alone,) = grouped([made(4, 0, None, 0.9)])
    assert alone.validation is None
    assert alone.test == (0.9, 0.0)


def test_a_grid_of_a_file(tmp_path):
    (tmp_path / "grid.toml").write_text(GRID)
    grid = read_grid(tmp_path / "grid.toml")
    assert grid.base == TrainConfig(data="BasicMotions", epochs=1, dropout=0.0)
    assert grid.axes == {"neurons": [4, 8], "seed": [0, 1]}


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ("[grid]\nnurons = [3]", r"grid: nurons is not a setting; did you mean neurons\?"),
        ("[grid]\nneurons = [3, 0]", "grid: neurons: got 0, expected 1 or more"),
        ("[grid]\nneurons = 3", "grid: neurons: got 3, expected a list of values"),
        ("[grid]\nneurons = []", r"grid: neurons: got \[\], expected a list of values"),
        ("grid = 3", "grid: got 3, expected a table of lists"),
        ('[grid]\nprotocol = ["uea"]', "grid: protocol is one for all runs; set it above"),
        ('[grid]\nout = ["a"]', "grid: out is one for all runs"),
        ("nurons = 3", r"grid\.toml: nurons is not a setting"),
    ],
)
def test_a_grid_that_is_wrong(tmp_path, grid, message):
    (tmp_path / "grid.toml").write_text(grid)
    with pytest.raises(ValueError, match=message):
        read_grid(tmp_path / "grid.toml")


@pytest.mark.slow
def test_a_failure_is_one_line_of_the_command(tmp_path):
    (tmp_path / "grid.toml").write_text('data = "Nothing"\ndata_dir = "."\n[grid]\nseed = [0]\n')
    found = call("sweep", "grid.toml", "--out", "x", cwd=tmp_path)
    assert found.returncode == 2
    assert "1 of 1 runs failed, first seed=0:" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.slow
def test_the_command_prints_a_table_and_goes_on(tmp_path):
    (tmp_path / "grid.toml").write_text(GRID)
    found = call("sweep", "grid.toml", "--out", "x", "--jobs", "2", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    for word in ("neurons", "validation", "test", "parameters", "2 settings, 2 runs each"):
        assert word in found.stdout
    assert len(list((tmp_path / "x").glob("neurons=*"))) == 4
    again = call("sweep", "grid.toml", "--out", "x", cwd=tmp_path)
    assert again.stdout.splitlines()[-2:] == found.stdout.splitlines()[-2:]


@pytest.mark.slow
def test_seeds_of_one_setting(tmp_path):
    job = ["train", "--data", "BasicMotions", "--epochs", "1", "--neurons", "8", "--dropout", "0"]
    found = call(*job, "--seeds", "0,1", "--jobs", "2", "--out", "x", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    assert "1 settings, 2 runs each" in found.stdout


def test_seeds_that_are_none(tmp_path):
    wrong = call("train", "--data", "BasicMotions", "--seeds", "one", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "seeds: got 'one', expected 'published', or numbers such as 0,1,2" in wrong.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_ctrl_c_ends_a_sweep_and_it_goes_on(tmp_path):
    (tmp_path / "grid.toml").write_text(GRID.replace("epochs = 1", "epochs = 60"))
    job = ["sweep", "grid.toml", "--out", "x", "--jobs", "2"]
    with started(*job, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        while not list((tmp_path / "x").rglob("checkpoint.json")):
            time.sleep(0.1)
            assert process.poll() is None
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"interrupted" in errors
    again = run(*job, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "x" / "results.json").exists()


@pytest.mark.slow
def test_workers_end_with_a_sweep_that_is_killed(tmp_path):
    (tmp_path / "grid.toml").write_text(GRID.replace("epochs = 1", "epochs = 100000"))
    job = ["sweep", "grid.toml", "--out", "x", "--jobs", "2"]
    with started(*job, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        while not list((tmp_path / "x").rglob("checkpoint.json")):
            time.sleep(0.1)
            assert process.poll() is None
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len([pid for pid in children if _runs(pid)]) >= 2
        process.kill()
        process.wait(timeout=60)
        deadline = time.monotonic() + 60
        while left := [pid for pid in children if _runs(pid)]:
            assert time.monotonic() < deadline, f"{left} still run"
            time.sleep(0.1)


def _runs(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"  # nobody may have asked how it ended


@pytest.mark.slow
def test_ray_gives_what_the_local_engine_gives(tmp_path):
    pytest.importorskip("ray", reason="Ray is an extra that the tests do not need")
    grid = Grid(BASE, {"seed": (0, 1)})
    script = (
        "from pathlib import Path; from phc_snn.training.sweep import *; "
        "from phc_snn.training.train import TrainConfig; "
        f"grid = Grid({BASE!r}, {{'seed': (0, 1)}}); "
        f"sweep(grid, Path({str(tmp_path / 'ray')!r}), engine='ray', jobs=2)"
    )
    # Ray leaves threads and open files behind; not in this process.
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True, timeout=300)
    local = sweep(grid, tmp_path / "local")
    found = json.loads((tmp_path / "ray" / "results.json").read_text())
    expected = to_dict(local, grid)
    for a, b in zip(found["groups"][0]["runs"], expected["groups"][0]["runs"], strict=True):
        assert a["test"] == b["test"]
