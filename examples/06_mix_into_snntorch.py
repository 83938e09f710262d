"""One line of an snnTorch network exchanged: Leaky for ALIF, or for a whole recurrent network.

Run:  uv run python examples/06_mix_into_snntorch.py [--small] [--out FOLDER]
"""

import argparse
from pathlib import Path

import snntorch as snn
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import phc_snn as phc
from phc_snn.data import load_uea

NEURONS = 32


def recurrent() -> phc.PHC:
    generator = torch.Generator().manual_seed(0)
    topology = phc.Topology.bidirectional(NEURONS)
    connectome = phc.HierarchicalConnectome(topology, generator=generator)
    return phc.PHC(phc.ALIF(NEURONS), [phc.Delay(NEURONS), phc.TsodyksMarkram(NEURONS)], connectome)


MIDDLE = {
    "snn.Leaky(beta=0.8, init_hidden=True)": lambda: snn.Leaky(beta=0.8, init_hidden=True),
    "phc.ALIF(32, init_hidden=True)": lambda: phc.ALIF(NEURONS, init_hidden=True),
    "phc.StepLayer(phc.PHC(...), init_hidden=True)": lambda: phc.StepLayer(
        recurrent(), init_hidden=True
    ),
}


def build(middle: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, NEURONS),
        middle,  # the line that changes
        nn.Linear(NEURONS, 4),
        snn.Leaky(beta=0.95, init_hidden=True, output=True, reset_mechanism="none"),
    )


def run(network: nn.Module, x: Tensor) -> Tensor:
    """The loop that every snnTorch user writes: membrane of the last layer, mean over time."""
    phc.reset(network)
    return torch.stack([network(x_t)[1] for x_t in x.unbind(0)]).mean(0)


def main(out: Path, small: bool = False) -> None:
    data = load_uea("BasicMotions").standardized()
    x, test = data.train_x.transpose(0, 1), data.test_x.transpose(0, 1)  # time first
    if small:
        x, test = x[:20], test[:20]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for line, make in MIDDLE.items():
        network = build(make())
        optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
        losses = []
        for _ in range(3 if small else 60):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(run(network, x), data.train_y)
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        with torch.no_grad():
            accuracy = float((run(network, test).argmax(1) == data.test_y).float().mean())
        axes.plot(range(1, len(losses) + 1), losses, label=f"{line}: {accuracy:.3f}")
        print(f"{line}: loss {losses[0]:.2f} -> {losses[-1]:.2f}, test accuracy {accuracy:.3f}")

    # The network that was trained step by step takes the whole sequence in one call.
    whole = nn.Sequential(network[0], phc.SequenceLayer(network[1].model, solver=phc.Exact()))
    phc.reset(network)
    with torch.no_grad():
        stepped = torch.stack([network[1](network[0](x_t)) for x_t in test])
        at_once, _ = whole(test)
    print(f"{int((stepped != at_once).sum())} of {stepped.numel():,} spikes differ in one call")
    axes.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    axes.set_title("BasicMotions: one snnTorch network, its middle layer exchanged")
    axes.legend(loc="lower right", title="middle layer: test accuracy")
    axes.grid(alpha=0.3)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "mix_into_snntorch.png", dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    arguments = parser.parse_args()
    main(arguments.out, arguments.small)
