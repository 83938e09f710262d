"""What each part is worth: ``python -m benchmarks.ablations CONFIG OUT``.

Trains the settings of CONFIG, and each of `CHANGES` to them, with five seeds; OUT gets a folder of
runs for each and ``results.json`` of all, which ``benchmarks.results_page`` keeps. Called again, it
goes on.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from phc_snn.files import write_json
from phc_snn.training.settings import from_mapping, plain, read_toml
from phc_snn.training.sweep import RESULTS, Engine, Grid, sweep
from phc_snn.training.together import check_stackable
from phc_snn.training.train_config import TrainConfig

CHANGES: tuple[Mapping[str, Any], ...] = (
    {},
    # Without a part of the model, or with the other one.
    {"dale": "none"},
    {"dale": "projection"},
    {"neuron": "lif"},
    {"plasticity": False},
    {"stdp": True},
    {"release": "pre"},
    {"drive_transform": "softplus"},
    {"solver": "jacobi", "sweeps": 4},
    {"solver": "jacobi", "sweeps": 2},
    {"solver": "exact"},
    {"encoder_norm": False},
    {"readout": "voltage"},
    # Beyond the published setting.
    {"regions": 2},
    {"regions": 3},
    {"delay": 4},
    {"delay": 16},
    {"dropout": 0.1},
    {"dropout": 0.3},
    {"schedule": "constant"},
    {"weight_decay": 0.01},
    {"clip": 1.0},
    {"dynamics_rate": 0.1},
    {"dynamics_rate": 3.0},
    {"dynamics_rate": 10.0},
    {"delay_spread": 4},
    {"delay_spread": 16},
    # Back to the published setting.
    {"encoder_norm": True},
    {"windows": 1, "window_steps": None},
    {"standardize": False},
)
SEEDS = (0, 1, 2, 3, 4)


def named(change: Mapping[str, Any]) -> str:
    """A change in words; also the folder of its runs."""
    return ", ".join(f"{name} = {value}" for name, value in change.items()) or "unchanged"


def ablate(base: TrainConfig, out: Path, engine: Engine = "local") -> dict[str, Any]:
    """Train all that the engine can, and sum up: the contents of ``results.json``."""
    groups: list[dict[str, Any]] = []
    found = {"settings": plain(base), "grid": {"seed": list(SEEDS)}, "groups": groups}
    for change in CHANGES:
        config = replace(base, **change)
        if change and config == base:
            continue  # it has that already
        if engine == "stacked":
            try:
                check_stackable(config)
            except ValueError as error:
                print(f"{named(change)}: left out; {error}", flush=True)
                continue
        sweep(Grid(config, {"seed": SEEDS}), out / named(change), engine=engine)
        (group,) = json.loads((out / named(change) / RESULTS).read_text())["groups"]
        groups.append({**group, "settings": dict(change)})
        for run in groups[-1]["runs"]:
            run["name"] = f"{named(change)}/{run['name']}"
        print(
            f"{named(change)}: validation {group['validation']}, test {group['test']}", flush=True
        )
        # After each of them: who ends it early has those that are done.
        write_json(out / RESULTS, found)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--engine", default="local", choices=("local", "stacked"))
    arguments = parser.parse_args()
    base = from_mapping(TrainConfig, read_toml(arguments.config), str(arguments.config))
    base = replace(base, data_dir=arguments.data_dir, device=arguments.device)
    ablate(base, arguments.out, engine=arguments.engine)


if __name__ == "__main__":
    main()
