"""How fast sweeps over a whole sequence approach the step-by-step network, and when they arrive.

Run:  uv run python examples/03_jacobi_vs_gauss_seidel.py [--small] [--out FOLDER]
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure

import phc_snn as phc


def network(gain: float, neurons: int = 32, delay: int = 2) -> phc.PHC:
    generator = torch.Generator().manual_seed(0)
    topology = phc.Topology.bidirectional(neurons)
    # Loops as strong as everything else, so that recurrence matters.
    connectome = phc.HierarchicalConnectome(
        topology, gain=gain, recurrence=1.0, inhibition=1.0, generator=generator
    )
    synapses = [phc.Delay(neurons, delay), phc.TsodyksMarkram(neurons)]
    return phc.PHC(phc.ALIF(neurons), synapses, connectome)


def main(out: Path, small: bool = False) -> None:
    length = 60 if small else 400
    x_seq = torch.randn(length, 16, 32, generator=torch.Generator().manual_seed(1))
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for gain in (0.5, 2.0, 8.0, 32.0):
        solvers = {"exact": phc.Exact()}
        found = phc.measure_divergence(
            network(gain), x_seq, solvers=solvers, sweeps=6 if small else 16
        )
        differing = (100 * found.curve.step_difference).tolist()
        exact = found.solvers["exact"]
        work = float(exact.solution.work.median())
        axes.plot(
            range(1, len(differing) + 1),
            differing,
            marker="o",
            label=f"gain {gain:g} (work of Exact: {work:.1f})",
        )
        print(
            f"gain {gain:4g}: {differing[3]:.3f} % of neuron-steps differ after 4 sweeps; "
            f"{exact.differing_spikes} with Exact, whose work is {work:.1f} sweeps"
        )
    axes.set_yscale("symlog", linthresh=1e-3)
    axes.set(xlabel="sweeps", ylabel="differing neuron-steps, %", ylim=(0, None))
    axes.set_title(f"Distance from the step-by-step network (N = 32, T = {length}, d = 2)")
    axes.legend(loc="upper right")
    axes.grid(alpha=0.3)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "jacobi_vs_gauss_seidel.png", dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    arguments = parser.parse_args()
    main(arguments.out, arguments.small)
