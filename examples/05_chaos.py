"""Where solving in parallel over time stops paying, and why: sweeps, work, and how a push fades.

The gain is the total weight of each sign onto every neuron: at gain 4 the excitatory weights onto a
neuron add up to about 4, the inhibitory ones to about -4, and its threshold is 1.

Run (about two minutes):  uv run python examples/05_chaos.py [--small] [--out FOLDER]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import phc_snn as phc

NEURONS, DELAY, BIN = 32, 2, 10
SMALL_PRINT = 9


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


def costs(model: phc.PHC, x_seq: torch.Tensor) -> tuple[float, float, bool]:
    """Sweeps until the whole sequence is proved, work of Exact, and whether Exact mostly steps."""
    limit = len(x_seq) // DELAY + 1  # so many sweeps prove any network
    whole = model(x_seq, solver=phc.Jacobi(limit, tolerance=0.0))
    exact = model(x_seq, solver=phc.Exact())
    passes = float(exact.sweeps.double().median())
    stepped = passes > len(x_seq) / DELAY / 2
    return float(whole.sweeps.double().median()), float(exact.work.median()), stepped


def spread(model: phc.PHC, x_seq: torch.Tensor) -> torch.Tensor:
    """Neurons that fire otherwise, mean of each 10 steps, after a push to all in the first step."""
    pushed = x_seq.clone()
    pushed[0] += 1.0
    spikes, others = (model(x, solver=phc.Sequential()).spikes for x in (x_seq, pushed))
    differing = (spikes != others).sum(-1).double().mean(-1)
    return differing.unfold(0, BIN, BIN).mean(-1)


@torch.no_grad()
def main(out: Path, small: bool = False) -> None:
    torch.set_num_threads(1)
    lengths = (50, 100) if small else (100, 200, 400, 800, 1600)
    gains = (1.0, 16.0) if small else (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
    longest, x_push = (
        torch.randn(*shape, NEURONS, generator=torch.Generator().manual_seed(1))
        for shape in ((lengths[-1], 8), (100, 4) if small else (400, 64))
    )
    figure = Figure(figsize=(10, 10.5), layout="constrained")
    panels = figure.subplots(3, 2, sharey="row")
    for column, plasticity in enumerate((True, False)):
        kind = "with" if plasticity else "without"
        paying = []
        for i, gain in enumerate(gains):
            model = network(gain, plasticity)
            measured = [costs(model, longest[:length]) for length in lengths]
            sweeps, work, stepped = zip(*measured, strict=True)
            push = spread(model, x_push)
            if not stepped[-1]:
                paying.append(gain)
            print(
                f"gain {gain:4g} {kind} plasticity: {sweeps[0]:.0f} sweeps at T = {lengths[0]}, "
                f"{sweeps[-1]:.0f} at T = {lengths[-1]}; work of Exact {work[-1]:.2f}, it mostly "
                f"{'steps' if stepped[-1] else 'sweeps'}; {push[BIN // 2]:.2f} of {NEURONS} "
                f"neurons still fire otherwise {BIN * BIN // 2} steps after a push"
            )
            colour = f"C{i}"
            for axes, values in zip(panels[:2, column], (sweeps, work), strict=True):
                axes.plot(lengths, values, color=colour)
                for length, value, steps in zip(lengths, values, stepped, strict=True):
                    fill = "white" if steps else colour
                    axes.plot(length, value, "o", color=colour, markerfacecolor=fill)
            middle = BIN * (0.5 + torch.arange(len(push)))
            panels[2, column].plot(middle, push, color=colour, label=f"gain {gain:g}")
        found = f"up to gain {max(paying):g}, then it steps" if paying else "at none of these gains"
        print(f"{kind} plasticity Exact sweeps {found} (T = {lengths[-1]})")
        panels[0, column].set_title(f"{kind} short-term plasticity:\nExact sweeps {found}")
        finish(panels[:, column], lengths)
    panels[0, 0].set_ylabel("sweeps over the whole sequence\nuntil everything is proved")
    panels[1, 0].set_ylabel("work of Exact (stepping = 1)")
    panels[2, 0].set_ylabel(f"neurons of {NEURONS} that fire otherwise\nafter a push to all")
    at_right = {"ha": "right", "fontsize": SMALL_PRINT}
    panels[1, 1].text(lengths[-1], 3.15, "most where no window settles", **at_right)
    panels[1, 1].text(lengths[-1], 10.15, "most ever", **at_right)
    panels[2, 1].legend(fontsize=SMALL_PRINT, loc="upper right", ncols=2)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "chaos.png", dpi=110)


def finish(panels: Sequence[Axes], lengths: Sequence[int]) -> None:
    """The limits of each figure, and its axes."""
    top, middle, bottom = panels
    bound = top.plot(lengths, [t / DELAY for t in lengths], "k:", label="T / d: one for each delay")
    marks = [
        top.plot([], [], "o", color="gray", markerfacecolor=fill, label=f"Exact mostly {what}")[0]
        for what, fill in (("sweeps", "gray"), ("steps", "white"))
    ]
    top.legend(handles=[*bound, *marks], fontsize=SMALL_PRINT, loc="upper left")
    top.set(yscale="log")
    for limit in (3.0, 10.0):
        middle.axhline(limit, color="black", linestyle="--", linewidth=1)
    middle.set(ylim=(0, 11))
    for axes in (top, middle):
        axes.set(xscale="log", xlabel="length T, steps")
        axes.set_xticks(lengths, [str(t) for t in lengths])
        axes.minorticks_off()
    bottom.set(xlabel="steps after the push", yscale="log", ylim=(5e-3, NEURONS))
    for axes in panels:
        axes.grid(alpha=0.3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    arguments = parser.parse_args()
    main(arguments.out, arguments.small)
