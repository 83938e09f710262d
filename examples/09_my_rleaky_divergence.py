"""An own snnTorch RLeaky network: how far parallel sweeps would be from it, and Exact training.

Run:  uv run python examples/09_my_rleaky_divergence.py [--small] [--out FOLDER]
"""

import argparse
from copy import deepcopy
from pathlib import Path

import snntorch as snn
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import phc_snn as phc
from phc_snn.data import load_uea

NEURONS = 32


class Own(nn.Module):
    """A recurrent network as snnTorch users write it."""

    def __init__(self, reset_mechanism: str) -> None:
        super().__init__()
        self.encode = nn.Linear(6, NEURONS)
        self.recurrent = snn.RLeaky(
            beta=0.8, linear_features=NEURONS, reset_mechanism=reset_mechanism
        )
        self.decode = nn.Linear(NEURONS, 4)

    def spikes(self, x: Tensor) -> Tensor:
        spk, mem = self.recurrent.reset_mem()
        record = []
        for x_t in x.unbind(0):
            spk, mem = self.recurrent(self.encode(x_t), spk, mem)
            record.append(spk)
        return torch.stack(record)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.spikes(x).mean(0))


class Converted(nn.Module):
    """The same network, its loop over time handed to a solver."""

    def __init__(self, own: Own) -> None:
        super().__init__()
        self.encode, self.decode = deepcopy(own.encode), deepcopy(own.decode)
        self.recurrent = phc.from_snntorch(own.recurrent)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.recurrent(self.encode(x), solver=phc.Exact()).spikes.mean(0))


def train(network: nn.Module, x: Tensor, labels: Tensor, epochs: int) -> list[float]:
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def main(out: Path, small: bool = False) -> None:
    data = load_uea("BasicMotions").standardized()
    x, test = data.train_x.transpose(0, 1), data.test_x.transpose(0, 1)
    if small:
        x, test = x[:15], test[:15]
    epochs = 2 if small else 40
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for color, reset in enumerate(("subtract", "zero", "none")):
        torch.manual_seed(0)
        own = Own(reset)
        converted = Converted(own)
        losses = train(own, x, data.train_y, epochs)
        exact = train(converted, x, data.train_y, epochs)

        trained = Converted(own)
        currents = trained.encode(test).detach()
        found = phc.measure_divergence(
            trained.recurrent, currents, solvers={"exact": phc.Exact()}, sweeps=5 if small else 40
        )
        with torch.no_grad():
            other = int((own.spikes(test) != found.reference.solution.spikes).sum())
        print(
            f"reset {reset!r}: {other} spikes differ between snnTorch's loop and Sequential, "
            f"{found.solvers['exact'].differing_spikes} between Sequential and Exact; loss after "
            f"{epochs} epochs {losses[-1]:.4f} in the loop, {exact[-1]:.4f} with Exact"
        )
        differing = (100 * found.curve.step_difference).tolist()
        left.plot(range(1, len(differing) + 1), differing, label=f"reset {reset!r}")
        right.plot(range(1, epochs + 1), losses, color=f"C{color}", label=f"loop, {reset!r}")
        right.plot(range(1, epochs + 1), exact, color=f"C{color}", linestyle="", marker=".")
    left.set_yscale("symlog", linthresh=1e-2)
    left.set(xlabel="sweeps", ylabel="differing neuron-steps, %", ylim=(0, None))
    left.set_title("Parallel sweeps against the own network")
    left.legend(loc="upper left")
    right.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    right.set_title("Trained in the loop (lines), with Exact (dots)")
    right.legend(loc="upper left")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "my_rleaky_divergence.png", dpi=130)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("runs/examples"))
    arguments = parser.parse_args()
    main(arguments.out, arguments.small)
