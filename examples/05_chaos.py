"""Where solving in parallel over time stops paying: sweeps and work against length and gain.

Run:  uv run python examples/05_chaos.py [--small] [--out FOLDER]
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure

import phc_snn as phc

NEURONS, DELAY = 32, 2


def network(gain: float, plasticity: bool) -> phc.PHC:
    """Excitation and inhibition in balance, each adding up to ``gain`` onto every neuron."""
    topology = phc.Topology.bidirectional(NEURONS)
    generator = torch.Generator().manual_seed(0)
    connectome = phc.HierarchicalConnectome(
        topology, gain=gain, recurrence=1.0, inhibition=1.0, generator=generator
    )
    synapses: list[phc.Process] = [phc.Delay(NEURONS, DELAY)]
    if plasticity:
        synapses.append(phc.TsodyksMarkram(NEURONS))
    return phc.PHC(phc.ALIF(NEURONS), synapses, connectome)


@torch.no_grad()
def main(out: Path, small: bool = False) -> None:
    torch.set_num_threads(1)
    lengths = (50, 100) if small else (100, 200, 400, 800, 1600)
    gains = (1.0, 16.0) if small else (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    longest = torch.randn(lengths[-1], 8, NEURONS, generator=torch.Generator().manual_seed(1))
    figure = Figure(figsize=(10, 7), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey="row")
    for column, plasticity in enumerate((True, False)):
        kind = "with" if plasticity else "without"
        for gain in gains:
            model, sweeps, work = network(gain, plasticity), [], []
            for length in lengths:
                x_seq = longest[:length]
                limit = length // DELAY + 1  # so many sweeps prove any network
                whole = model(x_seq, solver=phc.Jacobi(limit, tolerance=0.0))
                sweeps.append(float(whole.sweeps.double().median()))
                work.append(float(model(x_seq, solver=phc.Exact()).work.median()))
            print(
                f"gain {gain:4g} {kind} plasticity: {sweeps[0]:.0f} sweeps at T = {lengths[0]}, "
                f"{sweeps[-1]:.0f} at T = {lengths[-1]}; work of Exact {work[-1]:.2f}"
            )
            panels[0, column].plot(lengths, sweeps, marker="o", label=f"gain {gain:g}")
            panels[1, column].plot(lengths, work, marker="o", label=f"gain {gain:g}")
        top, bottom = panels[:, column]
        top.plot(lengths, [t / DELAY for t in lengths], "k:", label="blocks of d steps")
        top.set(title=f"{kind} short-term plasticity", xscale="log", yscale="log")
        bottom.axhline(1.0, color="black", linestyle=":", linewidth=1)
        bottom.set(xlabel="length T, steps", ylim=(0, None))
        top.grid(alpha=0.3)
        bottom.grid(alpha=0.3)
    panels[0, 0].set_ylabel("sweeps over the whole sequence\nuntil everything is proved")
    panels[1, 0].set_ylabel("work of Exact\n(stepping = 1)")
    lines, labels = panels[0, 0].get_legend_handles_labels()
    panels[1, 1].legend(lines, labels, fontsize=9, loc="upper center", ncols=2)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "chaos.png", dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    arguments = parser.parse_args()
    main(arguments.out, arguments.small)
