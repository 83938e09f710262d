"""Every neuron model in the same recurrent network: what the two modes differ by, and until when.

Run:  uv run python examples/12_cores_through_one_loop.py [--small] [--out FOLDER]
"""

import argparse
from pathlib import Path

import torch
from matplotlib.figure import Figure

import phc_snn as phc
from phc_snn.named import NEURONS

TOLERANCE = 0.01  # spikes differ by 1; rates, of models without spikes, by any number


@torch.no_grad()
def main(out: Path, small: bool = False) -> None:
    steps, batch, channels = (40, 2, 4) if small else (200, 16, 6)
    sweeps = [1, 2, 4, 8] if small else [1, 2, 4, 8, 16, 32, 64, 128]
    x = torch.randn(steps, batch, channels, generator=torch.Generator().manual_seed(1))
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    axes = figure.subplots()
    print(f"{'model':16} {'active':>7} {'sweeps of Exact':>16}   differing after one, after four")
    for number, (name, kind) in enumerate(NEURONS.items()):
        generator = torch.Generator().manual_seed(0)
        model = phc.PHCSSM(channels, 3, neurons=32, neuron=name, generator=generator)
        network, current = model.network, model.encoder(x)

        truth = network(current, solver=phc.Sequential())
        state, sent = None, []
        for x_t in current.unbind(0):  # as on a device: one sample in, one step
            spikes, _, state = network.step(x_t, state)
            sent.append(spikes)
        exact = network(current, solver=phc.Exact())
        if not torch.equal(torch.stack(sent), truth.spikes):
            raise RuntimeError(f"{name}: step by step it is another network")
        if not torch.equal(exact.spikes, truth.spikes):
            raise RuntimeError(f"{name}: Exact is not exact")

        differing = []
        for count in sweeps:
            found = network(current, solver=phc.Jacobi(count)).spikes
            other = (found - truth.spikes).abs() > TOLERANCE
            differing.append(float(other.double().mean()))
        axes.plot(
            sweeps,
            [100 * share for share in differing],
            ("o-", "s--")[number // 10 % 2],  # there are ten colours
            markersize=3,
            label=kind.__name__,
        )
        active = float((truth.spikes != 0).double().mean())
        print(
            f"{kind.__name__:16} {active:7.1%} {int(exact.sweeps.max()):16} "
            f"  {differing[0]:.1%}, {differing[2]:.1%}"
        )

    axes.set_xscale("log", base=2)
    axes.set(
        xlabel="sweeps of Jacobi",
        ylabel="neuron-steps that differ from step by step, %",
        title=f"32 neurons, one delay, {steps} steps",
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right", fontsize=8, ncols=2)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "cores.png", dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    arguments = parser.parse_args()
    main(arguments.out, arguments.small)
