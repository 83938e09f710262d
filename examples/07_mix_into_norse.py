"""A recurrent network of this library between Norse's layers: steps, whole time and chunks agree.

Run:  uv run python examples/07_mix_into_norse.py [--out FOLDER]
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure

import phc_snn as phc
from phc_snn.extras import require

NEURONS = 24


def main(out: Path) -> None:
    norse = require("norse.torch", extra="norse")
    generator = torch.Generator().manual_seed(0)
    topology = phc.Topology.bidirectional(NEURONS)
    connectome = phc.HierarchicalConnectome(topology, generator=generator)
    synapses = [phc.Delay(NEURONS), phc.TsodyksMarkram(NEURONS)]
    recurrent = phc.PHC(phc.ALIF(NEURONS, threshold=0.5), synapses, connectome, drive=0.5)
    p = norse.LIFParameters(tau_syn_inv=torch.tensor(500.0), tau_mem_inv=torch.tensor(300.0))
    x = 3.0 * torch.randn(150, 1, NEURONS, generator=generator)

    # A stack of cells, called step by step, as Norse has it.
    cells = norse.SequentialState(norse.LIFCell(p), phc.StepLayer(recurrent))
    # The same neurons over whole sequences: ours are solved in parallel over time.
    over_time = norse.SequentialState(
        norse.LIF(p), phc.SequenceLayer(recurrent, solver=phc.Exact())
    )
    with torch.no_grad():
        state, steps = None, []
        for x_t in x:
            spikes, state = cells(x_t, state)
            steps.append(spikes)
        stepped = torch.stack(steps)
        whole, _ = over_time(x)
        state, parts = None, []
        for chunk in x.split([1, 49, 100]):
            spikes, state = over_time(chunk, state)
            parts.append(spikes)
        chunked = torch.cat(parts)
        first, _ = norse.LIF(p)(x)
    different = {"whole": int((whole != stepped).sum()), "chunks": int((chunked != stepped).sum())}
    print(
        f"{int(stepped.sum())} spikes; of {stepped.numel():,} neuron-steps {different['whole']} "
        f"differ over the whole time, {different['chunks']} in chunks"
    )

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    upper, lower = figure.subplots(2, sharex=True)
    for axes, spikes, title in (
        (upper, first, "norse.torch.LIF"),
        (lower, stepped, "phc.PHC behind it, step by step (dots) and the whole time (rings)"),
    ):
        times, neurons = spikes[:, 0].nonzero(as_tuple=True)
        axes.scatter(times, neurons, s=5, color="C0")
        axes.set(ylabel="neuron", ylim=(-1, NEURONS))
        axes.set_title(title)
    times, neurons = whole[:, 0].nonzero(as_tuple=True)
    lower.scatter(times, neurons, s=26, facecolors="none", edgecolors="C1", linewidths=0.8)
    lower.set(xlabel="time step")
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "mix_into_norse.png", dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    main(parser.parse_args().out)
