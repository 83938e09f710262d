"""All neuron models in one table: state, what is exact in parallel, cost, published, ours.

    python -m benchmarks.cores measure     times every model; benchmarks/cores.json
    python -m benchmarks.cores write       the table in docs/cores.md

Accuracies come from ``benchmarks/results/``, the sweeps of ``benchmarks/configs/fsdd_cores.toml``
and ``fsdd_cores_linear.toml``.
"""

import argparse
import json
import platform
from functools import partial
from pathlib import Path
from typing import Any

import torch

import phc_snn as phc
from benchmarks.published import CORES
from benchmarks.results_page import as_table, percent
from benchmarks.timing import interleaved
from phc_snn.files import write_json, write_text
from phc_snn.named import NEURONS, make_neuron
from phc_snn.state import tensors
from phc_snn.training.run import machine

HERE = Path(__file__).parent
COSTS = HERE / "cores.json"
RESULTS = "fsdd_cores*.json"  # in benchmarks/results
PAGE = HERE.parent / "docs" / "cores.md"
BEGIN, END = "<!-- table: python -m benchmarks.cores write -->\n", "<!-- end of table -->\n"
WIDE = 64
HEAD = (
    "model", "state", "parameters", "a sequence", "time", "of a step", "published", "in a PHC",
)  # fmt: skip


def neuron(name: str, features: int = WIDE) -> phc.Neuron:
    """A model as it is by default, of 64 neurons."""
    generator = torch.Generator().manual_seed(0)
    return make_neuron(name, features, generator)


def in_parallel(model: phc.Neuron) -> str:
    """How a whole sequence is computed."""
    x = torch.zeros(2, 1, model.features)
    try:
        model.scan(x, backend="associative")
    except ValueError:
        other = "; Newton sweeps" if hasattr(model, "by_newton") else ""
        other = "; sweeps" if hasattr(model, "by_sweeps") else other
        return "compiled loop" + other
    return "scan"


def measure(repeats: int, steps: int, batch: int) -> dict[str, Any]:
    """Time of a neuron-step, in a sequence and step by step, by model, in nanoseconds."""
    torch.set_num_threads(1)
    x = torch.randn(steps, batch, WIDE, generator=torch.Generator().manual_seed(1))
    models = {name: neuron(name) for name in NEURONS}
    count = x.numel()
    with torch.no_grad():
        scans = {name: partial(model.scan, x) for name, model in models.items()}
        starts = {name: model.initial_state(batch) for name, model in models.items()}
        single = {name: partial(m.step, x[0], starts[name]) for name, m in models.items()}
        whole = interleaved(scans, repeats=repeats)
        alone = interleaved(single, repeats=20 * repeats)
    return {
        "shape": [steps, batch, WIDE],
        "machine": machine("cpu"),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "sequence": {name: 1e9 * seconds / count for name, seconds in whole.items()},
        "step": {name: 1e9 * seconds / (batch * WIDE) for name, seconds in alone.items()},
    }


def table() -> str:
    """Every model that there is."""
    costs = json.loads(COSTS.read_text(encoding="utf-8"))
    ours = {}
    for path in sorted((HERE / "results").glob(RESULTS)):
        for group in json.loads(path.read_text(encoding="utf-8"))["groups"]:
            ours[group["settings"]["neuron"]] = percent(group, "test")
    rows = []
    for name, kind in NEURONS.items():
        model = neuron(name)
        numbers = sum(t[0].numel() for t in tensors(model.initial_state(1))) / WIDE
        parameters = sum(p.numel() for p in model.parameters()) / WIDE
        cost = [
            f"{costs[way][name] / costs[way]['lif']:.1f}" if name in costs[way] else ""
            for way in ("sequence", "step")
        ]
        rows.append((
            f"`{kind.__name__}`", f"{numbers:g}", f"{parameters:g}", in_parallel(model), *cost,
            CORES.get(kind.__name__, ""), ours.get(name, ""),
        ))  # fmt: skip
    return as_table(HEAD, rows)


def page() -> str:
    """``docs/cores.md`` with the table as it is now."""
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["measure", "write"])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--small", action="store_true")
    arguments = parser.parse_args()
    if arguments.what == "measure":
        shape = (20, 2) if arguments.small else (1000, 16)
        found = measure(arguments.repeats, *shape)
        if arguments.small:
            print(json.dumps(found, indent=2))
        else:
            write_json(COSTS, found)
    else:
        write_text(PAGE, page())


if __name__ == "__main__":
    main()
